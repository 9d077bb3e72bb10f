"""The public attributes of a fit, from what was found in standard units."""

import numpy as np
from numpy.typing import NDArray

from ..._arrays import Array
from ..._scaling import Scaling
from ._classify import null_log_likelihood, without_effects
from ._components import Floats, variance_of
from ._fit import MixedFit
from ._linear import SoughtColumns, independent, least_squares_log_likelihood, sought
from ._model import FittedModel
from ._problem import MixedProblem
from ._rows import StandardUnits, to_units
from ._variances import components
from .results import LikelihoodRatioTest, RandomEffects, VarianceComponents

LEAST = 1e-8  # of a variance in standard units: less is nothing to take a share of


class MixedReport:
    """What a fit is found to say: public attributes of `MixedRegressor`, which has the words for them."""

    mean_: str
    scores_: dict[str, float]
    guard_: float | None
    variance_components_: VarianceComponents
    random_effects_: RandomEffects | list[RandomEffects]
    intraclass_correlation_: float
    r2_marginal_: float
    r2_conditional_: float
    coefficients_: NDArray[np.float64] | None
    coefficient_std_errors_: NDArray[np.float64] | None
    log_likelihood_: float
    no_effects_test_: LikelihoodRatioTest
    labels_: Array


def report(
    problem: MixedProblem, fitted: MixedFit, model: FittedModel, names: list[str], reml: bool
) -> MixedReport:
    """All of it."""
    found, estimate, scales = MixedReport(), fitted.estimate, model.scales
    counts = None if model.family is None else problem.effects.weights  # which say how often rows count
    own = _mean(variance_of(problem.structure, model.effects.values, problem.effects.columns), counts)
    f, noise = fitted.chosen.mean.predict(problem.X), _noise(problem, model)
    of_mean = f.var() if counts is None else _mean((f - _mean(f, counts)) ** 2, counts)
    if np.ptp(problem.y) == 0:  # nothing varies, whatever the prior says
        own = noise = 0.0
    total = max(of_mean + own + noise, LEAST)
    null, in_units = _likelihoods(problem, fitted, model, reml)
    statistic = max(2 * (estimate.log_likelihood - null), 0.0)
    found.mean_, found.scores_, found.guard_ = fitted.unseen.name, fitted.scores, fitted.guard
    found.variance_components_ = components(problem.structure, estimate, scales, names)
    found.random_effects_ = random_effects(model, names)
    found.intraclass_correlation_ = float(own / max(own + noise, LEAST))
    found.r2_marginal_ = float(of_mean / total)
    found.r2_conditional_ = float((of_mean + own) / total)
    found.coefficients_ = found.coefficient_std_errors_ = None
    if len(estimate.coefficients):
        found.coefficients_, found.coefficient_std_errors_ = _coefficients(problem, scales, fitted)
    found.log_likelihood_ = estimate.log_likelihood + in_units
    found.no_effects_test_ = LikelihoodRatioTest(statistic, problem.structure.n_parameters - 1)
    found.labels_ = model.effects.labels
    return found


def _mean(values: Floats, counts: Floats | None) -> float:
    return float(np.average(values, weights=counts))


def _noise(problem: MixedProblem, model: FittedModel) -> float:
    """The variance of a row's noise in standard units; of other families on the scale of the link.

    That of a logit is pi^2 / 3, that of a logarithm of a rate m is log(1 + 1 / m) (Nakagawa, Johnson and
    Schielzeth 2017).
    """
    if model.family is None:
        return model.effects.values.noise
    if model.family == "logistic":
        return float(np.pi**2 / 3)
    if model.family == "poisson":
        return float(np.log1p(1 / max(_mean(problem.y, problem.effects.weights), 1e-300)))
    raise AssertionError(model.family)


def random_effects(model: FittedModel, names: list[str]) -> RandomEffects | list[RandomEffects]:
    """Intercepts and slopes in the data's units: of each level, where there are two."""
    effects, scales = model.effects, model.scales
    structure = effects.structure
    if not structure.n_columns:
        nothing = np.empty((len(effects.labels), 0))
        return RandomEffects(effects.labels, [], nothing, nothing)
    A = scales.y_scale * to_units(structure, scales)
    own = (["intercept"] if structure.intercept else []) + [names[j] for j in structure.slopes]
    nested = [(effects.labels[outer], label) for outer, label in effects.inner_labels]
    found = []
    for labels, (mean, covariance) in zip((effects.labels, nested), effects.of_terms(), strict=False):
        variance = np.einsum("ki,cij,kj->ck", A, covariance, A)
        found.append(RandomEffects(labels, own, mean @ A.T, np.sqrt(np.maximum(variance, 0.0))))
    return found[0] if len(found) == 1 else found


def _coefficients(problem: MixedProblem, scales: StandardUnits, fitted: MixedFit) -> tuple[Floats, Floats]:
    """Of a linear mean, in the data's units: intercept first."""
    kept = independent(problem.X)
    b, covariance = fitted.estimate.coefficients, fitted.estimate.coefficient_covariance
    d = len(scales.x.level)
    own = [j % d for j in kept]  # columns of clusters' means have the units of their columns
    T = Scaling(scales.x.level[own], scales.x.spread[own]).change
    coefficients, errors = np.full(problem.X.shape[1] + 1, np.nan), np.full(problem.X.shape[1] + 1, np.nan)
    where = [0, *(j + 1 for j in kept)]
    coefficients[where] = scales.y_scale * (T @ b)
    coefficients[0] += scales.level + scales.y_mean
    errors[where] = scales.y_scale * np.sqrt(np.maximum(np.diag(T @ covariance @ T.T), 0.0))
    return coefficients, errors


def _likelihoods(
    problem: MixedProblem, fitted: MixedFit, model: FittedModel, reml: bool
) -> tuple[float, float]:
    """The log-likelihood without effects, and what to add to either for the data's units."""
    weights, family, scales = problem.effects.weights, model.family, model.scales
    rows, kept = problem.sample.rows, independent(problem.X)
    is_linear = len(fitted.estimate.coefficients) > 0
    if family is not None:
        if is_linear:
            return without_effects(problem, sought(problem.X, kept).values, family), 0.0
        return null_log_likelihood(problem, fitted.chosen.left_out, family, rows), 0.0
    log_unit = float(np.log(scales.y_scale))
    if not is_linear:
        residual = (problem.y - fitted.chosen.left_out)[rows]
        weights = None if weights is None else weights[rows]
        nothing = SoughtColumns(np.empty((len(rows), 0)), None)
        null = least_squares_log_likelihood(residual, nothing, weights, False)
        return null, -len(rows) * log_unit
    null = least_squares_log_likelihood(problem.y, sought(problem.X, kept), weights, reml)
    in_units = -len(problem.y) * log_unit
    if reml:
        own = [j % len(scales.x.level) for j in kept]
        in_units += (len(kept) + 1) * log_unit - float(np.log(scales.x.spread[own]).sum())
    return null, in_units
