"""What outcome models say of clusters they have not seen, and which says it best."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from .._scaling import level_and_spread
from ._candidates import Candidate, MeanOf
from ._fits import predictions
from ._mixed import Mixed
from ._sample import Sample

MOST_FOLDS = 10
NARROW = 1.5  # standard errors: of seven models that are alike, the least error lies one below its mean
SURE = 1e-3  # probabilities are kept this far from 0 and 1 before their logarithm is taken
KEPT = 8_000_000  # numbers of predictions kept for the jackknife


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Outcome models and their errors on clusters left out.

    The model used is the first of the candidates whose losses are within one and a half standard errors, over
    clusters, of the best one's (the rule of Breiman, Friedman, Olshen and Stone, 1984, "Classification and
    Regression Trees", section 3.4.3, who take one): few clusters cannot tell more.

    Attributes
    ----------
    candidates : dict
        By name, in the order in which they are preferred.
    chosen : str or None
        The model that is used, the others being there to compare; None: chosen in each stratum.
    level, spread : float
        Scaled models take outcomes less the level over the spread.
    strata : ndarray (G,) of int
        Models are fitted within strata; clusters below 0 take no part.
    losses : ndarray (G, M)
        Of each cluster, squared errors in units of the spread, or log losses of classifiers, summed with
        weights over the rows. NaN where a cluster is alone in its stratum.
    variation : ndarray (G,)
        Sums of squares about the stratum's mean, in the same units.
    size : ndarray (G,)
        Weight of each cluster.
    log_loss : bool
        Whether losses are log losses.
    fitted : dict
        Predictions of fits that a jackknife asks for again, by model and counts.
    """

    candidates: dict[str, Candidate]
    chosen: str | None
    level: float
    spread: float
    strata: NDArray[np.int64]
    losses: Array
    variation: Array
    size: Array
    log_loss: bool = False
    fitted: dict[tuple[str, bytes], Array] = field(default_factory=dict)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """(G,) clusters that were left out."""
        return np.isfinite(self.losses[:, 0])

    @property
    def learns(self) -> bool:
        """Whether more than fits is learnt of the strata: the choice, or variances."""
        return self.chosen is None or isinstance(self.candidates[self.chosen].model, Mixed)

    def choice(self, counts: NDArray[np.int64]) -> NDArray[np.intp]:
        """(S,) the number of the model of each row of counts: that of its clusters' stratum."""
        if self.chosen is not None:
            return np.full(len(counts), self._number(self.chosen))
        strata, index = np.unique(self.strata, return_inverse=True)
        each = np.array([self._chosen_by(self.losses[self.strata == stratum]) for stratum in strata])
        return np.asarray(each[index[counts.argmax(axis=1)]])

    def _number(self, name: str) -> int:
        return list(self.candidates).index(name)

    def _chosen_by(self, losses: Array) -> int:
        used = losses[np.isfinite(losses[:, 0])]
        total, squares = _sums(used)
        return int(self._choose(total[None], squares[None], np.array([len(used)]))[0])

    def _choose(self, total: Array, squares: Array, n: NDArray[np.intp]) -> NDArray[np.intp]:
        """(S,) by losses (S, M) and squared differences of them (S, M, M), summed over n clusters (S,)."""
        if self.chosen is not None:
            return np.full(len(total), self._number(self.chosen))
        eligible = np.array([candidate.eligible for candidate in self.candidates.values()])
        best = np.where(eligible, total, np.inf).argmin(axis=1)
        at = np.arange(len(total))
        gap = total - total[at, best][:, None]
        n_ = np.maximum(n, 1)[:, None]
        spread = squares[at, best] - gap**2 / n_
        error = np.where(n_ > 1, np.sqrt(np.maximum(spread, 0.0) * n_ / np.maximum(n_ - 1, 1)), np.inf)
        return np.asarray((eligible & (gap <= NARROW * error)).argmax(axis=1))

    def own_losses(self) -> Array:
        """(G,) of the model used: for each cluster the one that the others of its stratum choose."""
        own = np.full(len(self.losses), np.nan)
        use = np.flatnonzero(self.scored)
        for stratum in np.unique(self.strata[use]):
            here = use[self.strata[use] == stratum]
            losses = self.losses[here]
            total, squares = _sums(losses)
            fewer = np.full(len(here), len(here) - 1)
            taken = self._choose(total - losses, squares - _gaps(losses) ** 2, fewer)
            own[here] = losses[np.arange(len(here)), taken]
        return own

    def predictions(self, sample: Sample, counts: NDArray[np.int64], n_jobs: int | None) -> Array:
        """(S, N) of the model of each row of counts."""
        found, taken = np.empty((len(counts), len(sample.y))), self.choice(counts)
        for number, name in enumerate(self.candidates):
            rows = np.flatnonzero(taken == number)
            if len(rows):
                found[rows] = self._predictions(name, sample, counts[rows], n_jobs)
        return found

    def _predictions(self, name: str, sample: Sample, counts: NDArray[np.int64], n_jobs: int | None) -> Array:
        """(S, N) of one candidate; what was kept is not fitted again."""
        candidate = self.candidates[name]
        if isinstance(candidate.model, MeanOf):
            parts = [self._predictions(part, sample, counts, n_jobs) for part in candidate.model.of]
            return np.asarray(np.mean(parts, axis=0))
        found = np.empty((len(counts), len(sample.y)))
        known = [self.fitted.get((name, row.tobytes())) if self.fitted else None for row in counts]
        for row, values in zip(found, known, strict=True):
            if values is not None:
                row[:] = values
        new = np.flatnonzero([values is None for values in known])
        if len(new):
            found[new] = fit(sample, candidate, counts[new], self.level, self.spread, n_jobs)
        return found


def _gaps(losses: Array) -> Array:
    """(G, M, M) how much larger the losses of the second model are than those of the first."""
    return losses[:, None, :] - losses[:, :, None]


def _sums(losses: Array) -> tuple[Array, Array]:
    return losses.sum(axis=0), (_gaps(losses) ** 2).sum(axis=0)


def fit(
    sample: Sample,
    candidate: Candidate,
    counts: NDArray[np.int64],
    level: float,
    spread: float,
    n_jobs: int | None,
) -> Array:
    """(S, N) predictions in the units of the outcome."""
    used = counts.sum(axis=0)[sample.codes] > 0
    # No fit sees the other rows, nor may they cost it digits.
    y = np.where(used, sample.y, sample.y[used.argmax()])
    if not candidate.scaled:
        return predictions(sample, candidate.model, y, counts, n_jobs)
    scaled = predictions(sample, candidate.model, (y - level) / spread, counts, n_jobs)
    return level + spread * scaled


def leave_out(
    sample: Sample,
    candidates: dict[str, Candidate],
    chosen: str | None,
    strata: NDArray[np.int64],
    log_loss: bool,
    seed: int,
    n_jobs: int | None,
) -> LeftOut:
    """Fit every candidate without each fold of clusters, and keep its errors there."""
    use = strata[sample.codes] >= 0
    level, spread = level_and_spread(sample.y[use])
    folds, counts = _folds(sample, strata, seed)
    single = len(counts) == np.sum(folds >= 0)
    keep = single and len(counts) * len(sample.y) * len(candidates) <= KEPT
    own = folds[sample.codes]
    rows = np.flatnonzero(own >= 0)
    said: dict[str, Array] = {}  # of each row by the fit that has not seen its cluster
    fitted: dict[tuple[str, bytes], Array] = {}
    for name, candidate in candidates.items():
        if len(counts) == 0 or isinstance(candidate.model, MeanOf):
            continue
        found = fit(sample, candidate, counts, level, spread, n_jobs)
        said[name] = found[own[rows], rows]
        if keep:
            fitted |= {(name, row.tobytes()): values for row, values in zip(counts, found, strict=True)}
    losses = np.full((sample.n_clusters, len(candidates)), np.nan)
    scored = folds >= 0
    for m, (name, candidate) in enumerate(candidates.items()):
        parts = candidate.model.of if isinstance(candidate.model, MeanOf) else (name,)
        predicted = np.mean([said[part] for part in parts], axis=0) if said else sample.y[rows]
        error = _loss(sample.y[rows], predicted, spread, log_loss)
        total = np.bincount(sample.codes[rows], sample.weight[rows] * error, sample.n_clusters)
        losses[scored, m] = total[scored]
    candidates = {name: _learnt(one, sample, strata, level, spread) for name, one in candidates.items()}
    size = np.bincount(sample.codes, sample.weight, sample.n_clusters)
    variation = _variation(sample, strata, spread)
    return LeftOut(candidates, chosen, level, spread, strata, losses, variation, size, log_loss, fitted)


def _learnt(
    candidate: Candidate, sample: Sample, strata: NDArray[np.int64], level: float, spread: float
) -> Candidate:
    """What is learnt once, from all clusters of a stratum, and held in its fits from here on.

    Not in those without a fold: variances that have seen a cluster predict it far too well.
    """
    if not isinstance(candidate.model, Mixed):
        return candidate
    return candidate._replace(model=candidate.model.learn(sample, (sample.y - level) / spread, strata))


def _folds(
    sample: Sample, strata: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """(G,) the fold of each cluster, -1 where it is in none; and (F, G) whom the fit for a fold sees."""
    folds = np.full(sample.n_clusters, -1)
    rows = np.bincount(sample.codes, minlength=sample.n_clusters)
    random = np.random.default_rng(seed)
    counts: list[NDArray[np.int64]] = []
    for stratum in np.unique(strata[strata >= 0]):
        own = np.flatnonzero((strata == stratum) & (rows > 0))
        if len(own) < 2:
            continue
        size = min(MOST_FOLDS, len(own))
        folds[random.permutation(own)] = len(counts) + np.arange(len(own)) % size
        inside = np.zeros(sample.n_clusters, np.int64)
        inside[own] = 1
        counts += [inside * (folds != len(counts) + i) for i in range(size)]
    return folds, np.array(counts, np.int64).reshape(-1, sample.n_clusters)


def _loss(y: Array, predicted: Array, spread: float, log_loss: bool) -> Array:
    if not log_loss:
        return np.asarray(((predicted - y) / spread) ** 2)
    p = np.clip(predicted, SURE, 1 - SURE)
    return np.asarray(-np.where(y == 1, np.log(p), np.log1p(-p)))


def _variation(sample: Sample, strata: NDArray[np.int64], spread: float) -> Array:
    total = np.zeros(sample.n_clusters)
    for stratum in np.unique(strata[strata >= 0]):
        rows = strata[sample.codes] == stratum
        y, weight = sample.y[rows], sample.weight[rows]
        off = (y - np.average(y, weights=weight)) / spread
        total += np.bincount(sample.codes[rows], weight * off**2, sample.n_clusters)
    return total
