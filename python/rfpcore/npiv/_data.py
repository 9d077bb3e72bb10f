"""The data of an instrumental-variables problem: checked, in columns, and split by group."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from sklearn.preprocessing import StandardScaler

from .._arrays import Array, as_floats, group_codes, matrix, require_finite, require_length, row_weights
from .._frames import require_aligned
from .._warn import warn
from ..exceptions import InstrumentWarning


def columns(values: Any, name: str) -> Array:
    """A finite float64 array (rows, columns), C-contiguous; a vector becomes one column."""
    array = as_floats(values, name)
    named = values if array.ndim == 2 else array.reshape(-1, 1) if array.ndim == 1 else array
    return np.ascontiguousarray(matrix(named, name), np.float64)


class Rows(NamedTuple):
    """What every estimator fits, all float64; covariates are the last columns of both matrices."""

    inputs: Array
    """(n, d)"""
    y: Array
    """(n,)"""
    instruments: Array
    """(n, q)"""
    weights: Array | None
    """(n,), of mean 1"""
    codes: NDArray[np.intp] | None
    """(n,) group of each row, 0, 1, …"""
    n_covariates: int

    def take(self, rows: NDArray[np.intp]) -> "Rows":
        """Some rows."""
        weights = None if self.weights is None else self.weights[rows]
        codes = None if self.codes is None else self.codes[rows]
        parts = (self.inputs[rows], self.y[rows], self.instruments[rows])
        return Rows(*parts, weights, codes, self.n_covariates)

    @property
    def n(self) -> int:
        """How many."""
        return len(self.y)


def check_rows(X: Any, y: Any, Z: Any, covariates: Any, groups: Any, sample_weight: Any) -> Rows:
    """The arguments of `fit` as `Rows`; warns where Z is X."""
    if y is None:
        raise ValueError("an instrumental-variables estimator requires y, but the target y is None")
    if Z is None:
        raise ValueError("Z is None; instruments are needed (Z=X is allowed, and gives ordinary regression)")
    require_aligned(X=X, y=y, Z=Z, covariates=covariates, groups=groups, sample_weight=sample_weight)
    inputs, instruments = columns(X, "X"), columns(Z, "Z")
    n = len(inputs)
    require_length(instruments, "Z", n)
    outcome = as_floats(y, "y").astype(np.float64)
    require_length(outcome, "y", n)
    if outcome.ndim == 2 and outcome.shape[1] == 1:
        outcome = outcome[:, 0]
    if outcome.ndim != 1:
        raise ValueError(f"y has shape {outcome.shape}; one outcome a row, ({n},), is needed")
    require_finite(outcome, "y")
    _check_variation(inputs, instruments, n)
    controls = np.empty((n, 0)) if covariates is None else columns(covariates, "covariates")
    require_length(controls, "covariates", n)
    weights = None if sample_weight is None else _mean_one(row_weights(sample_weight, n))
    codes = None if groups is None else group_codes(groups, n)[1]
    parts = (np.hstack([inputs, controls]), outcome, np.hstack([instruments, controls]))
    return Rows(*parts, weights, codes, controls.shape[1])


def _check_variation(inputs: Array, instruments: Array, n: int) -> None:
    """Instruments that vary; a warning where they are the inputs themselves."""
    if n < 2:
        raise ValueError(f"{n} row is given; at least 2 are needed")
    if (np.ptp(instruments, axis=0) == 0).all():
        values = ", ".join(f"{value:g}" for value in instruments[0])
        raise ValueError(f"Z is constant ({values} in every row); an instrument that varies is needed")
    if inputs.shape == instruments.shape and (inputs == instruments).all():
        warn("Z equals X: this is ordinary regression, without instruments", InstrumentWarning)


def _mean_one(weights: Array) -> Array:
    if weights.sum() == 0:
        raise ValueError("sample_weight is 0 in every row; at least one must be positive")
    return np.asarray(weights / weights.mean(), np.float64)


@dataclass(frozen=True)
class Scales:
    """What brings inputs, instruments and outcome to mean 0 and variance 1."""

    inputs: StandardScaler
    instruments: StandardScaler
    y_mean: float
    y_scale: float

    @classmethod
    def of(cls, rows: Rows) -> "Scales":
        """Those of some rows."""
        w = rows.weights
        y_mean = float(np.average(rows.y, weights=w))
        y_scale = float(np.sqrt(np.average((rows.y - y_mean) ** 2, weights=w)))
        return cls(
            StandardScaler().fit(rows.inputs, sample_weight=w),
            StandardScaler().fit(rows.instruments, sample_weight=w),
            y_mean,
            y_scale if y_scale > 0 else 1.0,
        )

    def apply(self, rows: Rows) -> Rows:
        """The rows in these units."""
        inputs, instruments = self.inputs.transform(rows.inputs), self.instruments.transform(rows.instruments)
        return rows._replace(inputs=inputs, y=(rows.y - self.y_mean) / self.y_scale, instruments=instruments)


def split(rows: Rows, fraction: float, random: np.random.RandomState) -> list[NDArray[np.intp]]:
    """Rows to fit on and rows held out, whole groups where there are groups."""
    return split_rows(rows.n, rows.codes, fraction, random)


def split_rows(
    n: int, codes: NDArray[np.intp] | None, fraction: float, random: np.random.RandomState
) -> list[NDArray[np.intp]]:
    """As `split`, for n rows and their groups' codes."""
    if codes is None:
        parts = next(ShuffleSplit(1, test_size=fraction, random_state=random).split(np.empty(n)))
        return [np.sort(part) for part in parts]
    n_groups = len(np.unique(codes))
    if n_groups < 2:
        raise ValueError(f"groups has {n_groups} group; at least 2 are needed to hold one out")
    splitter = GroupShuffleSplit(1, test_size=fraction, random_state=random)
    return [np.sort(part) for part in next(splitter.split(np.empty(n), groups=codes))]
