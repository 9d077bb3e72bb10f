"""Columns of any unit and level: brought to order 1, and rid of those that say nothing new."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from ._arrays import F64, Array
from ._file_parts import Tensors, tensor

EPS = float(np.finfo(np.float64).eps)
REDUNDANT = 1e-11  # of a column's length outside the others' span: rounding of a decomposition is a hundredth


def centred(columns: Array) -> tuple[Array, NDArray[np.intc], Array]:
    """Columns less their means over a power of two, so that no square over- or underflows.

    Parameters
    ----------
    columns : ndarray (N,) or (N, d)

    Returns
    -------
    values : ndarray of the same shape
        All of them less than 1 in size; exactly 0 in a column that is constant but for rounding.
    exponent : ndarray () or (d,) of int
        values * 2**exponent are the columns less their means.
    mean : ndarray () or (d,)
        In units of 2**exponent too.
    """
    largest = np.abs(columns).max(axis=0, initial=0.0)
    exponent = np.frexp(largest)[1] + 1
    small = np.ldexp(columns, -exponent)
    mean = small.mean(axis=0)
    mean = mean + (small - mean).mean(axis=0)  # what rounding left of a high level
    constant = np.ptp(small, axis=0) <= 4 * EPS * np.abs(small).max(axis=0)
    return np.where(constant, 0.0, small - mean), exponent, mean


def standardized(columns: Array) -> Array:
    """Columns of mean 0 and standard deviation 1, whatever their unit; a constant column becomes 0."""
    values = centred(columns)[0]
    spread = values.std(axis=0)
    return np.ascontiguousarray(values / np.where(spread > 0, spread, 1.0))


def level_and_spread(values: Array, weights: Array | None = None) -> tuple[float, float]:
    """Mean and standard deviation of numbers of any size; a deviation of 1 where they are constant.

    A number of weight 2 counts as two; weights are above 0.
    """
    rest, exponent, mean = centred(values)
    if weights is None:
        spread = rest.std()
    else:
        shift = np.average(rest, weights=weights)
        mean, spread = mean + shift, np.sqrt(np.average((rest - shift) ** 2, weights=weights))
    return float(np.ldexp(mean, exponent)), float(np.ldexp(spread, exponent)) or 1.0


@dataclass(frozen=True, eq=False)
class Scaling:
    """Columns' levels and spreads, learnt from some rows, and how to go there and back.

    Attributes
    ----------
    level, spread : ndarray (d,) of float64
        Means and standard deviations.
    """

    level: Array
    spread: Array

    @classmethod
    def plain(cls, columns: Array, weights: Array | None = None) -> "Scaling":
        """Of each column (N, d) as `level_and_spread` has them: a spread of 1 where one is constant."""
        each = [level_and_spread(column, weights) for column in columns.T]
        return cls(*np.array(each).reshape(-1, 2).T)

    @classmethod
    def of(cls, columns: Array, weights: Array | None = None) -> "Scaling":
        """Of finite columns (N, d) of any size; a row of weight 2 counts as two rows.

        The spread of a constant column is its size, or 1 of a column of zeros: what differs there in rows to
        come stays of order 1 unless it is of another size.
        """
        if weights is not None and (used := weights > 0).any():
            columns, weights = columns[used], weights[used] / weights.max()
        else:
            weights = None
        values, exponent, mean = centred(columns.astype(np.float64, copy=False))
        shift = np.average(values, axis=0, weights=weights)
        variance = np.average((values - shift) ** 2, axis=0, weights=weights)
        level, spread = (np.ldexp(v, exponent) for v in (mean + shift, np.sqrt(variance)))
        size = np.where(level != 0, np.abs(level), 1.0)
        return cls(level, np.where(spread > 0, spread, size))

    def apply(self, columns: Array) -> Array:
        """Columns (N, d) in spreads from their levels, in their own dtype."""
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite then is refused by its place
            # By halves: a difference of large numbers must not overflow.
            scaled = (0.5 * columns - 0.5 * self.level) / (0.5 * self.spread)
            return np.ascontiguousarray(scaled, columns.dtype)

    def undo(self, scaled: Array) -> Array:
        """The columns again, in float64: a high level must not cost digits."""
        with np.errstate(over="ignore"):
            return np.asarray(scaled.astype(np.float64, copy=False) * self.spread + self.level)

    @property
    def change(self) -> Array:
        """(1 + d, 1 + d) from coefficients of a constant and scaled columns to those of the columns."""
        matrix = np.diag(np.r_[1.0, 1.0 / self.spread])
        matrix[0, 1:] = -self.level / self.spread
        return matrix


def read_scaling(tensors: Tensors, level: str, spread: str, length: int) -> Scaling:
    """Of so many columns from a file's arrays, kept under these names; they are taken out."""
    found = Scaling(*(tensor(tensors, name, length, dtype=F64) for name in (level, spread)))
    if found.spread.min(initial=1.0) <= 0:
        raise ValueError(f"{spread} has {found.spread.min()}; positive numbers are needed")
    return found


class Basis(NamedTuple):
    """An orthonormal basis of the intercept and columns.

    Attributes
    ----------
    vectors : ndarray (N, K)
        The intercept's, then what each column adds to those before it.
    kept : list of int
        The columns (from 0) that add something.
    length : float
        How long the part of the last column is that the others do not explain, in units of 2**exponent;
        without a meaning unless the last column is kept.
    exponent : int
    """

    vectors: Array
    kept: list[int]
    length: float
    exponent: int


def basis_of(
    columns: Array, within: Callable[[Array], Array] | None = None, root: Array | None = None
) -> Basis:
    """Decompose an intercept and columns (N, d), d > 0, dropping those that the ones before explain.

    A QR decomposition of the centred and scaled columns: a diagonal entry of R is the length of what is new
    in its column. New is what exceeds `REDUNDANT`, and what rounding of the columns as they were given, with
    their level, can make up. `within` takes from the centred columns what is compared, with weights whose
    roots (N,) are the intercept's column.
    """
    values, exponents, _ = centred(columns)
    if within is not None:
        values = within(values)
    lengths = np.sqrt(np.sum(values**2, axis=0))
    n = len(values)
    constant = np.full(n, n**-0.5) if root is None else root / np.sqrt(np.sum(root**2))
    design = np.column_stack([constant, values / np.where(lengths > 0, lengths, 1.0)])
    noise = np.r_[EPS, EPS * np.sqrt(n) / np.where(lengths > 0, lengths, 1.0)]
    kept = _independent(np.asarray(np.linalg.qr(design, mode="r")), noise)
    vectors, R = np.linalg.qr(design[:, kept])
    sign = np.where(np.diag(R) < 0, -1.0, 1.0)
    last = abs(float(R[-1, -1])) * float(lengths[-1])
    return Basis(vectors * sign, [j - 1 for j in kept[1:]], last, int(exponents[-1]))


def _independent(R: Array, noise: Array) -> list[int]:
    """Columns of a triangular factor that are no combination of those before, the first one always."""
    left, j = list(range(R.shape[1])), 1
    while j < len(left):
        shares = solve_triangular(R[:j, :j], R[:j, j])
        doubtful = noise[left[j]] + np.abs(shares) @ noise[left[:j]]
        if j < len(R) and abs(R[j, j]) > max(REDUNDANT, 4 * doubtful):
            j += 1
            continue
        # Its direction is rounding, and may be one that a column to come needs.
        del left[j]
        R = np.asarray(np.linalg.qr(np.delete(R, j, axis=1), mode="r"))
    return left


def named(labels: Iterable[object], most: int = 5) -> str:
    """Labels for a message, the first few of them."""
    shown = [str(label) for label in labels]
    return ", ".join(shown[:most]) + (", ..." if len(shown) > most else "")
