"""The boundary between two classes in the plane."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from .._arrays import Array, as_floats, matrix
from .._axes import axes, learnt
from .._frame_columns import in_columns_of
from .._frames import require_aligned
from .._options import at_least, integer, real

__all__ = ["DecisionBoundaryDisplay"]


class DecisionBoundaryDisplay:
    """Probability of the second of two classes over a rectangle, and the line where it is one half.

    scikit-learn's display of this name draws more classes; this one knows how long the boundary is, a figure
    for how jagged a classifier is. Make one with `from_estimator` or `from_function`.

    Parameters
    ----------
    xx0, xx1 : ndarrays (G, G)
        The grid, as of `numpy.meshgrid`.
    response : ndarray (G, G)
        Probability of the second class.

    Attributes
    ----------
    surface_ : matplotlib contour set
        The filled probabilities; after `plot`.
    ax_, figure_ : matplotlib axes and figure

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore.plotting import DecisionBoundaryDisplay
    >>> disc = lambda points: 1 / (1 + np.exp(np.hypot(*points.T) - 1))
    >>> display = DecisionBoundaryDisplay.from_function(disc, [[-1, -1], [1, 1]])
    >>> round(display.boundary_length() / (2 * np.pi), 3)
    1.0
    """

    surface_: Any
    ax_: Any
    figure_: Any

    def __init__(self, xx0: Any, xx1: Any, response: Any) -> None:
        self.xx0, self.xx1, self.response = (
            as_floats(values, name) for values, name in ((xx0, "xx0"), (xx1, "xx1"), (response, "response"))
        )
        if not (self.xx0.ndim == 2 and self.xx0.shape == self.xx1.shape == self.response.shape):
            raise ValueError(
                f"xx0, xx1 and response have shapes {self.xx0.shape}, {self.xx1.shape} and "
                f"{self.response.shape}; one shape (G, G) is needed"
            )

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, grid_resolution: int = 200, eps: float = 0.5
    ) -> "DecisionBoundaryDisplay":
        """Evaluate a fitted classifier around the rows of X.

        Parameters
        ----------
        estimator : classifier
            With `predict_proba` and two classes.
        X : array or frame (N, 2)
        grid_resolution : int, default=200
            Points along each side.
        eps : float, default=0.5
            How far the rectangle goes beyond the rows.
        """
        classes = learnt(estimator, "classes_")
        predict_proba = learnt(estimator, "predict_proba")
        if len(classes) != 2:
            raise ValueError(
                f"estimator has {len(classes)} classes; 2 are needed "
                "(sklearn.inspection.DecisionBoundaryDisplay draws more)"
            )

        def second(points: Array) -> Array:
            probabilities: Array = predict_proba(in_columns_of(X, points))[:, 1]
            return probabilities

        return cls.from_function(second, X, grid_resolution=grid_resolution, eps=eps)

    @classmethod
    def from_function(
        cls, function: Callable[[Array], Any], X: Any, *, grid_resolution: int = 200, eps: float = 0.5
    ) -> "DecisionBoundaryDisplay":
        """Evaluate a function of points (n, 2) that returns probabilities (n,) of the second class.

        Parameters
        ----------
        function : callable
        X, grid_resolution, eps
            As in `from_estimator`.
        """
        if not callable(function):
            raise TypeError(f"function is a {type(function).__name__}; a callable of points (n, 2) is needed")
        rows = matrix(X)
        if rows.shape[1] != 2:
            raise ValueError(f"X has {rows.shape[1]} features; a boundary in the plane needs 2")
        side = integer(grid_resolution, "grid_resolution", 2, 10_000)
        margin = at_least(eps, "eps", 0.0)
        low, high = rows.min(axis=0) - margin, rows.max(axis=0) + margin
        with np.errstate(over="ignore"):
            width = high - low
        if not np.isfinite(width).all():
            raise ValueError(
                f"X from {rows.min():.3g} to {rows.max():.3g} and eps={margin:g} around is wider than 1.8e308"
            )
        xx0, xx1 = np.meshgrid(*(np.linspace(low[i], high[i], side) for i in range(2)))
        found = as_floats(function(np.column_stack([xx0.ravel(), xx1.ravel()])), "function(points)")
        if found.shape != (xx0.size,):
            raise ValueError(f"function(points) has shape {found.shape}; ({xx0.size},) is needed")
        return cls(xx0, xx1, found.reshape(xx0.shape))

    def boundary_length(self, level: float = 0.5) -> float:
        """Length of the line where the probability is `level`, within the rectangle."""
        height = real(level, "level")
        try:
            from contourpy import contour_generator
        except ImportError as error:
            raise ImportError(
                "boundary_length finds lines with contourpy, which comes with matplotlib: "
                "pip install 'rfpcore[plot]'"
            ) from error

        # Separate lines, each (points, 2): the library's default, one of several kinds in its types.
        lines = cast("list[Array]", contour_generator(self.xx0, self.xx1, self.response).lines(height))
        return float(sum(np.linalg.norm(np.diff(line, axis=0), axis=1).sum() for line in lines))

    def plot(
        self,
        ax: Any = None,
        *,
        X: Any = None,
        y: Any = None,
        levels: Any = None,
        cmap: str = "RdBu",
        **scatter_options: Any,
    ) -> "DecisionBoundaryDisplay":
        """Draw the probabilities as filled contours, the boundary as a line and rows as points.

        Parameters
        ----------
        ax : matplotlib axes, optional
        X, y : arrays (n, 2), (n,), optional
            Rows to draw, coloured by class: the first of the sorted classes as probability 0.
        levels : sequence of float, optional
            Of the filled contours; None takes tenths.
        cmap : str, default="RdBu"
            Colour map from probability 0 to 1.
        **scatter_options
            For matplotlib's `scatter` of the rows.

        Returns
        -------
        self
        """
        require_aligned(X=X, y=y)
        ax = axes(self, ax)
        levels = np.linspace(0, 1, 11) if levels is None else levels
        grid = (self.xx0, self.xx1, self.response)
        self.surface_ = ax.contourf(*grid, levels=levels, cmap=cmap, vmin=0, vmax=1, alpha=0.6)
        if self.response.min() < 0.5 < self.response.max():  # else there is no boundary to draw
            ax.contour(*grid, levels=[0.5], colors="k", linewidths=1.2)
        if X is not None:
            points = matrix(X)
            codes = None if y is None else np.unique(np.asarray(y), return_inverse=True)[1]
            options = {"c": codes, "cmap": cmap, "vmin": -0.2, "vmax": 1.2, "s": 12, "edgecolors": "k"}
            if codes is None:
                options = {"c": "k", "s": 12}
            ax.scatter(*points.T, **({"linewidths": 0.4} | options | scatter_options))
        return self
