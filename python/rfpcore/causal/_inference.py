"""From an estimator that can be computed on any counts of the clusters to effects with standard errors."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from .._options import choice, integer
from .._warn import warn
from ..exceptions import DesignWarning
from . import _intervals
from ._checks import dominant, warn_of_concentration
from ._effort import Effort
from ._replicates import Estimates, counts_without
from ._support import Support, with_errors_only
from .results import Effect

Method = Literal["jackknife", "cv3", "bootstrap"]
"""Methods that fit everything again."""

MANY_DRAWS = 10_000_000
TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Replicable:
    """An estimator of one or more effects as a function of how often each cluster counts.

    Attributes
    ----------
    names : list of str
        Of the effects (E,).
    estimates : callable
        From counts (S, G) of whole numbers to estimates (S, E).
    arm : ndarray (G,) of int
        Strata of the clusters: each keeps its number in a bootstrap. Those below 0 take no part.
    labels : ndarray (G,)
    needs_all_arms : bool
        Whether there is no estimate at all once an arm is empty.
    support : Support or None
        Which clusters each effect hangs on.
    size : float
        Of the outcomes: errors that are rounding of such numbers are none.
    closed, held : callable, optional
        The estimates (1 + G, E) of all clusters, then without each: exact without refits, where the models
        allow it; and with the models of all clusters held fixed, where the score allows that.
    effort : Effort
    kept : dict
        Estimates from the data as they are, then the replicates, of "jackknife" and "bootstrap": both
        jackknives need the same ones, and bands need all effects' together.
    """

    names: list[str]
    estimates: Estimates
    arm: NDArray[np.int64]
    labels: Array
    needs_all_arms: bool = True
    support: Support | None = None
    size: float = 0.0
    closed: Callable[[], Array] | None = None
    held: Callable[[], Array] | None = None
    effort: Effort = field(default_factory=Effort)
    kept: dict[str, Array] = field(default_factory=dict)

    @property
    def present(self) -> NDArray[np.intp]:
        """Clusters that take part."""
        return np.flatnonzero(self.arm >= 0)

    @property
    def holds_models_fixed(self) -> bool:
        """Whether the jackknife would take more refits than it may, and can do without."""
        return self.closed is None and self.held is not None and len(self.present) > self.effort.max_refits


def infer(problem: Replicable, method: str, n_draws: int, seed: int) -> list[Effect]:
    """Effects with standard errors from refits."""
    choice(method, "inference", Method)
    if method == "bootstrap":
        return _bootstrap(problem, n_draws, seed)
    if problem.needs_all_arms:
        _require_two(problem)
    if "jackknife" not in problem.kept:
        problem.kept["jackknife"] = _without_each(problem)
    found, note = problem.kept["jackknife"], ""
    if problem.holds_models_fixed:
        note = f", models held fixed (clusters > max_refits={problem.effort.max_refits})"
        _warn_of_held_models(problem)
    if math.isnan(found[0, 0]):
        raise ValueError(f"the effect {problem.names[0]!r} has no rows to be estimated from")
    effects = []
    for name, full, without in zip(problem.names, found[0], found[1:].T, strict=True):
        arm = problem.arm[problem.present]
        effects.append(_from_jackknife(name, float(full), without, arm, method, note))
    effects = with_errors_only(effects, problem.support, problem.labels, problem.size)
    if not np.isnan(effects[0].std_error):
        _warn_of_influence(problem, effects[0])
    return effects


def _without_each(problem: Replicable) -> Array:
    """(1 + P, E) the estimates of all clusters, then without each that takes part."""
    rows = np.append(0, 1 + problem.present)
    without_refits = problem.held if problem.holds_models_fixed else problem.closed
    if without_refits is not None:
        return np.asarray(without_refits()[rows])
    counts = counts_without(problem.arm, rows)
    fits = problem.effort.refit("jackknife", problem.estimates, counts, len(rows))
    return np.concatenate([found for _, found in fits])


def _warn_of_held_models(problem: Replicable) -> None:
    n = len(problem.present)
    warn(
        f"standard errors hold the models fixed, as {n} clusters to leave out are more than max_refits="
        f"{problem.effort.max_refits}. max_refits={n} fits everything again without each of them",
        DesignWarning,
    )


def _require_two(problem: Replicable) -> None:
    for value in np.unique(problem.arm[problem.arm >= 0]):
        own = np.flatnonzero(problem.arm == value)
        if len(own) == 1:
            raise ValueError(
                f"cluster {problem.labels[own[0]]!s} is the only one of its arm; the jackknife leaves each "
                "out in "
                "turn, so at least 2 are needed in each"
            )


def _from_jackknife(
    name: str, full: float, without: Array, arm: NDArray[np.int64], method: str, note: str
) -> Effect:
    sizes = np.unique(arm, return_counts=True)[1]
    if method == "cv3" or sizes.min() < 2:  # an arm of one cluster has no variance of its own
        error, df = _intervals.jackknife_error(full, without), len(without) - 1.0
        title = "leave-one-cluster-out jackknife (CV3)"
    else:
        error, df = _intervals.stratified_jackknife_error(without, arm), len(without) - float(len(sizes))
        title = "leave-one-cluster-out jackknife" + (", by arm" if len(sizes) > 1 else "")
    if np.isnan(without).any():
        error = math.nan
    return Effect(name, full, error, df, title + note, draws=without)


def _bootstrap(problem: Replicable, n_draws: int, seed: int) -> list[Effect]:
    integer(n_draws, "n_draws", 2, MANY_DRAWS)
    present, rows, pull = problem.present, [], _InfinitesimalJackknife(len(problem.arm))
    blocks = _with_data(problem, _intervals.count_blocks(problem.arm, n_draws, np.random.default_rng(seed)))
    for counts, estimates in problem.effort.refit("bootstrap", problem.estimates, blocks, 1 + n_draws):
        rows.append(estimates)
        pull.add(counts, estimates[:, 0] - rows[0][0, 0])
    found = problem.kept["bootstrap"] = np.concatenate(rows)
    effects = []
    for name, full, draws in zip(problem.names, found[0], found[1:].T, strict=True):
        kept = draws[~np.isnan(draws)]
        error = (
            _intervals.length(kept - kept.mean()) / math.sqrt(len(kept) - 1) if len(kept) > 1 else math.nan
        )
        title = f"cluster bootstrap with refits, {n_draws} draws"
        effects.append(Effect(name, float(full), error, len(present) - 1.0, title, draws=kept))
    effects = with_errors_only(effects, problem.support, problem.labels, problem.size)
    if not np.isnan(effects[0].std_error):
        warn_of_concentration(pull.squares()[present], problem.labels[present])
    return effects


def _with_data(problem: Replicable, blocks: Iterator[NDArray[np.int64]]) -> Iterator[NDArray[np.int64]]:
    """The data as they are, then what is drawn."""
    ones = (problem.arm >= 0).astype(np.int64)[None]
    yield np.vstack([ones, next(blocks)])
    yield from blocks


class _InfinitesimalJackknife:
    """How much drawing a cluster once more moves the estimate, from samples as they come.

    Efron (2014), "Estimation and accuracy after model selection", JASA 109: the covariance of a cluster's
    counts with the estimates.
    """

    def __init__(self, n_clusters: int) -> None:
        self._n, self._moved = 0, 0.0
        self._counts, self._products = np.zeros((2, n_clusters))

    def add(self, counts: NDArray[np.int64], moved: Array) -> None:
        """Samples (B, G) and how far their estimates are from that of the data (B,)."""
        some = ~np.isnan(moved)
        self._n += int(some.sum())
        self._moved += float(moved[some].sum())
        self._counts = self._counts + counts[some].sum(axis=0)
        self._products = self._products + moved[some] @ counts[some]

    def squares(self) -> Array:
        """(G,) parts of the variance, up to a factor."""
        covariance = self._products - self._counts * (self._moved / self._n)
        return np.asarray((covariance / max(np.abs(covariance).max(), TINY)) ** 2)


def _warn_of_influence(problem: Replicable, effect: Effect) -> None:
    """`DesignWarning` if one or two clusters make up most of the jackknife's variance."""
    draws, present = effect.draws, problem.present
    assert draws is not None
    moved = draws - effect.estimate
    moved = (moved / max(np.abs(moved).max(), TINY)) ** 2
    few = dominant(moved)
    if len(few) == 1:
        first, share = int(few[0]), moved.max() / moved.sum()
        warn(
            f"one cluster dominates: leaving out {problem.labels[present[first]]!s} moves the estimate from "
            f"{effect.estimate:.4g} to {draws[first]:.4g}, which is {share:.0%} of the jackknife variance of "
            f"{len(present)} clusters",
            DesignWarning,
        )
    elif len(few):
        warn_of_concentration(moved, problem.labels[present])
