"""Linear regression on Gaussian features, of the least norm or with a ridge penalty."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._arrays import Array
from .._checks import MAX_ENERGY, counts, energies, together


class OptimalRidge(NamedTuple):
    """What `optimal_ridge` returns.

    Attributes
    ----------
    risk : ndarray
        Excess risk at the best penalty.
    penalty : ndarray
        That penalty, λ of `ridge`.
    """

    risk: NDArray[np.float64]
    penalty: NDArray[np.float64]


class _Problem(NamedTuple):
    """Rows, features, and energies of what the features explain, do not explain, and leave out."""

    n: Array
    p: Array
    signal: Array
    noise: Array
    missed: Array


def ridgeless(
    n: Any, p: Any, signal: Any = 1.0, noise: Any = 0.25, *, n_features: Any = None
) -> NDArray[np.float64]:
    """Exact excess risk of least squares of least norm, at every finite n and p [1]_, [2]_.

    Rows x ~ N(0, I_p), y = x'β + ε. With the mean of an inverse Wishart matrix, E|β̂ − β|² is
    σ² p/(n − p − 1) for p < n − 1, and |β|² (1 − n/p) + σ² n/(p − n − 1) for p > n + 1. Between them the risk
    has no finite mean: look at medians there.

    Parameters
    ----------
    n, p : int or array of int
        Rows, and features that are used. Arrays broadcast, as all arguments do.
    signal : float or array, default=1.0
        |β|², the variance of x'β over rows.
    noise : float or array, default=0.25
        Variance σ² of ε.
    n_features : int or array of int, optional
        D ≥ p: y depends on D features, all of the same share of the signal, of which p are seen. The others
        add |β|²(1 − p/D) to the noise and to the risk. None: D = p.

    Returns
    -------
    risk : ndarray
        Excess risk E(x'β̂ − x'β)² on new rows; inf where |n − p| ≤ 1 and there is noise.

    Raises
    ------
    ValueError
        For numbers out of range, p > n_features, or shapes that do not broadcast.

    References
    ----------
    .. [1] Belkin, Hsu and Xu (2020), "Two models of double descent for weak features", section 2.
    .. [2] Hastie, Montanari, Rosset and Tibshirani (2022), "Surprises in high-dimensional ridgeless least
       squares interpolation", theorem 1 (the limit).

    Examples
    --------
    >>> from rfpcore.studies import theory
    >>> theory.ridgeless(60, [20, 59, 60, 120], noise=0.25).round(3)
    array([0.128,   inf,   inf, 0.754])
    """
    given = _problem(n, p, signal, noise, n_features)
    gap = np.abs(given.n - given.p)
    spread = np.where(gap > 1, np.minimum(given.n, given.p) / np.maximum(gap - 1, 1), np.inf)
    with np.errstate(invalid="ignore"):  # no noise where the spread is infinite
        variance = np.where(given.noise > 0, given.noise * spread, 0.0)
    bias = given.signal * np.maximum(1 - given.n / given.p, 0.0)
    return _scalar(bias + variance + given.missed)


def ridge(
    n: Any,
    p: Any,
    penalty: Any,
    signal: Any = 1.0,
    noise: Any = 0.25,
    *,
    n_features: Any = None,
) -> NDArray[np.float64]:
    """Excess risk of ridge regression, argmin |y − Xb|²/n + λ|b|², for large n and p [1]_.

    With γ = p/n and m the Stieltjes transform of the Marchenko–Pastur law, it is
    |β|² λ² m'(−λ) + σ² γ (m(−λ) − λ m'(−λ)): right up to terms of order 1/n.

    Parameters
    ----------
    n, p, signal, noise, n_features
        As in `ridgeless`.
    penalty : float or array
        λ ≥ 0; 0 is the limit of `ridgeless` for large n and p, which near n = p is far from the exact value.

    Returns
    -------
    risk : ndarray
        Excess risk; inf for λ = 0 and n = p where there is noise.

    References
    ----------
    .. [1] Hastie, Montanari, Rosset and Tibshirani (2022), "Surprises in high-dimensional ridgeless least
       squares interpolation"; Dobriban and Wager (2018), "High-dimensional asymptotics of prediction: ridge
       regression and classification", theorem 2.1.

    Examples
    --------
    >>> from rfpcore.studies import theory
    >>> theory.ridge(60, 60, [0.0, 0.01, 0.25]).round(3)
    array([ inf, 1.18, 0.39])
    """
    given = _problem(n, p, signal, noise, n_features)
    return _scalar(_ridge_risk(given, energies(penalty, "penalty")))


def optimal_ridge(
    n: Any, p: Any, signal: Any = 1.0, noise: Any = 0.25, *, n_features: Any = None
) -> OptimalRidge:
    """Excess risk of ridge regression at its best penalty λ* = γσ²/|β|², for large n and p [1]_.

    It falls in n, and in p of a fixed number of features: the optimal penalty takes double descent away.

    Parameters
    ----------
    n, p, signal, noise, n_features
        As in `ridgeless`; signal above 0. With n_features, signal and noise are those that p features have.

    Returns
    -------
    OptimalRidge
        The risk, σ²γ m(−λ*) and what is left out, and the penalty it takes.

    References
    ----------
    .. [1] Nakkiran, Venkat, Kakade and Ma (2021), "Optimal regularization can mitigate double descent",
       theorems 1 and 2.

    Examples
    --------
    >>> from rfpcore.studies import theory
    >>> best = theory.optimal_ridge([30, 60, 90], 60, noise=0.25)
    >>> best.risk.round(3), best.penalty.round(3)
    (array([0.64, 0.39, 0.25]), array([0.5  , 0.25 , 0.167]))
    """
    given = _problem(n, p, signal, noise, n_features)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        penalty = given.p / given.n * (given.noise / given.signal)
    if not (penalty <= MAX_ENERGY).all():
        raise ValueError(
            f"signal is {given.signal.min():g} at its lowest and noise up to {given.noise.max():g}; "
            f"the best penalty noise/signal·p/n must be at most {MAX_ENERGY:g}"
        )
    return OptimalRidge(_scalar(_ridge_risk(given, penalty)), _scalar(penalty))


def _ridge_risk(given: _Problem, penalty: Array) -> Array:
    """The risk in a form without cancellation, also for λ = 0.

    u = λm(−λ) is the root in [0, 1] of γu² + (1 − γ + λ)u = λ, and s = √((1 − γ + λ)² + 4γλ) the slope there.
    Then λ²m' = u(γu + λ)/s and m − λm' = (1 − u)/s.
    """
    gamma, penalty = together(n=given.p / given.n, penalty=penalty)
    a = 1 - gamma + penalty
    s = np.hypot(a, 2 * np.sqrt(gamma * penalty))
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.where(a > 0, 2 * penalty / (a + s), (s - a) / (2 * gamma))
        rest = 2 / (1 + gamma + penalty + s)  # 1 − u
        risk = given.signal * (u * (gamma * u + penalty) / s) + given.noise * (gamma * rest / s)
    at_peak = np.where(given.noise > 0, np.inf, 0.0)  # λ = 0 and n = p, the one place where s is 0
    return np.asarray(np.where(s > 0, risk, at_peak) + given.missed)


def _problem(n: Any, p: Any, signal: Any, noise: Any, n_features: Any) -> _Problem:
    """The arguments in one shape."""
    given = {"n": counts(n, "n"), "p": counts(p, "p")}
    given |= {"signal": energies(signal, "signal"), "noise": energies(noise, "noise")}
    given["n_features"] = given["p"] if n_features is None else counts(n_features, "n_features")
    rows, used, energy, variance, features = together(**given)
    if (used > features).any():
        first = np.argmax((used > features).ravel())
        raise ValueError(
            f"p={used.ravel()[first]:g} is more than n_features={features.ravel()[first]:g}; "
            "at most all features can be used"
        )
    missed = energy * (1 - used / features)
    return _Problem(rows, used, energy - missed, variance + missed, missed)


def _scalar(risk: Any) -> NDArray[np.float64]:
    """An array, or a number where all arguments were numbers."""
    result: NDArray[np.float64] = np.asarray(risk)[()]
    return result
