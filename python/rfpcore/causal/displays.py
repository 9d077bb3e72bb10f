"""Figures of clustered data, after scikit-learn's displays: computed first, then drawn."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array, as_floats, group_codes, matrix, shown
from .._axes import BLUE, GREY, ORANGE, axes
from .._frame_columns import in_columns_of
from .._frames import require_aligned
from .._options import MAX_BINS, integer, is_integer
from ._columns import number_vector
from .diagnostics import effective_weights, own_cluster_share

__all__ = ["AdaptedCurvesDisplay", "NeighbourDisplay", "TriadDisplay", "WeightsDisplay"]


NAMED = 40  # clusters up to which each has its name at its bar


class NeighbourDisplay:
    """How many of a row's nearest neighbours are of its own cluster: one histogram for each set of features.

    Parameters
    ----------
    shares : dict of ndarrays
        By name, as `own_cluster_share` gives them.
    """

    def __init__(self, shares: dict[str, NDArray[np.float64]]) -> None:
        self.shares = shares

    @classmethod
    def from_features(cls, features: dict[str, Any], groups: Any, n_neighbors: int = 5) -> "NeighbourDisplay":
        """Of several sets of features of the same rows.

        Parameters
        ----------
        features : dict of arrays (N, d)
            By name.
        groups : array (N,)
        n_neighbors : int, default=5

        Returns
        -------
        NeighbourDisplay
        """
        _require_named(features, "features", "arrays (N, d)")
        if not features:
            raise ValueError("features is empty; at least one set of them is needed")
        return cls({name: own_cluster_share(X, groups, n_neighbors) for name, X in features.items()})

    def plot(self, ax: Any = None) -> "NeighbourDisplay":
        """Draw the histograms side by side.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        self
        """
        ax = axes(self, ax)
        values = np.unique(np.concatenate(list(self.shares.values())))
        width = 0.8 * (np.diff(values).min() if len(values) > 1 else 1.0) / len(self.shares)
        for i, (name, share) in enumerate(self.shares.items()):
            heights = [np.mean(share == value) for value in values]
            at = values + (i - (len(self.shares) - 1) / 2) * width
            ax.bar(at, heights, width, label=f"{name}: mean {share.mean():.2f}")
        ax.set(xlabel="share of nearest neighbours from the own cluster", ylabel="share of rows")
        ax.legend(frameon=False)
        return self


class TriadDisplay:
    """One feature, clusters by colour, and curves over them.

    Parameters
    ----------
    x, y : ndarrays (N,)
    codes : ndarray (N,) of int
        Cluster of each row.
    curves : dict of (x, y)
        Lines to draw, by name.
    """

    def __init__(
        self, x: Array, y: Array, codes: NDArray[np.intp], curves: dict[str, tuple[Array, Array]]
    ) -> None:
        self.x, self.y, self.codes, self.curves = x, y, codes, curves

    @classmethod
    def from_models(
        cls, models: dict[str, Any], X: Any, y: Any, groups: Any, n_points: int = 200
    ) -> "TriadDisplay":
        """Of fitted regressors of one feature.

        Parameters
        ----------
        models : dict of fitted regressors
            By name.
        X, y, groups : arrays (N, 1), (N,), (N,)
        n_points : int, default=200
            Where the curves are computed.

        Returns
        -------
        TriadDisplay
        """
        require_aligned(X=X, y=y, groups=groups)
        _require_named(models, "models", "fitted regressors")
        for name, model in models.items():
            if not hasattr(model, "predict"):
                raise TypeError(f"models[{name!r}] is a {type(model).__name__}; a fitted regressor is needed")
        rows = matrix(X, n_columns=1)
        integer(n_points, "n_points", 2, MAX_BINS)
        grid = np.linspace(rows.min(), rows.max(), n_points)
        points = in_columns_of(X, grid[:, None])
        curves = {name: (grid, np.asarray(model.predict(points))) for name, model in models.items()}
        return cls(rows[:, 0], number_vector(y, "y", len(rows)), group_codes(groups, len(rows))[1], curves)

    def plot(self, ax: Any = None) -> "TriadDisplay":
        """Draw rows and curves.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        self
        """
        ax = axes(self, ax)
        ax.scatter(self.x, self.y, c=self.codes % 20, cmap="tab20", s=8, alpha=0.7, linewidths=0)
        colours = ["black", BLUE, ORANGE, "#009e73", "#cc79a7"]
        for i, (name, (x, y)) in enumerate(self.curves.items()):
            ax.plot(x, y, color=colours[i % len(colours)], linewidth=1.8, label=name)
        ax.set(xlabel="x", ylabel="y")
        if self.curves:
            ax.legend(frameon=False)
        return self


class WeightsDisplay:
    """Which clusters a prediction listens to: the weight of each cluster at one point.

    Parameters
    ----------
    labels : ndarray (C,)
    weights : ndarray (C,)
        As `effective_weights` gives them.
    """

    def __init__(self, labels: Array, weights: NDArray[np.float64]) -> None:
        self.labels, self.weights = labels, weights

    @classmethod
    def from_estimator(cls, model: Any, X: Any, y: Any, groups: Any, point: Any) -> "WeightsDisplay":
        """Of a regressor, fitted anew for each cluster.

        Parameters
        ----------
        model : regressor
        X, y, groups
            As in `effective_weights`.
        point : array (d,)

        Returns
        -------
        WeightsDisplay
        """
        labels, _ = group_codes(groups, len(matrix(X)))
        place = as_floats(point, "point").reshape(1, -1)
        return cls(labels, effective_weights(model, X, y, groups, place)[:, 0])

    def plot(self, ax: Any = None) -> "WeightsDisplay":
        """Draw a bar for each cluster, heaviest first.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        self
        """
        ax = axes(self, ax)
        order = np.argsort(-self.weights, kind="stable")
        ax.bar(np.arange(len(order)), self.weights[order], color=BLUE)
        if len(order) <= NAMED:
            names = [str(label) for label in self.labels[order]]
            ax.set_xticks(np.arange(len(order)), names, rotation=90, parse_math=False)
        ax.axhline(0, color="black", linewidth=0.8)
        name = "cluster" if len(order) <= NAMED else "clusters, the heaviest first"
        ax.set(xlabel=name, ylabel="weight in the prediction")
        return self


class AdaptedCurvesDisplay:
    """The population's curve along one feature, and each cluster's after its own steps.

    Parameters
    ----------
    grid : ndarray (M,)
        Values of the feature.
    population : ndarray (M,)
    adapted : ndarray (C, M)
    ranges : ndarray (C, 2)
        Where each cluster has rows.
    name : str
        Of the feature.
    """

    def __init__(self, grid: Array, population: Array, adapted: Array, ranges: Array, name: str) -> None:
        self.grid, self.population, self.adapted = grid, population, adapted
        self.ranges, self.name = ranges, name

    @classmethod
    def from_estimator(
        cls, model: Any, X: Any, y: Any, groups: Any, feature: int = 0, n_points: int = 100
    ) -> "AdaptedCurvesDisplay":
        """Of a fitted `RFPRegressor`; the other features stay at their mean in the cluster, or in all rows.

        Parameters
        ----------
        model : RFPRegressor
        X, y, groups : arrays (N, d), (N,), (N,)
            The clusters to adapt to.
        feature : int, default=0
        n_points : int, default=100

        Returns
        -------
        AdaptedCurvesDisplay
        """
        require_aligned(X=X, y=y, groups=groups)
        if not hasattr(model, "adapt"):
            raise TypeError(f"model is a {type(model).__name__}; a fitted RFPRegressor is needed")
        integer(n_points, "n_points", 2, MAX_BINS)
        rows = matrix(X)
        column = integer_index(feature, rows.shape[1])
        labels, codes = group_codes(groups, len(rows))
        grid = np.linspace(rows[:, column].min(), rows[:, column].max(), n_points)

        def profile(centre: Array) -> Array:
            at = np.tile(centre, (n_points, 1))
            at[:, column] = grid
            return at

        places = np.vstack([profile(rows[codes == c].mean(axis=0)) for c in range(len(labels))])
        fitted = model.adapt(in_columns_of(X, rows), np.asarray(y), codes)
        of_place = np.repeat(np.arange(len(labels)), n_points)
        adapted = fitted.predict(in_columns_of(X, places), groups=of_place)
        ranges = [
            [rows[codes == c, column].min(), rows[codes == c, column].max()] for c in range(len(labels))
        ]
        names = getattr(model, "feature_names_in_", None)
        name = f"x{column}" if names is None else str(names[column])
        population = model.predict(in_columns_of(X, profile(rows.mean(axis=0))))
        return cls(grid, population, adapted.reshape(len(labels), -1), np.array(ranges), name)

    def plot(self, ax: Any = None) -> "AdaptedCurvesDisplay":
        """Draw the curves; a cluster's is strong where the cluster has rows.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        self
        """
        ax = axes(self, ax)
        for curve, (low, high) in zip(self.adapted, self.ranges, strict=True):
            ax.plot(self.grid, curve, color=GREY, linewidth=0.6, alpha=0.4)
            own = (self.grid >= low) & (self.grid <= high)
            ax.plot(self.grid[own], curve[own], color=ORANGE, linewidth=1.2)
        ax.plot(self.grid, self.population, color="black", linewidth=2.2, label="population")
        ax.plot([], [], color=ORANGE, label="clusters after their own steps")
        ax.set_xlabel(self.name, parse_math=False)
        ax.set_ylabel("prediction")
        ax.legend(frameon=False)
        return self


def _require_named(given: Any, name: str, what: str) -> None:
    """Things by name."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} is a {type(given).__name__}; a dict of {what} by name is needed")


def integer_index(value: Any, n_columns: int) -> int:
    """The number of a column."""
    if not is_integer(value) or not 0 <= value < n_columns:
        raise ValueError(f"feature={shown(value)}; a column number, 0 to {n_columns - 1}, is needed")
    return int(value)
