"""A fit of outcomes that are no normal numbers: working outcomes, kinds of mean, Laplace's likelihood.

At the mode of the effects the working outcome is eta + (y - p) / W with noise of variance 1 / W (penalized
quasi-likelihood: Breslow and Clayton 1993). Variances and the choice go by Laplace's approximation to the
likelihood of clusters left out, which does not share that method's bias.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from ..._warn import warn
from ...exceptions import DesignWarning
from . import _fit, _gaussian_process, _linear, _networks
from ._components import Floats, bounds, start, without_unseen
from ._laplace import FamilyName, LaplaceModel
from ._likelihood import EXACT, CovarianceEstimate, hessian_of, polished
from ._problem import FittedMean, MixedProblem, estimate
from ._settings import MixedSettings

ROUNDS = 2
CERTAIN = 0.99  # of the observed class, in every row
LARGEST_LOGIT = 8.0  # of the working outcomes' predictor above the level: beyond, weights say nothing


def run(problem: MixedProblem, settings: MixedSettings, family: FamilyName) -> _fit.MixedFit:
    """Fit the mean that was asked for, or the best of all kinds, on the scale of the link."""
    if settings.mean == "linear":
        return _only_linear(problem, family)
    ordinary = _networks.fit(problem, None, settings.training.without_decay(), family)
    best, last = ordinary, estimate(problem, ordinary.left_out, family)
    chosen = settings
    for _ in range(ROUNDS):
        working = _working(problem, best.left_out, last.parameters, family)
        process, beside = _gaussian_process.fit(working, last.parameters)
        found = _fit.candidates(working, chosen, last, process, beside)
        guess = last.parameters
        estimates = {name: estimate(problem, one.left_out, family, guess) for name, one in found.items()}
        scores = {name: one.log_likelihood for name, one in estimates.items()}
        if chosen is settings:
            first_scores, uncertainty = scores, _fit.uncertainty_of(process, found)
        name = max(scores, key=scores.__getitem__)
        best, last = found[name], estimates[name]
        chosen = replace(settings, mean=name if isinstance(settings.mean, str) else settings.mean)
    last = estimate(problem, best.left_out, family, last.parameters, with_hessian=True)
    return _fit.MixedFit(best, best, last, first_scores, uncertainty, None)


def _working(problem: MixedProblem, eta: Floats, u: Floats, family: FamilyName) -> MixedProblem:
    """The problem of the working outcomes at the mode."""
    eta = np.clip(eta, -LARGEST_LOGIT, LARGEST_LOGIT)
    mode = laplace_model(problem, family).mode(eta, u)
    return replace(problem, y=eta + mode.working_residual, effects=mode.data, level=0.0)


def laplace_model(problem: MixedProblem, family: FamilyName) -> LaplaceModel:
    """All rows' outcomes."""
    own = problem.effects
    return LaplaceModel(
        problem.structure,
        own._replace(weights=None),
        family,
        problem.y,
        own.weights,
        problem.n_threads,
        problem.level,
    )


def _only_linear(problem: MixedProblem, family: FamilyName) -> _fit.MixedFit:
    """A generalized linear mixed model: coefficients and variances of the largest Laplace likelihood."""
    kept = _linear.independent(problem.X)
    basis = _linear.sought(problem.X, kept)
    columns = basis.values
    _linear.require_rows(columns)
    p, structure = columns.shape[1], problem.structure
    model = laplace_model(problem, family)
    last_mode: list[Floats | None] = [None]

    def objective(parameters: Floats) -> tuple[float, Floats]:
        found, last_mode[0] = model.likelihood(columns @ parameters[:p], parameters[p:], last_mode[0])
        gradient = np.concatenate([columns.T @ found.of_eta, found.of_parameters])
        return -found.log_likelihood, -gradient

    free: list[tuple[float | None, float | None]] = [(None, None)] * p
    limits = free + bounds(structure, 1.0)
    first = np.concatenate([np.zeros(p), start(structure, 1.0)])
    found = minimize(objective, first, jac=True, method="L-BFGS-B", bounds=limits, options=EXACT)
    parameters = polished(objective, np.asarray(found.x), limits)
    parameters[p:] = without_unseen(structure, parameters[p:], problem.effects.columns)
    hessian = hessian_of(objective, parameters)
    together = np.asarray(np.linalg.pinv(hessian[:-1, :-1]), np.float64)
    covariance = basis.coefficients(basis.coefficients(together[:p, :p]).T)
    of_variances = np.zeros((structure.n_parameters, structure.n_parameters))
    of_variances[:-1, :-1] = np.linalg.pinv(together[p:, p:])
    b, u = basis.coefficients(parameters[:p]), parameters[p:]
    value, _ = objective(parameters)
    if family == "logistic":
        _warn_of_separation(model, columns @ parameters[:p], u)
    last = CovarianceEstimate(u, -value, b, covariance, of_variances)
    coefficients = np.zeros(problem.X.shape[1] + 1)
    coefficients[[0, *(j + 1 for j in kept)]] = b
    mean = _linear.LinearMean(coefficients)
    fitted = FittedMean("linear", mean.predict(problem.X), mean)
    uncertainty = _linear.LinearUncertainty(together[:p, :p], kept, basis.turn)
    return _fit.MixedFit(fitted, fitted, last, {"linear": -value}, uncertainty, None)


def _warn_of_separation(model: LaplaceModel, eta: Floats, u: Floats) -> None:
    logits = eta + model.level + model.mode(eta, u).effect
    least = float(expit(np.where(model.y > 0.5, logits, -logits)).min())
    if least > CERTAIN:
        warn(
            "the columns and clusters tell the classes of all rows with a probability of at least "
            f"{least:.4f}: the likelihood has no maximum, and coefficients, variances and errors are where "
            "the search stopped",
            DesignWarning,
        )


def null_log_likelihood(
    problem: MixedProblem, eta: Floats, family: FamilyName, rows: NDArray[np.intp]
) -> float:
    """Without effects, at given linear predictors of some rows."""
    return float(laplace_model(problem, family).slopes(eta).value[rows].sum())


def without_effects(problem: MixedProblem, columns: Floats, family: FamilyName) -> float:
    """The largest log-likelihood of a linear predictor without effects."""
    model = laplace_model(problem, family)

    def objective(b: Floats) -> tuple[float, Floats]:
        at = model.slopes(columns @ b)
        return -float(at.value.sum()), -columns.T @ at.first

    found = minimize(objective, np.zeros(columns.shape[1]), jac=True, method="L-BFGS-B", options=EXACT)
    return -float(found.fun)


def effects_at(problem: MixedProblem, mean: Any, u: Floats, family: FamilyName) -> tuple[Any, Floats]:
    """Effect data with the working weights, and the working residual, at the mode beside a mean."""
    mode = laplace_model(problem, family).mode(mean.predict(problem.X), u)
    return mode.data, mode.working_residual
