"""Gradient descent on linear regression over time, where features of two scales make a second descent."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._limits import optional
from ..._options import MAX_BINS, at_least, integer, positive
from .._checks import MAX_ENERGY
from .._design import Design


class TwoScales(NamedTuple):
    """What `two_scales` returns.

    Attributes
    ----------
    scales : ndarray (d,)
        Standard deviation of each feature.
    coefficients : ndarray (d,)
        β.
    """

    scales: NDArray[np.float64]
    coefficients: NDArray[np.float64]


def two_scales(
    n_fast: int = 100,
    n_slow: int = 20,
    *,
    slow_scale: float = 0.05,
    fast_signal: float = 1.0,
    slow_signal: float = 1.0,
) -> TwoScales:
    """Features of scale 1, which gradient descent learns early, and small ones, which it learns late [1]_.

    Parameters
    ----------
    n_fast, n_slow : int
        Features of either kind.
    slow_scale : float, default=0.05
        Standard deviation of the small ones.
    fast_signal, slow_signal : float, default=1.0
        Variance of y that either kind explains, spread evenly over its features.

    Returns
    -------
    TwoScales

    References
    ----------
    .. [1] Heckel and Yilmaz (2021), "Early stopping in deep networks: double descent and how to eliminate
       it".

    Examples
    --------
    >>> from rfpcore.studies import theory
    >>> theory.two_scales(2, 1, slow_scale=0.5).coefficients.round(3)
    array([0.707, 0.707, 2.   ])
    """
    sizes = [integer(n_fast, "n_fast", 1, MAX_BINS), integer(n_slow, "n_slow", 1, MAX_BINS)]
    small = positive(slow_scale, "slow_scale")
    if not 1e-50 <= small <= 1e50:
        raise ValueError(f"slow_scale={small}; a number from 1e-50 to 1e50 is needed")
    energies = [at_least(fast_signal, "fast_signal", 0.0), at_least(slow_signal, "slow_signal", 0.0)]
    if max(energies) > MAX_ENERGY:
        raise ValueError(f"a signal of {max(energies):g} is too much; at most {MAX_ENERGY:g} is possible")
    scales = np.repeat([1.0, small], sizes)
    return TwoScales(scales, np.repeat(np.sqrt(np.divide(energies, sizes)), sizes) / scales)


def gradient_descent(
    X: Any,
    coefficients: Any,
    times: Any,
    *,
    scales: Any = 1.0,
    noise: float = 0.25,
    learning_rate: float | None = None,
) -> NDArray[np.float64]:
    """Excess risk of gradient descent from 0 at each time: exact given X, in expectation over the noise [1]_.

    Of |y − Xb|²/(2n), y = Xβ + ε: along the singular vector v_i of X the error that is left after t steps is
    (1 − ημ_i)^t, with μ_i the square of the singular value over n, and the noise enters by the rest.
    Directions of large μ_i are learnt, and overfitted, first. A risk that falls, rises and falls again in t
    takes features of different scales: `two_scales`.

    Parameters
    ----------
    X : array (n, d)
        Training features.
    coefficients : array (d,)
        β.
    times : array (T,)
        Numbers of steps t; of gradient flow, any times of at least 0.
    scales : float or array (d,), default=1.0
        Standard deviations of the features of new rows, which are independent.
    noise : float, default=0.25
        Variance σ² of ε.
    learning_rate : float, optional
        η, below 2/max μ_i. None: gradient flow, the limit of small steps, where exp(−μ_i t) is left.

    Returns
    -------
    risk : ndarray (T,)
        E(x'b_t − x'β)² on new rows.

    Raises
    ------
    ValueError
        For shapes that do not fit, a learning rate that diverges, times that are no whole steps.

    References
    ----------
    .. [1] Heckel and Yilmaz (2021), "Early stopping in deep networks: double descent and how to eliminate
       it"; Advani, Saxe and Sompolinsky (2020), "High-dimensional dynamics of generalization error in neural
       networks".

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore.studies import theory
    >>> scales, beta = theory.two_scales(100, 20)
    >>> X = np.random.default_rng(0).standard_normal((160, 120)) * scales
    >>> theory.gradient_descent(X, beta, [3, 150, 50_000], scales=scales, noise=0.1).round(1)
    array([1.7, 2.7, 0.3])
    """
    design = Design.of(X, coefficients, times, scales, noise)
    learnt = design.learnt(optional(positive)(learning_rate, "learning_rate"))
    bias = design.beta - learnt * (design.vectors @ design.beta) @ design.vectors
    energy = np.square(design.vectors * design.scales).sum(axis=1)  # v'Σv
    with np.errstate(over="ignore", under="ignore"):
        spread = np.square(learnt / design.singular) @ energy
        risk: NDArray[np.float64] = np.square(bias * design.scales).sum(axis=1) + design.noise * spread
    if not np.isfinite(risk).all():
        raise ValueError(
            f"the risk is beyond 1.8e308: X is up to {np.abs(design.X).max():.3g}, coefficients up to "
            f"{np.abs(design.beta).max():.3g}, noise={design.noise:g}; smaller numbers are needed"
        )
    return risk
