"""What conformal intervals rest on: rows checked, folds of clusters, fits to some of them, quantiles."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.utils.validation import has_fit_parameter

from ._arrays import as_floats, group_codes, require_finite, require_length, row_weights, shown
from ._dask import results_of
from ._file_parts import Document, Tensors, object_of
from .files import class_of, take

Floats = NDArray[np.float64]

ALL_ROWS = -2  # no fold: nobody is left out
ROUNDING = 1e-9  # of a sum of weights, in clusters
CELLS = 1 << 22  # of a table of rows to predict by rows left out, at a time


def require_level(level: float, K: int, unit: str = "clusters") -> None:
    """ValueError where K of them are too few: the interval would be the whole line."""
    if level * (K + 1) > K + ROUNDING:
        needed = int(np.ceil(level / (1 - level) - ROUNDING))
        raise ValueError(
            f"level={level:g} needs at least {needed} {unit} that measure errors; there are {K}, which "
            f"allow a level of {K / (K + 1):.4g}"
        )


def intervals_around(
    each: Floats, which: NDArray[np.intp], errors: Floats, weights: Floats, mass: float
) -> Floats:
    """(N, 2) around predictions (F, N): weighted quantiles of `which` of them less, and plus, the errors."""
    found = np.empty((each.shape[1], 2))
    size = max(1, CELLS // len(errors))
    for start in range(0, len(found), size):
        part = slice(start, start + size)
        centre = each[which, part].T
        found[part, 0] = -weighted_quantiles(errors - centre, weights, mass)
        found[part, 1] = weighted_quantiles(centre + errors, weights, mass)
    return found


def weighted_quantiles(values: Floats, weights: Floats, mass: float) -> Floats:
    """Of each row of values, the smallest up to which the weights reach a mass, which is at most theirs."""
    order = np.argsort(values, axis=1)
    below = (np.cumsum(weights[order], axis=1) < mass - ROUNDING).sum(axis=1)
    at = np.minimum(below, len(weights) - 1)  # all of the mass, where rounding has left them short of it
    first = np.take_along_axis(order, at[:, None], axis=1)
    found: Floats = np.take_along_axis(values, first, axis=1)[:, 0]
    return found


class ConformalRows(NamedTuple):
    """Checked rows; X as it came."""

    X: Any
    y: Floats
    codes: NDArray[np.intp]
    weight: Floats | None


def read_rows(X: Any, y: Any, groups: Any, sample_weight: Any) -> ConformalRows:
    n = _n_rows(X)
    outcomes = _outcomes(y, n)
    if groups is None:
        raise ValueError("groups is None; the cluster of each row is needed")
    labels, codes = group_codes(groups, n)
    if sample_weight is None:
        return ConformalRows(X, outcomes, codes, None)
    weight = row_weights(sample_weight, n).astype(np.float64)
    total = np.bincount(codes, weight, len(labels))
    if not np.isfinite(total).all():
        raise ValueError(f"sample_weight sums to inf in cluster {labels[total.argmax()]!s}; a sum is needed")
    if not (total > 0).all():
        raise ValueError(
            f"sample_weight is 0 in every row of cluster {labels[total.argmin()]!s}, which would measure "
            "nothing; leave its rows out"
        )
    used = np.flatnonzero(weight > 0)
    return ConformalRows(take_rows(X, used), outcomes[used], codes[used], weight[used])


def deal(given: dict[str, Any], n_clusters: int) -> NDArray[np.intp]:
    """(C,) the fold in which each cluster is left out; of "split" −1 for those that train."""
    if n_clusters < 2:
        raise ValueError(
            f"there is {n_clusters} cluster; at least 2 are needed, to train and to measure errors"
        )
    random = given["random_state"]
    shuffled = random.permutation(n_clusters)
    folds = np.full(n_clusters, -1, np.intp)
    if given["method"] == "split":
        count = min(max(1, round(given["validation_fraction"] * n_clusters)), n_clusters - 1)
        folds[shuffled[:count]] = 0
        return folds
    count = n_clusters if given["method"] == "jackknife+" else min(given["n_folds"], n_clusters)
    folds[shuffled] = np.arange(n_clusters) % count
    return folds


def require_regressor(estimator: Any) -> None:
    if isinstance(estimator, type) or not (hasattr(estimator, "fit") and hasattr(estimator, "predict")):
        raise TypeError(f"estimator={shown(estimator)}; a regressor with fit and predict is needed")
    if is_classifier(estimator):
        raise TypeError(f"estimator is a {type(estimator).__name__}; intervals need a regressor")


def fitted_without(
    estimator: Any, data: ConformalRows, of_row: NDArray[np.intp], folds: Sequence[int], client: Any
) -> list[Any]:
    """Copies fitted without each of some folds: one after the other, or as jobs of a client's workers."""
    shared = (estimator, data, of_row)
    if client is not None:
        return results_of(client, _without, shared, folds)
    return [_without(shared, fold) for fold in folds]


def _without(shared: tuple[Any, ConformalRows, NDArray[np.intp]], fold: int) -> Any:
    estimator, data, of_row = shared
    return fitted_to(estimator, data, np.flatnonzero(of_row != fold))


def fitted_to(estimator: Any, data: ConformalRows, rows: NDArray[np.intp]) -> Any:
    """A copy fitted to some rows."""
    given = {"groups": data.codes, "sample_weight": data.weight}
    more = {
        name: values[rows]
        for name, values in given.items()
        if values is not None and has_fit_parameter(estimator, name)
    }
    return clone(estimator).fit(take_rows(data.X, rows), data.y[rows], **more)


def read_member(tensors: Tensors, document: Document, name: str, prefix: str) -> Any:
    """A fitted regressor of the package."""
    own = object_of({name: document}, name)
    found = take(class_of(own["class"], Path(name)), tensors, own, name, prefix)
    require_regressor(found)
    return found


def predicted(estimator: Any, X: Any) -> Floats:
    """Its predictions, finite, one a row."""
    values = as_floats(estimator.predict(X), "the predictions").astype(np.float64, copy=False)
    n = _n_rows(X)
    if values.shape not in ((n,), (n, 1)):
        raise ValueError(f"the predictions have shape {values.shape}; ({n},) is needed")
    require_finite(values, "the predictions", axis="row")
    return values.ravel()


def _outcomes(y: Any, n: int) -> Floats:
    values = as_floats(y, "y").astype(np.float64, copy=False)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(f"y has shape {values.shape}; ({n},), one outcome, is needed")
    require_length(values, "y", n)
    require_finite(values, "y")
    return values


def _n_rows(X: Any) -> int:
    """Rows of an array, a list or a frame."""
    shape = getattr(X, "shape", None)
    if shape is not None and len(shape) > 0:
        return int(shape[0])
    if shape is None and hasattr(X, "__len__") and not isinstance(X, str | bytes | dict | set):
        return len(X)
    raise TypeError(f"X is a {type(X).__name__}; an array or frame is needed")


def take_rows(X: Any, rows: NDArray[np.intp]) -> Any:
    """Some rows, of the kind that X is."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if hasattr(X, "tocsr"):  # sparse, of which not every kind has rows to take
        return X.tocsr()[rows]
    if hasattr(X, "columns") or isinstance(X, np.ndarray):  # of polars; masked
        return X[rows]
    return np.asarray(X)[rows]
