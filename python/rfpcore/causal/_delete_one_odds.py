"""Sums that the odds of a logistic regression weigh, as it is fitted without each cluster."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from ._delete_one_logistic import LogisticWithoutEach
from ._replicates import pieces
from ._series import moments, series

Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class OddsWithoutEach:
    """The clipped odds of n points under the fits without each of G clusters.

    Attributes
    ----------
    fits : LogisticWithoutEach
    points : ndarray (n, q)
        In the fits' coordinates.
    length, log_odds : ndarrays (n,)
        Of the points, and by the fit of all clusters.
    clip : (low, high)
        Bounds of the probability.
    """

    fits: LogisticWithoutEach
    points: Array
    length: Array
    log_odds: Array
    clip: tuple[float, float]

    @classmethod
    def of_its_own(cls, fits: LogisticWithoutEach, clip: tuple[float, float]) -> "OddsWithoutEach":
        """Those of the points that the fits are made from."""
        full = fits.full
        return cls(fits, full.points, full.length, full.log_odds, clip)

    @classmethod
    def at(cls, fits: LogisticWithoutEach, Z: Array, clip: tuple[float, float]) -> "OddsWithoutEach":
        """Those at other covariates (n, q - 1)."""
        points, log_odds = fits.full.at(Z)
        return cls(fits, points, np.linalg.norm(points, axis=1), log_odds, clip)

    def sums(self, power: int, values: Array) -> Array:
        """(1 + G, M) sums of odds^power * values over all points, by the fit of all, then by each other.

        Parameters
        ----------
        power : {1, -1}
        values : ndarray (n, M)
        """
        fits, some = self.fits, np.asarray(values.any(axis=1))
        found = np.zeros((1 + len(fits.solved), values.shape[1]))
        found[0] = self.of_all(power) @ values
        by_series, by_number = np.flatnonzero(fits.serial), np.flatnonzero(fits.solved & ~fits.serial)
        found[1 + by_number] = self._by_number(by_number, np.flatnonzero(some), power, values)
        if len(by_series):
            found[1 + by_series] = self._by_series(by_series, some, power, values)
        return found

    def of_all(self, power: int) -> Array:
        """(n,) odds^power by the fit of all clusters."""
        return self._odds(self.log_odds, power)

    def sums_without_own(self, power: int, values: Array) -> Array:
        """The same where cluster c is point c, which the fit without it does not count."""
        found, own = self.sums(power, values), np.sum(self.points * self.fits.moves, axis=1)
        found[1:] -= self._odds(self.log_odds + own, power)[:, None] * values
        return found

    def _odds(self, index: Array, power: int) -> Array:
        """Clipped odds to this power."""
        low, high = (math.log(bound / (1 - bound)) for bound in self.clip)
        return np.asarray(np.exp(power * np.clip(index, low, high)))

    def _by_number(self, fits: Index, rows: Index, power: int, values: Array) -> Array:
        found = np.zeros((len(fits), values.shape[1]))
        points, index = self.points[rows], self.log_odds[rows]
        for part in pieces(len(fits), len(rows)):
            odds = self._odds(index + self.fits.moves[fits[part]] @ points.T, power)
            found[part] = odds @ values[rows]
        return found

    def _by_series(self, fits: Index, some: NDArray[np.bool_], power: int, values: Array) -> Array:
        """Clipped points have the same odds under all fits; those that some fits clip go by number."""
        moves, monomials = self.fits.moves[fits], self.fits.monomials
        reach = self.length * np.linalg.norm(moves, axis=1).max()
        low, high = (math.log(bound / (1 - bound)) for bound in self.clip)
        at_a_bound = np.minimum(abs(self.log_odds - low), abs(self.log_odds - high)) <= reach
        inside = (self.log_odds > low) & (self.log_odds < high)
        odd = (self.length > self.fits.near) | at_a_bound
        found = self._by_number(fits, np.flatnonzero(some & odd), power, values)
        fixed = some & ~odd & ~inside
        found += self._odds(self.log_odds[fixed], power) @ values[fixed]
        chosen = np.flatnonzero(some & ~odd & inside)
        weighed = self._odds(self.log_odds[chosen], power)[:, None] * values[chosen]
        found += series(
            monomials,
            moments(monomials, self.points[chosen], lambda _, part: weighed[part], weighed.shape[1]),
            power * moves,
        )
        return found
