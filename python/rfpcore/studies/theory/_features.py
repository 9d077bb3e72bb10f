"""Ridge regression on random features of one layer."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._arrays import Array
from ..._options import choice
from .._checks import Feature, between, energies, together

# Where the polynomials of the theorem were compared with 60 digits: right to 1e-12.
_RATIOS = 1e-3, 1e3
_MAX_PENALTY = 1e6
_HALVINGS = 60  # from a bracket whose ends are within a factor of 1 + ζ², to all digits


class Moments(NamedTuple):
    """μ1 = E Zσ(Z) and μ*² = E σ(Z)² − (E σ(Z))² − μ1² for Z ~ N(0, 1)."""

    linear: float
    rest: float

    @property
    def ratio(self) -> float:
        """ζ² = μ1²/μ*²."""
        return self.linear**2 / self.rest


MOMENTS = {
    "relu": Moments(0.5, 0.25 - 1 / (2 * math.pi)),
    "erf": Moments(2 / math.sqrt(3 * math.pi), 2 / math.pi * math.asin(2 / 3) - 4 / (3 * math.pi)),
}


def random_features(
    psi1: Any,
    psi2: Any,
    penalty: Any = 0.0,
    activation: Feature = "relu",
    signal: Any = 1.0,
    noise: Any = 0.25,
    *,
    nonlinear: Any = 0.0,
) -> NDArray[np.float64]:
    """Excess risk of ridge regression on random features in the limit of many features, rows and inputs [1]_.

    Rows x and weights θ_j are uniform on the sphere of radius √d, f̂(x) = Σ_j a_j σ(θ_j'x/√d), and a minimises
    Σ_i (y_i − f̂(x_i))²/n + (Nλ/d)|a|². The target is linear with energy F1², plus a part of energy F*² that
    no linear function explains, plus noise.

    Parameters
    ----------
    psi1 : float or array
        N/d, features over inputs, from 1e-3 to 1e3. Arrays broadcast, as all arguments do.
    psi2 : float or array
        n/d, rows over inputs, from 1e-3 to 1e3.
    penalty : float or array, default=0.0
        λ, at most 1e6; 0 is the limit of no penalty.
    activation : {"relu", "erf"}, default="relu"
        σ.
    signal : float or array, default=1.0
        F1², energy of the linear part of the target.
    noise : float or array, default=0.25
        Variance τ² of the noise.
    nonlinear : float or array, default=0.0
        F*², energy of the rest of the target.

    Returns
    -------
    risk : ndarray
        Mean of (f̂(x) − f(x))² over new rows; inf for λ = 0 and psi1 = psi2, the interpolation threshold.

    Raises
    ------
    ValueError
        For numbers out of range or shapes that do not broadcast.

    References
    ----------
    .. [1] Mei and Montanari (2022), "The generalization error of random features regression: precise
       asymptotics and the double descent curve", theorem 2.

    Examples
    --------
    >>> from rfpcore.studies import theory
    >>> theory.random_features([1.0, 2.9, 3.0, 30.0], 3.0, noise=0.2).round(2)
    array([ 0.77, 10.32,   inf,  0.13])
    >>> theory.random_features([1.0, 2.9, 3.0, 30.0], 3.0, penalty=0.1, noise=0.2).round(2)
    array([0.62, 0.37, 0.36, 0.22])
    """
    moments = MOMENTS[choice(activation, "activation", Feature)]
    given = {"psi1": between(psi1, "psi1", *_RATIOS), "psi2": between(psi2, "psi2", *_RATIOS)}
    given |= {"penalty": between(penalty, "penalty", 0.0, _MAX_PENALTY)}
    given |= {"signal": energies(signal, "signal"), "noise": energies(noise, "noise")}
    given |= {"nonlinear": energies(nonlinear, "nonlinear")}
    one, two, level, linear, variance, rest = together(**given)
    chi = -_root(one, two, one * two * level / moments.rest, moments.ratio)
    common, bias, spread = _polynomials(chi, moments.ratio, one, two)
    threshold = (level == 0) & (one == two)
    with np.errstate(divide="ignore", invalid="ignore"):
        risk = linear * (bias / common) + (variance + rest) * (spread / common) + rest
    nothing = linear + variance + rest == 0
    result: NDArray[np.float64] = np.where(nothing, 0.0, np.where(threshold, np.inf, risk))[()]
    return result


def _root(psi1: Array, psi2: Array, xi2: Array, zeta2: float) -> Array:
    """W = −ν1ν2 of the theorem at ξ = i√xi2.

    Both equations for ν give ψ1 − g(w) and ψ2 − g(w) as multiples of ν1 and ν2, with
    g(w) = w + ζ²w/(1 + ζ²w); their product is xi2·w = (ψ1 − g)(ψ2 − g). The left rises and the right falls
    up to g = min(ψ1, ψ2), so that the one root there is found by halving. As w ≤ g ≤ (1 + ζ²)w, the same
    equation with either end for g, a quadratic one, bounds it.
    """
    low, high = _linear_root(psi1, psi2, xi2, 1 + zeta2), _linear_root(psi1, psi2, xi2, 1.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        g = middle + zeta2 * middle / (1 + zeta2 * middle)
        below = (g < np.minimum(psi1, psi2)) & ((psi1 - g) * (psi2 - g) > xi2 * middle)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def _linear_root(psi1: Array, psi2: Array, xi2: Array, slope: float) -> Array:
    """The smaller root of xi2·w = (ψ1 − slope·w)(ψ2 − slope·w)."""
    b = xi2 + slope * (psi1 + psi2)
    root = np.sqrt(xi2 * xi2 + 2 * xi2 * slope * (psi1 + psi2) + slope**2 * (psi1 - psi2) ** 2)
    return np.asarray(2 * psi1 * psi2 / (b + root))


def _polynomials(chi: Array, zeta2: float, psi1: Array, psi2: Array) -> tuple[Array, Array, Array]:
    """E0, E1 and E2 of the theorem: bias E1/E0, variance E2/E0."""
    z2, z4, z6 = zeta2, zeta2**2, zeta2**3
    c2, c3, c5 = chi**2, chi**3, chi**5
    both = psi1 * psi2
    shared = c5 * z6 - 3 * chi**4 * z4 + 2 * c3 * z4 + 3 * c3 * z2 - 2 * c2 * z2 - c2
    common = (
        -shared
        + (both - psi2 - psi1 + 1) * c3 * z6
        + (psi1 + psi2 - 3 * both + 1) * c2 * z4
        + 3 * both * chi * z2
        - both
    )
    bias = psi2 * c3 * z4 - psi2 * c2 * z2 + both * chi * z2 - both
    spread = shared + (psi1 - 1) * c3 * z6 - (psi1 + 1) * c2 * z4
    return common, bias, spread
