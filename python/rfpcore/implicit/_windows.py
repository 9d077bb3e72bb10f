"""A recorded run, cut into windows."""

import itertools
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from .._options import choice
from ..many import ModelResult
from ..optimizers import SGD
from ._checks import Floats

__all__ = ["Baseline", "cut", "displacements", "windows_of"]

Baseline = Literal["auto", "full", "batches"]


@dataclass
class Windows:
    """Equations of a run, one a window."""

    points: list[Floats] = field(default_factory=list)
    shares: list[Floats] = field(default_factory=list)
    targets: list[Floats] = field(default_factory=list)
    times: list[float] = field(default_factory=list)


def windows_of(result: ModelResult, count: int, baseline: str, start: int) -> Windows:
    """The parameters of each window by trapezoids, and the mean update beyond the bare gradient.

    While training drifts fast, equal weights of the recorded points are off by more than the penalty.
    """
    mode = _mode(result, choice(baseline, "baseline", Baseline))
    first = int(np.searchsorted(result.steps, start))
    steps, thetas = result.steps[first:], result.thetas[first:].astype(np.float64)
    n_intervals = len(steps) - 1
    if n_intervals < 2 * count:
        raise ValueError(
            f"windows={count} of {max(n_intervals, 0)} recorded intervals; each needs at least two, so "
            f"{2 * count + 1} recorded steps: record more often, or take fewer windows"
        )
    weights = _interval_weights(result, steps)
    bare = _interval_means(result, "bare_gradients", first) if mode == "batches" else None
    full = result.gradients[first:].astype(np.float64) if mode == "full" else None
    return cut(steps, thetas, weights, _updates(result, mode, first, thetas, weights), (bare, full), count)


def cut(
    steps: Any,
    thetas: Floats,
    weights: Floats,
    updates: Floats,
    bare: tuple[Floats | None, Floats | None],
    count: int,
) -> Windows:
    """So many windows of R recorded steps.

    Parameters
    ----------
    steps, thetas : (R,), (R, P)
    weights, updates : (R − 1,), (R − 1, P)
        The sum of the step sizes of each interval, and its mean update.
    bare : (R − 1, P) or None, (R, P) or None
        The bare gradient: means over the intervals, or at the recorded steps.
    """
    by_interval, by_step = bare
    found = Windows()
    cuts = np.linspace(0, len(updates), count + 1).round().astype(int)
    for a, b in itertools.pairwise(cuts):
        total = weights[a:b].sum()
        if not total > 0:
            raise ValueError(
                f"the learning rate is 0 from step {steps[a]} to {steps[b]}: nothing moves there; take fewer "
                "windows, or record no longer than the schedule"
            )
        inside = weights[a:b] / total
        share = np.append(inside, 0.0) / 2 + np.append(0.0, inside) / 2
        if by_interval is not None:
            mean_bare = inside @ by_interval[a:b]
        else:
            assert by_step is not None
            mean_bare = share @ by_step[a : b + 1]
        found.points.append(thetas[a : b + 1])
        found.shares.append(share)
        found.targets.append(inside @ updates[a:b] - mean_bare)
        found.times.append(float(steps[a] + steps[b]) / 2)
    return found


def displacements(thetas: Floats, weights: Floats) -> Floats:
    """The mean update of each interval of plain SGD, in units of a gradient."""
    moved = -np.diff(thetas, axis=0)
    return np.divide(moved, weights[:, None], out=np.zeros_like(moved), where=weights[:, None] > 0)


def _mode(result: ModelResult, baseline: str) -> str:
    """Which bare gradients are taken: "full" or "batches"; ValueError where they were not recorded."""
    intervals, gradients = len(result.applied_gradients) > 0, len(result.gradients) > 0
    if not len(result.thetas):
        raise ValueError("the run has no parameters: Record(..., thetas=True) records them")
    if result.status == "diverged":
        raise ValueError(f"the run diverged at step {result.n_steps}; its gradients are not finite")
    if not intervals and not _is_plain(result):
        raise ValueError(
            f"the steps of {result.model.optimizer!r} are not multiples of gradients, so that a displacement "
            "says nothing: Record(..., intervals=True) records the gradients as they are applied"
        )
    mode = baseline
    if baseline == "auto":
        mode = "batches" if intervals else "full"
    if mode == "batches" and not intervals:
        raise ValueError("baseline='batches' needs the batches' gradients: Record(..., intervals=True)")
    if mode == "full" and not gradients:
        raise ValueError(
            "the run has no gradients: Record(..., gradients=True) records them, or intervals=True"
        )
    return mode


def _interval_weights(result: ModelResult, steps: Any) -> Floats:
    """Of each recorded interval: the sum of its step sizes."""
    rates = result.model.optimizer.learning_rates(0, int(steps[-1]))
    sums = np.concatenate([[0.0], np.cumsum(rates)])
    return np.diff(sums[steps])


def _updates(result: ModelResult, mode: str, first: int, thetas: Floats, weights: Floats) -> Floats:
    """The mean update of each interval, in units of a gradient."""
    if mode == "full" and _is_plain(result):
        return displacements(thetas, weights)
    return _interval_means(result, "applied_gradients", first)


def _is_plain(result: ModelResult) -> bool:
    """Whether each step is minus the learning rate times a gradient."""
    optimizer = result.model.optimizer
    return isinstance(optimizer, SGD) and optimizer.momentum == 0


def _interval_means(result: ModelResult, name: str, first: int) -> Floats:
    return np.asarray(getattr(result, name)[first + 1 :], np.float64)
