"""Where along the data's principal components the first layer has moved."""

from typing import Any

import numpy as np

from .._arrays import as_floats, require_finite
from .._axes import axes, time_colours
from .._options import boolean
from ..spectral import component_energy, cumulative_energy, isotropic_energy, principal_components

__all__ = ["SpectralEnergyDisplay"]


class SpectralEnergyDisplay:
    """Cumulative share of the energy of ΔW in the first k principal components, at several moments.

    Make one with `from_weights`.

    Parameters
    ----------
    share : array (T, K)
        From `rfpcore.spectral.cumulative_energy`.
    steps : array (T,)
        When.

    Attributes
    ----------
    lines_ : list of matplotlib lines
        One a moment; after `plot`.
    colours_ : list
        Their colours, red for the first to blue for the last, for marks on a loss curve beside.
    ax_, figure_ : matplotlib axes and figure

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore.plotting import SpectralEnergyDisplay
    >>> X = np.random.default_rng(0).standard_normal((50, 4)) * [4, 1, 1, 1]
    >>> start, later = np.zeros((4, 3)), np.zeros((4, 3))
    >>> later[0] = 1.0  # the first layer has moved along the first feature only
    >>> display = SpectralEnergyDisplay.from_weights([later], start, X, steps=[100])
    >>> bool(display.share[0, 0] > 0.95)
    True
    """

    lines_: list[Any]
    colours_: list[Any]
    ax_: Any
    figure_: Any

    def __init__(self, share: Any, steps: Any) -> None:
        self.share = np.atleast_2d(as_floats(share, "share"))
        self.steps = as_floats(steps, "steps")
        if self.steps.shape != (len(self.share),):
            raise ValueError(
                f"steps has shape {self.steps.shape}; share has {len(self.share)} moments, "
                f"so ({len(self.share)},) is needed"
            )

    @classmethod
    def from_weights(cls, weights: Any, start: Any, X: Any, *, steps: Any) -> "SpectralEnergyDisplay":
        """Compute the shares from snapshots of the first layer.

        Parameters
        ----------
        weights : array (T, d, units)
            The first layer at some moments, inputs by units.
        start : array (d, units)
            Before the first step.
        X : array (N, d)
            The training features.
        steps : array (T,)
            When the snapshots were taken.
        """
        later, first = as_floats(weights, "weights"), as_floats(start, "start")
        if later.ndim != 3 or later.shape[1:] != first.shape:
            raise ValueError(
                f"weights has shape {later.shape} and start {first.shape}; "
                "(T, d, units) and (d, units) are needed"
            )
        if not len(later):
            raise ValueError("weights has no snapshots; at least one is needed")
        require_finite(later, "weights", axis="index")
        require_finite(first, "start", axis="index")
        with np.errstate(over="ignore"):
            change = later - first
        energy = component_energy(change, principal_components(X).components)
        return cls(cumulative_energy(energy), steps)

    def plot(self, ax: Any = None, *, reference: bool = True, **line_options: Any) -> "SpectralEnergyDisplay":
        """Draw one curve a moment.

        Parameters
        ----------
        ax : matplotlib axes, optional
        reference : bool, default=True
            In grey, what a change without a preferred direction would have.
        **line_options
            For matplotlib's `plot`.

        Returns
        -------
        self
        """
        isotropic = boolean(reference, "reference")
        ax = axes(self, ax)
        ranks = np.arange(1, self.share.shape[1] + 1)
        if isotropic:
            ax.plot(ranks, isotropic_energy(len(ranks)), color="0.6", linestyle="--", label="isotropic")
        self.colours_ = time_colours(len(self.share))
        self.lines_ = [
            ax.plot(ranks, share, **({"color": colour, "label": f"step {step:g}"} | line_options))[0]
            for share, colour, step in zip(self.share, self.colours_, self.steps, strict=True)
        ]
        ax.set(xlabel="principal components, by variance", ylabel="share of the energy of ΔW", xscale="log")
        ax.legend(frameon=False)
        return self
