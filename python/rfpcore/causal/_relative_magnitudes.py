"""Confidence sets for an effect whose parallel trends fail by at most M̄ times what they did before adoption.

Rambachan and Roth (2023), "A more credible approach to parallel trends", Review of Economic Studies 90. The
event study's estimates b are of effects plus differences in trends δ, with δ = 0 in the period before
adoption. "Relative magnitudes" bounds the change of δ between any two periods since by M̄ times its largest
change before. That is a union over which change before is the largest, and its sign: with v'δ this change,
and D the first differences since adoption, |D δ| ≤ M̄ v'δ.

In each part it is tested whether l'τ is θ by the conditional test with a least favourable first stage of
Andrews, Roth and Pakes (2023), "Inference for linear conditional moment inequalities", Review of Economic
Studies 90 (the paper's "C-LF"). Its statistic is the largest of γ'(A b - a θ) over the vertices γ of
{γ ≥ 0, γ'sd = 1, γ'X = 0}. Here there are few, in closed form, and no linear program is solved: γ = (p, q)
belongs to D δ ≤ M̄ v'δ and -D δ ≤ M̄ v'δ, and γ'X = 0 says that p - q is a multiple of w = D⁻ᵀ l. The extreme
rays are (w⁺, w⁻), (w⁻, w⁺), and, for each period, p = q = 1 there.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtri_exp

from .._arrays import Array

FIRST_STAGE = 0.1  # of the test's size
N_ANGLES = 4096
N_GRID = 1000
STEPS = 40  # of a bisection: the range over 2^40 is rounding


@dataclass(frozen=True)
class Restriction:
    """The conditional test in one part of the union.

    Attributes
    ----------
    middle : ndarray (K,)
        The vertices' statistics at θ = 0: Z(θ) = middle - slope θ.
    slope : ndarray (K,)
    covariance : ndarray (K, K)
        Of the statistics.
    first : float
        The first stage's critical value.
    alpha : float
        Size of both stages together.
    """

    middle: Array
    slope: Array
    covariance: Array
    first: float
    alpha: float

    def accepts(self, theta: Array) -> Array:
        """(T,) of bool: which values are not rejected."""
        Z = self.middle - np.outer(theta, self.slope)
        best = Z.argmax(axis=1)
        largest = Z[np.arange(len(Z)), best]
        sd = np.sqrt(np.diag(self.covariance))
        low, high = self._bounds(Z, best, largest)
        stands = sd[best] > 0
        own = np.where(stands, sd[best], 1.0)
        share = (1 - self.alpha) / (1 - FIRST_STAGE * self.alpha)
        critical = own * np.maximum(
            0, truncated_quantile(share, low / own, np.minimum(high, self.first) / own)
        )
        return np.asarray(~stands | ((largest <= self.first) & (largest <= critical)))

    def _bounds(self, Z: Array, best: Array, largest: Array) -> tuple[Array, Array]:
        """Where the statistic could be, given what is independent of it, with the same vertex."""
        with_best = self.covariance[best]
        room = np.diag(self.covariance)[best][:, None] - with_best
        with np.errstate(divide="ignore", invalid="ignore"):
            bound = largest[:, None] + (Z - largest[:, None]) * np.diag(self.covariance)[best][:, None] / room
        noise = 1e-12 * np.diag(self.covariance)[best][:, None]
        low = np.where(room > noise, bound, -np.inf).max(axis=1)
        high = np.where(room < -noise, bound, np.inf).min(axis=1)
        return np.minimum(low, largest), np.maximum(high, largest)

    def reach(self) -> tuple[float, float]:
        """Values of θ beyond these are rejected by the first stage."""
        falls, rises = self.slope > 0, self.slope < 0
        limits = (self.middle - self.first) / np.where(self.slope == 0, 1, self.slope)
        return float(limits[falls].max()), float(limits[rises].min())


def truncated_quantile(share: float, low: Array, high: Array) -> Array:
    """Quantile of a standard normal variable between two bounds, also far from 0."""
    above_low, above_high = log_ndtr(-low), log_ndtr(-high)
    above = np.logaddexp(math.log1p(-share) + above_low, math.log(share) + above_high)
    return np.asarray(-ndtri_exp(above))


def least_favourable(covariance: Array, share: float) -> float:
    """Quantile of the largest of normal variables of mean 0.

    They are of rank two here. In polar coordinates the largest of them is the radius times a function m of
    the angle, so it is below c with probability mean(1 - exp(-c² / 2m²)) over the angles where m > 0.
    """
    values, vectors = np.linalg.eigh(covariance)
    root = vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 0))
    angle = (np.arange(N_ANGLES) + 0.5) * (2 * np.pi / N_ANGLES)
    m = np.maximum((root @ np.stack([np.cos(angle), np.sin(angle)])).max(axis=0), 1e-300)
    top = float(m.max())

    def excess(c: float) -> float:
        return float(np.mean(-np.expm1(-0.5 * np.minimum(c / m, 1e150) ** 2))) - share

    return float(brentq(excess, 0.0, 40 * top, xtol=1e-12 * top))


@dataclass(frozen=True)
class EventStudy:
    """Estimates before and since adoption, without the reference between them, in their order.

    Attributes
    ----------
    estimates : ndarray (K + L,)
    covariance : ndarray (K + L, K + L)
    n_before : int
    weights : ndarray (L,)
        Of the effects since adoption: the parameter is their weighted sum.
    """

    estimates: Array
    covariance: Array
    n_before: int
    weights: Array

    @property
    def target(self) -> tuple[float, float]:
        """The parameter under parallel trends, and its standard error."""
        own = np.concatenate([np.zeros(self.n_before), self.weights])
        return float(own @ self.estimates), float(np.sqrt(own @ self.covariance @ own))

    def parts(self, m_bar: float, alpha: float) -> list[Restriction]:
        """One for each change before adoption, and sign of it."""
        return [
            self._part(m_bar, alpha, change, sign) for change in range(self.n_before) for sign in (1.0, -1.0)
        ]

    def _part(self, m_bar: float, alpha: float, change: int, sign: float) -> Restriction:
        K, L = self.n_before, len(self.weights)
        levels = np.eye(K + L + 1)
        steps = np.delete(np.diff(levels, axis=0), K, axis=1)  # δ is 0 in the reference period
        v = sign * steps[change]
        rows = np.concatenate([steps[K:] - m_bar * v, -steps[K:] - m_bar * v])
        sd = np.sqrt(np.einsum("ij,jk,ik->i", rows, self.covariance, rows))
        w = np.cumsum(self.weights[::-1])[::-1]
        rise, fall = np.maximum(w, 0), np.maximum(-w, 0)
        rays = [np.concatenate([rise, fall]), np.concatenate([fall, rise])]
        # One period's ray is the sum of the first two where they have no other.
        rays += [np.tile(e, 2) for e in np.eye(L) if w[e == 0].any()]
        vertices = np.array([ray / (ray @ sd) for ray in rays]) @ rows
        slope = np.zeros(len(rays))
        slope[0], slope[1] = 1 / (rays[0] @ sd), -1 / (rays[1] @ sd)
        covariance = vertices @ self.covariance @ vertices.T
        first = least_favourable(covariance, 1 - FIRST_STAGE * alpha)
        return Restriction(vertices @ self.estimates, slope, covariance, first, alpha)

    def interval(self, m_bar: float, level: float) -> tuple[float, float]:
        """From the least to the largest value of the parameter that some part does not reject."""
        ends = [_hull(part) for part in self.parts(m_bar, 1 - level)]
        return min(low for low, _ in ends), max(high for _, high in ends)


def _hull(part: Restriction) -> tuple[float, float]:
    """From the first to the last value accepted; (inf, -inf) where there is none."""
    low, high = part.reach()
    if not low <= high:
        return math.inf, -math.inf
    grid = np.linspace(low, high, N_GRID)
    accepted = np.flatnonzero(part.accepts(grid))
    if len(accepted) == 0:
        return math.inf, -math.inf
    first, last = accepted[0], accepted[-1]
    return (
        _edge(part, grid[first], grid[max(first - 1, 0)]),
        _edge(part, grid[last], grid[min(last + 1, N_GRID - 1)]),
    )


def _edge(part: Restriction, inside: float, outside: float) -> float:
    """Where acceptance ends between two values."""
    if part.accepts(np.array([outside]))[0]:
        return outside
    for _ in range(STEPS):
        middle = 0.5 * (inside + outside)
        if part.accepts(np.array([middle]))[0]:
            inside = middle
        else:
            outside = middle
    return inside
