"""Clustered data with a treatment that is on or off for whole clusters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array, as_floats, group_codes, row_weights, shown
from .._options import is_integer, items
from .._scaling import standardized
from ._columns import column, number_vector, outcomes, read_columns
from ._complete import Complete


@dataclass(frozen=True, eq=False)
class Sample:
    """What the estimators work on.

    Attributes
    ----------
    X : ndarray (N, d)
        Covariates, each of mean 0 and standard deviation 1 over all rows.
    y : ndarray (N,)
    weight : ndarray (N,)
        Weights of the rows.
    codes : ndarray (N,) of int
        The cluster of each row.
    labels : ndarray (G,)
        The clusters' labels.
    arm : ndarray (G,) of int
        1 for treated clusters, 0 for controls, -1 for clusters without rows here.
    Z : ndarray (G, q)
        Covariates of the clusters, scaled alike.
    names, cluster_names : list of str
        Of the columns of X and Z.
    references : dict
        Labels of text that have no column, by name.
    """

    X: Array
    y: Array
    weight: Array
    codes: NDArray[np.intp]
    labels: Array
    arm: NDArray[np.int64]
    Z: Array
    names: list[str]
    cluster_names: list[str]
    references: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_clusters(self) -> int:
        """Clusters, also those without rows here."""
        return len(self.labels)

    @property
    def treated(self) -> NDArray[np.bool_]:
        """(N,) rows of treated clusters."""
        return np.asarray(self.arm[self.codes] == 1)


def read_sample(
    X: Any,
    y: Any,
    treatment: Any,
    groups: Any,
    *,
    covariates: Any = None,
    cluster_columns: Any = None,
    sample_weight: Any = None,
    by: Any = None,
) -> Sample:
    """Check everything and bring it into one form; errors name the cluster or the column.

    The column `by` is no covariate unless `covariates` lists it.
    """
    if groups is None:
        raise ValueError("groups is None; the effect of a policy that comes by cluster needs the clusters")
    given = {"y": y, "treatment": treatment, "groups": groups, "sample_weight": sample_weight, "by": by}
    columns, rows, names, references, numbers = read_columns(X, given, covariates)
    n = len(rows)
    outcome = outcomes(columns["y"], n)
    labels, codes = group_codes(columns["groups"], n)
    arm = treatment_by_cluster(columns["treatment"], codes, labels)
    chosen = cluster_columns_of(cluster_columns, rows, codes, names, numbers)
    scaled = standardized(rows)
    return Sample(
        X=scaled,
        y=outcome,
        weight=weights_in_clusters(columns["sample_weight"], codes, labels),
        codes=codes,
        labels=labels,
        arm=arm,
        Z=cluster_means(scaled[:, chosen], codes, len(labels)),
        names=names,
        cluster_names=[names[i] for i in chosen],
        references=references,
    )


def weights_in_clusters(values: Any, codes: NDArray[np.intp], labels: Array) -> NDArray[np.float64]:
    """Weights of the rows, those above 0 of mean 1; ValueError where a cluster has none at all."""
    if values is None:
        return np.ones(len(codes))
    weights = row_weights(values, len(codes)).astype(np.float64)
    weights /= weights.max() or 1.0
    empty = np.flatnonzero(np.bincount(codes, weights, len(labels)) == 0)
    if len(empty):
        raise ValueError(
            f"sample_weight is 0 in every row of cluster {labels[empty[0]]!s}, one of {len(empty)} such "
            f"clusters of {len(labels)}. They say nothing, and would count as clusters: leave their rows out"
        )
    return np.asarray(weights / weights[weights > 0].mean())


def rows_that_count(found: Complete) -> Complete:
    """Without rows of weight 0: they are none. ValueError where a cluster has no others."""
    X, given = found.X, found.given
    values = column(X, given["sample_weight"], "sample_weight")
    if X is None or values is None:
        return found
    weights = as_floats(values, "sample_weight")
    if weights.ndim != 1 or weights.all():
        return found
    n, columns = len(weights), [own for own in given.values() if own is not None and not isinstance(own, str)]
    if any(_length(own) != n for own in (X, *columns)):  # who reads them says so
        return found
    labels, codes = group_codes(column(X, given["groups"], "groups"), n)  # None: one for all
    weights_in_clusters(weights, codes, labels)
    return found.take(np.flatnonzero(weights > 0))


def _length(values: Any) -> int:
    if hasattr(values, "shape"):
        return int(values.shape[0]) if len(values.shape) else 0
    return len(values) if hasattr(values, "__len__") else 0


def treatment_by_row(values: Any, n_rows: int) -> Array:
    """1.0 or 0.0 for each row."""
    treatment = number_vector(values, "treatment", n_rows)
    odd = np.flatnonzero((treatment != 0) & (treatment != 1))
    if len(odd):
        raise ValueError(
            f"treatment must be 0 or 1, but {len(odd)} of {n_rows} rows have other values; "
            f"the first is {treatment[odd[0]]:g} in row {odd[0]}"
        )
    return treatment


def treatment_by_cluster(values: Any, codes: NDArray[np.intp], labels: Array) -> NDArray[np.int64]:
    """1 or 0 for each cluster; ValueError where it varies inside one, or one arm is empty."""
    treatment = treatment_by_row(values, len(codes))
    total = np.bincount(codes, treatment, len(labels))
    sizes = np.bincount(codes, minlength=len(labels))
    mixed = np.flatnonzero((total > 0) & (total < sizes))
    if len(mixed):
        first = mixed[0]
        raise ValueError(
            f"treatment varies inside {len(mixed)} of {len(labels)} clusters; the first is "
            f"{labels[first]!s}, with {total[first]:.0f} treated of {sizes[first]} rows. "
            "It has to be on or off for whole clusters; IndividualEffect takes treatment that varies inside"
        )
    arm = (total > 0).astype(np.int64)
    for value, what in ((1, "treated"), (0, "control")):
        if not (arm == value).any():
            raise ValueError(f"none of the {len(labels)} clusters is a {what} cluster; both arms are needed")
    return arm


def cluster_columns_of(
    asked: Any, X: Array, codes: NDArray[np.intp], names: Sequence[str], numbers: Sequence[int | None]
) -> NDArray[np.intp]:
    """Columns that describe clusters: those asked for, or those constant within every cluster.

    A number is that which a covariate has in X; where none has one (`numbers`), its place among them.
    """
    if asked is None:
        low, high = _extremes(X, codes)
        return np.flatnonzero((low == high).all(axis=0))
    asked = [asked] if isinstance(asked, str) else items(asked, "cluster_columns", "a list of columns")
    chosen = []
    for name in asked:
        own = _places_of(name, names, numbers)
        if not own:
            raise ValueError(
                f"cluster_columns names {shown(name)}, which is no covariate; there are "
                f"{', '.join(names) or 'none'}"
            )
        chosen += own
    return np.asarray(chosen, np.intp)


def _places_of(name: Any, names: Sequence[str], numbers: Sequence[int | None]) -> list[int]:
    """The columns that a name stands for; of a column of text those of its labels."""
    if isinstance(name, str):
        own = [i for i, other in enumerate(names) if other == name]
        return own or [i for i, other in enumerate(names) if other.startswith(f"{name}[")]
    if not is_integer(name):
        return []
    if any(number is not None for number in numbers):
        return [i for i, number in enumerate(numbers) if number == name]
    return [int(name)] if 0 <= name < len(names) else []


def _extremes(X: Array, codes: NDArray[np.intp]) -> tuple[Array, Array]:
    """Least and largest value of each column in each cluster, (G, d) each."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(codes[order]) > 0])
    rows = X[order]
    if X.shape[1] == 0:
        return np.empty((len(starts), 0)), np.empty((len(starts), 0))
    return np.minimum.reduceat(rows, starts), np.maximum.reduceat(rows, starts)


def cluster_means(X: Array, codes: NDArray[np.intp], n_clusters: int) -> Array:
    """Means of the columns in each cluster, (G, d); 0 in a cluster without rows.

    A column constant within clusters keeps its values to the last bit.
    """
    first = np.zeros((n_clusters, X.shape[1]))
    first[codes[::-1]] = X[::-1]
    sizes = np.maximum(np.bincount(codes, minlength=n_clusters), 1)
    off = X - first[codes]
    rest = [np.bincount(codes, off[:, j], n_clusters) / sizes for j in range(X.shape[1])]
    return first + np.column_stack(rest) if rest else first
