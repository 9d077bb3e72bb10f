"""Which subsets of regularizers make the curve monotone, how strong they have to be, what each one does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import shown
from .._frames import pandas_for
from .._options import MAX_PARAMETERS, integer, items, positive, shows
from ..many import Model
from ..regularize import (
    L1,
    L2,
    BatchNorm,
    Dropout,
    EarlyStopping,
    InputNoise,
    LabelSmoothing,
    Regularization,
    Term,
)
from ._checks import rising
from ._store import Store
from ._train import SCORES, Where, key_of, train
from .attribution import ShapleyValues, WalshAnova, shapley_values, subsets, walsh_anova
from .data import NoisyLabels, require_data
from .monotonicity import holm, monotonicity_test

__all__ = ["Composition", "Tolerance", "Verdict", "compose", "digits_techniques"]

Floats = NDArray[np.float64]
VALIDATED = "validated"
_ALPHA = 0.05
_POINT = 0.01  # of error: what is as good as the best


def digits_techniques() -> dict[str, Term]:
    """Seven techniques at the medium strengths of the study of digits."""
    return {
        "L1": L1(0.3, method="proximal"),
        "L2": L2(0.3, decoupled=True),
        "dropout": Dropout(0.3, mask="row"),
        "batch norm": BatchNorm(),
        "smoothing": LabelSmoothing(0.25),
        "input noise": InputNoise(0.4),
        "early stopping": EarlyStopping(3, every=10),
    }


@dataclass(frozen=True)
class Verdict:
    """Whether one composition's curve is monotone.

    Attributes
    ----------
    techniques : tuple of str
    tuning : str
    statistic, p_value, p_holm : float
        Of `monotonicity_test`; the last corrected for all compositions of the tuning.
    rise, rise_std_error : float
        Cross-fitted.
    error, error_std_error : float
        Mean test error at the largest width: a curve may be monotone because nothing is learned.
    at_edge : bool
        Validated tuning only: whether the best strength was the least or the greatest that was tried, at half
        of the widths or more. A wider grid may then change the verdict.
    """

    techniques: tuple[str, ...]
    tuning: str
    statistic: float
    p_value: float
    p_holm: float
    rise: float
    rise_std_error: float
    error: float
    error_std_error: float
    at_edge: bool = False


@dataclass(frozen=True)
class Tolerance:
    """How much the common strength of a composition may be off.

    Attributes
    ----------
    techniques : tuple of str
    octaves : float
        Length of the longest stretch of log2 c on which the curve is monotone and the error at the largest
        width within a point of the composition's best; a single factor counts as one step of the grid.
        Factors that leave the networks as they were do not count.
    best_error : float
    best_factor : float
    at_edge : bool
        Whether the best factor is the grid's first or last: the stretch may be longer than the grid.
    """

    techniques: tuple[str, ...]
    octaves: float
    best_error: float
    best_factor: float
    at_edge: bool


class Composition:
    """Scores of all subsets of techniques, at several strengths, over widths and seeds.

    Attributes
    ----------
    names : tuple of str, (k,)
    subsets : list of frozenset, in the order of `attribution.subsets` where all are there
    widths : ndarray (W,)
    factors : dict of str to float
        Tunings and what they multiply all strengths with.
    scores : dict of str to ndarray (subsets, tunings, widths, seeds)
        Test, training and validation error, norms, steps.
    """

    def __init__(
        self,
        names: Sequence[str],
        chosen: Sequence[frozenset[str]],
        widths: Sequence[int],
        factors: Mapping[str, float],
        scores: dict[str, Floats],
        name: str,
    ) -> None:
        self.names, self.subsets, self.widths = tuple(names), list(chosen), np.array(widths)
        self.factors, self.scores, self.name = dict(factors), scores, name
        self._chosen = self._by_validation()
        self._judged: dict[str, list[Verdict]] = {}

    @property
    def tunings(self) -> list[str]:
        """Those that were trained, and "validated" where there are several."""
        return [*self.factors, *([VALIDATED] if len(self.factors) > 1 else [])]

    def of(self, score: str, tuning: str) -> Floats:
        """A score of a tuning, (subsets, widths, seeds)."""
        if not isinstance(tuning, str) or tuning not in self.tunings:
            raise ValueError(f"tuning={shown(tuning)} is unknown; one of {self.tunings} is needed")
        values = self.scores[score]
        if tuning == VALIDATED:
            found: Floats = np.take_along_axis(values, self._chosen[:, None, :, None], axis=1)[:, 0]
            return found
        return values[:, list(self.factors).index(tuning)]

    def _by_validation(self) -> NDArray[np.intp]:
        """The tuning of least mean validation error over seeds, for each subset and width."""
        found: NDArray[np.intp] = self.scores["validation_error"].mean(axis=3).argmin(axis=1)
        return found

    def curves(self, techniques: Any, tuning: str, score: str = "test_error") -> Floats:
        """Of one subset, (seeds, widths)."""
        found: Floats = self.of(score, tuning)[self._index(techniques)].T
        return found

    def _index(self, techniques: Any) -> int:
        wanted = _subset(techniques, "techniques", self.names)
        if wanted not in self.subsets:
            raise ValueError(f"techniques={sorted(wanted)} were not trained together")
        return self.subsets.index(wanted)

    def _sorted(self, chosen: frozenset[str]) -> tuple[str, ...]:
        return tuple(name for name in self.names if name in chosen)

    def verdicts(self, tuning: str) -> list[Verdict]:
        """Of every subset, with p-values corrected by Holm over all of them."""
        errors = self.of("test_error", tuning)
        if tuning not in self._judged:
            self._judged[tuning] = self._judge(errors, tuning)
        return self._judged[tuning]

    def _judge(self, errors: Floats, tuning: str) -> list[Verdict]:
        tests = [monotonicity_test(one.T) for one in errors]
        corrected = holm([test.p_value for test in tests])
        last = errors[:, -1]
        spread = last.std(axis=1, ddof=1) / np.sqrt(last.shape[1])
        edges = self._at_edge() if tuning == VALIDATED else np.zeros(len(errors), bool)
        return [
            Verdict(
                self._sorted(chosen), tuning, test.statistic, test.p_value, float(p), test.rise,
                test.rise_std_error, float(one.mean()), float(error), bool(edge),
            )
            for chosen, test, p, one, error, edge in zip(
                self.subsets, tests, corrected, last, spread, edges, strict=True
            )
        ]  # fmt: skip

    def _at_edge(self) -> NDArray[np.bool_]:
        outer = (self._chosen == 0) | (self._chosen == len(self.factors) - 1)
        # Without a strength (no technique, batch normalization, early stopping) all tunings are the same.
        varies = np.ptp(self.scores["test_error"], axis=1).max(axis=(1, 2)) > 0
        found: NDArray[np.bool_] = (outer.mean(axis=1) >= 0.5) & varies
        return found

    def tolerances(self) -> list[Tolerance]:
        """Of every subset, where the factors are a grid of one step: the fair test of "no tuning needed"."""
        values = np.array(list(self.factors.values()))
        steps = np.diff(np.log2(values))
        if len(values) < 3 or not np.allclose(steps, steps[0]) or steps[0] <= 0:
            raise ValueError(
                f"factors={values.tolist()}; at least three that rise by a common factor are needed"
            )
        found = []
        for i, chosen in enumerate(self.subsets):
            errors = self.scores["test_error"][i]  # (factors, widths, seeds)
            last = errors[:, -1].mean(axis=1)
            monotone = np.array([monotonicity_test(one.T).p_value > _ALPHA for one in errors])
            good = monotone & (last <= last.min() + _POINT)
            # Where a strength has reached its end (a rate of 0.95) a greater factor is the same network.
            good[1:] &= (errors[1:] != errors[:-1]).any(axis=(1, 2))
            found.append(
                Tolerance(
                    self._sorted(chosen),
                    float(_longest(good) * steps[0]),
                    float(last.min()),
                    float(values[last.argmin()]),
                    int(last.argmin()) in (0, len(values) - 1),
                )
            )
        return found

    def attribution(self, tuning: str, low: int, high: int | None = None) -> tuple[ShapleyValues, WalshAnova]:
        """Shares of the techniques in a height of the curve.

        Parameters
        ----------
        tuning : str
        low, high : int
            Widths that were trained: the error at `high` minus that at `low`, or at `low` alone.

        Returns
        -------
        ShapleyValues, WalshAnova
        """
        self._require_all()
        errors = self.of("test_error", tuning)
        values = errors[:, self._width(low)]
        if high is not None:
            values = errors[:, self._width(high)] - values
        return shapley_values(values.T, self.names), walsh_anova(values.T, self.names)

    def _require_all(self) -> None:
        """ValueError where subsets are missing, or are not in their order."""
        if self.subsets != subsets(self.names):
            raise ValueError(f"{len(self.subsets)} subsets; all {2 ** len(self.names)} are needed")

    def _width(self, width: int) -> int:
        at = np.flatnonzero(self.widths == integer(width, "width", 1, MAX_PARAMETERS))
        if not len(at):
            raise ValueError(f"width {width} was not trained; {self.widths.tolist()} were")
        return int(at[0])

    def tracking(self, tuning: str, width: int) -> dict[str, float]:
        """Spearman's correlation, over subsets, of the cross-fitted rise with scores at a width.

        NaN where all subsets are alike.
        """
        from scipy.stats import spearmanr

        rises = np.array([verdict.rise for verdict in self.verdicts(tuning)])
        at = self._width(width)
        found = {}
        for name in ("train_error", "jacobian", "weights", "hidden"):
            values = self.of(name, tuning)[:, at].mean(axis=1)
            alike = np.ptp(rises) == 0 or np.ptp(values) == 0
            found[name] = float("nan") if alike else float(spearmanr(rises, values).statistic)
        return found

    def to_frame(self) -> Any:
        """A pandas DataFrame of the verdicts, one subset and tuning a line."""
        pandas = pandas_for("to_frame")
        lines = [vars(verdict) for tuning in self.tunings for verdict in self.verdicts(tuning)]
        frame = pandas.DataFrame(lines)
        frame["techniques"] = [" + ".join(names) or "none" for names in frame["techniques"]]
        return frame


def _longest(good: Any) -> int:
    """Points of the longest run of True."""
    best = run = 0
    for one in good:
        run = run + 1 if one else 0
        best = max(best, run)
    return best


def compose(
    data: NoisyLabels,
    techniques: Mapping[str, Term],
    base: Model,
    widths: Sequence[int],
    *,
    factors: Mapping[str, float] | None = None,
    chosen: Sequence[Sequence[str]] | None = None,
    seeds: int = 10,
    path: str | PathLike[str] | None = None,
    n_jobs: int | None = None,
    verbose: int = 0,
    scheduler: Any = None,
) -> Composition:
    """Train every subset of techniques at every strength, width and seed.

    Parameters
    ----------
    data : NoisyLabels
    techniques : dict of str to Term
        By name, at their medium strengths; no two of a kind.
    base : Model
        How all are trained, without regularization.
    widths : sequence of int
        Of every hidden layer of `base`.
    factors : dict of str to float, optional
        Tunings, from weak to strong: what all strengths are multiplied with. None: weak 1/3, default 1,
        strong 3. "validated" is added: the best of them on validation rows, for each subset and width.
    chosen : sequence of sequences of str, optional
        Subsets; None: all.
    seeds : int, default=10
        At least 2.
    path : str or path, optional
        File of finished models: the same call goes on where it stopped, to the same bits.
    n_jobs, verbose, scheduler
        As in `fit_many` and `sweep`.

    Returns
    -------
    Composition

    Examples
    --------
    >>> from rfpcore.many import Model
    >>> from rfpcore.regularize import L2, Dropout
    >>> from rfpcore.studies import compose, noisy_teacher
    >>> base = Model((8,), "relu", "softmax", batch_size=50, n_epochs=2)
    >>> found = compose(noisy_teacher(100), {"L2": L2(0.1), "dropout": Dropout(0.2)}, base, [2, 8], seeds=2)
    >>> found.scores["test_error"].shape, found.tunings
    ((4, 3, 2, 2), ['weak', 'default', 'strong', 'validated'])
    """
    require_data(data)
    names = _named(techniques)
    if not isinstance(base, Model) or not base.hidden_layer_sizes or len(base.terms):
        raise ValueError("base has to be a Model with hidden layers and without regularization")
    sizes = rising(widths, "widths", MAX_PARAMETERS)
    strengths = _factors(factors)
    several = (
        subsets(names)
        if chosen is None
        else [_subset(one, f"chosen[{i}]", names) for i, one in enumerate(items(chosen, "chosen"))]
    )
    if len(set(several)) < len(several):
        raise ValueError(f"chosen has {len(several)} subsets, some of them twice; each once is needed")
    n_seeds, n = integer(seeds, "seeds", 2, 10**6), data.n_train
    store = Store(path, data)

    def model(subset: frozenset[str], factor: float, width: int, seed: int) -> Model:
        terms = Regularization(tuple(techniques[name].scaled(factor) for name in names if name in subset))
        hidden = (width,) * len(base.hidden_layer_sizes)
        return replace(base, hidden_layer_sizes=hidden, regularization=terms, seed=seed)

    models = [
        [[[model(s, c, w, seed) for seed in range(n_seeds)] for w in sizes] for c in strengths.values()]
        for s in several
    ]
    wanted = [(one, n) for a in models for b in a for c in b for one in c]
    train(data, wanted, store, Where(n_jobs, scheduler), shows(verbose))
    keys = [[[[key_of(one, n) for one in c] for c in b] for b in a] for a in models]
    scores = {name: store.array(keys, name) for name in SCORES}
    return Composition(names, several, sizes, strengths, scores, data.name)


def _named(techniques: Any) -> list[str]:
    if not isinstance(techniques, Mapping) or not techniques:
        raise TypeError(f"techniques={shown(techniques)}; a dict of terms by name is needed")
    for name, term in techniques.items():
        if not isinstance(name, str) or not isinstance(term, Term):
            raise TypeError(
                f"techniques[{shown(name)}] is a {type(term).__name__}; a term by its name is needed"
            )
    Regularization(tuple(techniques.values()))  # at most one of a kind
    return list(techniques)


def _factors(factors: Any) -> dict[str, float]:
    if factors is None:
        return {"weak": 1 / 3, "default": 1.0, "strong": 3.0}
    if not isinstance(factors, Mapping) or not factors:
        raise TypeError(f"factors={shown(factors)}; a dict of numbers by name is needed")
    if VALIDATED in factors:
        raise ValueError(f"factors names {VALIDATED!r}, which is the choice among them")
    found = {str(name): positive(value, f"factors[{name!r}]") for name, value in factors.items()}
    if (np.diff(list(found.values())) <= 0).any():
        raise ValueError(f"factors={found}; they have to rise, so that the first and the last are the edges")
    return found


def _subset(given: Any, name: str, names: Sequence[str]) -> frozenset[str]:
    found = items(given, name)
    for i, one in enumerate(found):
        if not isinstance(one, str) or one not in names:
            raise ValueError(f"{name}[{i}] is {shown(one)}; the techniques are {list(names)}")
    return frozenset(found)
