"""What clustered data do to an estimator: neighbours, extrapolation, and who a fit listens to."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from .._arrays import Array, group_codes, matrix, shown
from .._frames import require_aligned
from .._options import integer, positive
from .._scaling import level_and_spread, standardized
from ._columns import number_vector
from ._nuisance import seeded
from ._replicates import pieces

__all__ = ["effective_weights", "in_hull", "own_cluster_share", "triad"]

NEIGHBOURS = 100  # a search looks at as many numbers as rows have, each a hundredth of a number in a piece
TOUCHES = 1e-9  # distance, in ranges of the columns, at which a row counts as on a hyperplane


def own_cluster_share(X: Any, groups: Any, n_neighbors: int = 5) -> NDArray[np.float64]:
    """Share of each row's nearest neighbours that are of its own cluster.

    Near 1, a smoother that looks at a row's surroundings sees one cluster, and takes what is particular to it
    for the function of x. Features that describe clusters raise it.

    Parameters
    ----------
    X : array (N, d)
        Features, scaled as the estimator sees them.
    groups : array (N,)
    n_neighbors : int, default=5
        Neighbours of a row, not counting itself.

    Returns
    -------
    share : ndarray (N,)

    References
    ----------
    Power and Ghosh (2025), "Regularizing the Forward Pass", figures 1 and 5b.

    Examples
    --------
    >>> from rfpcore.causal import own_cluster_share
    >>> from rfpcore.datasets import make_policy
    >>> data = make_policy(random_state=0)
    >>> rows, both = own_cluster_share(data.X[:, :2], data.groups), own_cluster_share(data.X, data.groups)
    >>> print(f"{rows.mean():.2f} without the cluster's feature, {both.mean():.2f} with it")
    0.09 without the cluster's feature, 0.37 with it
    """
    require_aligned(X=X, groups=groups)
    rows = matrix(X)
    count = integer(n_neighbors, "n_neighbors", 1, len(rows) - 1)
    _, codes = group_codes(groups, len(rows))
    rows = np.ldexp(rows, -np.frexp(np.abs(rows).max())[1])  # squares of distances are numbers then
    search = _searched(rows, count + 1)
    share = np.empty(len(rows))
    for part in pieces(len(rows), rows.size // NEIGHBOURS):
        found = search.kneighbors(rows[part], return_distance=False)
        own = np.arange(part.start, part.stop)[:, None]
        # A row is its own nearest, but where so many are equal that it is not found: any of them makes room.
        itself = found == own
        itself[:, 0] |= ~itself.any(axis=1)
        others = found[~itself].reshape(-1, count)
        share[part] = (codes[others] == codes[own]).mean(axis=1)
    return share


def in_hull(X: Any, points: Any) -> NDArray[np.bool_]:
    """Whether each point is a weighted mean of the rows of X: inside their convex hull.

    Decided by linear programmes for each point (HiGHS): the hyperplane that best parts it from some rows, and
    again with the rows that are on its side of it, until there are none, or no hyperplane parts them.

    Parameters
    ----------
    X : array (N, d)
        The rows trained on.
    points : array (M, d)

    Returns
    -------
    inside : ndarray (M,) of bool

    References
    ----------
    Balestriero, Pesenti and LeCun (2021), "Learning in high dimension always amounts to extrapolation". Power
    and Ghosh (2025), figure 5a.

    Examples
    --------
    >>> from rfpcore.causal import in_hull
    >>> in_hull([[0, 0], [1, 0], [0, 1]], [[0.3, 0.3], [0.6, 0.6]])
    array([ True, False])
    """
    rows = matrix(X).astype(np.float64)
    places = matrix(points, "points").astype(np.float64)
    if places.shape[1] != rows.shape[1]:
        raise ValueError(f"points has {places.shape[1]} columns; X has {rows.shape[1]}")
    low, high = rows.min(axis=0), rows.max(axis=0)
    inside = np.asarray(((places >= low) & (places <= high)).all(axis=1))  # outside the box: outside the hull
    scale = np.where(high > low, high - low, 1.0)
    scaled = (rows - low) / scale
    # Rows at the ends of each column: what parts a point from them parts it from most.
    ends = np.unique(np.concatenate([scaled.argmin(axis=0), scaled.argmax(axis=0)]))
    for i in np.flatnonzero(inside):
        inside[i] = _is_inside(scaled, (places[i] - low) / scale, ends)
    return inside


def _is_inside(rows: Array, point: Array, some: NDArray[np.intp]) -> bool:
    """Whether no hyperplane has the point on one side and all rows on the other; `some` are tried first."""
    from scipy.optimize import linprog

    d = len(point)
    while True:
        # Over normals u of entries up to 1 and offsets v: the largest u'point - v with u'row <= v.
        found = linprog(
            np.append(-point, 1.0),
            A_ub=np.column_stack([rows[some], -np.ones(len(some))]),
            b_ub=np.zeros(len(some)),
            bounds=[(-1, 1)] * d + [(None, None)],
            method="highs",
        )
        if -found.fun <= TOUCHES:
            return True
        beyond = rows @ found.x[:d] - found.x[d]
        beyond[some] = 0.0
        new = np.argsort(beyond)[-(d + 20) :]
        new = new[beyond[new] > TOUCHES]
        if not len(new):
            return False
        some = np.append(some, new)


def effective_weights(
    model: Any, X: Any, y: Any, groups: Any, points: Any, step: float = 1e-3
) -> NDArray[np.float64]:
    """How much a prediction moves when all outcomes of one cluster do: d f(x) / d level of the cluster.

    The weight of each cluster in the prediction at each point, whatever the model: by central differences,
    two fits a cluster. For least squares and smoothers these are the sums of the usual weights of the
    cluster's rows. A model that adds to its predictions what is added to all outcomes has weights that sum to
    1 at each point.

    Parameters
    ----------
    model : regressor
        Is cloned; gets `groups` if its `fit` takes them. A `random_state` of None is set, to the same for all
        fits.
    X, y, groups : arrays (N, d), (N,), (N,)
    points : array (M, d)
        Where predictions are made.
    step : float, default=1e-3
        How far outcomes move, in standard deviations of y.

    Returns
    -------
    weights : ndarray (C, M)
        The clusters in sorted order of their labels.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from rfpcore.causal import effective_weights
    >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> effective_weights(LinearRegression(), x, [1.0, 0.0, 2.0, 1.0], list("aabb"), [[0.0], [1.5]]).round(3)
    array([[ 1.1,  0.5],
           [-0.1,  0.5]])
    """
    require_aligned(X=X, y=y, groups=groups)
    rows = matrix(X)
    outcome = number_vector(y, "y", len(rows))
    labels, codes = group_codes(groups, len(rows))
    places = matrix(points, "points", rows.shape[1])
    if not (hasattr(model, "fit") and hasattr(model, "predict") and not isinstance(model, type)):
        raise TypeError(f"model={shown(model)} is a {type(model).__name__}; a regressor is needed")
    size = positive(step, "step") * level_and_spread(outcome)[1]
    template = seeded(model, 0)
    extra = {"groups": codes} if has_fit_parameter(model, "groups") else {}
    weights = np.empty((len(labels), len(places)))
    for cluster, row in enumerate(weights):
        up, down = (
            clone(template).fit(rows, outcome + sign * size * (codes == cluster), **extra).predict(places)
            for sign in (1, -1)
        )
        row[:] = (up - down) / (2 * size)
    return weights


def triad(X: Any, y: Any, groups: Any, n_neighbors: int = 5) -> dict[str, float]:
    """The three traits that together ruin a smoother on clustered data, each as a share from 0 to 1.

    Parameters
    ----------
    X, y, groups : arrays (N, d), (N,), (N,)
        Features are scaled here.
    n_neighbors : int, default=5

    Returns
    -------
    traits : dict

        - "own_neighbours": mean `own_cluster_share`, what few clusters in each place lead to.
        - "covariates_between": share of the features' variance that lies between clusters.
        - "outcomes_between": share of the variance of outcomes around their neighbours' of *other* clusters
          that
          lies between clusters: how much outcomes at the same x differ by cluster.

    References
    ----------
    Power and Ghosh (2025), "Regularizing the Forward Pass", section 3.3 and figure 3.

    Examples
    --------
    >>> from rfpcore.causal import triad
    >>> from rfpcore.datasets import make_vee
    >>> {name: round(share, 2) for name, share in triad(*make_vee(random_state=0)).items()}
    {'own_neighbours': 0.33, 'covariates_between': 0.98, 'outcomes_between': 0.81}
    """
    require_aligned(X=X, y=y, groups=groups)
    rows = matrix(X).astype(np.float64)
    outcome = standardized(number_vector(y, "y", len(rows)))
    labels, codes = group_codes(groups, len(rows))
    if len(labels) < 2:
        raise ValueError(f"there is {len(labels)} cluster; at least 2 are needed")
    scaled = standardized(rows)
    around = np.empty(len(rows))
    for cluster in range(len(labels)):
        own = codes == cluster
        count = integer(n_neighbors, "n_neighbors", 1, int(min(own.sum(), (~own).sum())) or 1)
        others = _searched(scaled[~own], count)
        rest = outcome[~own]
        for part in pieces(int(own.sum()), rows.size // NEIGHBOURS):
            index = np.flatnonzero(own)[part]
            around[index] = rest[others.kneighbors(scaled[index], return_distance=False)].mean(axis=1)
    return {
        "own_neighbours": float(own_cluster_share(scaled, codes, n_neighbors).mean()),
        "covariates_between": _between(scaled, codes),
        "outcomes_between": _between((outcome - around)[:, None], codes),
    }


def _searched(rows: Array, n_neighbors: int) -> Any:
    """A search for the nearest of some rows."""
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=n_neighbors).fit(rows)


def _between(values: Array, codes: NDArray[np.intp]) -> float:
    """Share of the variance of the columns, summed, that lies between clusters."""
    sizes = np.bincount(codes)
    means = np.column_stack([np.bincount(codes, column) / sizes for column in values.T])
    total = values.var(axis=0).sum()
    return float((means[codes] - values.mean(axis=0)).var(axis=0).sum() / total) if total > 0 else 0.0
