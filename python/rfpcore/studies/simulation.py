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
from .._options import MAX_DRAWS, MAX_ROWS, at_least, choice, integer, positive
from ._checks import MAX_ENERGY, Feature, finite_vector
from ._design import Design, as_scales

__all__ = ["descent_risks", "least_squares_risks", "random_feature_risks"]

# Numbers in the matrices of one batch: the cache's size, and few enough that Ctrl-C is heard.
_BATCH = 2**18
_MAX_ENTRIES = 2**28  # of one matrix: 2 GiB


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
    level, energy = _energy(penalty, "penalty"), _energy(signal, "signal")
    deviation = np.sqrt(_energy(noise, "noise"))
    _require_room(rows + used, features)

    def risks(random: np.random.Generator, size: int) -> Array:
        X = random.standard_normal((size, rows, features))
        beta = _spread(random.standard_normal((size, features)), energy)
        y = (X @ beta[..., None])[..., 0] + deviation * random.standard_normal((size, rows))
        found = _ridge(X[..., :used], y, rows * level)
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
    act = _activation(choice(activation, "activation", Feature))
    level, energy = _energy(penalty, "penalty"), _energy(signal, "signal")
    deviation = np.sqrt(_energy(noise, "noise"))
    _require_room(rows + new + units, units + inputs)

    def risks(random: np.random.Generator, size: int) -> Array:
        weights, X, X_new = (
            _spread(random.standard_normal((size, count, inputs)), inputs) for count in (units, rows, new)
        )
        beta = _spread(random.standard_normal((size, inputs)), energy)[..., None]
        y = (X @ beta)[..., 0] + deviation * random.standard_normal((size, rows))
        Z, Z_new = (act(at @ weights.swapaxes(1, 2) / np.sqrt(inputs)) for at in (X, X_new))
        a = _ridge(Z, y, rows * level * units / inputs)
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
    deviation = np.sqrt(_energy(noise, "noise"))
    rate = optional(positive)(learning_rate, "learning_rate")
    _require_room(rows, len(beta))

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


def _ridge(X: Array, y: Array, level: float) -> Array:
    """The argmin |y − Xb|² + level·|b|² of each data set (S, n, p), (S, n), by QR; at 0 the least norm."""
    size, n, p = X.shape
    tall = X if n >= p else X.swapaxes(1, 2)
    small = min(n, p)
    if level > 0:
        eye = np.broadcast_to(np.sqrt(level) * np.eye(small), (size, small, small))
        q, r = np.linalg.qr(np.concatenate([tall, eye], axis=1))
    else:
        q, r = np.linalg.qr(tall)
    diagonal = np.abs(np.diagonal(r, axis1=1, axis2=2))
    if (diagonal.min(axis=1) <= max(n, p) * np.finfo(float).eps * diagonal.max(axis=1)).any():
        # Features that are 0 in all rows, or one another, without a penalty that counts.
        return np.asarray((np.linalg.pinv(X) @ y[..., None])[..., 0])
    if n >= p:
        return np.asarray(np.linalg.solve(r, q[:, :n].swapaxes(1, 2) @ y[..., None])[..., 0])
    # b = X'a with (XX' + level)a = y, and XX' + level = R'R.
    a = np.linalg.solve(r, np.linalg.solve(r.swapaxes(1, 2), y[..., None]))
    return np.asarray((tall @ a)[..., 0])


def _spread(vectors: Array, energy: float) -> Array:
    """Vectors of the same directions and of squared length `energy`."""
    return np.asarray(vectors * np.sqrt(energy / np.square(vectors).sum(axis=-1, keepdims=True)))


def _activation(name: str) -> Callable[[Array], Array]:
    """The function of a name of `Feature`."""
    from scipy.special import erf

    known: dict[str, Callable[[Array], Array]] = {"relu": lambda z: np.maximum(z, 0), "erf": erf}
    return known[name]


def _energy(value: Any, name: str) -> float:
    """A number from 0 to what can be multiplied."""
    number = at_least(value, name, 0.0)
    if number > MAX_ENERGY:
        raise ValueError(f"{name}={number:g}; at most {MAX_ENERGY:g} is possible")
    return number


def _require_room(rows: int, columns: int) -> None:
    """ValueError for data sets of which a single one is too large."""
    if rows * columns > _MAX_ENTRIES:
        raise ValueError(
            f"one data set takes {rows} × {columns} numbers; at most {_MAX_ENTRIES} in all are possible"
        )
