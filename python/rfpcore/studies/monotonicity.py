"""Does a curve of risk over model size fall throughout? A test of the right size, an estimate of the rise.

The statistic is the largest rise of the mean curve, between any two points in their order, over the standard
error of a difference of two points, pooled over all. Its reference is a flat curve: of all curves that never
rise the one on which noise makes the largest rise. Gaussian noise is assumed, independent over points but for
an effect that each seed has on all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array, as_floats, require_finite, shown
from .._limits import seed
from .._options import MAX_DRAWS, choice, integer
from ._rises import steepest

__all__ = ["MonotonicityTest", "holm", "monotonicity_test"]

Reference = Literal["heteroscedastic", "flat"]

# Prior seeds with the pooled variance in the variance of each point: few seeds say little about each.
_PRIOR = 6
_VARIANCES = 100  # draws of the variances of all points, each with its share of the draws of curves
_MAX_POINTS = 1000  # the eigenvalues of as large a matrix are needed for each
_BATCH = 2**20  # numbers drawn at once
_MAX_SIZE = 1e100  # of risks: their squares are finite
# Seeds whose curves differ by less than this share of their size differ by rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class MonotonicityTest:
    """What `monotonicity_test` returns.

    Attributes
    ----------
    statistic : float
        Largest rise of the mean curve over the pooled standard error of a difference; negative where the
        curve falls throughout, 0 where the seeds do not differ.
    p_value : float
        Of a curve that nowhere rises; 1 where the seeds do not differ, as there is nothing to judge by.
    rise : float
        Cross-fitted: for each seed the pair of points is chosen by the largest rise of the others' mean curve
        and the rise is measured on the one that is left out. The largest rise of the mean curve itself is
        biased upward; this one is somewhat too small where the pairs differ, and about 0 on a flat curve.
    rise_std_error : float
        Standard error of it over seeds with the pairs taken as given: about two thirds of what it varies by,
        and no base for a test, which would reject up to three times too often.
    pair : tuple of two ints
        The points that the mean curve rises most between, or falls least.
    largest_rise : float
        Rise of the mean curve between them.
    n_seeds : int
        Seeds.
    mean : ndarray (points,)
        Mean curve.
    monotone : ndarray (points,)
        The curve nearest to it, in squares, that never rises: what a figure draws beside it.
    """

    statistic: float
    p_value: float
    rise: float
    rise_std_error: float
    pair: tuple[int, int]
    largest_rise: float
    n_seeds: int
    mean: NDArray[np.float64]
    monotone: NDArray[np.float64]

    @property
    def excess(self) -> NDArray[np.float64]:
        """Mean curve above the nearest one that never rises, (points,)."""
        return self.mean - self.monotone


def monotonicity_test(
    curves: Any,
    *,
    reference: Reference = "heteroscedastic",
    n_draws: int = 100_000,
    random_state: Any = 0,
) -> MonotonicityTest:
    """Test that a mean curve never rises, from curves of several seeds.

    Parameters
    ----------
    curves : array (seeds, points)
        Risk of each seed at each point, in order of model size, rows or epochs; at least two of both.
    reference : {"heteroscedastic", "flat"}, default="heteroscedastic"
        Noise of the flat curve. "heteroscedastic": at each point as in the curves, so far as few seeds tell:
        variances are drawn from their posterior, with a prior at the pooled one that is worth 6 seeds.
        "flat": the same at all points; the table depends on the numbers of seeds and points alone and is
        kept. It rejects too often where the noise differs between points.
    n_draws : int, default=100_000
        Draws of the reference. p is at least 1/(n_draws + 1): a correction for many tests needs small ones.
    random_state : int, RandomState instance or None, default=0
        Seed of the draws.

    Returns
    -------
    MonotonicityTest

    Raises
    ------
    ValueError
        For one seed, one point or more than 1000, or curves that are not finite.

    Notes
    -----
    With two-way residuals r of S seeds and W points, s² = Σr²/((S−1)(W−1)) and the mean curve c̄,
    T = max_{i<j} (c̄_j − c̄_i)/√(2s²/S). Given variances v, c̄ and s² are independent: c̄ is Gaussian with
    variances v_w/S, and Σr² is Σ_k λ_k χ²_{S−1} with λ the eigenvalues of diag(v) with the mean taken out of
    rows and columns. So a draw costs 2W numbers, whatever S.

    `benches/MONOTONICITY.md` has size and power. On flat curves p ≤ 0.05 came in 2 to 5 % of the data sets,
    also with unequal and correlated noise; where one point of twelve was three times as noisy as the others,
    in 8 % with 10 seeds and in 11 % with 5.

    A low p says that the curve rises somewhere; a high one may mean that there are few seeds, or that
    training failed alike at every point. Look at the risk itself beside it.

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore.studies import monotonicity_test
    >>> noise = 0.01 * np.random.default_rng(0).standard_normal((5, 6))
    >>> test = monotonicity_test(np.array([0.3, 0.2, 0.25, 0.3, 0.2, 0.1]) + noise)
    >>> test.pair, test.p_value < 0.001, round(test.rise, 2)
    ((1, 3), True, 0.09)
    >>> monotonicity_test(np.array([0.3, 0.2, 0.19, 0.18, 0.17, 0.1]) + noise).p_value > 0.5
    True
    """
    rows = _curves(curves)
    kind = choice(reference, "reference", Reference)
    draws = integer(n_draws, "n_draws", 1, MAX_DRAWS)
    start = seed(random_state, "random_state")
    mean = rows.mean(axis=0)
    first, last = steepest(mean)
    largest = float(mean[last] - mean[first])
    size = float(np.abs(rows).max()) or 1.0  # squares of small numbers would vanish
    spread = _residuals(rows / size)
    pooled = float(np.square(spread).sum()) / ((rows.shape[0] - 1) * (rows.shape[1] - 1))
    statistic, p_value = 0.0, 1.0
    if np.sqrt(pooled) > _ROUNDING:
        statistic = largest / size / float(np.sqrt(2 * pooled / len(rows)))
        p_value = _p_value(statistic, _null(kind, spread, draws, start))
    rise, error = _cross_fitted(rows)
    return MonotonicityTest(
        statistic, p_value, rise, error, (first, last), largest, len(rows), mean, _antitonic(mean)
    )


def holm(p_values: Any) -> NDArray[np.float64]:
    """Adjusted p-values by Holm's method, valid whatever the dependence of the tests [1]_.

    Parameters
    ----------
    p_values : array (m,)
        Of m tests.

    Returns
    -------
    adjusted : ndarray (m,)
        At most 0.05 where a test is rejected with a chance of at most 5 % of any false rejection.

    References
    ----------
    .. [1] Holm (1979), "A simple sequentially rejective multiple test procedure".

    Examples
    --------
    >>> from rfpcore.studies import holm
    >>> holm([0.01, 0.04, 0.02])
    array([0.03, 0.04, 0.04])
    """
    p = as_floats(p_values, "p_values").astype(np.float64, copy=False)
    if p.ndim != 1 or p.size == 0:
        raise ValueError(f"p_values has shape {p.shape}; (m,) with at least one is needed")
    require_finite(p, "p_values", axis="index")
    if p.min() < 0 or p.max() > 1:
        raise ValueError(f"p_values go from {p.min():g} to {p.max():g}; numbers in [0, 1] are needed")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted


def _curves(values: Any) -> Array:
    """Finite curves (S, W) of at least two seeds and two points, float64."""
    rows = as_floats(values, "curves").astype(np.float64, copy=False)
    if rows.ndim != 2:
        raise ValueError(f"curves has shape {rows.shape}; (seeds, points) is needed")
    if rows.shape[0] < 2:
        raise ValueError(f"curves has {rows.shape[0]} seeds; at least 2 are needed for a standard error")
    if rows.shape[1] < 2:
        raise ValueError(f"curves has {rows.shape[1]} points; at least 2 are needed for a rise")
    if rows.shape[1] > _MAX_POINTS:
        raise ValueError(f"curves has {rows.shape[1]} points; at most {_MAX_POINTS} are possible")
    require_finite(rows, "curves")
    if np.abs(rows).max() > _MAX_SIZE:
        raise ValueError(
            f"curves is up to {shown(float(np.abs(rows).max()))}; at most {_MAX_SIZE:g} is possible"
        )
    return rows


def _residuals(rows: Array) -> Array:
    """Curves without the mean of each seed and of each point."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    return np.asarray(centred - centred.mean(axis=0))


def _largest_rise(curves: Array) -> Array:
    """max_{i<j} c_j − c_i along the last axis."""
    lowest = np.minimum.accumulate(curves, axis=-1)
    return np.asarray((curves[..., 1:] - lowest[..., :-1]).max(axis=-1))


def _cross_fitted(rows: Array) -> tuple[float, float]:
    """The rise of each seed between the points that the others choose: its mean and standard error."""
    others = (rows.sum(axis=0) - rows) / (len(rows) - 1)
    pairs = [steepest(mean) for mean in others]
    rises = np.array([row[last] - row[first] for row, (first, last) in zip(rows, pairs, strict=True)])
    return float(rises.mean()), float(rises.std(ddof=1) / np.sqrt(len(rises)))


def _antitonic(mean: Array) -> NDArray[np.float64]:
    """The nearest curve that never rises: blocks of neighbours that rise are put to their mean."""
    blocks: list[tuple[float, int]] = []
    for value in mean.tolist():
        level, size = value, 1
        while blocks and blocks[-1][0] < level:
            before, count = blocks.pop()
            level, size = (before * count + level * size) / (count + size), count + size
        blocks.append((level, size))
    return np.repeat([level for level, _ in blocks], [size for _, size in blocks])


def _p_value(statistic: float, table: Array) -> float:
    """Share of a sorted table that is as large, the curve itself counted in."""
    above = len(table) - int(np.searchsorted(table, statistic, side="left"))
    return (1 + above) / (1 + len(table))


def _null(kind: str, residuals: Array, draws: int, seed: int) -> Array:
    """The table of a reference."""
    (n_seeds, n_points), own = residuals.shape, partial(_posterior, residuals)
    tables = {
        "flat": lambda: _flat_table(n_seeds, n_points, draws, seed),
        "heteroscedastic": lambda: _table(own, n_seeds, n_points, draws, seed),
    }
    return tables[kind]()


@lru_cache(maxsize=16)
def _flat_table(n_seeds: int, n_points: int, draws: int, seed: int) -> Array:
    """T of flat curves of equal noise."""
    return _table(lambda random: np.ones(n_points), n_seeds, n_points, draws, seed)


def _posterior(residuals: Array, random: np.random.Generator) -> Array:
    """Variances of the noise at each point over the pooled one, drawn from what the residuals say, (W,).

    Estimates alone would make the reference too light in its tail, where a correction for many tests looks.
    """
    squares, degrees = np.square(residuals).sum(axis=0), len(residuals) - 1
    scaled = degrees * squares / squares.mean() + _PRIOR
    return np.asarray(scaled / random.chisquare(degrees + _PRIOR, len(squares)))


def _table(
    variances: Callable[[np.random.Generator], Array], n_seeds: int, n_points: int, draws: int, seed: int
) -> Array:
    """Sorted draws of T on flat curves (draws,), in batches of which each has variances of its own."""
    random = np.random.default_rng(seed)
    batches = min(draws, max(_VARIANCES, -(-draws * n_points // _BATCH)))
    ends = np.arange(batches + 1) * draws // batches
    sizes = np.diff(ends).tolist()
    return np.sort(np.concatenate([_draw(variances(random), n_seeds, size, random) for size in sizes]))


def _draw(variances: Array, n_seeds: int, size: int, random: np.random.Generator) -> Array:
    """T of flat curves with these variances of a seed's noise, (size,)."""
    n_points = len(variances)
    scatter = np.diag(variances)
    scatter = scatter - scatter.mean(axis=0)
    scatter = scatter - scatter.mean(axis=1, keepdims=True)
    weights = np.linalg.eigvalsh(scatter)[1:]  # the first is 0: what all points share is taken out
    rise = _largest_rise(random.standard_normal((size, n_points)) * np.sqrt(variances / n_seeds))
    squares = 2 * random.standard_gamma((n_seeds - 1) / 2, (size, n_points - 1)) @ weights
    pooled = squares / ((n_seeds - 1) * (n_points - 1))
    return np.asarray(rise / np.sqrt(2 * pooled / n_seeds))
