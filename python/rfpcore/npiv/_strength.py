"""How much the excluded instruments say about the endogenous variables, given the covariates."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr

from .._arrays import Array
from .._warn import warn
from ..exceptions import InstrumentWarning
from ._data import InstrumentedRows

WEAK = 10.0
"""Staiger and Stock's (1997) rule of thumb for a first-stage F."""

TINY = 1e-9
"""A share of a column's standard deviation below which nothing of it is left."""


@dataclass(frozen=True)
class InstrumentStrength:
    """First-stage strength of each endogenous variable, given covariates and the other ones.

    F tests of the excluded instruments in a regression of the column on instruments, covariates and a
    constant; clustered where `fit` had groups. With several endogenous columns what the others have of it is
    taken off first, by two-stage least squares [2]_. The same numbers for every `random_state`.

    Attributes
    ----------
    r_squared : ndarray (d,)
        Partial R² of the instruments as they are.
    f_linear : ndarray (d,)
        F of the instruments as they are.
    f : ndarray (d,)
        The larger of that and the F of the instruments with their squares and products with covariates: a
        curved first stage counts.

    References
    ----------
    .. [1] Staiger and Stock (1997), "Instrumental variables regression with weak instruments", Econometrica.
    .. [2] Sanderson and Windmeijer (2016), "A weak instrument F-test in linear IV models with multiple
       endogenous variables", Journal of Econometrics.
    """

    r_squared: Array
    f_linear: Array
    f: Array

    @property
    def is_weak(self) -> bool:
        """Whether an F is below 10."""
        return bool((self.f < WEAK).any())

    def warn(self) -> None:
        """InstrumentWarning, where weak."""
        if self.is_weak:
            worst = int(self.f.argmin())
            warn(
                f"the instruments are weak: beyond the covariates they explain "
                f"{100 * self.r_squared[worst]:.2g} % of column {worst} of X, F = {self.f[worst]:.3g}; at "
                f"least {WEAK:g} is needed, else estimates lean towards regression or towards nothing",
                InstrumentWarning,
            )


class _Test(NamedTuple):
    r_squared: float
    f: float


def instrument_strength(rows: InstrumentedRows) -> InstrumentStrength:
    """Measure it."""
    d, q = rows.n_endogenous, rows.n_instruments
    endogenous, controls = rows.inputs[:, :d], rows.inputs[:, d:]
    instruments = rows.instruments[:, :q]
    linear = _tests(endogenous, instruments, controls, rows)
    curved, squares = _curved(instruments, controls)
    flexible = _tests(endogenous, curved, np.hstack([controls, squares]), rows)
    f_linear = np.array([test.f for test in linear])
    f = np.maximum(f_linear, [test.f for test in flexible])
    return InstrumentStrength(np.array([test.r_squared for test in linear]), f_linear, f)


def _curved(instruments: Array, controls: Array) -> tuple[Array, Array]:
    """Instruments with squares and, while those are few, products with covariates; squares of covariates."""
    z, w = standardised(instruments), standardised(controls)
    products = (z[:, :, None] * w[:, None, :]).reshape(len(z), -1)
    parts = [z, z**2]
    if products.shape[1] <= min(20, len(z) // 50):
        parts.append(products)
    return np.hstack(parts), w**2


def standardised(columns: Array) -> Array:
    """Columns with mean 0 and variance 1; a constant one is 0."""
    centred = columns - columns.mean(axis=0)
    scale = centred.std(axis=0)
    return np.asarray(centred / np.where(scale > 0, scale, 1.0))


def _tests(endogenous: Array, instruments: Array, controls: Array, rows: InstrumentedRows) -> list[_Test]:
    """F test of the instruments for each endogenous column."""
    weights = np.ones(rows.n) if rows.weights is None else rows.weights
    root = np.sqrt(weights)[:, None]
    base = orthonormal(root * np.hstack([np.ones((rows.n, 1)), standardised(controls)]))
    x, z = residual(base, root * standardised(endogenous)), residual(base, root * standardised(instruments))
    z = orthonormal(z, np.sqrt(weights.sum()))
    free = rows.n - base.shape[1] - z.shape[1]
    found = []
    for column in range(x.shape[1]):
        others = z @ (z.T @ np.delete(x, column, axis=1))
        known = orthonormal(others, np.sqrt(weights.sum()))
        target = x[:, column] - _two_stages(x, others, column)
        lost = known.shape[1]
        found.append(_test(target, z, z.shape[1] - lost, free, rows.codes, x[:, column]))
    return found


def _two_stages(x: Array, others: Array, column: int) -> Array:
    """What two-stage least squares has of a column in the other ones."""
    if not others.shape[1]:
        return np.zeros(len(x))
    rest = np.delete(x, column, axis=1)
    return np.asarray(rest @ np.linalg.lstsq(others, x[:, column], rcond=TINY)[0])


def _test(
    target: Array, z: Array, tested: int, free: int, codes: NDArray[np.intp] | None, column: Array
) -> _Test:
    """R² and F of orthonormal instruments."""
    total = float(target @ target)
    if tested < 1 or free < 1 or (column @ column) <= TINY**2 * len(column):
        return _Test(0.0, 0.0)
    slopes = z.T @ target
    explained = float(slopes @ slopes)
    left = max(total - explained, 1e-12 * total)
    r_squared = min(explained / total, 1.0)
    if codes is None:
        return _Test(r_squared, explained / tested / (left / free))
    scores = z * (target - z @ slopes)[:, None]
    n_groups = int(codes.max()) + 1
    sums = np.zeros((n_groups, z.shape[1]))
    np.add.at(sums, codes, scores)
    if n_groups <= z.shape[1] + 1 or left <= 1e-12 * total:  # no covariance of so many from so few
        return _Test(r_squared, explained / tested / (left / free))
    covariance = sums.T @ sums * (n_groups / (n_groups - 1))
    wald = float(slopes @ np.linalg.lstsq(covariance, slopes, rcond=None)[0])
    return _Test(r_squared, wald / tested)


def orthonormal(columns: Array, scale: float | None = None) -> Array:
    """An orthonormal basis of the span of columns, without what is nothing beside `scale` or the largest."""
    if not columns.shape[1]:
        return columns
    q, r, _ = qr(columns, mode="economic", pivoting=True)
    size = np.abs(np.diag(r))
    return np.asarray(q[:, size > TINY * (size.max() if scale is None else scale)])


def residual(base: Array, columns: Array) -> Array:
    """Columns less their projection on an orthonormal basis, twice for the rounding."""
    once = columns - base @ (base.T @ columns)
    return np.asarray(once - base @ (base.T @ once))
