"""Rows over time: which periods there are, who is treated when, and differences of one unit's outcomes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array, group_codes
from .._scaling import standardized
from ._columns import number_vector, outcomes, read_columns
from ._periods import Periods, read_periods
from ._sample import Sample, cluster_columns_of, cluster_means, weights_in_clusters

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Long:
    """Rows over time, checked.

    Attributes
    ----------
    X (N, d), y (N,), weight (N,), treatment (N,) : ndarrays
    period : ndarray (N,) of int
        Index in `periods`.
    periods : Periods (T,)
        In their order.
    codes, labels
        Clusters, as in `Sample`.
    unit : ndarray (N,) of int or None
        The unit of each row.
    unit_labels : ndarray or None
    names, numbers : lists of str, and of int or None
        Of the covariates, as in `Columns`.
    references : dict
        Labels of text that have no column, by name.
    """

    X: Array
    y: Array
    weight: Array
    treatment: Array
    period: NDArray[np.intp]
    periods: Periods
    codes: NDArray[np.intp]
    labels: Array
    unit: NDArray[np.intp] | None
    unit_labels: Array | None
    names: list[str]
    references: dict[str, str]
    numbers: list[int | None]


def read_long(
    X: Any,
    y: Any,
    treatment: Any,
    groups: Any,
    time: Any,
    unit: Any,
    covariates: Any,
    sample_weight: Any,
    alone: bool = False,
) -> Long:
    """Check everything but who is treated when.

    Without groups each unit is its own cluster, or if they may be `alone`, each row.
    """
    if time is None or (groups is None and unit is None and not alone):
        raise ValueError(f"{'time' if time is None else 'groups'} is None; both are needed")
    given = {"y": y, "treatment": treatment, "groups": groups, "time": time, "unit": unit}
    given["sample_weight"] = sample_weight
    columns, rows, names, references, numbers = read_columns(X, given, covariates)
    n = len(rows)
    periods, period = read_periods(columns["time"], n)
    unit_labels, units = (None, None) if unit is None else group_codes(columns["unit"], n, "unit")
    own = np.arange(n) if unit is None else columns["unit"]
    labels, codes = group_codes(own if groups is None else columns["groups"], n)
    if units is not None:
        _require_one_cluster(units, unit_labels, codes, labels)
    dose = number_vector(columns["treatment"], "treatment", n)
    if not np.isin(dose, (0.0, 1.0)).all():
        row = int(np.flatnonzero((dose != 0) & (dose != 1))[0])
        raise ValueError(f"treatment must be 0 or 1, but row {row} has {dose[row]:g}")
    return Long(
        X=rows,
        y=outcomes(columns["y"], n),
        weight=weights_in_clusters(columns["sample_weight"], codes, labels),
        treatment=dose,
        period=period,
        periods=periods,
        codes=codes,
        labels=labels,
        unit=units,
        unit_labels=unit_labels,
        names=names,
        references=references,
        numbers=numbers,
    )


def _require_one_cluster(
    units: NDArray[np.intp], unit_labels: Any, codes: NDArray[np.intp], labels: Array
) -> None:
    first = np.empty(len(unit_labels), np.intp)
    first[units[::-1]] = codes[::-1]
    moved = np.flatnonzero(codes != first[units])
    if len(moved):
        row = moved[0]
        raise ValueError(
            f"unit {unit_labels[units[row]]!s} is in the clusters {labels[first[units[row]]]!s} and "
            f"{labels[codes[row]]!s}; a unit has to stay in one"
        )


def treated_cells(data: Long) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(G, T) whether each cluster is treated in each period, and how many rows it has there.

    ValueError where treatment varies inside a cluster and period.
    """
    n_clusters, n_periods = len(data.labels), len(data.periods)
    cell = data.codes * n_periods + data.period
    size = np.bincount(cell, minlength=n_clusters * n_periods).reshape(n_clusters, n_periods)
    treated = np.bincount(cell, data.treatment, n_clusters * n_periods).reshape(n_clusters, n_periods)
    mixed = np.argwhere((treated > 0) & (treated < size))
    if len(mixed):
        c, t = mixed[0]
        raise ValueError(
            f"treatment varies inside cluster {data.labels[c]!s} in period {data.periods.names[t]}: "
            f"{treated[c, t]:.0f} of {size[c, t]} rows are treated"
        )
    return treated > 0, size


def start_of_treatment(data: Long) -> NDArray[np.int64]:
    """(G,) the first period in which each cluster is treated, `NEVER` where none is.

    ValueError where treatment varies inside a cluster and period, or ends again.
    """
    n_periods = len(data.periods)
    on, size = treated_cells(data)
    first = np.where(on.any(axis=1), on.argmax(axis=1), NEVER)
    ended = np.argwhere((size > 0) & ~on & (np.arange(n_periods) > first[:, None]))
    if len(ended):
        c, t = ended[0]
        raise ValueError(
            f"treatment of cluster {data.labels[c]!s} begins in {data.periods.names[first[c]]} and ends in "
            f"{data.periods.names[t]}; it has to stay on"
        )
    return first


@dataclass(frozen=True, eq=False)
class Wide:
    """One row for each unit, one column for each period; -1 in `row` where the unit was not seen.

    Attributes
    ----------
    row : ndarray (U, T) of int
        The row of the data.
    codes : ndarray (U,) of int
        The cluster of each unit.
    """

    row: NDArray[np.intp]
    codes: NDArray[np.intp]


def widen(data: Long) -> Wide:
    """Units by periods; without units, clusters are the units if each has one row a period.

    Of several rows one may have a weight: that is it.
    """
    unit, what = data.unit, "unit"
    labels = data.unit_labels
    if unit is None:
        unit, labels, what = data.codes, data.labels, "cluster"
    assert labels is not None
    cell = unit * len(data.periods) + data.period
    weighs = data.weight > 0
    count = np.bincount(cell[weighs], minlength=len(labels) * len(data.periods))
    if count.max() > 1:
        u, t = divmod(int(count.argmax()), len(data.periods))
        hint = "" if data.unit is not None else ". Give `unit` to follow units inside clusters"
        raise ValueError(
            f"{what} {labels[u]!s} has {count.max()} rows in period {data.periods.names[t]}; one is "
            f"needed{hint}"
        )
    row = np.full(len(count), -1)
    for own in (~weighs, weighs):
        row[cell[own]] = np.flatnonzero(own)
    codes = np.empty(len(labels), np.intp)
    codes[unit] = data.codes
    return Wide(row.reshape(len(labels), len(data.periods)), codes)


def are_sections(data: Long) -> bool:
    """Whether periods are cross-sections: most clusters have several rows a period, and no unit is followed.

    A few second rows are none, but a mistake in the data.
    """
    count = np.bincount((data.codes * len(data.periods) + data.period)[data.weight > 0])
    return data.unit is None and bool(2 * np.sum(count > 1) >= np.sum(count > 0))


def sections_of(
    data: Long, arm: NDArray[np.int64], t: int, base: int
) -> tuple[NDArray[np.int64], tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """The arm (G,) of clusters with weight in both periods, -1 for others, and their rows in each period."""
    seen = [
        np.bincount(data.codes, data.weight * (data.period == period), len(arm)) > 0 for period in (t, base)
    ]
    present = np.where(seen[0] & seen[1], arm, -1)
    own = (present[data.codes] >= 0) & (data.weight > 0)
    now, before = (np.flatnonzero(own & (data.period == period)) for period in (t, base))
    return present, (now, before)


def followed(data: Long, wide: Wide, arm: NDArray[np.int64], t: int, base: int) -> NDArray[np.bool_]:
    """(U,) units seen in both periods, of clusters that have an arm; a row of weight 0 is no row."""
    rows = wide.row[:, [t, base]]
    return np.asarray(((rows >= 0) & (data.weight[rows] > 0)).all(axis=1) & (arm[wide.codes] >= 0))


def difference_sample(
    data: Long,
    wide: Wide,
    arm: NDArray[np.int64],
    t: int,
    base: int,
    units: NDArray[np.bool_],
    cluster_columns: Any,
) -> Sample | None:
    """The units `followed`, with y_t - y_base as the outcome and the covariates of `base`.

    `arm` (G,) says which clusters are treated (1), controls (0) or of no use (-1). None if an arm has no
    unit.
    """
    codes = wide.codes[units]
    now, before = wide.row[units, t], wide.row[units, base]
    present = np.full(len(arm), -1)
    present[codes] = arm[codes]
    if not (np.any(present == 1) and np.any(present == 0)):
        return None
    return build_sample(
        data, before, data.y[now] - data.y[before], data.weight[before], codes, present, cluster_columns
    )


def build_sample(
    data: Long,
    rows: NDArray[np.intp],
    y: Array,
    weight: Array,
    codes: NDArray[np.intp],
    arm: NDArray[np.int64],
    cluster_columns: Any,
) -> Sample:
    """A sample with the covariates of some rows."""
    scaled = standardized(data.X[rows])
    chosen = cluster_columns_of(cluster_columns, scaled, codes, data.names, data.numbers)
    return Sample(
        X=scaled,
        y=y,
        weight=weight,
        codes=codes,
        labels=data.labels,
        arm=arm,
        Z=cluster_means(scaled[:, chosen], codes, len(data.labels)),
        names=data.names,
        cluster_names=[data.names[i] for i in chosen],
    )
