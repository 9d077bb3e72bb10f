"""Linear models under many counts of the clusters against scikit-learn's, fitted one by one."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression, LogisticRegression

from rfpcore.causal import ClusterEffect, StaggeredEffect, _linear_fits
from rfpcore.causal._linear_fits import is_least_squares, least_squares, ridge_logistic

G, N, D = 12, 90, 3
random = np.random.default_rng(0)
CODES = np.sort(random.integers(0, G, N))
X = random.standard_normal((N, D)) + 0.3 * CODES[:, None] - 1.8
Y = 1000 + X @ [1.0, -2.0, 0.5] + random.standard_normal(N)
WEIGHT = random.uniform(0.5, 2, N)
COUNTS = np.vstack(
    [np.ones((1, G), int), 1 - np.eye(G, dtype=int), random.multinomial(G, np.ones(G) / G, 30)]
)
ARM = (np.arange(G) % 5 < 2).astype(int)


def one_by_one(X, counts, y=Y):
    return [LinearRegression().fit(X, y, row[CODES] * WEIGHT).predict(X) for row in counts]


def logistic(Z, arm, count, **params):
    model = LogisticRegression(C=1.0, **params).fit(Z, arm, count)
    return model.predict_proba(Z)[:, 1]


@pytest.mark.parametrize("largest", [_linear_fits.LARGEST, 2000])
def test_least_squares(largest, monkeypatch):
    """2000 numbers are room for the equations of 100 fits, and 12 a piece for the solution."""
    monkeypatch.setattr(_linear_fits, "LARGEST", largest)
    found, solved = least_squares(X, Y, WEIGHT, CODES, COUNTS)
    assert solved.all()
    # Normal equations of condition 1e3 in double precision, relative to outcomes of variance 10.
    assert_allclose(found - 1000, np.array(one_by_one(X, COUNTS)) - 1000, atol=1e-10)


def test_dependent_columns_are_left_to_the_solver_that_can():
    """Dependent in some clusters; in all of them, or nearly so, is no trouble in an orthonormal basis."""
    for new in (X[:, 0] + X[:, 1], X[:, 0] + 1e-5 * X[:, 1] ** 2, np.full(N, 0.1)):
        columns = np.column_stack([X, new])
        found, solved = least_squares(columns, Y, WEIGHT, CODES, COUNTS)
        assert solved.all()
        exact = [
            LinearRegression().fit(columns, Y - 1000, row[CODES] * WEIGHT).predict(columns) for row in COUNTS
        ]
        assert_allclose(found - 1000, exact, atol=1e-8)  # scikit-learn solves columns of condition 1e6
    few = np.eye(G, dtype=int)[:2]  # a cluster of 8 rows and one of 9, but a feature that describes clusters
    of_clusters = np.column_stack([X, CODES % 5])
    assert not least_squares(of_clusters, Y, WEIGHT, CODES, few)[1].any()
    both = np.vstack([COUNTS[:1], few])
    assert least_squares(of_clusters, Y, WEIGHT, CODES, both)[1].tolist() == [True, False, False]


def test_no_room(monkeypatch):
    monkeypatch.setattr(_linear_fits, "LARGEST", 500)
    assert not least_squares(X, Y, WEIGHT, CODES, COUNTS)[1].any()


def test_what_is_least_squares():
    assert is_least_squares(LinearRegression())
    for model in (
        LinearRegression(fit_intercept=False),
        LinearRegression(positive=True),
        LogisticRegression(),
    ):
        assert not is_least_squares(model)


class Slow(LinearRegression):
    """Not known to be least squares, so fitted one by one."""


@pytest.mark.filterwarnings("ignore:one cluster dominates")
@pytest.mark.parametrize("columns", [[0, 1, 2], [0, 1, 2, 0]], ids=["full rank", "dependent"])
@pytest.mark.parametrize("estimand", ["att", "ate"])
def test_effect_is_the_same_fitted_one_by_one(estimand, columns):
    data = X[:, columns], Y, ARM[CODES], CODES
    fast, slow = (
        ClusterEffect(estimand=estimand, outcome=outcome).fit(*data, sample_weight=WEIGHT)
        for outcome in (LinearRegression(), Slow())
    )
    assert_allclose(fast.effect_.draws, slow.effect_.draws, atol=1e-9)
    draws = [model.infer("bootstrap")[0].draws for model in (fast, slow)]
    assert_allclose(*draws, atol=1e-7)  # some draws see three clusters, and condition is up to 1e6


def test_staggered_effect_is_the_same_fitted_one_by_one():
    """Cells of four clusters that adopt: draws of the bootstrap see one of them, and its covariate twice."""
    cluster, time = np.repeat(np.arange(20), 4), np.tile(np.arange(4), 20)
    treatment = time >= np.array([2, 3, 9, 9, 9])[cluster % 5]
    x, y = np.random.default_rng(1).standard_normal((2, 80))
    fast, slow = (
        StaggeredEffect(outcome=outcome, inference="bootstrap", n_draws=40).fit(
            x[:, None], y, treatment, cluster, time
        )
        for outcome in (LinearRegression(), Slow())
    )
    for one, other in zip(fast.effects_, slow.effects_, strict=True):
        assert_allclose(one.draws, other.draws, atol=1e-9)


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0], ids=["no signal", "moderate", "separated"])
@pytest.mark.parametrize("largest", [_linear_fits.LARGEST, 20])
def test_ridge_logistic(scale, largest, monkeypatch):
    monkeypatch.setattr(_linear_fits, "LARGEST", largest)
    Z = random.standard_normal((G, 2))
    arm = (scale * Z[:, 0] + random.standard_normal(G) > 0).astype(int)
    counts = COUNTS[[0 < row @ arm < row.sum() for row in COUNTS]]
    found = ridge_logistic(Z, arm, counts)
    exact = [logistic(Z, arm, row, tol=1e-12, solver="newton-cholesky") for row in counts]
    assert_allclose(found, exact, atol=1e-9)
    # What scikit-learn's default leaves undone: gradients of up to 1e-4 of the mean loss.
    assert_allclose(found, [logistic(Z, arm, row) for row in counts], atol=2e-3)


def test_ridge_logistic_with_more_covariates_than_clusters_and_large_counts():
    Z = 3 * random.standard_normal((G, 20))
    counts = 1000 * COUNTS[:2]
    found = ridge_logistic(Z, ARM, counts)
    exact = [logistic(Z, ARM, row, tol=1e-12, solver="newton-cholesky") for row in counts]
    assert_allclose(found, exact, atol=1e-9)
