"""Bands for a structural function, from bootstrap runs in one batch of the kernel."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from ._bilevel import solve
from ._data import Rows
from ._fit import Fit


class Bands(NamedTuple):
    """Bands around an estimate at some points, each array (m,) but `critical_value`."""

    estimate: Array
    """The structural function."""
    standard_error: Array
    """Standard deviation over the bootstrap."""
    lower: Array
    """Pointwise: each value is inside with the level's probability."""
    upper: Array
    uniform_lower: Array
    """Uniform over these points: all values at once are."""
    uniform_upper: Array
    critical_value: float
    """Half the width of the uniform band in standard errors."""


def bootstrap_rows(rows: Rows, n_bootstraps: int, random: np.random.RandomState) -> list[NDArray[np.intp]]:
    """Rows drawn with replacement, whole groups where there are groups."""
    if rows.codes is None:
        return [random.randint(0, rows.n, rows.n) for _ in range(n_bootstraps)]
    order = np.argsort(rows.codes, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(rows.codes))[:-1])
    draws = (random.randint(0, len(members), len(members)) for _ in range(n_bootstraps))
    return [np.concatenate([members[group] for group in draw]) for draw in draws]


def bootstrap(fit: Fit, rows: Rows, n_bootstraps: int, random: np.random.RandomState, threads: int) -> Array:
    """Structural particles (n_bootstraps, P), each from rows drawn anew, at the λ and steps that were chosen.

    All start where the fit did. Their noise and mini-batches are their own, so that bands cover those too.
    """
    resampled = bootstrap_rows(rows.take(fit.rows), n_bootstraps, random)
    draws = [fit.rows[draw] for draw in resampled]
    seeds = random.randint(0, 2**31 - 1, n_bootstraps).tolist()
    n = n_bootstraps
    paths = solve(fit.problem, fit.config, [fit.lam] * n, seeds, draws, [fit.start] * n, threads)
    return np.array([path.structural[-1] for path in paths if len(path.records)])


def bands(estimate: Array, replicates: Array, level: float) -> Bands:
    """From an estimate (m,) and bootstrap replicates (B, m).

    Both are symmetric around the estimate: quantiles of |replicate - their mean| over the standard error, for
    each point, and of its largest value over the points.
    """
    centred = replicates - replicates.mean(axis=0)
    standard_error = replicates.std(axis=0, ddof=1)
    safe = np.where(standard_error > 0, standard_error, 1.0)
    scaled = np.abs(centred) / safe
    pointwise = np.quantile(scaled, level, axis=0) * standard_error
    critical_value = float(np.quantile(scaled.max(axis=1), level))
    uniform = critical_value * standard_error
    return Bands(
        estimate,
        standard_error,
        estimate - pointwise,
        estimate + pointwise,
        estimate - uniform,
        estimate + uniform,
        critical_value,
    )
