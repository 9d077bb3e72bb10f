"""The data of an instrumental-variables problem: checked, in columns, and split by group."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from sklearn.preprocessing import StandardScaler

from .._arrays import Array, as_floats, group_codes, matrix, require_finite, require_length, row_weights
from .._frames import require_aligned
from .._options import fraction
from .._scaling import Scaling

LARGEST = 1e100
"""Numbers beyond it, and columns of nothing but numbers below one over it, are refused."""

LEAST_SHARE = 1e-12
"""A row with less than this share of the largest weight counts as one of weight 0."""


def columns(values: Any, name: str) -> Array:
    """A finite float64 array (rows, columns), C-contiguous; a vector becomes one column."""
    array = as_floats(values, name)
    named = values if array.ndim == 2 else array.reshape(-1, 1) if array.ndim == 1 else array
    return np.ascontiguousarray(matrix(named, name), np.float64)


class InstrumentedRows(NamedTuple):
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

    @property
    def n_endogenous(self) -> int:
        """Columns of X."""
        return int(self.inputs.shape[1]) - self.n_covariates

    @property
    def n_instruments(self) -> int:
        """Columns of Z."""
        return int(self.instruments.shape[1]) - self.n_covariates

    def take(self, rows: NDArray[np.intp]) -> "InstrumentedRows":
        """Some rows."""
        weights = None if self.weights is None else self.weights[rows]
        codes = None if self.codes is None else self.codes[rows]
        parts = (self.inputs[rows], self.y[rows], self.instruments[rows])
        return InstrumentedRows(*parts, weights, codes, self.n_covariates)

    @property
    def n(self) -> int:
        """How many."""
        return len(self.y)


def check_rows(X: Any, y: Any, Z: Any, covariates: Any, groups: Any, sample_weight: Any) -> InstrumentedRows:
    """The arguments of `fit` as `InstrumentedRows`: those of positive weight."""
    if y is None:
        raise ValueError("an instrumental-variables estimator requires y, but the target y is None")
    if Z is None:
        raise ValueError("Z is None; instruments are needed (Z=X is allowed, and gives ordinary regression)")
    require_aligned(X=X, y=y, Z=Z, covariates=covariates, groups=groups, sample_weight=sample_weight)
    inputs, instruments = columns(X, "X"), columns(Z, "Z")
    n = len(inputs)
    if n < 2:
        raise ValueError(f"{n} row is given; at least 2 are needed")
    require_length(instruments, "Z", n)
    outcome = as_floats(y, "y").astype(np.float64)
    require_length(outcome, "y", n)
    if outcome.ndim == 2 and outcome.shape[1] == 1:
        outcome = outcome[:, 0]
    if outcome.ndim != 1:
        raise ValueError(f"y has shape {outcome.shape}; one outcome a row, ({n},), is needed")
    require_finite(outcome, "y")
    controls = np.empty((n, 0)) if covariates is None else columns(covariates, "covariates")
    require_length(controls, "covariates", n)
    for array, name in ((inputs, "X"), (outcome, "y"), (instruments, "Z"), (controls, "covariates")):
        require_size(array, name)
    codes = None if groups is None else group_codes(groups, n)[1]
    parts = (np.hstack([inputs, controls]), outcome, np.hstack([instruments, controls]))
    rows = InstrumentedRows(*parts, None, codes, controls.shape[1])
    if sample_weight is not None:
        rows = _weighted(rows, row_weights(sample_weight, n))
    return rows


def require_size(array: Array, name: str, least: float = 1 / LARGEST) -> None:
    """Numbers whose squares, and sums of them, neither overflow nor, in all of a column, vanish."""
    largest = np.abs(array.reshape(len(array), -1)).max(axis=0, initial=0.0)
    bad = np.flatnonzero((largest > LARGEST) | ((largest > 0) & (largest < least)))
    if bad.size:
        where = f"column {bad[0]} of {name}" if array.ndim == 2 else name
        raise ValueError(
            f"{where} has values up to {largest[bad[0]]:.3g}; sizes between {least:g} and {LARGEST:g} "
            "are possible: give it in other units"
        )


def _weighted(rows: InstrumentedRows, weights: Array) -> InstrumentedRows:
    """The rows of positive weight, with weights of mean 1."""
    largest = weights.max()
    if largest == 0:
        raise ValueError("sample_weight is 0 in every row; at least two must be positive")
    shares = weights / largest
    counted = np.flatnonzero(shares > LEAST_SHARE)
    if len(counted) < 2:
        raise ValueError(
            f"sample_weight counts {len(counted)} of {rows.n} rows (row {counted[0]}; the others have less "
            f"than {LEAST_SHARE:g} of its weight); at least 2 are needed"
        )
    kept = rows if len(counted) == rows.n else rows.take(counted)
    if kept.codes is not None:  # groups of no rows are none
        kept = kept._replace(codes=np.unique(kept.codes, return_inverse=True)[1])
    return kept._replace(weights=np.asarray(shares[counted] / shares[counted].mean(), np.float64))


@dataclass(frozen=True)
class Scales:
    """What brings inputs, instruments and outcome to mean 0 and variance 1."""

    inputs: Scaling
    instruments: Scaling
    y_mean: float
    y_scale: float

    @classmethod
    def of(cls, rows: InstrumentedRows) -> "Scales":
        """Those of some rows."""
        w = rows.weights
        y_mean = float(np.average(rows.y, weights=w))
        y_scale = float(np.sqrt(np.average((rows.y - y_mean) ** 2, weights=w)))
        return cls(
            _scaling(rows.inputs, w),
            _scaling(rows.instruments, w),
            y_mean,
            y_scale if y_scale > 0 else 1.0,  # a constant outcome
        )

    def apply(self, rows: InstrumentedRows) -> InstrumentedRows:
        """The rows in these units."""
        inputs, instruments = self.inputs.apply(rows.inputs), self.instruments.apply(rows.instruments)
        return rows._replace(inputs=inputs, y=(rows.y - self.y_mean) / self.y_scale, instruments=instruments)

    def outcomes(self, standard: Array) -> Array:
        """Outcomes of mean 0 and variance 1 in the units of y."""
        return np.asarray(self.y_mean + self.y_scale * standard)


def _scaling(columns: Array, weights: Array | None) -> Scaling:
    """That of scikit-learn's `StandardScaler`."""
    found = StandardScaler().fit(columns, sample_weight=weights)
    return Scaling(found.mean_, found.scale_)


def split(rows: InstrumentedRows, share: float, random: np.random.RandomState) -> list[NDArray[np.intp]]:
    """Rows to fit on and rows held out, whole groups where there are groups."""
    return split_rows(rows.n, rows.codes, share, random)


def split_rows(
    n: int, codes: NDArray[np.intp] | None, given: float, random: np.random.RandomState
) -> list[NDArray[np.intp]]:
    """As `split`, for n rows and their groups' codes."""
    share = fraction(given, "validation_fraction")
    n_units = n if codes is None else len(np.unique(codes))
    held_out = math.ceil(share * n_units)
    if n_units > 1 and held_out >= n_units:
        what = "rows" if codes is None else "groups"
        raise ValueError(
            f"validation_fraction={share:g} holds out {held_out} of {n_units} {what}; a smaller one is needed"
        )
    if codes is None:
        parts = next(ShuffleSplit(1, test_size=share, random_state=random).split(np.empty(n)))
        return [np.sort(part) for part in parts]
    if n_units < 2:
        raise ValueError(f"groups has {n_units} group; at least 2 are needed to hold one out")
    splitter = GroupShuffleSplit(1, test_size=share, random_state=random)
    return [np.sort(part) for part in next(splitter.split(np.empty(n), groups=codes))]
