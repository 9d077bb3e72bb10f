"""Any regressor of scikit-learn's kind as the population's function, in turns with the clusters' effects.

Outcomes less posterior means of the effects are f + s^2 W^-1 V^-1 (y - f); fitting to them again and again,
rows weighted by W, has the generalized least squares of the regressor's own class as fixed point (the idea of
MERF: Hajjem, Bellavance and Larocque 2014), and is stopped by the loss of clusters left out.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from ..._arrays import require_finite, shown
from ._components import Floats
from ._problem import FittedMean, MixedProblem, Whitening

ROUNDS, PATIENCE = 10, 3


@dataclass(frozen=True, eq=False)
class RegressorMean:
    """The mean of several regressors' predictions."""

    regressors: list[Any]

    def predict(self, X: Floats) -> Floats:
        """Their mean at rows."""
        return np.asarray(np.mean([_predicted(one, X) for one in self.regressors], axis=0))


def _predicted(regressor: Any, X: Floats) -> Floats:
    """Its predictions (N,), which may be a column."""
    found = np.asarray(regressor.predict(X), np.float64)
    what = f"the prediction of mean={shown(regressor)}"
    if found.shape not in ((len(X),), (len(X), 1)):
        raise ValueError(f"{what} has shape {found.shape}; ({len(X)},) is needed")
    require_finite(found.reshape(-1), what)
    return found.reshape(-1)


def require_weighted(template: Any) -> None:
    """TypeError where a regressor leaves rows' weights out of account."""
    if not has_fit_parameter(template, "sample_weight"):
        raise TypeError(f"sample_weight is given, but the fit of mean={shown(template)} does not take it")


def fit(problem: MixedProblem, whitening: Whitening, template: Any) -> FittedMean:
    """One regressor a fold.

    Working weights of classes and counts are left out where it takes none: its equations are right on average
    without them.
    """
    X, y, rows, weights = problem.X, problem.y, problem.fold_of_row, problem.effects.weights
    used = weights if has_fit_parameter(template, "sample_weight") else None
    noise = whitening.values.noise / (1.0 if weights is None else weights)
    F = np.zeros((problem.n_folds, len(y)))
    best, best_round, kept, left_out = np.inf, 0, [], np.zeros(len(y))
    for step in range(ROUNDS):
        targets = F + noise * whitening.solve((y - F).T).T
        fitted = []
        for k in range(problem.n_folds):
            inside = rows != k
            more = {} if used is None else {"sample_weight": used[inside]}
            one = clone(template).fit(X[inside], targets[k, inside], **more)
            F[k] = _predicted(one, X)
            fitted.append(one)
        out = F[rows, np.arange(len(y))]
        loss = whitening.loss(y - out)
        if loss < best:
            best, best_round, kept, left_out = loss, step + 1, fitted, out.copy()
        if step + 1 - best_round >= PATIENCE:
            break
    return FittedMean("regressor", left_out, RegressorMean(kept))
