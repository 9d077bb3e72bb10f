"""Any regressor of scikit-learn's kind as the population's function, in turns with the clusters' effects.

Outcomes less posterior means of the effects are f + s^2 W^-1 V^-1 (y - f); fitting to them again and again
has the generalized least squares of the regressor's own class as fixed point (the idea of MERF: Hajjem,
Bellavance and Larocque 2014), and is stopped by the loss of clusters left out.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from ._components import Floats
from ._problem import FittedMean, MixedProblem, Whitening

ROUNDS, PATIENCE = 10, 3


@dataclass(frozen=True, eq=False)
class RegressorMean:
    """The mean of several regressors' predictions."""

    regressors: list[Any]

    def predict(self, X: Floats) -> Floats:
        """Their mean at rows."""
        return np.asarray(np.mean([one.predict(X) for one in self.regressors], axis=0), np.float64)


def fit(problem: MixedProblem, whitening: Whitening, template: Any) -> FittedMean:
    """One regressor a fold."""
    X, y, rows = problem.X, problem.y, problem.fold_of_row
    noise = whitening.values.noise / (1.0 if problem.effects.weights is None else problem.effects.weights)
    F = np.zeros((problem.n_folds, len(y)))
    best, best_round, kept, left_out = np.inf, 0, [], np.zeros(len(y))
    for step in range(ROUNDS):
        targets = F + noise * whitening.solve((y - F).T).T
        fitted = []
        for k in range(problem.n_folds):
            inside = rows != k
            one = clone(template).fit(X[inside], targets[k, inside])
            F[k] = np.asarray(one.predict(X), np.float64).reshape(-1)
            fitted.append(one)
        out = F[rows, np.arange(len(y))]
        loss = whitening.loss(y - out)
        if loss < best:
            best, best_round, kept, left_out = loss, step + 1, fitted, out.copy()
        if step + 1 - best_round >= PATIENCE:
            break
    return FittedMean("regressor", left_out, RegressorMean(kept))
