"""Draws of the risks that `rfpcore.studies.theory` knows: fitted models on fresh data, one risk a draw.

All are in excess of the noise, and in closed form given what was fitted where that is possible. Draws are
independent; the mean of them has a standard error only where their variance exists, which for least squares
without a penalty takes |n − p| > 3.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from .._limits import optional, seed
from .._options import MAX_DRAWS, MAX_ROWS, choice, integer, positive
from ._checks import Feature, energy_of, finite_vector, require_room
from ._design import Design, as_scales
from ._least_squares import activation_of, least_squares, spread

__all__ = ["descent_risks", "least_squares_risks", "random_feature_risks"]

# Numbers in the matrices of one batch: the cache's size, and few enough that Ctrl-C is heard.
_BATCH = 2**18


def least_squares_risks(
    n: int,
    p: int,
    penalty: float = 0.0,
    signal: float = 1.0,
    noise: float = 0.25,
    *,
    n_features: int | None = None,
    n_draws: int = 100,
    random_state: Any = 0,
) -> NDArray[np.float64]:
    """Excess risks |β̂ − β|² of least squares of least norm, or of ridge regression, on Gaussian features.

    Parameters
    ----------
    n, p : int
        Rows, and features that are used.
    penalty : float, default=0.0
        λ of argmin |y − Xb|²/n + λ|b|². 0: `theory.ridgeless`; above: `theory.ridge`.
    signal : float, default=1.0
        |β|²; its direction is drawn anew.
    noise : float, default=0.25
        Variance of the noise.
    n_features : int, optional
        D ≥ p features matter, of which p are used. None: p.
    n_draws : int, default=100
        Data sets.
    random_state : int, RandomState instance or None, default=0
        Seed.

    Returns
    -------
    risks : ndarray (n_draws,)

    Examples
    --------
    >>> from rfpcore.studies import simulation, theory
    >>> risks = simulation.least_squares_risks(60, 30, n_draws=400)
    >>> round(float(risks.mean()), 3), round(float(theory.ridgeless(60, 30)), 3)
    (0.249, 0.259)
    """
    rows, used = integer(n, "n", 1, MAX_ROWS), integer(p, "p", 1, MAX_ROWS)
    features = used if n_features is None else integer(n_features, "n_features", 1, MAX_ROWS)
    if features < used:
        raise ValueError(f"p={used} is more than n_features={features}; at most all features can be used")
    level, energy = energy_of(penalty, "penalty"), energy_of(signal, "signal")
    deviation = np.sqrt(energy_of(noise, "noise"))
    require_room(rows + used, features)

    def risks(random: np.random.Generator, size: int) -> Array:
        X = random.standard_normal((size, rows, features))
        beta = spread(random.standard_normal((size, features)), energy)
        y = (X @ beta[..., None])[..., 0] + deviation * random.standard_normal((size, rows))
        found = least_squares(X[..., :used], y, rows * level)
        error = beta.copy()
        error[:, :used] -= found
        return np.asarray(np.square(error).sum(axis=1))

    return _draws(risks, (rows + used) * features, n_draws, random_state)


def random_feature_risks(
    n_units: int,
    n: int,
    d: int,
    penalty: float = 0.0,
    activation: Feature = "relu",
    signal: float = 1.0,
    noise: float = 0.25,
    *,
    n_test: int = 2000,
    n_draws: int = 30,
    random_state: Any = 0,
) -> NDArray[np.float64]:
    """Excess risks of ridge regression on random features, as `theory.random_features` has them.

    Parameters
    ----------
    n_units : int
        N, random features.
    n : int
        Training rows.
    d : int
        Inputs.
    penalty : float, default=0.0
        λ of Σ_i (y_i − f̂(x_i))²/n + (Nλ/d)|a|²; 0 gives least squares of least norm.
    activation : {"relu", "erf"}, default="relu"
        Of the features.
    signal : float, default=1.0
        Energy of the target, which is linear.
    noise : float, default=0.25
        Variance of the noise in the training rows.
    n_test : int, default=2000
        New rows that a risk is the mean over.
    n_draws : int, default=30
        Data sets, each with features of its own.
    random_state : int, RandomState instance or None, default=0
        Seed.

    Returns
    -------
    risks : ndarray (n_draws,)

    Examples
    --------
    >>> from rfpcore.studies import simulation, theory
    >>> risks = simulation.random_feature_risks(100, 150, 50, penalty=0.1)
    >>> round(float(risks.mean()), 1), round(float(theory.random_features(2, 3, 0.1)), 1)
    (0.4, 0.4)
    """
    units, rows, inputs = (
        integer(value, name, 1, MAX_ROWS) for value, name in ((n_units, "n_units"), (n, "n"), (d, "d"))
    )
    new = integer(n_test, "n_test", 1, MAX_ROWS)
    act = activation_of(choice(activation, "activation", Feature))
    level, energy = energy_of(penalty, "penalty"), energy_of(signal, "signal")
    deviation = np.sqrt(energy_of(noise, "noise"))
    require_room(rows + new + units, units + inputs)

    def risks(random: np.random.Generator, size: int) -> Array:
        weights, X, X_new = (
            spread(random.standard_normal((size, count, inputs)), inputs) for count in (units, rows, new)
        )
        beta = spread(random.standard_normal((size, inputs)), energy)[..., None]
        y = (X @ beta)[..., 0] + deviation * random.standard_normal((size, rows))
        Z, Z_new = (act(at @ weights.swapaxes(1, 2) / np.sqrt(inputs)) for at in (X, X_new))
        a = least_squares(Z, y, rows * level * units / inputs)
        return np.asarray(np.square(Z_new @ a[..., None] - X_new @ beta).mean(axis=(1, 2)))

    return _draws(risks, (rows + new + units) * (units + inputs), n_draws, random_state)


def descent_risks(
    n: int,
    coefficients: Any,
    times: Any,
    *,
    scales: Any = 1.0,
    noise: float = 0.25,
    learning_rate: float | None = None,
    n_draws: int = 100,
    random_state: Any = 0,
) -> NDArray[np.float64]:
    """Excess risks of gradient descent from 0 over time, on fresh rows and noise each.

    Parameters
    ----------
    n : int
        Training rows.
    coefficients, times, scales, noise, learning_rate
        As in `theory.gradient_descent`; features are Gaussian with these scales.
    n_draws : int, default=100
        Data sets.
    random_state : int, RandomState instance or None, default=0
        Seed.

    Returns
    -------
    risks : ndarray (n_draws, T)
        A path a draw.

    Examples
    --------
    >>> from rfpcore.studies import simulation, theory
    >>> scales, beta = theory.two_scales(20, 5)
    >>> paths = simulation.descent_risks(40, beta, [0, 5, 100, 10_000], scales=scales, noise=0.1)
    >>> paths.shape, paths.mean(axis=0).round(0)
    ((100, 4), array([2., 2., 2., 0.]))
    """
    rows, beta = integer(n, "n", 1, MAX_ROWS), finite_vector(coefficients, "coefficients")
    sizes = as_scales(scales, len(beta))
    deviation = np.sqrt(energy_of(noise, "noise"))
    rate = optional(positive)(learning_rate, "learning_rate")
    require_room(rows, len(beta))

    def risks(random: np.random.Generator, size: int) -> Array:
        del size  # one at a time: a decomposition costs more than the loop
        X = random.standard_normal((rows, len(beta))) * sizes
        design = Design.of(X, beta, times, sizes, 0.0)
        return design.risks(design.learnt(rate), deviation * random.standard_normal(rows))[None]

    return _draws(risks, _BATCH, n_draws, random_state)


def _draws(
    risks: Callable[[np.random.Generator, int], Array], entries: int, n_draws: Any, random_state: Any
) -> NDArray[np.float64]:
    """Batches of draws whose matrices have about `_BATCH` entries, so that they stay in the cache."""
    count = integer(n_draws, "n_draws", 1, MAX_DRAWS)
    random = np.random.default_rng(seed(random_state, "random_state"))
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        result = np.concatenate([risks(random, size) for size in _sizes(count, max(1, _BATCH // entries))])
    if not np.isfinite(result).all():
        raise ValueError("risks are beyond 1.8e308; smaller signals, noises and scales are needed")
    return result


def _sizes(count: int, batch: int) -> Iterator[int]:
    """Sizes of batches that make up the count."""
    for first in range(0, count, batch):
        yield min(batch, count - first)
