"""The jackknife in closed form against fitting everything again without each cluster."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression, LogisticRegression

from rfpcore.causal import ClusterEffect, DifferenceInDifferences, StaggeredEffect, _replicates
from rfpcore.causal._delete_one_logistic import logistic_without_each
from rfpcore.causal._delete_one_odds import OddsWithoutEach
from rfpcore.causal._delete_one_squares import least_squares_without_each
from rfpcore.causal._linear_fits import ridge_logistic
from rfpcore.causal._series import make_monomials, moments, series

ATOL = 1e-10


class Slow(LinearRegression):
    """Not known to be least squares, so fitted again without each cluster."""


class Exact(LogisticRegression):
    """The default propensity, fitted one by one by a solver that goes on to rounding error."""

    def __init__(self, C=1.0, tol=1e-13, solver="newton-cholesky", random_state=None):
        super().__init__(C=C, tol=tol, solver=solver, random_state=random_state)


def design(seed, n_clusters=26, n_columns=2, separation=0.7, n_periods=1):
    """Clusters of 1 to 6 rows a period, of unlike means, with covariates of rows and of clusters."""
    random = np.random.default_rng(seed)
    Z = random.standard_normal((n_clusters, n_columns))
    arm = (separation * Z[:, 0] + random.standard_normal(n_clusters) > 0).astype(int)
    arm[:4] = [0, 1, 0, 1]
    sizes = random.integers(1, 7, (n_periods, n_clusters))
    codes = np.concatenate([np.repeat(np.arange(n_clusters), each) for each in sizes])
    time = np.repeat(np.arange(n_periods), sizes.sum(axis=1))
    x = random.standard_normal((len(codes), 2)) + random.standard_normal((n_clusters, 2))[codes]
    y = (
        50
        + x @ [1.0, -2.0]
        + Z[codes].sum(axis=1)
        + arm[codes] * (time + 1)
        + random.standard_normal(len(codes))
    )
    weight = random.uniform(0.5, 2.0, len(codes))
    return np.column_stack([x, Z[codes]]), y, arm[codes], codes, time, weight


def refitted(make, fit, **options):
    """A model whose jackknife is closed, and one that fits outcomes and propensities one by one."""
    closed, slow = (
        fit(make(outcome=LinearRegression(), **options)),
        fit(make(outcome=Slow(), propensity=Exact(), **options)),
    )
    for model in (closed, slow):
        problem = getattr(model, "_inner", None) or model
        assert (problem._problem.closed is None) == (model is slow)
    return closed, slow


def assert_same(closed, slow):
    for one, other in zip(closed.effects_, slow.effects_, strict=True):
        assert_allclose(one.draws, other.draws, rtol=0, atol=ATOL)
        assert_allclose([one.estimate, one.std_error], [other.estimate, other.std_error], rtol=0, atol=ATOL)


@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")
@pytest.mark.parametrize("method", ["aipw", "regression", "ipw"])
@pytest.mark.parametrize("estimand", ["att", "ate"])
@pytest.mark.parametrize("seed", [0, 1])
def test_effects(estimand, method, seed):
    """With weights and subgroups, one of them of four clusters: too few to leave some of them out."""
    X, y, d, codes, _, weight = design(seed)
    by = np.where(codes < 4, "few", np.where(np.arange(len(y)) % 2, "odd", "even"))
    options = {"by": by, "sample_weight": weight}
    models = refitted(
        ClusterEffect, lambda m: m.fit(X, y, d, codes, **options), estimand=estimand, estimation_method=method
    )
    assert_same(*models)


@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")
@pytest.mark.parametrize("columns", [[0], [2], [0, 2, 3, 0]], ids=["row", "cluster", "dependent"])
def test_covariates(columns):
    X, y, d, codes, _, weight = design(2)

    def fit(model):
        return model.fit(X[:, columns], y, d, codes, sample_weight=weight)

    assert_same(*refitted(ClusterEffect, fit, estimand="ate", propensity_bounds=(0.3, 0.6)))


def test_means():
    X, y, d, codes, _, weight = design(2)
    effect = ClusterEffect(estimand="ate").fit(X[:, :0], y, d, codes, sample_weight=weight).effect_

    def difference(keep):
        return np.subtract(*(np.average(y[keep & (d == a)], weights=weight[keep & (d == a)]) for a in (1, 0)))

    assert_allclose(effect.estimate, difference(codes >= 0), atol=1e-12)
    assert_allclose(effect.draws, [difference(codes != c) for c in range(26)], atol=1e-12)


@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")
def test_a_cluster_that_a_coefficient_rests_on():
    """Without cluster 3 its dummy is constant: least squares of least norm, by the solver that can."""
    X, y, d, codes, _, weight = design(3)
    X = np.column_stack([X[:, :2], codes == 3])
    assert_same(
        *refitted(ClusterEffect, lambda m: m.fit(X, y, d, codes, sample_weight=weight), estimand="ate")
    )


@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")
@pytest.mark.parametrize("method", ["aipw", "regression", "ipw"])
def test_cross_sections(method):
    X, y, d, codes, time, weight = design(4, n_periods=2)
    fit = {"sample_weight": weight}
    assert_same(
        *refitted(
            DifferenceInDifferences, lambda m: m.fit(X, y, d, codes, time, **fit), estimation_method=method
        )
    )


@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")
def test_efficient_cross_sections():
    X, y, d, codes, time, weight = design(5, n_periods=2, n_columns=1)
    fit = {"sample_weight": weight}
    assert_same(
        *refitted(DifferenceInDifferences, lambda m: m.fit(X, y, d, codes, time, **fit), efficient=True)
    )


def panel(seed, n_clusters=30, n_periods=5):
    """Units inside clusters, a tenth of the rows missing, and cohorts of one and of many clusters."""
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 4, n_clusters)
    cluster = np.repeat(np.arange(n_clusters), sizes)
    start = np.array([2, 3, 99])[np.arange(n_clusters) % 3]
    start[0] = 4
    Z, x = random.standard_normal(n_clusters), random.standard_normal(len(cluster))
    units, time = np.repeat(np.arange(len(cluster)), n_periods), np.tile(np.arange(n_periods), len(cluster))
    codes = cluster[units]
    treated = time >= start[codes]
    y = 5 + time * (1 + 0.3 * Z[codes]) + treated * x[units] + random.standard_normal(len(units))
    X, weight = np.column_stack([x[units], Z[codes]]), random.uniform(0.5, 2, len(cluster))[units]
    seen = random.random(len(units)) < 0.9
    return [a[seen] for a in (X, y, treated, codes, time, units, weight)]


@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"estimation_method": "regression", "comparison": "never"},
        {"estimation_method": "ipw", "base_period": "universal"},
    ],
    ids=["aipw", "regression", "ipw"],
)
def test_staggered(options):
    X, y, d, codes, time, units, weight = panel(6)
    closed, slow = refitted(
        StaggeredEffect,
        lambda m: m.fit(X, y, d, codes, time, unit=units, sample_weight=weight),
        **options,
    )
    assert_same(closed, slow)
    for one, other in zip(closed.aggregate("cells"), slow.aggregate("cells"), strict=True):
        assert_allclose(one.draws, other.draws, rtol=0, atol=ATOL)  # NaN without the only cluster of a cohort
    assert (
        np.isnan(closed.aggregate("cells")[0].draws).sum() == np.isnan(slow.aggregate("cells")[0].draws).sum()
    )


@pytest.mark.parametrize("estimand", ["att", "ate"])
def test_memory_does_not_grow_with_the_square(estimand):
    """20,000 clusters: counts of 20,000 x 20,000 clusters would be 3.2 GB."""
    random = np.random.default_rng(0)
    codes, Z = np.repeat(np.arange(20_000), 2), random.standard_normal((20_000, 2))
    d = (Z[:, 0] + random.logistic(size=20_000) > 0).astype(int)[codes]
    y = d + Z[codes, 1] + random.standard_normal(40_000)
    tracemalloc.start()
    effect = ClusterEffect(estimand=estimand, outcome=LinearRegression()).fit(Z[codes], y, d, codes).effect_
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6
    assert len(effect.draws) == 20_000
    assert abs(effect.estimate - 1) < 4 * effect.std_error < 0.1


def without_each(n_clusters):
    return np.vstack([np.ones((1, n_clusters), int), 1 - np.eye(n_clusters, dtype=int)])


def to_rounding(Z, arm, count):
    """Probabilities of `ridge_logistic` after two more Newton steps: it stops at gradients of 1e-12."""
    p = ridge_logistic(Z, arm, count[None])[0]
    design, penalty = np.column_stack([np.ones(len(Z)), Z]), np.diag([0.0] + [1.0] * Z.shape[1])
    beta = np.linalg.lstsq(design, np.log(p / (1 - p)))[0]
    for _ in range(2):
        p = 1 / (1 + np.exp(-design @ beta))
        gradient = design.T @ (count * (p - arm)) + penalty @ beta
        beta -= np.linalg.solve(design.T @ ((count * p * (1 - p))[:, None] * design) + penalty, gradient)
    return 1 / (1 + np.exp(-design @ beta))


def own_odds(Z, arm):
    return OddsWithoutEach.of_its_own(logistic_without_each(Z, arm), (0.1, 0.9))


@pytest.mark.parametrize("n_clusters", [12, 300, 700])
@pytest.mark.parametrize("n_columns", [1, 3, 12])
@pytest.mark.parametrize("signal", [0.5, 6.0])
def test_propensities(n_clusters, n_columns, signal):
    """Few clusters by number, many by series; a strong signal is clipped for most clusters."""
    random = np.random.default_rng(n_clusters + n_columns)
    Z = random.standard_normal((n_clusters, n_columns))
    arm = (signal * Z[:, 0] + random.logistic(size=n_clusters) > 0).astype(int)
    arm[:4] = [0, 1, 0, 1]
    values = random.standard_normal((n_clusters, 3))
    odds = own_odds(Z, arm)
    fits = odds.fits
    some = np.append(0, random.permutation(n_clusters)[:30] + 1)[: n_clusters + 1]
    counts = without_each(n_clusters)[some]
    p = np.clip([to_rounding(Z, arm, count) for count in counts], 0.1, 0.9)
    assert fits.solved.all() or n_clusters == 12
    if n_columns < 12:
        assert fits.serial.any() == (n_clusters > 12)
    solved = np.append(True, fits.solved)[some]
    for power in (1, -1):
        exact = (counts * (p / (1 - p)) ** power) @ values
        found = odds.sums_without_own(power, values)[some]
        assert_allclose(found[solved], exact[solved], rtol=0, atol=1e-13 * n_clusters)


def test_pieces_change_nothing(monkeypatch):
    random = np.random.default_rng(0)
    Z, values = random.standard_normal((300, 2)), random.standard_normal((300, 3))
    arm = (random.random(300) < 0.4).astype(int)
    whole = own_odds(Z, arm).sums_without_own(1, values)
    monkeypatch.setattr(_replicates, "PIECE", 500)
    assert_allclose(own_odds(Z, arm).sums_without_own(1, values), whole, atol=1e-11)


def test_an_arm_of_one_cluster_is_not_left_empty():
    arm = np.array([1, 0, 0, 0, 0, 0])
    fits = logistic_without_each(np.arange(6.0)[:, None] - 2, arm)
    assert fits.solved.tolist() == [False] + [True] * 5


@pytest.mark.parametrize("rows", [1, 7])
def test_least_squares(rows, monkeypatch):
    """Rows in any order, clusters without rows, and pieces of one cluster."""
    random = np.random.default_rng(1)
    codes = random.integers(0, 20, 20 * rows)
    codes[codes == 7] = 8
    X = random.standard_normal((len(codes), 2)) + 1e3
    y, weight = random.standard_normal(len(codes)), random.uniform(0.1, 3, len(codes))
    found = least_squares_without_each(X, y, weight, codes, 20)
    monkeypatch.setattr(_replicates, "PIECE", 4)
    pieces = least_squares_without_each(X, y, weight, codes, 20)
    assert_allclose(pieces.table, found.table, rtol=1e-9)
    for row, count in zip(found.table[found.solved], without_each(20)[found.solved], strict=True):
        exact = LinearRegression().fit(X, y, weight * count[codes])
        assert_allclose(row, [exact.intercept_, *exact.coef_], rtol=1e-8)
    assert_allclose(found.table[8], found.table[0])
    assert found.solved.mean() > 0.8


def test_nearly_dependent_columns_are_left_to_the_solver_that_can():
    random = np.random.default_rng(1)
    x, codes = random.standard_normal((60, 2)), np.arange(60) % 20
    X = np.column_stack([x, x[:, 0] + 1e-7 * x[:, 1] ** 2])
    assert least_squares_without_each(X, x[:, 1], np.ones(60), codes, 20) is None
    same = least_squares_without_each(X[:, [0, 1, 0]], x[:, 1], np.ones(60), codes, 20)
    assert_allclose(same.table[:, 1], same.table[:, 3], atol=1e-12)  # of least norm


def test_series():
    """exp(z'm) and its sum over z, by their degree."""
    random = np.random.default_rng(2)
    z, m = random.standard_normal((30, 3)), 0.02 * random.standard_normal((8, 3))
    monomials = make_monomials(3, 8)
    assert len(monomials) == 165
    found = series(monomials, moments(monomials, z, lambda _, part: np.ones((len(z[part]), 1)), 1), m)
    assert_allclose(found[:, 0], np.exp(m @ z.T).sum(axis=1), rtol=1e-13)
