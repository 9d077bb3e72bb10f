"""The figure of an event study: computed first, then drawn, after scikit-learn's displays."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import Array
from .._axes import BLUE, GREY, axes

if TYPE_CHECKING:
    from .staggered import StaggeredEffect

__all__ = ["EventStudyDisplay"]


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
    ) -> None:
        self.times, self.estimates, self.low, self.high = times, estimates, low, high
        self.band, self.axis = band, axis

    @classmethod
    def from_estimator(cls, model: "StaggeredEffect", level: float = 0.95) -> "EventStudyDisplay":
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
        nothing = (np.nan, np.nan)
        bounds = [nothing if np.isnan(e.std_error) else e.confidence_interval(level) for e in effects]
        low, high = np.array(bounds).T
        estimates, band = np.array([e.estimate for e in effects]), model.uniform_band(level)
        times = np.array(model.event_times())
        return cls(times, estimates, low, high, (band.low, band.high), model._axis)

    def plot(self, ax: Any = None) -> "EventStudyDisplay":
        """Draw points with their intervals, and thin lines to the bounds of the band that holds them all.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        self
        """
        ax = axes(self, ax)
        for chosen, colour, label in (
            (self.times < 0, GREY, "before adoption"),
            (self.times >= 0, BLUE, "since"),
        ):
            middle = self.estimates[chosen]
            bars = np.nan_to_num([middle - self.low[chosen], self.high[chosen] - middle])
            ax.errorbar(self.times[chosen], middle, bars, fmt="o", color=colour, capsize=3, label=label)
            if self.band is not None:
                bounds = (bound[chosen] for bound in self.band)
                ax.vlines(self.times[chosen], *bounds, color=colour, lw=0.8, label=f"{label}, all at once")
        ax.axhline(0, color="black", linewidth=0.8)
        gaps = np.diff(np.unique(np.append(self.times, 0)))
        ax.axvline(-gaps.min() / 2 if len(gaps) else -0.5, color="black", linewidth=0.8, linestyle=":")
        ax.set(xlabel=self.axis, ylabel="effect")
        ax.legend(frameon=False)
        return self
