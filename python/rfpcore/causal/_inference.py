"""From an estimator that can be computed on any counts of the clusters to effects with standard errors."""

import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from .._options import choice, integer
from .._progress import make_progress
from ..exceptions import DesignWarning
from . import _intervals
from ._replicates import counts_without, pieces
from .results import Effect

Method = Literal["jackknife", "cv3", "bootstrap"]
"""Methods that fit everything again."""

MANY_DRAWS = 10_000_000
MAX_REFITS = 1000  # by default
MANY_REFITS = 1_000_000_000
STEPS = 20  # of a progress line


@dataclass(frozen=True)
class Effort:
    """How many refits the jackknife may take, and whether to show them."""

    max_refits: int = MAX_REFITS
    verbose: bool = False


def effort_of(estimator: Any) -> Effort:
    """What an estimator's parameters allow, checked."""
    largest = integer(estimator.max_refits, "max_refits", 0, MANY_REFITS)
    return Effort(largest, bool(integer(estimator.verbose, "verbose", 0, 100)))


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
    closed, held : callable, optional
        The estimates (1 + G, E) of all clusters, then without each: exact without refits, where the models
        allow it; and with the models of all clusters held fixed, where the score allows that.
    effort : Effort
    kept : dict
        Estimates from the data as they are, then the replicates, of "jackknife" and "bootstrap": both
        jackknives need the same ones, and bands need all effects' together.
    """

    names: list[str]
    estimates: Callable[[NDArray[np.int64]], Array]
    arm: NDArray[np.int64]
    labels: Array
    needs_all_arms: bool = True
    closed: Callable[[], Array] | None = None
    held: Callable[[], Array] | None = None
    effort: Effort = Effort()
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
    effects = []
    for name, full, without in zip(problem.names, found[0], found[1:].T, strict=True):
        effects.append(
            _from_jackknife(name, float(full), without, problem.arm[problem.present], method, note)
        )
    _warn_of_single_clusters(effects)
    if not np.isnan(effects[0].std_error):
        _warn_of_influence(problem, effects[0])
    return effects


def _without_each(problem: Replicable) -> Array:
    """(1 + P, E) the estimates of all clusters, then without each that takes part."""
    rows = np.r_[0, 1 + problem.present]
    if problem.closed is not None:
        return problem.closed()[rows]
    if problem.held is not None and problem.holds_models_fixed:
        return problem.held()[rows]
    largest = -(-len(rows) // STEPS) if problem.effort.verbose else None
    return _stream(problem, "jackknife", counts_without(problem.arm, rows, largest), len(rows))


def _stream(problem: Replicable, title: str, counts: Iterable[NDArray[np.int64]], total: int) -> Array:
    """(S, E) the estimates under pieces of S rows of counts, one piece in memory at a time."""
    found, began = np.empty((total, len(problem.names))), time.monotonic()
    with make_progress(title, total, "fits", problem.effort.verbose) as progress:
        done = 0
        for part in counts:
            found[done : done + len(part)] = problem.estimates(part)
            done += len(part)
            progress.update(done, f"{(time.monotonic() - began) * (total / done - 1):.0f} s left")
    return found


def _warn_of_held_models(problem: Replicable) -> None:
    n = len(problem.present)
    warnings.warn(
        f"standard errors hold the models fixed, as {n} clusters to leave out are more than max_refits="
        f"{problem.effort.max_refits}. max_refits={n} fits everything again without each of them",
        DesignWarning,
        stacklevel=5,
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
    if math.isnan(full):
        raise ValueError(f"the effect {name!r} has no rows to be estimated from")
    sizes = np.unique(arm, return_counts=True)[1]
    if method == "cv3" or sizes.min() < 2:  # an arm of one cluster has no variance of its own
        error, df = _intervals.jackknife_error(full, without), len(without) - 1.0
        title = "leave-one-cluster-out jackknife (CV3)"
    else:
        error, df = _intervals.stratified_jackknife_error(without, arm), len(without) - float(len(sizes))
        title = "leave-one-cluster-out jackknife, by arm"
    if np.isnan(without).any():
        error = math.nan
    return Effect(name, full, error, df, title + note, draws=without)


def _warn_of_single_clusters(effects: list[Effect]) -> None:
    alone = [effect.name for effect in effects if math.isnan(effect.std_error)]
    if alone:
        shown = ", ".join(alone[:5]) + (", ..." if len(alone) > 5 else "")
        warnings.warn(
            f"{len(alone)} of {len(effects)} effects cannot be estimated at all without one of the clusters, "
            f"so there are no standard errors for them: {shown}",
            DesignWarning,
            stacklevel=5,
        )


def _bootstrap(problem: Replicable, n_draws: int, seed: int) -> list[Effect]:
    integer(n_draws, "n_draws", 2, MANY_DRAWS)
    largest = -(-n_draws // STEPS) if problem.effort.verbose else n_draws
    counts = _bootstrap_counts(problem.arm, n_draws, largest, np.random.default_rng(seed))
    found = problem.kept["bootstrap"] = _stream(problem, "bootstrap", counts, 1 + n_draws)
    effects = []
    for name, full, draws in zip(problem.names, found[0], found[1:].T, strict=True):
        kept = draws[~np.isnan(draws)]
        error = float(kept.std(ddof=1))
        title = f"cluster bootstrap with refits, {n_draws} draws"
        effects.append(Effect(name, float(full), error, len(problem.present) - 1.0, title, draws=kept))
    return effects


def _bootstrap_counts(
    arm: NDArray[np.int64], n_draws: int, largest: int, random: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """The data as they are, then the draws, some at a time: which are drawn does not depend on `largest`."""
    yield (arm >= 0).astype(np.int64)[None]
    for part in pieces(n_draws, len(arm)):
        drawn = _intervals.bootstrap_counts(arm, part.stop - part.start, random)
        for start in range(0, len(drawn), largest):
            yield drawn[start : start + largest]


def _warn_of_influence(problem: Replicable, effect: Effect) -> None:
    """`DesignWarning` if one cluster makes up most of the jackknife's variance."""
    draws, present = effect.draws, problem.present
    assert draws is not None
    moved = (draws - effect.estimate) ** 2
    if len(present) < 10 or moved.sum() == 0:
        return
    share = moved.max() / moved.sum()
    if share > 0.6:
        first = int(moved.argmax())
        warnings.warn(
            f"one cluster dominates: leaving out {problem.labels[present[first]]!s} moves the estimate from "
            f"{effect.estimate:.4g} to {draws[first]:.4g}, which is {share:.0%} of the jackknife variance of "
            f"{len(present)} clusters",
            DesignWarning,
            stacklevel=5,
        )
