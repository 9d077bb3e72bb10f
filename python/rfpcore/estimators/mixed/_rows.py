"""Rows of a user's data: standard units, sorted by cluster, with the columns of the effects."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._arrays import Array, group_codes, shown
from ..._scaling import Scaling, level_and_spread
from ._components import EffectData, Floats, Structure

Codes = NDArray[np.intp]

FARTHEST = 1e18  # standard deviations from the mean: squares are numbers of float32 yet
UNITS = 1e151  # largest unit, and the smallest is its inverse: squares are numbers of float64 yet


@dataclass(frozen=True, eq=False)
class StandardUnits:
    """What standard units are: of columns and outcomes, and the mean weight.

    Counts and classes keep their units; `level` is what their linear predictors are counted from.
    """

    x: Scaling
    y_mean: float
    y_scale: float
    weight: float = 1.0
    level: float = 0.0

    @classmethod
    def of(cls, X: Floats, y: Floats | None, weights: Floats | None, level: float = 0.0) -> "StandardUnits":
        """Of the data by their weights, lest rows of hardly any set the unit; 1 where a column is constant.

        Without y, outcomes and weights keep their units, and predictors are counted from a level.
        """
        x = Scaling.plain(X, weights)
        if y is None:
            return cls(x, 0.0, 1.0, level=level)
        return cls(x, *level_and_spread(y, weights), 1.0 if weights is None else float(weights.mean()))

    def require_variances(self) -> None:
        """ValueError where variances of effects are no numbers in these units."""
        y = float(self.y_scale)
        sizes = {"y": y, "y times the root of sample_weight": y * float(self.weight) ** 0.5}
        for j, x in enumerate(self.x.spread.tolist()):
            sizes |= {f"X[:, {j}]": x, f"y over X[:, {j}]": y / x}
        for name, size in sizes.items():
            if not 1 / UNITS <= size <= UNITS:
                raise ValueError(
                    f"{name} has a standard deviation of {size:.3g}, whose square is beyond float64; give "
                    "the data in other units"
                )

    def weights(self, weights: Floats | None, order: Codes) -> Floats | None:
        """Weights of rows in an order, of a mean of about 1."""
        return None if weights is None else np.ascontiguousarray(weights[order] / self.weight)

    def features(self, X: Array) -> Floats:
        """X in standard units."""
        return _standard(X, self.x, "X")

    def outcomes(self, y: Array) -> Floats:
        """Y in standard units."""
        return _standard(y, Scaling(np.array(self.y_mean), np.array(self.y_scale)), "y")

    def predictions(self, standard: Floats) -> Floats:
        """Predictions in the user's units."""
        return self.level + self.y_mean + self.y_scale * standard


def _standard(values: Array, scaling: Scaling, name: str) -> Floats:
    """Numbers in standard deviations from the mean; ValueError where they are too far from it to be used."""
    found = scaling.apply(values.astype(np.float64))
    if np.abs(found).max(initial=0.0) > FARTHEST:
        at = tuple(int(i) for i in np.argwhere(np.abs(found) > FARTHEST)[0])
        raise ValueError(
            f"{name} is {values[at]:.3g} at {list(at)}, {abs(found[at]):.1e} standard deviations from the "
            f"mean of the data fitted; at most {FARTHEST:.0e} can be used"
        )
    return found


@dataclass(frozen=True, eq=False)
class Grouping:
    """The cluster of each row, and the group within it where there are two levels.

    Attributes
    ----------
    labels : ndarray (C,)
    codes : ndarray (N,)
    inner : ndarray (N,) or None
    inner_labels : list of (cluster's code, label)
        In the order of the codes.
    """

    labels: Array
    codes: Codes
    inner: Codes | None
    inner_labels: list[tuple[int, Hashable]]


class MixedRows(NamedTuple):
    """What a mixed model is fitted to, in the user's units and order.

    Attributes
    ----------
    X, y : ndarray (N, d), (N,)
    weights : ndarray (N,) or None
    grouping : Grouping
    scales : StandardUnits
    """

    X: Array
    y: Array
    weights: Array | None
    grouping: Grouping
    scales: StandardUnits


def grouping(groups: Any, n_rows: int, levels: int | None = None) -> Grouping:
    """Read groups: labels (N,), or (N, 2) for clusters and the groups within them.

    With `levels`, as many are needed as there were in `fit`.
    """
    columns = _columns(groups)
    found = len(columns) if columns is not None else 1
    if levels is not None and found != levels:
        raise ValueError(f"groups has {found} level{'s' * (found > 1)}; the model was fitted with {levels}")
    if columns is None:
        labels, codes = group_codes(groups, n_rows)
        return Grouping(labels, codes, None, [])
    labels, codes = group_codes(columns[0], n_rows)
    own, within = group_codes(columns[1], n_rows, "groups (second column)")
    pairs, inner = np.unique(np.column_stack([codes, within]), axis=0, return_inverse=True)
    if own.dtype.kind in "mM":  # Python's dates, whatever the unit: of nanoseconds NumPy makes integers
        own = own.astype(f"{own.dtype.kind}8[us]")
    names = own.tolist()
    return Grouping(labels, codes, inner.reshape(-1), [(int(c), names[i]) for c, i in pairs])


def _columns(groups: Any) -> list[Any] | None:
    """The two columns of nested groups, or None."""
    if hasattr(groups, "columns") and hasattr(groups, "shape"):
        if groups.shape[1] == 1:
            return None
        columns = _of_frame(groups)
    elif isinstance(groups, list | tuple) and len(groups) and isinstance(groups[0], list | tuple):
        columns = _of_rows(groups)
    elif isinstance(groups, np.ndarray) and groups.ndim > 1:
        columns = list(groups.T) if groups.ndim == 2 else [None] * 3
    else:
        return None
    if len(columns) != 2:
        raise ValueError(
            f"groups has {len(columns)} columns; labels (N,), or (N, 2) for groups within clusters, "
            "are needed"
        )
    return columns


def _of_frame(groups: Any) -> list[Any]:
    """Columns of pandas by position, for two may have one name; of others by name."""
    if hasattr(groups, "iloc"):
        return [groups.iloc[:, j] for j in range(groups.shape[1])]
    return [groups[name] for name in groups.columns]


def _of_rows(groups: Any) -> list[Any]:
    """Columns of rows that are lists, each label as it is: NumPy would make texts of numbers beside texts."""
    width = len(groups[0])
    for row, labels in enumerate(groups):
        if not isinstance(labels, list | tuple) or len(labels) != width:
            raise ValueError(
                f"groups is not a rectangular array: row {row} is {shown(labels)}, row 0 has {width} labels"
            )
    return [list(column) for column in zip(*groups, strict=True)]


def require_nested(found: Grouping) -> None:
    """ValueError where the second level says nothing beside the first."""
    if found.inner is None:
        return
    n_inner, n_outer, n_rows = len(found.inner_labels), len(found.labels), len(found.codes)
    if n_inner == n_outer:
        raise ValueError(
            f"each of the {n_outer} clusters holds one group of the second level only; the first column is "
            "to be the wider one (districts, then schools)"
        )
    if n_inner == n_rows:
        raise ValueError(
            f"each of the {n_rows} rows is a group of the second level by itself; its effect cannot be told "
            "from noise"
        )


def require_repeats(sizes: NDArray[np.int64]) -> None:
    """ValueError where effects and noise cannot be told apart."""
    if len(sizes) < 2:
        raise ValueError(
            f"there is {len(sizes)} cluster; the variance between clusters needs at least 2, better 10"
        )
    if sizes.max() == 1:
        raise ValueError(
            f"each of the {len(sizes)} clusters has one row, whose effect cannot be told from noise; "
            "clusters of two rows and more are needed"
        )


def centres(X: Floats, codes: Codes, n_clusters: int, counts: Floats | None = None) -> Floats:
    """(C, d) each cluster's mean; `counts` (N,) where rows count several times."""
    sums = np.zeros((n_clusters, X.shape[1]))
    np.add.at(sums, codes, X if counts is None else counts[:, None] * X)
    sizes = np.bincount(codes, counts, n_clusters)
    return sums / (np.maximum(sizes, 1) if counts is None else sizes)[:, None]


def effect_data(
    structure: Structure,
    X: Floats,
    codes: Codes,
    offsets: NDArray[np.int64],
    about: Floats,
    inner: Codes | None,
    weights: Floats | None,
) -> EffectData:
    """The effects' columns at rows sorted by cluster; slopes turn about (d,), or (C, d) one a cluster."""
    slopes = list(structure.slopes)
    turned = X[:, slopes] - (about[codes] if about.ndim == 2 else about)[..., slopes]
    parts = ([np.ones((len(X), 1))] if structure.intercept else []) + [turned]
    smooth = None
    if structure.smooth:
        smooth = np.ascontiguousarray(X[:, list(structure.smooth)] / np.sqrt(len(structure.smooth)))
    return EffectData(
        offsets,
        np.ascontiguousarray(np.hstack(parts)),
        smooth,
        None if inner is None else np.ascontiguousarray(inner, np.int64),
        weights,
    )


def origin(structure: Structure, scales: StandardUnits) -> Floats:
    """Where slopes turn that do not turn about the cluster's mean, in standard units: at x = 0.

    With a full matrix any point does, as it can be moved afterwards; the mean is the safest in numbers.
    """
    if structure.slope_covariance == "full" and structure.intercept:
        return np.zeros_like(scales.x.level)
    return -scales.x.level / scales.x.spread


def to_units(structure: Structure, scales: StandardUnits) -> Floats:
    """(q, q) what brings effects of intercept and slopes into the data's units, but for the outcome's."""
    slopes = list(structure.slopes)
    A = np.diag(np.r_[[1.0] if structure.intercept else [], 1.0 / scales.x.spread[slopes]])
    if not structure.is_centred and structure.slope_covariance == "full" and structure.intercept:
        A[0, 1:] = -scales.x.level[slopes] / scales.x.spread[slopes]
    return A


def offsets_of(codes: Codes, n_clusters: int) -> NDArray[np.int64]:
    """(C + 1,) of rows sorted by cluster."""
    return np.asarray(np.r_[0, np.cumsum(np.bincount(codes, minlength=n_clusters))], np.int64)
