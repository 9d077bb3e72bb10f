"""Random effects beside boosted trees (GPBoost), a random forest (MERF) and splines (mixedlm).

Each function fits (X, y, groups) and returns the population's mean, a function of X, and the random effects.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.preprocessing import SplineTransformer, StandardScaler

Mean = Callable[[np.ndarray], np.ndarray]
Design = Callable[[np.ndarray], np.ndarray]

ROUNDS, RATE, DEPTH = 150, 0.05, 4  # of GPBoost: the best of three settings that were tried
EM_STEPS = 10
FEW_VALUES = 8  # a column of no more enters linearly
KNOTS, KNOTS_ALONE = 5, 10  # of a spline beside others, and of one alone: the best of those tried
ROWS = 50  # with fewer for each column, all enter linearly


class Effects:
    """y − f(x) = z(x)'b_c + e with b_c ~ N(0, D) and e ~ N(0, noise)."""

    def __init__(self, design: Design, covariance: np.ndarray, noise: float):
        self.design, self.covariance, self.noise = design, np.atleast_2d(covariance), noise

    def posterior(
        self,
        X_seen: np.ndarray,
        residual: np.ndarray,
        groups_seen: np.ndarray,
        X: np.ndarray,
        groups: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of z(x)'b_c at the rows of X, given residuals of the same clusters."""
        mean, variance = np.zeros(len(X)), np.zeros(len(X))
        for cluster in np.unique(groups):
            asked = groups == cluster
            seen = groups_seen == cluster
            b, spread = self.of_cluster(self.design(X_seen[seen]), residual[seen])
            Z = self.design(X[asked])
            mean[asked] = Z @ b
            variance[asked] = np.einsum("ij,jk,ik->i", Z, spread, Z)
        return mean, variance

    def prior_variance(self, X: np.ndarray) -> np.ndarray:
        """Variance of z(x)'b_c in a cluster of which nothing is known."""
        Z = self.design(X)
        return np.einsum("ij,jk,ik->i", Z, self.covariance, Z)

    def of_cluster(self, Z: np.ndarray, residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of b_c."""
        DZ = self.covariance @ Z.T
        gain = np.linalg.solve(Z @ DZ + self.noise * np.eye(len(Z)), DZ.T).T
        return gain @ residual, self.covariance - gain @ DZ.T


def intercept(X: np.ndarray) -> np.ndarray:
    return np.ones((len(X), 1))


def gpboost(X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> tuple[Mean, Effects]:
    """Boosted trees and a random intercept."""
    return _gpboost(X, y, groups, None)


def gpboost_slopes(X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> tuple[Mean, Effects]:
    """The same and an uncorrelated random slope of each column."""
    return _gpboost(X, y, groups, StandardScaler().fit(X))


def _gpboost(
    X: np.ndarray, y: np.ndarray, groups: np.ndarray, scale: StandardScaler | None
) -> tuple[Mean, Effects]:
    import gpboost as gpb

    centre, spread, d = y.mean(), y.std(), X.shape[1]
    slopes: dict[str, Any] = {}
    if scale is not None:
        slopes = {"group_rand_coef_data": scale.transform(X), "ind_effect_group_rand_coef": [1] * d}
    fixed = {"likelihood": "gaussian", "num_parallel_threads": 1, "matrix_inversion_method": "cholesky"}
    model = gpb.GPModel(group_data=groups, **fixed, **slopes)
    options = {"learning_rate": RATE, "max_depth": DEPTH, "verbose": -1, "num_threads": 1, "seed": 0}
    data = gpb.Dataset(X, (y - centre) / spread)
    trees = gpb.train(options, data, gp_model=model, num_boost_round=ROUNDS)
    noise, *variances = (
        spread**2 * np.ravel(model.get_cov_pars(format_pandas=False))[: 2 + d * (scale is not None)]
    )

    def mean(rows: np.ndarray) -> np.ndarray:
        return centre + spread * trees.predict(rows, ignore_gp_model=True)

    def columns(rows: np.ndarray) -> np.ndarray:
        return intercept(rows) if scale is None else np.column_stack([intercept(rows), scale.transform(rows)])

    return mean, Effects(columns, np.diag(variances), noise)


def merf(X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> tuple[Mean, Effects]:
    """A random forest and a random intercept by EM: Hajjem, Bellavance and Larocque (2014), section 2.2.

    The forest's mean of a training row is that of the trees that have not seen it.
    """
    _, code, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    own, tau, noise = np.zeros(len(sizes)), 0.25 * y.var(), 0.5 * y.var()
    for _ in range(EM_STEPS):
        forest = RandomForestRegressor(100, min_samples_leaf=5, oob_score=True, random_state=0)
        forest.fit(X, y - own[code])
        residual = y - forest.oob_prediction_
        variance = 1 / (1 / tau + sizes / noise)  # of the intercepts given the residuals
        own = variance / noise * np.bincount(code, residual)
        noise = float(np.mean((residual - own[code]) ** 2 + variance[code]))
        tau = float(np.mean(own**2 + variance))

    return forest.predict, Effects(intercept, np.array([[tau]]), noise)


def mixedlm(X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> tuple[Mean, Effects]:
    """An additive model of cubic splines by REML; a random intercept, with one column also its slope."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    scale = StandardScaler().fit(X)
    basis = Splines(X)

    def columns(rows: np.ndarray) -> np.ndarray:
        slope = scale.transform(rows)
        return np.column_stack([intercept(rows), slope]) if X.shape[1] == 1 else intercept(rows)

    centre, spread = y.mean(), y.std()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of variances at zero
        fit = MixedLM((y - centre) / spread, basis(X), groups, exog_re=columns(X)).fit(reml=True)
    beta, covariance, noise = fit.fe_params, spread**2 * fit.cov_re, spread**2 * fit.scale
    return lambda rows: centre + spread * (basis(rows) @ beta), Effects(columns, covariance, noise)


class Splines:
    """A constant and, for each column, a cubic spline that goes on as a line; of few values, a line."""

    def __init__(self, X: np.ndarray):
        enough = len(X) >= ROWS * X.shape[1]
        self.smooth = np.array([enough and len(np.unique(column)) > FEW_VALUES for column in X.T])
        self.scale = StandardScaler().fit(X)
        self.spline = SplineTransformer(
            KNOTS_ALONE if X.shape[1] == 1 else KNOTS,
            knots="quantile",
            extrapolation="linear",
            include_bias=False,
        )
        if self.smooth.any():
            self.spline.fit(X[:, self.smooth])

    def __call__(self, X: np.ndarray) -> np.ndarray:
        parts = [intercept(X), self.scale.transform(X)[:, ~self.smooth]]
        if self.smooth.any():
            parts.append(self.spline.transform(X[:, self.smooth]))
        return np.column_stack(parts)
