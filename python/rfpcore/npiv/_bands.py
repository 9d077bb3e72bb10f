"""Bands for a structural function, from bootstrap runs in one batch of the kernel."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from .._arrays import Array
from ._bilevel import first_particles, solve
from ._correct import Correction
from ._data import InstrumentedRows
from ._fit import BilevelFit, require_records, warn_of_early_end
from ._linear import LinearStage

BandMethod = Literal["corrected", "spread"]


class Bands(NamedTuple):
    """Bands for a function at some points, each array (m,) but `critical_value`."""

    estimate: Array
    """The structural function, as `predict` has it; it lies inside both bands."""
    centre: Array
    """Mean over the bootstrap: the middle of both bands, but where they were widened to the estimate."""
    standard_error: Array
    """Standard deviation over the bootstrap."""
    lower: Array
    """Pointwise: each value is inside with the level's probability."""
    upper: Array
    uniform_lower: Array
    """Uniform over these points: all values at once are."""
    uniform_upper: Array
    critical_value: float
    """Half the width of the uniform band in standard errors, before it was widened."""


def bootstrap_rows(
    rows: InstrumentedRows, n_bootstraps: int, random: np.random.RandomState
) -> list[NDArray[np.intp]]:
    """Rows drawn with replacement, whole groups where there are groups."""
    if rows.codes is None:
        return [random.randint(0, rows.n, rows.n) for _ in range(n_bootstraps)]
    _, codes, sizes = np.unique(rows.codes, return_inverse=True, return_counts=True)
    members = np.split(np.argsort(codes, kind="stable"), np.cumsum(sizes)[:-1])
    draws = (random.randint(0, len(members), len(members)) for _ in range(n_bootstraps))
    return [np.concatenate([members[group] for group in draw]) for draw in draws]


def bootstrap(
    fit: BilevelFit,
    rows: InstrumentedRows,
    n_bootstraps: int,
    random: np.random.RandomState,
    n_threads: int,
    client: Any,
) -> tuple[Array, Array]:
    """Structural particles (B, P), each from rows drawn anew, and how often each row was drawn (B, n).

    λ and the number of steps are those that were chosen. First particles, noise and mini-batches are new in
    each, so that bands cover those too. Runs whose numbers did not stay finite are left out.
    """
    resampled = bootstrap_rows(rows.take(fit.rows), n_bootstraps, random)
    draws = [fit.rows[draw] for draw in resampled]
    starts = [first_particles(fit.problem, fit.config, random) for _ in draws]
    seeds = random.randint(0, 2**31 - 1, n_bootstraps).tolist()
    lambdas = [fit.lam] * n_bootstraps
    paths = solve(fit.problem, fit.config, lambdas, seeds, draws, starts, n_threads, client)
    require_records(paths, fit.config)
    warn_of_early_end(paths, fit.config, "the bootstrap")
    kept = [i for i, path in enumerate(paths) if len(path.records)]
    thetas = np.array([paths[i].structural[-1] for i in kept])
    return thetas, np.array([np.bincount(draws[i], minlength=rows.n) for i in kept], float)


def linear_parts(
    rows: InstrumentedRows, residuals: Array, counts: Array, points: Array
) -> tuple[Array, Array]:
    """The linear part of the residuals of each of B functions: at the rows (B, n), and at points (B, m).

    All standardised; counts (B, n) say how often a row was drawn.
    """
    own = np.ones(rows.n) if rows.weights is None else rows.weights
    found = [
        LinearStage(rows, own * drawn).fit(of_run) for of_run, drawn in zip(residuals, counts, strict=True)
    ]
    return np.array([part(rows.inputs) for part in found]), np.array([part(points) for part in found])


def corrections(
    fit: BilevelFit,
    residuals: Array,
    counts: Array,
    points: Array,
    penalty: float,
    random: np.random.RandomState,
    n_covariates: int,
) -> Array:
    """What `Correction` adds to each of B functions at standardised points, (B, m).

    Residuals y - h(X) are (B, n) and standardised, counts (B, n) say how often a row was drawn.
    """
    problem = fit.problem.cast(np.float64)
    own = np.ones(len(problem.y)) if problem.weights is None else problem.weights
    sample = own * np.bincount(fit.rows, minlength=len(own))
    correct = Correction(problem.x, problem.z, sample, penalty, random, n_covariates)
    features = correct.at(points)
    runs = zip(residuals, own * counts, strict=True)
    with threadpool_limits(1, user_api="blas"):  # the matrices are too small for more
        return np.array([correct.values(of_run, weights, features) for of_run, weights in runs])


def bands(estimate: Array, replicates: Array, level: float) -> Bands:
    """From an estimate (m,) and bootstrap replicates (B, m).

    Both are symmetric around the replicates' mean, which moves less from sample to sample than the estimate:
    quantiles of |replicate - mean| over the standard error, for each point, and of its largest value over
    the points. Where the estimate lies outside them they are widened to it: what corrects a replicate for
    bias has not corrected the estimate.
    """
    centre = replicates.mean(axis=0)
    standard_error = replicates.std(axis=0, ddof=1)
    safe = np.where(standard_error > 0, standard_error, 1.0)
    scaled = np.abs(replicates - centre) / safe
    pointwise = np.quantile(scaled, level, axis=0) * standard_error
    critical_value = float(np.quantile(scaled.max(axis=1), level))
    uniform = critical_value * standard_error
    return Bands(
        estimate,
        centre,
        standard_error,
        np.minimum(centre - pointwise, estimate),
        np.maximum(centre + pointwise, estimate),
        np.minimum(centre - uniform, estimate),
        np.maximum(centre + uniform, estimate),
        critical_value,
    )
