"""Treatment that varies inside clusters: rows, folds, and models that have not seen a row's cluster."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array, group_codes
from .._options import folds_of_clusters
from .._scaling import named, standardized
from .._warn import warn
from ..exceptions import DesignWarning
from ._checks import FEW
from ._columns import outcomes as outcomes_of
from ._columns import read_columns
from ._delete_one import of_terms
from ._delete_one_folds import Fold, FoldedScore, default_odds
from ._fits import predictions
from ._linear_fits import ridge_logistic
from ._nuisance import CHUNK, Fitted, Models, distinct_rows, is_linear, outcomes, with_left_out, without_level
from ._replicates import refits, without_each
from ._sample import Sample, treatment_by_row, weights_in_clusters
from ._score_inference import terms_of
from ._scores import WeightedMean, value

Rows = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Within:
    """Clusters in which some rows are treated, and the models of their outcomes and treatment.

    Attributes
    ----------
    clusters : Sample
        Whose `codes` and `labels` are those of the G clusters; all are of one stratum.
    cells : Sample
        The same rows. To the outcome models a cluster is two, its control rows (c) and its treated ones
        (G + c): models are fitted within arms.
    folds : ndarray (G,) of int
        A row is predicted by models that have not seen its fold.
    models : Models
    size : float
        Of the outcomes as they were given.
    """

    clusters: Sample
    cells: Sample
    folds: NDArray[np.intp]
    models: Models
    size: float

    @property
    def has_arm(self) -> Rows:
        """(2, G) whether a cluster has control, and treated, rows with a weight."""
        return np.asarray(self.cells.arm.reshape(2, -1) >= 0)

    def fit_each(self, counts: NDArray[np.int64]) -> Iterator[Fitted]:
        """The nuisances of every row under each row of counts (S, G), some at a time, to bound memory."""
        n_folds, n = int(self.folds.max()) + 1, len(self.cells.y)
        size = max(1, CHUNK // (n * n_folds * (1 + len(self.models.arms))))
        inside = np.arange(n_folds)[:, None] != self.folds
        own = self.folds[self.clusters.codes]
        for start in range(0, len(counts), size):
            part = counts[start : start + size]
            seen = (part[:, None] * inside).reshape(-1, part.shape[1])  # (S * K, G)
            found = np.zeros((3, len(part), n))
            each = outcomes(self.cells, self.models, np.tile(seen, 2))
            for arm, (predicted, index) in each.items():
                found[arm] = _of_own_fold(predicted, index.reshape(len(part), n_folds), own)
            found[2] = self._chances(part, seen)
            yield from (Fitted(*found[:, i]) for i in range(len(part)))

    def _chances(self, counts: NDArray[np.int64], seen: NDArray[np.int64]) -> Array:
        """(S, N) the probability of treatment of each row by the models of its fold, which see (S * K, G)."""
        found, n_folds = np.empty((len(counts), len(self.cells.y))), len(seen) // len(counts)
        left = np.ones(len(counts), bool)
        for s, row in enumerate(counts):
            if self.has_default_odds and row.min() == 0 and row.max() == 1 and row.sum() == len(row) - 1:
                cluster = int(row.argmin())
                left[s] = not all(fold.solved[1 + cluster] for fold in self.default_odds)
                if not left[s]:
                    for fold in self.default_odds:
                        found[s, fold.rows] = fold.chances(cluster, self.models.propensity_bounds)
        if left.any():
            distinct, index = distinct_rows(seen[np.repeat(left, n_folds)])
            chances = self._propensities(distinct)
            own = self.folds[self.clusters.codes]
            found[left] = _of_own_fold(chances, index.reshape(-1, n_folds), own)
        return found

    @property
    def has_default_odds(self) -> bool:
        """Whether nothing is fitted for a propensity without a cluster."""
        models = self.models
        none = models.estimation_method == "regression" or self.clusters.X.shape[1] == 0
        return none or models.propensity is None

    @cached_property
    def default_odds(self) -> list[Fold]:
        """By fold, the odds without each cluster."""
        return default_odds(self.clusters, self.cells.treated, self.folds, self.models)

    @property
    def has_closed_form(self) -> bool:
        """Whether the jackknife needs no refits: outcomes by means or least squares, default propensities."""
        models, rows = self.models, self.cells
        linear = not models.arms or rows.X.shape[1] == 0 or is_linear(models.outcome, rows)
        return linear and self.has_default_odds

    def closed_form(self, masks: Sequence[Rows]) -> Array:
        """(1 + G, E) the effects of all clusters, then without each, from one fit for each fold."""
        score = FoldedScore(self.cells, self.clusters, self.default_odds, self.models)
        found = np.column_stack([score.effects(mask) for mask in masks])
        blind, solved = ~self._sees_both_without_each(), score.solved
        found[blind] = np.nan
        rest = np.flatnonzero(~solved & ~blind)
        if len(rest):
            found[rest] = refits(partial(self.estimates, masks=masks), self.clusters.arm, rest)
        return found

    def _propensities(self, counts: NDArray[np.int64]) -> Array:
        """(S, N) the probability of treatment of each row, clipped; 1/2 where the score has no weights."""
        rows, models = self.clusters, self.models
        if models.estimation_method == "regression":
            return np.full((len(counts), len(rows.y)), 0.5)
        treated = self.cells.treated
        if rows.X.shape[1] == 0:
            total = np.bincount(rows.codes, rows.weight, rows.n_clusters)
            own = np.bincount(rows.codes, rows.weight * treated, rows.n_clusters)
            found = np.tile(((counts @ own) / (counts @ total))[:, None], len(rows.y))
        elif models.propensity is None:
            weight = counts[:, rows.codes] * (rows.weight / rows.weight.mean())
            found = ridge_logistic(rows.X, treated.astype(np.int64), weight)
        else:
            found = predictions(rows, models.propensity, treated.astype(np.float64), counts, models.n_jobs)
        return np.asarray(np.clip(found, *models.propensity_bounds))

    def terms(self, fitted: Fitted, mask: Rows, count: NDArray[np.int64] | None = None) -> list[WeightedMean]:
        """The weighted means of the score on some rows; `count` (G,) says how often each cluster counts."""
        weight = self.cells.weight * mask
        weight = weight if count is None else weight * count[self.clusters.codes]
        return terms_of(self.cells, self.models, fitted, weight)

    def estimates(self, counts: NDArray[np.int64], masks: Sequence[Rows]) -> Array:
        """(S, E) the effects on the rows of each mask; NaN where a fold's models see nobody of an arm."""
        found = np.full((len(counts), len(masks)), np.nan)
        good = np.flatnonzero(self._sees_both(counts))
        for s, fitted in zip(good, self.fit_each(counts[good]), strict=True):
            found[s] = [value(self.terms(fitted, mask, counts[s])) for mask in masks]
        return found

    def _sees_both(self, counts: NDArray[np.int64]) -> Rows:
        """(S,) whether outside every fold there are treated and control rows."""
        outside = np.arange(self.folds.max() + 1)[:, None] != self.folds
        seen = [(counts * arm) @ outside.T.astype(np.int64) > 0 for arm in self.has_arm]
        return np.asarray(np.all(seen, axis=(0, 2)))

    def _sees_both_without_each(self) -> Rows:
        """(1 + G,) the same of all clusters, then of all but each."""
        outside = (np.arange(self.folds.max() + 1)[:, None] != self.folds).astype(np.int64)
        seen = [without_each((arm * outside).T) > 0 for arm in self.has_arm]
        return np.asarray(np.all(seen, axis=(0, 2)))

    def held(self, fitted: Fitted, masks: Sequence[Rows]) -> Array:
        """(1 + G, E) the effects of all clusters, then without each, with the models held fixed."""
        return np.column_stack([of_terms(self.terms(fitted, mask), self.clusters) for mask in masks])

    def behind(self, mask: Rows) -> Rows:
        """Sets (K, G) of clusters, one of each of which is needed, for the effect on some rows."""
        nothing, half = np.zeros(len(self.cells.y)), np.full(len(self.cells.y), 0.5)
        codes, n = self.clusters.codes, self.clusters.n_clusters
        parts = self.terms(Fitted(nothing, nothing, half), mask)
        return np.stack([np.bincount(codes, part.weight, n) > 0 for part in parts] + list(self.has_arm))


def _of_own_fold(predicted: Array, index: NDArray[np.intp], own: NDArray[np.intp]) -> Array:
    """(S, N) of predictions (U, N): for each row those of its fold; index (S, K) says which they are."""
    return np.asarray(predicted[index[:, own], np.arange(len(own))])


def read_within(
    X: Any, given: Mapping[str, Any], covariates: Any, models: Models, n_folds: int, n_repeats: int = 1
) -> list[Within]:
    """Check everything, deal the folds, and learn what the outcome models say of clusters left out.

    `given` has y, treatment, groups, sample_weight and by. Returns one for each time the folds are dealt.
    """
    columns, rows, names, references, _ = read_columns(X, given, covariates)
    n = len(rows)
    outcome = outcomes_of(columns["y"], n)
    labels, codes = group_codes(np.arange(n) if given["groups"] is None else columns["groups"], n)
    treated = treatment_by_row(columns["treatment"], n) == 1
    weight = weights_in_clusters(columns["sample_weight"], codes, labels)
    _require_both(treated, weight, codes, labels)
    _require_overlap(rows, treated, names)
    cells = _cells(standardized(rows), outcome, weight, treated, codes, labels, names)
    cells = replace(without_level(cells, models), references=references)
    clusters = replace(cells, codes=codes, labels=labels, arm=np.zeros(len(labels), np.int64))
    has_arm = cells.arm.reshape(2, -1) >= 0
    _warn_of_few(has_arm, labels)
    random, size = np.random.default_rng(models.random_state), float(np.abs(outcome).max())
    models = with_left_out(cells, models)
    dealt = (deal(has_arm, n_folds, random) for _ in range(n_repeats))
    return [Within(clusters, cells, folds, models, size) for folds in dealt]


def _cells(
    X: Array,
    y: Array,
    weight: Array,
    treated: Rows,
    codes: NDArray[np.intp],
    labels: Array,
    names: list[str],
) -> Sample:
    n = len(labels)
    cell = codes + n * treated
    filled = np.bincount(cell, weight, 2 * n) > 0
    return Sample(
        X=X,
        y=y,
        weight=weight,
        codes=cell,
        labels=np.tile(labels, 2),
        arm=np.where(filled, np.repeat([0, 1], n), -1),
        Z=np.empty((2 * n, 0)),
        names=names,
        cluster_names=[],
    )


def deal(has_arm: Rows, n_folds: int, random: np.random.Generator) -> NDArray[np.intp]:
    """(G,) a fold for each cluster; clusters with one arm, and those with both, are spread over all.

    ValueError where some fold's models would see nobody of an arm.
    """
    n = has_arm.shape[1]
    folds_of_clusters(n_folds, n)
    kind = has_arm[0] + 2 * has_arm[1]
    order = np.concatenate([random.permutation(np.flatnonzero(kind == k)) for k in range(4)])
    folds = np.empty(n, np.intp)
    folds[order] = np.arange(n) % n_folds
    for arm, what in zip(has_arm, ("control", "treated"), strict=True):
        if len(np.unique(folds[arm])) < 2:
            raise ValueError(
                f"only {arm.sum()} of {n} clusters have {what} rows: models that have not seen a row's fold "
                f"of clusters (n_folds={n_folds}) would see none. At least 2 such clusters are needed"
            )
    return folds


def _require_both(treated: Rows, weight: Array, codes: NDArray[np.intp], labels: Array) -> None:
    """ValueError where an arm is empty, or treatment is that of a whole cluster everywhere."""
    for arm, what in ((treated, "treated"), (~treated, "control")):
        if not (arm & (weight > 0)).any():
            raise ValueError(f"none of the {len(treated)} rows is a {what} row; both arms are needed")
    total = np.bincount(codes, treated, len(labels))
    sizes = np.bincount(codes, minlength=len(labels))
    if sizes.max() > 1 and not ((total > 0) & (total < sizes)).any():
        raise ValueError(
            f"treatment is on or off for whole clusters in each of the {len(labels)}: nothing varies inside. "
            "ClusterEffect is for that: its propensity is one observation a cluster"
        )


def _require_overlap(X: Array, treated: Rows, names: list[str]) -> None:
    for j, name in enumerate(names):
        one, none = X[treated, j], X[~treated, j]
        if one.min() > none.max() or one.max() < none.min():
            side = "above" if one.min() > none.max() else "below"
            raise ValueError(
                f"no overlap: in the covariate {name!r} every one of the {len(one)} treated rows lies {side} "
                f"every one of the {len(none)} control rows. Nothing in the data says what they would have "
                "been without treatment"
            )


def _warn_of_few(has_arm: Rows, labels: Array) -> None:
    for arm, what in zip(has_arm, ("control", "treated"), strict=True):
        if arm.sum() < FEW:
            warn(
                f"only {arm.sum()} of {len(labels)} clusters have {what} rows ({named(labels[arm])}): with "
                f"fewer than {FEW} no standard error can be trusted",
                DesignWarning,
            )
