"""A fit: kinds of mean on the same folds of clusters, the choice, the guard, the covariance at the end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from . import _gaussian_process, _linear, _networks, _regressors, _trees
from ._components import Floats
from ._likelihood import CovarianceEstimate
from ._problem import FittedMean, MixedProblem, Whitening, estimate
from ._settings import MixedSettings

GUARD_SIZE = 0.05  # of the one-sided test
GUARDED = ("auto", "network")
AUTO = ("network", "gp", "linear", "trees")


@dataclass(frozen=True, eq=False)
class MixedFit:
    """What a fit led to.

    Attributes
    ----------
    chosen : FittedMean
        The population's function beside which clusters' effects are estimated.
    unseen : FittedMean
        That of clusters of which nothing is known: the same, unless the guard says otherwise.
    estimate : CovarianceEstimate
        Of the covariance, from residuals of clusters left out; of a linear mean by itself, from all.
    scores : dict of str to float
        Log-likelihood of the residuals left out, by kind of mean.
    uncertainty : object
        `spread(X)`: the standard deviation of the population's function.
    guard : float or None
        The statistic of ordinary training against the chosen mean; None where it was not computed.
    """

    chosen: FittedMean
    unseen: FittedMean
    estimate: CovarianceEstimate
    scores: dict[str, float]
    uncertainty: Any
    guard: float | None


def run(problem: MixedProblem, settings: MixedSettings) -> MixedFit:
    """Fit the mean that was asked for, or the best of all kinds."""
    if settings.mean == "linear":
        return _only_linear(problem, settings.reml)
    ordinary = _networks.fit(problem, None, settings.training.without_decay())
    first = estimate(problem, ordinary.left_out)
    process, beside = _gaussian_process.fit(problem, first.parameters)
    found = candidates(problem, settings, first, process, beside)

    def differences(chosen: FittedMean) -> Floats:
        return differences_of(problem, ordinary, chosen)

    return choose(problem, settings, first.parameters, process, found, ordinary, differences)


def choose(
    problem: MixedProblem,
    settings: MixedSettings,
    guess: Floats,
    process: FittedMean,
    found: dict[str, FittedMean],
    ordinary: FittedMean,
    differences: Callable[[FittedMean], Floats],
) -> MixedFit:
    """The best of these means, its covariance by the problem's rows, and what the guard says of it.

    `differences` are those of `differences_of` for a mean, of all clusters there are.
    """
    estimates = {name: estimate(problem, one.left_out, None, guess) for name, one in found.items()}
    scores = {name: one.log_likelihood for name, one in estimates.items()}
    best = max(scores, key=scores.__getitem__)
    chosen = found[best]
    of_clusters = differences(chosen)
    guard = guard_statistic(of_clusters)
    # The choice went by coarse searches: one more from where the best ended, and its curvature there.
    guess = estimates[best].parameters
    last = estimate(problem, chosen.left_out, None, guess, with_hessian=True)
    overruled = settings.guard and settings.mean in GUARDED and is_worse(len(of_clusters), guard)
    unseen = ordinary if overruled else chosen
    uncertainty = uncertainty_of(process, found)
    return MixedFit(chosen, unseen, last, scores, uncertainty, guard)


def candidates(
    problem: MixedProblem,
    settings: MixedSettings,
    first: CovarianceEstimate,
    process: FittedMean,
    beside: Floats,
) -> dict[str, FittedMean]:
    """Of the kinds in question; trees and regressors take the covariance beside the Gaussian process."""
    found: dict[str, FittedMean] = {}
    kinds = AUTO if settings.mean == "auto" else (settings.mean,)
    for kind in kinds:
        if not isinstance(kind, str):
            whitening = Whitening.of(problem, beside)
            found["regressor"] = _regressors.fit(problem, whitening, kind)
        elif kind == "network":
            found[kind] = _networks.fit(
                problem,
                Whitening.of(problem, first.parameters),
                settings.training.of_columns(problem.X.shape[1]),
            )
        elif kind == "gp":
            found[kind] = process
        elif kind == "linear":
            found[kind] = _linear.fit(problem, reml=False, exact=False)[0]
        elif kind == "trees":
            whitening = Whitening.of(problem, beside)
            bar = min((whitening.loss(problem.y - one.left_out) for one in found.values()), default=np.inf)
            found[kind] = _trees.fit(problem, whitening, bar)
        else:
            raise AssertionError(kind)
    return found


def _only_linear(problem: MixedProblem, reml: bool) -> MixedFit:
    candidate, found, uncertainty = _linear.fit(problem, reml=reml, exact=True)
    return MixedFit(
        candidate,
        candidate,
        found,
        {"linear": found.log_likelihood},
        uncertainty,
        None,
    )


def uncertainty_of(process: FittedMean, found: dict[str, FittedMean]) -> _gaussian_process.Uncertainty:
    """Of the population's function, with the networks' view where there are any."""
    network = found.get("network")
    return _gaussian_process.Uncertainty(process.mean, None if network is None else network.mean)


def is_worse(n_clusters: int, statistic: float) -> bool:
    """Whether ordinary training is significantly better."""
    return statistic < float(stdtrit(n_clusters - 1, GUARD_SIZE))


def differences_of(problem: MixedProblem, ordinary: FittedMean, chosen: FittedMean) -> Floats:
    """(C,) weighted squared errors on clusters left out: ordinary training's less those of another mean."""
    of_rows = (problem.y - ordinary.left_out) ** 2 - (problem.y - chosen.left_out) ** 2
    weights = problem.effects.weights
    return problem.sums(of_rows if weights is None else weights * of_rows)


def guard_statistic(differences: Floats) -> float:
    """By how much ordinary training predicts clusters left out worse, over its standard error over clusters.

    Far below zero where effects go with x: then every random-effects weighting estimates the function within
    clusters, and not E[y | x] (Hausman 1978; here on predictions rather than coefficients).
    """
    spread = np.sqrt(((differences - differences.mean()) ** 2).sum())
    return float(differences.sum() / spread) if spread > 0 else 0.0
