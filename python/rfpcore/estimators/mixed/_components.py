"""Which effects a cluster has, and the parameters of their covariance.

V_c = s^2 diag(1/w) + Z_c D Z_c' + v exp(-|x - x'|^2 / (2 l^2)), with Z_c an intercept and slopes. The
parameters are the logarithms of variances and lengths and, for a full matrix, D's Cholesky factor with the
logarithm of its diagonal.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import _rfpcore

Floats = NDArray[np.float64]

# Of the logarithm of a variance over the outcome's: below, it is none, and above, no data could tell.
LOWEST, HIGHEST = -24.0, 6.0
LENGTHS = (-2.5, 2.5)  # of the logarithm of l, in standard deviations of the columns
WEIGHT_OF_PRIOR, WEIGHT_OF_LENGTH = 0.02, 1.5
SHARE = 0.3  # of the residuals' variance that each part starts with
NONE = -700.0  # the logarithm of a variance of which no row says anything: as good as 0, and yet a number
UNSEEN = 1e-10  # of a column: what rounding leaves of a mean


@dataclass(frozen=True)
class Structure:
    """Which effects a cluster has.

    Attributes
    ----------
    intercept : bool
    slopes : tuple of int
        Columns whose slope is the cluster's own.
    slope_covariance : {"shared", "diagonal", "full"}
        One variance for all slopes; one each; or one matrix for intercept and slopes.
    is_centred : bool
        Whether slopes turn about the cluster's mean of x.
    smooth : tuple of int
        Columns of a smooth function of the cluster's own; () for none.
    levels : int
        2 where groups are nested in the clusters, each with an intercept and slopes too.
    unit_noise : bool
        Whether s^2 is 1: of outcomes that are no normal numbers, whose noise is in the weights.
    """

    intercept: bool
    slopes: tuple[int, ...]
    slope_covariance: str
    is_centred: bool
    smooth: tuple[int, ...]
    levels: int = 1
    unit_noise: bool = False

    @property
    def n_columns(self) -> int:
        """Columns of Z."""
        return int(self.intercept) + len(self.slopes)

    @property
    def blocks(self) -> list["Block"]:
        """The matrices D of all levels, in the order of the parameters."""
        own = list(range(self.n_columns))
        if self.slope_covariance == "full" or len(own) <= 1:
            parts = [own] if own else []
        elif self.slope_covariance == "diagonal":
            parts = [[one] for one in own]
        elif self.slope_covariance == "shared":
            parts = [[0], own[1:]] if self.intercept else [own]
        else:
            raise AssertionError(self.slope_covariance)
        is_full = self.slope_covariance == "full"
        return [Block(level, tuple(part), is_full) for level in range(self.levels) for part in parts]

    @property
    def n_parameters(self) -> int:
        """Parameters of the covariance, with the noise."""
        return sum(block.size for block in self.blocks) + 2 * bool(self.smooth) + 1

    def covariance(self, data: "EffectData") -> _rfpcore.Covariance:
        """The kernel's object for these rows."""
        terms = [
            (np.array(block.columns, np.int64), data.inner if block.level else None) for block in self.blocks
        ]
        return _rfpcore.Covariance(data.offsets, data.columns, terms, data.smooth, data.weights)


class Block(NamedTuple):
    """One matrix D: of a level's columns, full or a multiple of the identity."""

    level: int
    columns: tuple[int, ...]
    is_full: bool

    @property
    def size(self) -> int:
        """Its parameters."""
        q = len(self.columns)
        return q * (q + 1) // 2 if self.is_full else 1

    def matrix(self, u: Floats) -> Floats:
        """D at its parameters."""
        q = len(self.columns)
        if not self.is_full:
            return np.asarray(np.exp(u[0]) / q * np.eye(q))
        L = self.factor(u)
        return L @ L.T

    def factor(self, u: Floats) -> Floats:
        """The Cholesky factor of a full matrix."""
        q = len(self.columns)
        L = np.zeros((q, q))
        L[np.tril_indices(q)] = u
        L[np.diag_indices(q)] = np.exp(np.diag(L) / 2)
        return L

    def chain(self, u: Floats, G: Floats) -> Floats:
        """The gradient in the parameters, from the one in D."""
        q = len(self.columns)
        if not self.is_full:
            return np.array([np.trace(G) * np.exp(u[0]) / q])
        L = self.factor(u)
        inner = 2 * G @ L
        inner[np.diag_indices(q)] *= np.diag(L) / 2
        return np.asarray(inner[np.tril_indices(q)])

    def without(self, u: Floats, unseen: NDArray[np.bool_]) -> Floats:
        """Parameters of the same matrix without the variances of some columns (q,)."""
        if not unseen.any() or not (self.is_full or unseen.all()):
            return u
        if not self.is_full:
            return np.array([NONE])
        q, seen = len(self.columns), np.flatnonzero(~unseen)
        L = np.zeros((q, q))
        # The other rows of L, turned to as many columns.
        R = np.linalg.qr(self.factor(u)[seen].T, mode="r")
        L[np.ix_(seen, seen)] = (np.where(np.diag(R) < 0, -1.0, 1.0)[:, None] * R).T
        least = np.exp(NONE / 2)
        L[np.diag_indices(q)] = 2 * np.log(np.maximum(np.diag(L), least))
        return L[np.tril_indices(q)]

    def variances(self) -> NDArray[np.intp]:
        """Positions of logarithms of variances among the parameters."""
        q = len(self.columns)
        if not self.is_full:
            return np.array([0])
        rows, columns = np.tril_indices(q)
        return np.flatnonzero(rows == columns)


class EffectData(NamedTuple):
    """Rows sorted by cluster, as the covariance reads them.

    Attributes
    ----------
    offsets : int64 (C + 1,)
    columns : float64 (N, q)
        Z: intercept, then slopes.
    smooth : float64 (N, m) or None
        Columns of the smooth part, over the root of their number.
    inner : int64 (N,) or None
        Codes of the groups within the clusters.
    weights : float64 (N,) or None
    """

    offsets: NDArray[np.int64]
    columns: Floats
    smooth: Floats | None
    inner: NDArray[np.int64] | None
    weights: Floats | None

    def take(self, rows: NDArray[np.intp], offsets: NDArray[np.int64]) -> "EffectData":
        """Some of the rows, still sorted."""
        columns = np.ascontiguousarray(self.columns[rows])
        smooth = None if self.smooth is None else np.ascontiguousarray(self.smooth[rows])
        inner = None if self.inner is None else np.ascontiguousarray(self.inner[rows])
        weights = None if self.weights is None else np.ascontiguousarray(self.weights[rows])
        return EffectData(offsets, columns, smooth, inner, weights)


class Values(NamedTuple):
    """A covariance's values, as `Covariance.factor` takes them."""

    noise: float
    matrices: list[Floats]
    smooth: tuple[float, float] | None

    def factors(self, covariance: _rfpcore.Covariance, n_threads: int) -> _rfpcore.Factors:
        """V_c of all clusters, factored."""
        try:
            return covariance.factor(self.noise, self.matrices, self.smooth, n_threads)
        except ValueError as error:
            raise ValueError(
                f"{error}; rows very far from the mean of X, or outcomes with hardly any noise, do that"
            ) from None


def variance_of(structure: Structure, found: Values, columns: Floats) -> Floats:
    """The effects' variance z'Dz + v at rows of Z (N, q)."""
    total = np.full(len(columns), found.smooth[0] if found.smooth else 0.0)
    for block, D in zip(structure.blocks, found.matrices, strict=True):
        own = columns[:, list(block.columns)]
        total += ((own @ D) * own).sum(axis=1)
    return total


def values(structure: Structure, u: Floats) -> Values:
    """The values at the parameters."""
    matrices, at = [], 0
    for block in structure.blocks:
        matrices.append(block.matrix(u[at : at + block.size]))
        at += block.size
    smooth = (float(np.exp(u[at])), float(np.exp(u[at + 1]))) if structure.smooth else None
    return Values(float(np.exp(u[-1])), matrices, smooth)


def chain(structure: Structure, u: Floats, gradient: Any) -> Floats:
    """The gradient in the parameters, from what `Factors.gradient` returns."""
    d_noise, d_matrices, d_smooth = gradient
    parts, at = [], 0
    for block, G in zip(structure.blocks, d_matrices, strict=True):
        parts.append(block.chain(u[at : at + block.size], G))
        at += block.size
    if structure.smooth:
        parts.append(np.array(d_smooth) * np.exp(u[at : at + 2]))
    return np.concatenate([*parts, [d_noise * np.exp(u[-1])]])


def start(structure: Structure, variance: float) -> Floats:
    """Where the search for the parameters starts."""
    u = np.zeros(structure.n_parameters)
    u[log_variances(structure)] = np.log(SHARE * variance)
    return u


def without_unseen(structure: Structure, u: Floats, columns: Floats) -> Floats:
    """The parameters without variances of which no row says anything: of columns of Z (N, q) that are 0.

    Slopes of a column that does not vary, or not within clusters where they turn about a cluster's mean.
    """
    unseen = np.abs(columns).max(axis=0, initial=0.0) <= UNSEEN
    parts, at = [], 0
    for block in structure.blocks:
        parts.append(block.without(u[at : at + block.size], unseen[list(block.columns)]))
        at += block.size
    return np.concatenate([*parts, u[at:]])


def vanished(structure: Structure, u: Floats, least: float) -> NDArray[np.bool_]:
    """Which parameters are of effects' variances whose logarithm is at most `least`.

    These logarithms, and covariances of 0 beside them.
    """
    parts, at = [], 0
    for block in structure.blocks:
        own = u[at : at + block.size]
        rows, columns = np.tril_indices(len(block.columns)) if block.is_full else (np.zeros(1, int),) * 2
        none = np.zeros(len(block.columns), bool)
        none[rows[rows == columns]] = own[rows == columns] <= least
        parts.append(np.where(rows == columns, none[rows], (own == 0) & (none[rows] | none[columns])))
        at += block.size
    smooth = [bool(u[at] <= least), False] if structure.smooth else []
    return np.concatenate([*parts, np.array([*smooth, False])])


def log_variances(structure: Structure) -> NDArray[np.intp]:
    """Positions of logarithms of variances."""
    positions: list[int] = []
    at = 0
    for block in structure.blocks:
        positions.extend(at + block.variances())
        at += block.size
    if structure.smooth:
        positions.append(at)
    return np.array(positions if structure.unit_noise else [*positions, structure.n_parameters - 1])


def bounds(structure: Structure, variance: float) -> list[tuple[float | None, float | None]]:
    """Within which the parameters are sought."""
    limits: list[tuple[float | None, float | None]] = [(None, None)] * structure.n_parameters
    level = float(np.log(variance))
    for position in log_variances(structure):
        limits[position] = (level + LOWEST, level + HIGHEST)
    if structure.smooth:
        limits[-2] = LENGTHS
    if structure.unit_noise:
        limits[-1] = (0.0, 0.0)
    return limits


def prior(structure: Structure, u: Floats, variance: float) -> tuple[float, Floats]:
    """A weak penalty that keeps parts finite, and its gradient: minus the logarithm of a density."""
    where, gradient = log_variances(structure), np.zeros_like(u)
    away = u[where] - np.log(SHARE * variance)
    gradient[where] = 2 * WEIGHT_OF_PRIOR * away
    total = WEIGHT_OF_PRIOR * float(away @ away)
    if structure.smooth:
        total += WEIGHT_OF_LENGTH * float(u[-2] ** 2)
        gradient[-2] += 2 * WEIGHT_OF_LENGTH * u[-2]
    return total, gradient
