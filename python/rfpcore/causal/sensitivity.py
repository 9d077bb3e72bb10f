"""How far trends may differ before an effect is gone: the result and its figure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from .._arrays import Array, shown
from .._axes import BLUE, GREY, axes, in_full
from .._frames import pandas_for
from .._options import at_least, fraction, items
from ._group_time import ROUNDED
from ._relative_magnitudes import EventStudy
from ._smoothness import frontier, smooth_interval

__all__ = ["Sensitivity", "SensitivityDisplay"]

LARGEST = 1000.0  # multiple of what happened before adoption that means something
MOST_BEND = 1e6  # standard errors of the estimate
FINE = 1e-4  # of the breakdown value
TICKS = 10  # with a label

Restriction = Literal["relative magnitudes", "smoothness"]
COLUMN: dict[Restriction, str] = {"relative magnitudes": "m_bar", "smoothness": "m"}
AXIS: dict[Restriction, str] = {
    "relative magnitudes": r"$\bar M$: trends may differ by so many times the most before adoption",
    "smoothness": "M: their difference may change its slope by so much a period",
}


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Confidence sets of an effect if trends differ, but by no more than is said.

    Attributes
    ----------
    name : str
        Of the effect.
    estimate : float
    interval : tuple of float
        Of the effect if trends are parallel, from the normal distribution as the sets.
    m_bar : ndarray (M,)
        How many times as much trends may differ as before adoption; of "smoothness", by how much their
        difference may change its slope from period to period, in units of the outcome.
    low, high : ndarrays (M,)
        Least and largest effect that is not rejected.
    breakdown : float
        The largest of these whose set is without zero; 0 if there is none, infinite above 1000 (of
        "smoothness", 1000 standard errors of the estimate).
    level : float
    outcome : str or None
        Its name.
    restriction : {"relative magnitudes", "smoothness"}
    """

    name: str
    estimate: float
    interval: tuple[float, float]
    m_bar: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    breakdown: float
    level: float
    outcome: str | None = None
    restriction: Restriction = "relative magnitudes"

    def to_frame(self) -> Any:
        """The sets as a pandas DataFrame, one a row.

        Returns
        -------
        frame : pandas.DataFrame
            Columns m_bar, or m of "smoothness", ci_low, ci_high.
        """
        pandas = pandas_for("to_frame")
        name = COLUMN[self.restriction]
        return pandas.DataFrame({name: self.m_bar, "ci_low": self.low, "ci_high": self.high})

    def plot(self, ax: Any = None) -> "SensitivityDisplay":
        """Draw the sets.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        SensitivityDisplay
        """
        return SensitivityDisplay(self).plot(ax)


class SensitivityDisplay:
    """Confidence sets by how much trends may differ, beside that of parallel trends.

    Parameters
    ----------
    sensitivity : Sensitivity

    Attributes
    ----------
    ax_, figure_
        What was drawn on, after `plot`.
    """

    def __init__(self, sensitivity: Sensitivity) -> None:
        self.sensitivity = sensitivity

    def plot(self, ax: Any = None) -> "SensitivityDisplay":
        """Draw an interval for each M̄.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        self
        """
        if not isinstance(self.sensitivity, Sensitivity):
            raise TypeError(f"sensitivity is a {type(self.sensitivity).__name__}; a Sensitivity is needed")
        own, ax = self.sensitivity, axes(self, ax)
        values = np.unique(own.m_bar)
        gap = max(np.diff(values).min(), 0.15 * np.ptp(values)) if len(values) > 1 else 0.5
        left = values[0] - gap
        percent = f"{100 * own.level:g} %"
        ax.vlines(left, *own.interval, color=GREY, lw=2.5, label=f"{percent}, parallel trends")
        ax.plot(left, own.estimate, "o", color=GREY)
        ax.vlines(own.m_bar, own.low, own.high, color=BLUE, lw=2.5, label=f"{percent}, robust")
        ax.axhline(0, color="black", linewidth=0.8)
        if own.m_bar.min() < own.breakdown < own.m_bar.max():
            ax.axvline(own.breakdown, color=GREY, lw=0.8, ls=":", label=f"breakdown {own.breakdown:.3g}")
        named = own.m_bar[:: math.ceil(len(own.m_bar) / TICKS)]
        ax.set_xticks([left, *named], ["parallel", *(f"{m:g}" for m in named)])
        in_full(ax.yaxis)
        what = own.name if own.outcome is None else f"{own.name} on {own.outcome}"
        ax.set_xlabel(AXIS[own.restriction])
        ax.set_ylabel(what, parse_math=False)
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
        return self


def sensitivity_of(
    study: EventStudy, m_bar: Any, level: float, name: str, outcome: str | None
) -> Sensitivity:
    """The sets for each M̄, and where they begin to hold zero."""
    share, values = fraction(level, "level"), _several(m_bar, "m_bar")
    if max(values) > LARGEST:
        raise ValueError(f"m_bar={max(values):g}; at most {LARGEST:g} is possible")
    sets = partial(study.interval, level=share)
    return _sensitivity(study, sets, values, share, name, outcome, "relative magnitudes")


def smoothness_of(study: EventStudy, m: Any, level: float, name: str, outcome: str | None) -> Sensitivity:
    """The same for each M, of the changes of slope."""
    share, values, largest = fraction(level, "level"), _several(m, "m"), MOST_BEND * study.target[1]
    if max(values) > largest:
        raise ValueError(f"m={max(values):g}; at most {largest:g}, a million standard errors, is possible")
    sets = partial(smooth_interval, study, frontier(study), level=share)
    return _sensitivity(study, sets, values, share, name, outcome, "smoothness")


def _sensitivity(
    study: EventStudy,
    sets: Callable[[float], tuple[float, float]],
    values: list[float],
    level: float,
    name: str,
    outcome: str | None,
    restriction: Restriction,
) -> Sensitivity:
    estimate, error = study.target
    half = float(ndtri((1 + level) / 2)) * error
    low, high = np.array([sets(m) for m in values]).T
    unit = error if restriction == "smoothness" else 1.0
    return Sensitivity(
        name,
        estimate,
        (estimate - half, estimate + half),
        np.array(values),
        low,
        high,
        _breakdown(sets, unit),
        level,
        outcome,
        restriction,
    )


def _several(value: Any, name: str) -> list[float]:
    if np.ndim(value) == 0 and not isinstance(value, str):
        return [at_least(value, name, 0.0)]
    found = items(value, name, "a number or a sequence of numbers")
    if not found:
        raise ValueError(f"{name} is empty; at least one number is needed")
    return [at_least(each, name, 0.0) for each in found]


def _breakdown(sets: Callable[[float], tuple[float, float]], unit: float) -> float:
    """By doubling, then bisection."""

    def is_significant(m: float) -> bool:
        low, high = sets(m)
        return low > 0 or high < 0

    if not is_significant(0.0):
        return 0.0
    low, high = 0.0, unit
    while is_significant(high):
        low, high = high, 2 * high
        if low > LARGEST * unit:
            return math.inf
    while high - low > FINE * max(unit, low):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if is_significant(middle) else (low, middle)
    return low


def around_reference(times: Sequence[float], errors: Array, reference: float) -> tuple[list[int], list[int]]:
    """Which effects stand before and since adoption without a gap, in their order.

    Parameters
    ----------
    times : sequence of E floats
        Increasing; the reference period is not among them.
    errors : ndarray (E,)
        Standard errors; an effect without one is a gap.
    reference : float
        Its time: one period before adoption.
    """
    step = -reference
    places = [round(time / step) for time in times]
    for time, place in zip(times, places, strict=True):
        if abs(time - place * step) > ROUNDED * step * max(1, abs(place)):
            raise ValueError(
                f"the reference is {step:g} before adoption, but there is an effect at event time {time:g}: "
                "sensitivity needs periods that are equally far apart"
            )
    known = {place: i for i, place in enumerate(places) if errors[i] > 0}
    before: list[int] = []
    since: list[int] = []
    while -2 - len(before) in known:
        before.append(known[-2 - len(before)])
    while len(since) in known:
        since.append(known[len(since)])
    return before[::-1], since


def reference_time(times: Sequence[float], anticipation: float = 0.0) -> float:
    """The time of the period that all others are compared with: the last before adoption can be felt.

    It is none of the increasing `times`, which are multiples of one step, rounded where they are fractions.
    """
    gaps = np.diff(sorted({*times, 0.0}))
    step = float(gaps.min()) if len(gaps) else 1.0
    for smaller in (step, step / 2):  # where there are few, a period between two of them may be it
        found = -smaller * (np.floor(anticipation / smaller + ROUNDED) + 1)
        if not any(abs(time - found) <= ROUNDED * smaller for time in times):
            break
    return float(f"{found:.10g}")


def weights_of(event_time: Any, times: Sequence[float]) -> tuple[Array, str]:
    """(L,) the weights that make up the effect asked for, and its name."""
    if event_time is None:
        return np.full(len(times), 1 / len(times)), "mean effect since adoption"
    chosen = [time for time in times if _is_same(time, event_time)]
    if not chosen:
        raise ValueError(
            f"event_time={shown(event_time)}; there are effects with standard errors, one period after the "
            f"other, at {', '.join(f'{time:g}' for time in times)}; None is their mean"
        )
    name = f"effect at event time {chosen[0]:g}"
    return np.array([float(time == chosen[0]) for time in times]), name


def _is_same(time: float, given: Any) -> bool:
    """Whether an event time is the one given, which may be a fraction that is not rounded (1 / 12)."""
    is_number = isinstance(given, Real) and not isinstance(given, bool | np.timedelta64)
    return is_number and abs(float(given) - time) <= ROUNDED * abs(time)
