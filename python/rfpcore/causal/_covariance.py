"""How estimates of the same data vary together: their covariance, differences, and joint tests."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from .._arrays import Array
from .._scaling import EPS
from ._intervals import length
from .results import Effect

SINGULAR = 1e-10  # least eigenvalue of a correlation matrix that is more than rounding


class WaldTest(NamedTuple):
    """A test that several effects are all zero.

    Attributes
    ----------
    statistic : float
        F: the quadratic form b'V⁻¹b times (df - q + 1) / (df q).
    df : tuple of (int, float)
        q effects, and the degrees of freedom df - q + 1 of the denominator, where df is that of one effect.
    p_value : float
    wald : float
        b'V⁻¹b itself.
    """

    statistic: float
    df: tuple[int, float]
    p_value: float
    wald: float


class Replicates(NamedTuple):
    """Effects, and what they are without each cluster or in each bootstrap sample.

    Attributes
    ----------
    effects : sequence of E Effects
    values : ndarray (R, E)
    arm : ndarray (R,)
        Strata of the clusters left out.
    method : {"jackknife", "cv3", "bootstrap"}
    """

    effects: Sequence[Effect]
    values: Array
    arm: NDArray[np.int64]
    method: str

    @property
    def errors(self) -> Array:
        """(E,) standard errors; NaN where there is none."""
        return np.array([effect.std_error for effect in self.effects])

    def pulls(self) -> Array:
        """(R, E) whose sums of squares and products are variances and covariances; NaN without an error."""
        found = np.full(self.values.shape, np.nan)
        valid = np.flatnonzero(self.errors > 0)
        own = self.values[:, valid]
        if self.method == "bootstrap":
            found = found[: (some := ~np.isnan(own).any(axis=1)).sum()]
            if len(found) > 1:
                off = own[some] - own[some].mean(axis=0)
                # A sample without a value of one effect is none for the others: lengths are the errors'.
                found[:, valid] = off * [
                    error / length(column) for error, column in zip(self.errors[valid], off.T, strict=True)
                ]
            return found
        by_arm = self.method == "jackknife" and np.unique(self.arm, return_counts=True)[1].min() > 1
        estimates = np.array([effect.estimate for effect in self.effects])
        found[:, valid] = pulls_of(own, estimates[valid], self.arm if by_arm else None)
        return found


def pulls_of(without: Array, estimates: Array, arm: NDArray[np.int64] | None) -> Array:
    """(G, E) sqrt((n - 1) / n) times what leaving out each cluster does, as in the standard errors."""
    n = len(without)
    if arm is None:
        return np.asarray(np.sqrt((n - 1) / n) * (without - estimates))
    pulls = np.empty_like(without)
    for value in np.unique(arm):
        own = arm == value
        share = (own.sum() - 1) / own.sum()
        pulls[own] = np.sqrt(share) * (without[own] - without[own].mean(axis=0))
    return pulls


def covariance(replicates: Replicates) -> NDArray[np.float64]:
    """(E, E); rows and columns of effects without an error are NaN."""
    pulls = replicates.pulls()
    return np.asarray(pulls.T @ pulls)


def difference(replicates: Replicates, first: int, second: int, size: float) -> Effect:
    """One effect minus another, with the error that their replicates give it."""
    one, other = (replicates.effects[i] for i in (first, second))
    pulls = replicates.pulls()
    error = length(pulls[:, first] - pulls[:, second]) if len(pulls) else math.nan
    if math.isnan(error) or error <= 32 * EPS * size:
        error = math.nan
    return Effect(
        f"{one.name} minus {other.name}",
        one.estimate - other.estimate,
        error,
        min(one.df, other.df),
        one.method,
        draws=replicates.values[:, first] - replicates.values[:, second],
    )


def equality_test(replicates: Replicates, size: float) -> WaldTest:
    """Whether effects are equal: differences from the first are zero; from any other it is the same."""
    rest = range(1, len(replicates.effects))
    pairs = [difference(replicates, i, 0, size) for i in rest]
    if any(math.isnan(pair.std_error) for pair in pairs):
        raise ValueError("differences of these effects are nothing but rounding: there is no joint test")
    values = replicates.values[:, 1:] - replicates.values[:, :1]
    return wald_test(replicates._replace(effects=pairs, values=values), range(len(pairs)), "differences")


def wald_test(replicates: Replicates, chosen: Sequence[int], what: str) -> WaldTest:
    """Whether the effects chosen are all zero, by Hotelling's T².

    b'V⁻¹b with a covariance estimated from so many clusters is larger than chi-squared: for normal cluster
    means (df - q + 1) / (df q) times it is exactly F(q, df - q + 1). Anderson (2003), "An introduction to
    multivariate statistical analysis", theorem 5.2.2.
    """
    errors, q = replicates.errors, len(chosen)
    df = min(replicates.effects[i].df for i in chosen)
    if df - q + 1 <= 0:
        raise ValueError(
            f"there are {q} {what} and {df:g} degrees of freedom: too few clusters for a joint test. "
            "uniform_band holds for all at once"
        )
    own = errors[list(chosen)]
    scaled = np.array([replicates.effects[i].estimate for i in chosen]) / own
    correlation = covariance(replicates)[np.ix_(chosen, chosen)] / np.outer(own, own)
    values, vectors = np.linalg.eigh(correlation)
    if not values[0] > SINGULAR:
        raise ValueError(
            f"the {q} {what} are linear functions of each other, as far as their replicates tell: there is "
            "no joint test. uniform_band holds for all at once"
        )
    wald = float(np.sum((scaled @ vectors) ** 2 / values))
    statistic, rest = wald * (df - q + 1) / (df * q), df - q + 1
    return WaldTest(statistic, (q, rest), float(fdtrc(q, rest, statistic)), wald)
