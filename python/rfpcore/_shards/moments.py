"""Levels and spreads of columns that nobody sees whole: of parts, put together in float64."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._arrays import Array
from .._scaling import EPS, Scaling, centred


@dataclass(frozen=True)
class ColumnMoments:
    """Of some rows' columns.

    Attributes
    ----------
    weight : float
        Of all rows.
    level, spread, low, high : ndarray (d,)
        Means, standard deviations, and the least and largest values of rows that have a weight.
    """

    weight: float
    level: Array
    spread: Array
    low: Array
    high: Array

    @classmethod
    def of(cls, columns: Array, weights: Array | None) -> "ColumnMoments | None":
        """Of columns (N, d), a row of weight 2 counting as two; None where no row has a weight."""
        if weights is not None:
            used = weights > 0
            columns, weights = columns[used], weights[used].astype(np.float64)
            if not len(columns):
                return None
        columns = columns.astype(np.float64, copy=False)
        values, exponent, mean = centred(columns)
        shift = np.average(values, axis=0, weights=weights)
        variance = np.average((values - shift) ** 2, axis=0, weights=weights)
        level, spread = (np.ldexp(v, exponent) for v in (mean + shift, np.sqrt(variance)))
        total = float(len(columns) if weights is None else weights.sum())
        return cls(total, level, spread, columns.min(axis=0), columns.max(axis=0))


def together(parts: Sequence[ColumnMoments], plain: bool = False) -> Scaling:
    """What `Scaling.of` has of all rows at once, but for rounding; or `Scaling.plain`.

    The variance of all is the mean of the parts' variances and of their levels' squared distances (Chan,
    Golub and LeVeque, 1983, "Algorithms for computing the sample variance", equation 2.1), in units of a
    power of two, so that no square over- or underflows.
    """
    shares = np.array([part.weight for part in parts])
    shares = (shares / shares.max())[:, None]
    low, high = (np.array([getattr(part, name) for part in parts]) for name in ("low", "high"))
    low, high = low.min(axis=0), high.max(axis=0)
    size = np.maximum(np.abs(low), np.abs(high))
    exponent = np.frexp(size)[1] + 1
    levels, spreads = (
        np.ldexp(np.array([getattr(part, name) for part in parts]), -exponent) for name in ("level", "spread")
    )
    level = _mean(levels, shares)
    spread = np.sqrt(_mean(spreads**2 + (levels - level) ** 2, shares))
    constant = np.ldexp(high, -exponent) - np.ldexp(low, -exponent) <= 4 * EPS * np.ldexp(size, -exponent)
    level, spread = np.ldexp(level, exponent), np.ldexp(spread, exponent)
    instead = 1.0 if plain else np.where(level != 0, np.abs(level), 1.0)
    return Scaling(level, np.where(constant | (spread <= 0), instead, spread))


def _mean(values: Array, shares: Array) -> Array:
    return np.asarray((values * shares).sum(axis=0) / shares.sum())
