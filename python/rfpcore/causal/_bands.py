"""Uniform bands: intervals that hold for all effects of an event study at once (sup-t)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from ._covariance import pulls_of
from ._intervals import length
from .results import Effect

DRAWS = 100_000  # their quantile of max |t| is within about .01


class Band(NamedTuple):
    """Bounds of effects that hold together.

    Attributes
    ----------
    low, high : ndarrays (E,)
        NaN for effects without a standard error: they are no part of the band.
    critical_value : float
        How many standard errors the band reaches to either side.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    critical_value: float


def uniform_band(
    effects: Sequence[Effect], replicates: Array, arm: NDArray[np.int64], method: str, level: float, seed: int
) -> Band:
    """The band of effects estimated on the same data.

    Parameters
    ----------
    effects : sequence of E Effects
    replicates : ndarray (R, E)
        Their estimates without each cluster, or in each bootstrap sample.
    arm : ndarray (G,)
        Strata of the clusters.
    method : {"jackknife", "cv3", "bootstrap"}
        What the replicates are.
    level : float in (0, 1)
    seed : int
        Of the draws of normal variables.
    """
    estimates, errors = np.array([(effect.estimate, effect.std_error) for effect in effects]).T
    valid = np.flatnonzero(errors > 0).tolist()
    if not valid:
        nothing = np.full(len(effects), np.nan)
        return Band(nothing, nothing, np.nan)
    found = replicates[:, valid]
    if method == "bootstrap":
        critical = bootstrap_critical_value(found, estimates[valid], errors[valid], level)
    else:
        df = min(effects[i].df for i in valid)
        by_arm = method == "jackknife" and np.unique(arm, return_counts=True)[1].min() > 1
        pulls = pulls_of(found, estimates[valid], arm if by_arm else None)
        critical = normal_critical_value(pulls, df, level, np.random.default_rng(seed))
    # A band is no narrower than the intervals it replaces, whatever chance says.
    critical = max(critical, *(effects[i].critical_value(level) for i in valid))
    half = critical * np.where(errors > 0, errors, np.nan)
    return Band(estimates - half, estimates + half, critical)


def bootstrap_critical_value(draws: Array, estimates: Array, errors: Array, level: float) -> float:
    """Quantile of max_e |draw_e - estimate_e| / error_e over the bootstrap samples.

    Callaway and Sant'Anna (2021), section 4.1, with samples of clusters in place of their multipliers. An
    effect that has no value in a sample (NaN) is passed over there.
    """
    statistics = np.abs(draws - estimates) / errors
    some = ~np.isnan(statistics).all(axis=1)
    return float(np.quantile(np.nanmax(statistics[some], axis=1), level, method="higher"))


def normal_critical_value(pulls: Array, df: float, level: float, random: np.random.Generator) -> float:
    """Quantile of max_e |t_e|, t multivariate with the covariance that the clusters' pulls have.

    Parameters
    ----------
    pulls : ndarray (G, E)
        Of each cluster on each effect: their sums of squares and products are the covariance.
    df : float
        Degrees of freedom of every t_e; infinite for normal ones.
    level : float in (0, 1)
    random : numpy.random.Generator

    Notes
    -----
    With normal multipliers g_c the sum over clusters of g_c pull_c has just this covariance: the multiplier
    bootstrap of Callaway and Sant'Anna (2021), with what leaving a cluster out does in place of its
    influence.
    """
    root = np.linalg.qr(pulls / [length(column) for column in pulls.T], mode="r")
    largest = np.abs(random.standard_normal((DRAWS, len(root))) @ root).max(axis=1)
    if np.isfinite(df):
        largest /= np.sqrt(random.chisquare(df, DRAWS) / df)
    return float(np.quantile(largest, level))
