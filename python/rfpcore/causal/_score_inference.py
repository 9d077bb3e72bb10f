"""Standard errors with the nuisances held fixed: too short where a flexible model fits few clusters."""

import warnings
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from .._options import integer
from ..exceptions import DesignWarning
from . import _intervals, _scores
from ._inference import MANY_DRAWS
from ._nuisance import Fitted, Models, _predictions, is_flexible, propensities, with_left_out
from ._sample import Sample
from .results import Effect

ScoreMethod = Literal["cross-fit", "score-jackknife", "cr1", "wild", "webb"]
FEW_CLUSTERS = 20


def warn_if_too_short(sample: Sample, models: Models, method: str, stacklevel: int) -> None:
    """`DesignWarning` where simulations found intervals of the score to cover far too rarely."""
    n = int(np.sum(sample.arm >= 0))
    if n <= FEW_CLUSTERS and models.arms and is_flexible(models.outcome, sample):
        warnings.warn(
            f"inference={method!r} holds the outcome model fixed. With {n} clusters and a flexible model "
            "such 95 % "
            "intervals covered 71 to 83 % in simulations; inference='jackknife' fits everything again",
            DesignWarning,
            stacklevel=stacklevel + 1,
        )


def from_terms(
    name: str, parts: list[_scores.Term], sample: Sample, method: str, n_draws: int, seed: int
) -> Effect:
    """An effect with a standard error from the score alone."""
    n = int(np.sum(sample.arm >= 0))
    present = np.flatnonzero(sample.arm >= 0)
    full = _scores.value(parts)
    score = _scores.influence(parts, sample.codes, sample.n_clusters)[present]
    if method in ("score-jackknife", "cross-fit"):
        without = _scores.leave_one_out(parts, sample.codes, sample.n_clusters)[present]
        error = _intervals.jackknife_error(full, without)
        title = "jackknife of the score" + (", cross-fitted" if method == "cross-fit" else "")
        return Effect(name, full, error, n - 1.0, title, draws=without)
    error = _intervals.sandwich_error(score)
    if method == "cr1":
        return Effect(name, full, error, n - 1.0, "cluster-robust (CR1) variance of the score")
    integer(n_draws, "n_draws", 2, MANY_DRAWS)
    weights = "webb" if method == "webb" else "rademacher"
    signs = _intervals.wild_signs(n, n_draws, weights, np.random.default_rng(seed))
    statistics = _intervals.wild_statistics(score, signs)
    title = f"wild cluster bootstrap of the score ({weights}, {len(signs)} draws)"
    return Effect(name, full, error, n - 1.0, title, statistics=statistics)


def make_folds(sample: Sample, n_folds: int, seed: int) -> NDArray[np.intp]:
    """(G,) a fold for each cluster, each arm spread over all of them."""
    folds = np.zeros(sample.n_clusters, np.intp)
    random = np.random.default_rng(seed)
    integer(n_folds, "n_folds", 2, sample.n_clusters)
    for value, what in ((1, "treated"), (0, "control")):
        own = np.flatnonzero(sample.arm == value)
        if len(own) < n_folds:
            raise ValueError(
                f"n_folds={n_folds}, but there are {len(own)} {what} clusters: a fold would be without. "
                f"At most {len(own)} folds are possible, and at least 2 clusters in each arm"
            )
        folds[random.permutation(own)] = np.arange(len(own)) % n_folds
    return folds


def randomization(
    name: str, sample: Sample, models: Models, fitted: Fitted, n_draws: int, seed: int
) -> Effect:
    """Fisher's test of no effect on anybody: treatment is drawn, and everything fitted, again.

    Assignments are drawn with the fitted propensities, given the number of treated clusters: uniformly
    without cluster covariates. p = (1 + how many draws are as large) / (1 + draws).
    """
    integer(n_draws, "n_draws", 1, MANY_DRAWS)
    arms = draw_arms(sample, models, n_draws, np.random.default_rng(seed))
    if models.left_out is not None and models.left_out.chosen is None:
        # Under the hypothesis nobody's outcome tells of treatment: all clusters may choose the model.
        models = with_left_out(sample, models, np.zeros(sample.n_clusters, np.int64))
        found = estimates_by_arms(sample, models, np.vstack([sample.arm, arms]))
        estimate, draws = float(found[0]), found[1:]
    else:
        estimate = _scores.value(terms_of(sample, models, fitted))
        draws = estimates_by_arms(sample, models, arms)
    p = float((1 + np.sum(np.abs(draws) >= abs(estimate) * (1 - 1e-12))) / (1 + n_draws))
    title = f"randomization inference, {n_draws} assignments"
    return Effect(name, estimate, np.nan, np.nan, title, draws=draws, p=p)


def draw_arms(sample: Sample, models: Models, n_draws: int, random: np.random.Generator) -> NDArray[np.int64]:
    """(B, G) assignments with as many treated clusters (conditional Poisson, by rejection)."""
    ones = np.ones((1, sample.n_clusters), np.int64)
    p = propensities(sample, models, ones)[0]
    wanted = int(sample.arm.sum())
    if np.ptp(p) == 0:
        order = np.argsort(random.random((n_draws, len(p))), axis=1)
        return (order < wanted).astype(np.int64)
    kept: list[Array] = []
    while sum(map(len, kept)) < n_draws:
        arms = (random.random((4 * n_draws, len(p))) < p).astype(np.int64)
        kept.append(arms[arms.sum(axis=1) == wanted])
    return np.concatenate(kept)[:n_draws]


def estimates_by_arms(sample: Sample, models: Models, arms: NDArray[np.int64]) -> Array:
    """(B,) the estimate under each assignment; the fits of the outcome are one batch for each arm."""
    found = {}
    for arm in models.arms:
        counts, inverse = np.unique((arms == arm).astype(np.int64), axis=0, return_inverse=True)
        found[arm] = _predictions(sample, models, counts)[inverse.ravel()]
    zeros = np.zeros(len(sample.y))
    ones = np.ones((1, sample.n_clusters), np.int64)
    estimates = np.empty(len(arms))
    for b, arm in enumerate(arms):
        drawn = replace(sample, arm=arm)
        p = propensities(drawn, models, ones)[0][sample.codes]
        m0, m1 = (found[a][b] if a in found else zeros for a in (0, 1))
        estimates[b] = _scores.value(terms_of(drawn, models, Fitted(m0, m1, p)))
    return estimates


def terms_of(
    sample: Sample, models: Models, fitted: Fitted, weight: Array | None = None
) -> list[_scores.Term]:
    """The weighted means of the models' score; `weight` (N,) takes the place of the rows' own."""
    weight = sample.weight if weight is None else weight
    return _scores.terms(models.estimand, models.score, sample.y, sample.treated, weight, *fitted)
