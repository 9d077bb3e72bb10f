"""The weights between two layers, as a picture."""

from typing import Any

import numpy as np

from .._arrays import matrix
from .._axes import axes, learnt
from .._options import at_least, boolean, integer, positive

__all__ = ["WeightMatrixDisplay"]


class WeightMatrixDisplay:
    """A weight matrix in colours, white for zero.

    Parameters
    ----------
    weights : array (inputs, units)

    Attributes
    ----------
    image_ : matplotlib image
        After `plot`.
    ax_, figure_ : matplotlib axes and figure

    Examples
    --------
    >>> from rfpcore.plotting import WeightMatrixDisplay
    >>> WeightMatrixDisplay([[0.0, 1.0], [0.0, 0.001]]).zero_share()
    0.5
    """

    image_: Any
    ax_: Any
    figure_: Any

    def __init__(self, weights: Any) -> None:
        self.weights = matrix(weights, "weights")

    @classmethod
    def from_estimator(cls, estimator: Any, *, layer: int = 1) -> "WeightMatrixDisplay":
        """Take a layer of a fitted network, counted from 0; 1 joins the first two hidden layers.

        Parameters
        ----------
        estimator : fitted estimator of rfpcore
            With `net_` and `theta_`.
        layer : int, default=1
        """
        layers = learnt(estimator, "net_").unflatten(learnt(estimator, "theta_"))
        return cls(layers[integer(layer, "layer", 0, len(layers) - 1)][0])

    def zero_share(self, tolerance: float = 0.0) -> float:
        """Share of the weights of at most `tolerance` in size; by default of exact zeros."""
        return float((np.abs(self.weights) <= at_least(tolerance, "tolerance", 0.0)).mean())

    def plot(
        self, ax: Any = None, *, limit: float | None = None, colorbar: bool = True, **image_options: Any
    ) -> "WeightMatrixDisplay":
        """Draw the matrix, one pixel a weight.

        Parameters
        ----------
        ax : matplotlib axes, optional
        limit : float, optional
            Size of the weights in the strongest colours; None takes the largest.
        colorbar : bool, default=True
        **image_options
            For matplotlib's `imshow`.

        Returns
        -------
        self
        """
        bar = boolean(colorbar, "colorbar")
        top = float(np.abs(self.weights).max()) if limit is None else positive(limit, "limit")
        most = np.finfo(np.float64).max / 2  # from -top to top has to be a number, too
        if top > most:
            raise ValueError(
                f"colours reach from {-top:.3g} to {top:.3g}; a limit of at most {most:.3g} is needed"
            )
        ax = axes(self, ax)
        options = {"cmap": "RdBu_r", "vmin": -top, "vmax": top, "interpolation": "nearest"} | image_options
        self.image_ = ax.imshow(self.weights, **options)
        if bar:
            self.figure_.colorbar(self.image_, ax=ax)
        for side in (ax.xaxis, ax.yaxis):
            side.get_major_locator().set_params(integer=True, min_n_ticks=1)  # one a pixel at most
        ax.set(xlabel="unit", ylabel="input")
        return self
