"""Intervals from the wild cluster bootstrap by inverting its test."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._arrays import Array
from .._limits import seed
from .._options import choice, fraction, integer
from .._warn import warn
from ..exceptions import DesignWarning
from . import _intervals
from ._complete import Missing
from ._inference import MANY_DRAWS
from ._linear_rows import read_rows
from ._partialled import partialled
from ._wild_test import WildTest

__all__ = ["wild_interval"]

KEPT = 20_000_000  # signs kept for all hypotheses; more are drawn again for each


def wild_interval(
    X: Any,
    y: Any,
    treatment: Any,
    groups: Any,
    *,
    covariates: Any = None,
    absorb: Any = None,
    sample_weight: Any = None,
    missing: Missing = "raise",
    weights: _intervals.Weights = "rademacher",
    level: float = 0.95,
    n_draws: int = 9999,
    random_state: Any = 0,
) -> tuple[float, float]:
    """The coefficients that the wild cluster bootstrap's test does not refuse.

    The interval of `linear_effect(inference="wild")` is symmetric, and comes from the draws of the test of no
    effect. This one imposes each coefficient in turn, with the same draws: it holds those around the estimate
    with a p-value above 1 - level, and need not be symmetric.

    Parameters
    ----------
    X, y, treatment, groups, covariates, absorb, sample_weight, missing
        As in `linear_effect`.
    weights : {"rademacher", "webb"}, default="rademacher"
    level : float in (0, 1), default=0.95
    n_draws : int, default=9999
        Where there are no more sign vectors than this, all are used.
    random_state : int, RandomState or None, default=0
        Of the draws.

    Returns
    -------
    low, high : float
        To a millionth of a standard error; infinite where the draws refuse nothing on that side.

    Raises
    ------
    ValueError
        As `linear_effect`, and if the coefficient rests on one cluster.

    Warns
    -----
    DesignWarning
        If an end is infinite: there are too few clusters or draws for the level.

    References
    ----------
    Roodman, MacKinnon, Nielsen and Webb (2019), "Fast and wild: bootstrap inference in Stata using boottest",
    Stata Journal 19, section 3.5. MacKinnon, Nielsen and Webb (2023), "Fast and reliable jackknife and
    bootstrap methods for cluster-robust inference", Journal of Applied Econometrics 38.

    Examples
    --------
    >>> from rfpcore.causal import linear_effect, wild_interval
    >>> from rfpcore.datasets import make_policy
    >>> data = make_policy(n_clusters=30, effect=1.0, random_state=0)
    >>> low, high = wild_interval(data.X, data.y, data.treatment, data.groups)
    >>> print(f"{low:.2f} to {high:.2f}")
    -0.26 to 1.68
    """
    choice(weights, "weights", _intervals.Weights)
    share = fraction(level, "level")
    integer(n_draws, "n_draws", 2, MANY_DRAWS)
    start = seed(random_state, "random_state")
    data = read_rows(X, y, treatment, groups, covariates, absorb, sample_weight, missing)
    n = len(data.labels)
    model, _ = partialled(data.X, data.d, data.y, data.codes, n, data.fixed)
    alone = data.labels[model.rests_on]
    error = float(np.sqrt(model.correction)) * _intervals.length(model.scores())
    if len(alone) or error <= model.noise:
        reason = (
            f"the coefficient rests on cluster {alone[0]!s} alone" if len(alone) else "residuals are zero"
        )
        raise ValueError(f"there is no interval: {reason}")
    kept = list(_signs(n, n_draws, weights, start)) if n * n_draws <= KEPT else None

    def blocks() -> Iterator[Array]:
        return _signs(n, n_draws, weights, start) if kept is None else iter(kept)

    low, high = WildTest(model).interval(blocks, share, model.estimate, error)
    if not np.isfinite([low, high]).all():
        warn(
            f"no coefficient is refused on one side at level={share:g}, so the interval is infinite: {n} "
            "clusters have too few sign vectors, or there are too few draws; weights='webb' has more",
            DesignWarning,
        )
    return model.unit * low, model.unit * high


def _signs(n_clusters: int, n_draws: int, weights: str, start: int) -> Iterator[Array]:
    return _intervals.sign_blocks(n_clusters, n_draws, weights, np.random.default_rng(start))
