"""Losses, or anything else, against steps."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._arrays import Array, as_floats
from .._axes import axes, learnt
from .._options import boolean

__all__ = ["LossCurveDisplay"]


class LossCurveDisplay:
    """Curves over training, of one model or of several at once.

    Parameters
    ----------
    steps : array (T,)
        Where the curves were recorded.
    curves : dict of str to array (T,) or (M, T)
        By the name for the legend. Of several models the mean is drawn within a band of one standard
        deviation, on a logarithmic axis both of the logarithms.
    axis : str, default="steps"
        What `steps` counts.

    Attributes
    ----------
    lines_ : list of matplotlib lines
        One a curve; after `plot`.
    ax_, figure_ : matplotlib axes and figure

    Examples
    --------
    >>> from rfpcore.plotting import LossCurveDisplay
    >>> display = LossCurveDisplay([0, 10, 20], {"train": [[3.0, 2, 1], [5, 2, 1]], "held out": [4.0, 3, 3]})
    >>> {name: curve.shape for name, curve in display.curves.items()}
    {'train': (2, 3), 'held out': (1, 3)}
    """

    lines_: list[Any]
    ax_: Any
    figure_: Any

    def __init__(self, steps: Any, curves: dict[str, Any], axis: str = "steps") -> None:
        self.steps = as_floats(steps, "steps")
        if self.steps.ndim != 1:
            raise ValueError(f"steps has shape {self.steps.shape}; (T,) is needed")
        if not isinstance(curves, Mapping):
            raise TypeError(f"curves is a {type(curves).__name__}; a dict of names to curves is needed")
        self.curves = {name: self._curve(name, values) for name, values in curves.items()}
        if not isinstance(axis, str):
            raise TypeError(f"axis is a {type(axis).__name__}; a text is needed")
        self.axis = axis

    def _curve(self, name: str, values: Any) -> Array:
        """A curve as (M, T)."""
        curve = np.atleast_2d(as_floats(values, name))
        if curve.ndim != 2 or curve.shape[1] != len(self.steps):
            raise ValueError(
                f"{name} has shape {np.shape(values)}; there are {len(self.steps)} steps, "
                f"so ({len(self.steps)},) or (models, {len(self.steps)}) is needed"
            )
        return curve

    @classmethod
    def from_estimator(cls, estimator: Any) -> "LossCurveDisplay":
        """Take the curve that a fitted estimator kept in `loss_curve_`, by outer steps or by epochs."""
        losses = learnt(estimator, "loss_curve_")
        axis = "outer steps" if hasattr(estimator, "inner_steps") else "epochs"
        return cls(np.arange(1, len(losses) + 1), {type(estimator).__name__: losses}, axis)

    def plot(
        self, ax: Any = None, *, ylabel: str = "loss", log: bool = False, **line_options: Any
    ) -> "LossCurveDisplay":
        """Draw all curves.

        Parameters
        ----------
        ax : matplotlib axes, optional
        ylabel : str, default="loss"
        log : bool, default=False
            Whether the losses' axis is logarithmic.
        **line_options
            For matplotlib's `plot`.

        Returns
        -------
        self
        """
        logarithmic = boolean(log, "log")
        ax = axes(self, ax)
        self.lines_ = []
        for name, curve in self.curves.items():
            low, mean, high = _band(curve, logarithmic)
            (line,) = ax.plot(self.steps, mean, **({"label": name} | line_options))
            if len(curve) > 1:
                band = {"color": line.get_color(), "alpha": 0.2, "linewidth": 0}
                ax.fill_between(self.steps, low, high, **band)
            self.lines_.append(line)
        ax.set(xlabel=self.axis, ylabel=ylabel)
        if logarithmic:
            ax.set_yscale("log")
        ax.legend(frameon=False)
        return self


def _band(curve: Array, log: bool) -> tuple[Array, Array, Array]:
    """The mean over models, and one standard deviation below and above it."""
    # A loss that has vanished has no logarithm; the smallest number stands for it.
    values = np.log(np.maximum(curve, np.finfo(curve.dtype).tiny)) if log else curve
    mean, spread = values.mean(axis=0), values.std(axis=0)
    band = mean - spread, mean, mean + spread
    return (np.exp(band[0]), np.exp(band[1]), np.exp(band[2])) if log else band
