"""Figures of effects: event studies, and effects beside each other. Computed first, then drawn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from .._axes import BLUE, GREY, axes, in_full
from .._options import fraction, items
from .results import Effect

__all__ = ["EffectsDisplay", "EventStudyDisplay"]

WHOLE = 15  # event times up to which each has a tick
ROW = 0.38  # inches of a figure for each effect
LETTER, LETTERS = 0.09, 24  # inches of a letter of a name, and how many there are in a figure's usual width


class EventStudyDisplay:
    """Effects by time since adoption, with pointwise intervals and the uniform band.

    Parameters
    ----------
    times : ndarray (E,)
        Time since adoption; below 0, before it.
    estimates, low, high : ndarrays (E,)
        NaN bounds where there is no standard error.
    band : pair of ndarrays (E,), optional
        Bounds that hold for all event times at once.
    axis : str
        What times count, as "years since adoption".
    reference : float, optional
        The time that all others are compared with, where the effect is 0 by definition.
    level : float
        Of the intervals and the band.
    outcome : str, optional
        Its name.
    anticipation : float
        How long before adoption outcomes may answer to it already; these times are shaded.

    Attributes
    ----------
    ax_, figure_
        What was drawn on, after `plot`.
    """

    def __init__(
        self,
        times: Array,
        estimates: Array,
        low: Array,
        high: Array,
        band: tuple[Array, Array] | None = None,
        axis: str = "periods since adoption",
        reference: float | None = None,
        level: float = 0.95,
        outcome: str | None = None,
        anticipation: float = 0.0,
    ) -> None:
        self.times, self.estimates, self.low, self.high = times, estimates, low, high
        self.band, self.axis, self.anticipation = band, axis, anticipation
        self.reference, self.level, self.outcome = reference, level, outcome

    @classmethod
    def from_estimator(cls, model: Any, level: float = 0.95) -> "EventStudyDisplay":
        """Of a fitted `StaggeredEffect`.

        Parameters
        ----------
        model : StaggeredEffect
        level : float
            Of the intervals and the band.

        Returns
        -------
        EventStudyDisplay
        """
        if not hasattr(model, "uniform_band"):
            raise TypeError(f"model is a {type(model).__name__}; a fitted StaggeredEffect is needed")
        effects = model.aggregate("dynamic")
        low, high = bounds_of(effects, level)
        estimates, band = np.array([e.estimate for e in effects]), model.uniform_band(level)
        times = np.array(model.event_times())
        return cls(
            times,
            estimates,
            low,
            high,
            (band.low, band.high),
            model._axis,
            model._reference(),
            level,
            model._about.outcome,
            model._anticipation,
        )

    def plot(self, ax: Any = None) -> "EventStudyDisplay":
        """Draw points with pointwise intervals, thick, and the band that holds for all at once, thin.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        self
        """
        ax = axes(self, ax)
        percent, known = f"{100 * self.level:g} %", ~np.isnan(self.low)
        ax.axhline(0, color="black", linewidth=0.8, zorder=1)
        if self.band is not None:
            self._whiskers(ax, self.band, lw=1, capsize=3, label=f"{percent}, all event times at once")
        self._whiskers(ax, (self.low, self.high), lw=3.5, alpha=0.45, label=f"{percent}, pointwise")
        ax.plot(self.times[known], self.estimates[known], "o", color=BLUE, ms=5, label="effect", zorder=3)
        if not known.all():
            rest = self.times[~known], self.estimates[~known]
            ax.plot(*rest, "x", color=GREY, ms=6, label="without a standard error", zorder=3)
        if self.reference is not None:
            ax.plot(self.reference, 0, "o", mfc="white", color=BLUE, ms=5, label="reference", zorder=3)
        self._mark_adoption(ax)
        what = "effect" if self.outcome is None else f"effect on {self.outcome}"
        ax.set_xlabel(self.axis)
        ax.set_ylabel(what, parse_math=False)  # a name with two dollar signs is no formula
        in_full(ax.yaxis)
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize="small")
        return self

    def _whiskers(self, ax: Any, bounds: tuple[Array, Array], **style: Any) -> None:
        """Vertical lines; matplotlib's error bars have caps."""
        middle, lengths = self.estimates, np.abs(np.array(bounds) - self.estimates)
        chosen = ~np.isnan(lengths).any(axis=0)
        size, thickness = style.pop("capsize", 0), style.pop("lw")
        ax.errorbar(
            self.times[chosen],
            middle[chosen],
            lengths[:, chosen],
            fmt="none",
            ecolor=BLUE,
            elinewidth=thickness,
            capsize=size,
            zorder=2,
            **style,
        )

    def _mark_adoption(self, ax: Any) -> None:
        """A dotted line before adoption, shade where it is felt early, and a tick for each of few times."""
        at = np.unique(np.append(self.times, [0, *([] if self.reference is None else [self.reference])]))
        gaps = np.diff(at)
        step = gaps.min() if len(gaps) else 1.0
        ax.axvline(-step / 2, color=GREY, linewidth=0.8, linestyle=":", zorder=1)
        if self.anticipation:
            ends = -self.anticipation - step / 2, -step / 2
            ax.axvspan(*ends, color=GREY, alpha=0.15, linewidth=0, label="anticipation", zorder=0)
        if len(at) <= WHOLE:
            ax.set_xticks(at)


class EffectsDisplay:
    """Effects below each other, with their intervals.

    Parameters
    ----------
    names : list of str
    estimates, low, high : ndarrays (E,)
        NaN bounds where there is no standard error.
    level : float
        Of the intervals.
    outcome : str, optional
        Its name.

    Attributes
    ----------
    ax_, figure_
        What was drawn on, after `plot`.

    Examples
    --------
    >>> from rfpcore.causal import Effect, EffectsDisplay
    >>> effects = [Effect("men", 1.0, 0.5, 18.0, "jackknife"), Effect("women", 2.0, 0.5, 18.0, "jackknife")]
    >>> display = EffectsDisplay.from_effects(effects)
    >>> display.low.round(2).tolist()
    [-0.05, 0.95]
    """

    def __init__(
        self,
        names: Sequence[str],
        estimates: Array,
        low: Array,
        high: Array,
        level: float = 0.95,
        outcome: str | None = None,
    ) -> None:
        self.names, self.estimates, self.low, self.high = names, estimates, low, high
        self.level, self.outcome = level, outcome

    @classmethod
    def from_effects(
        cls, effects: Sequence[Effect], level: float = 0.95, outcome: str | None = None
    ) -> "EffectsDisplay":
        """Of effects, from one model or several.

        Parameters
        ----------
        effects : sequence of Effects
        level : float in (0, 1)
        outcome : str, optional
            The name of what they are effects on.

        Returns
        -------
        EffectsDisplay
        """
        found = items(effects, "effects", "a sequence of Effects")
        for effect in found:
            if not isinstance(effect, Effect):
                raise TypeError(f"effects holds a {type(effect).__name__}; Effects are needed")
        if not found:
            raise ValueError("effects is empty; at least one is needed")
        low, high = bounds_of(found, level)
        estimates = np.array([effect.estimate for effect in found])
        return cls([effect.name for effect in found], estimates, low, high, fraction(level, "level"), outcome)

    def plot(self, ax: Any = None) -> "EffectsDisplay":
        """Draw a point and an interval for each effect, the first at the top.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        self
        """
        is_new = ax is None
        ax = axes(self, ax)
        if is_new:
            more = max(len(str(name)) for name in self.names) - LETTERS
            ax.figure.set_size_inches(6.4 + LETTER * max(0, more), 1.2 + ROW * len(self.names))
            ax.locator_params(axis="x", nbins=5)  # numbers in full are long
        rows = np.arange(len(self.names))
        ax.axvline(0, color="black", linewidth=0.8, zorder=1)
        ax.hlines(rows, self.low, self.high, color=BLUE, lw=2)
        known = ~np.isnan(self.low)
        ax.plot(self.estimates[known], rows[known], "o", color=BLUE, ms=6)
        if not known.all():
            ax.plot(self.estimates[~known], rows[~known], "x", color=GREY, label="without a standard error")
            ax.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize="small")
        ax.set_yticks(rows, self.names, parse_math=False)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        in_full(ax.xaxis)
        what = "effect" if self.outcome is None else f"effect on {self.outcome}"
        ax.set_xlabel(f"{what}, with {100 * self.level:g} % intervals", parse_math=False)
        return self


def bounds_of(effects: Sequence[Effect], level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(E,) the ends of intervals; NaN where there is no standard error."""
    nothing = (np.nan, np.nan)
    ends = [nothing if np.isnan(e.std_error) else e.confidence_interval(level) for e in effects]
    low, high = np.array(ends).T
    return low, high
