"""Units and levels of columns change nothing: against exact rational arithmetic and other packages."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression

from rfpcore._scaling import basis_of, level_and_spread, standardized
from rfpcore.causal import ClusterEffect, DifferenceInDifferences, StaggeredEffect, linear_effect
from rfpcore.datasets import make_policy
from rfpcore.exceptions import DesignWarning, InstrumentWarning

DATA = make_policy(n_clusters=16, n_per_cluster=6, random_state=0)
X, Y, D, GROUPS, _ = DATA
N, G = len(Y), 16
random = np.random.default_rng(1)
INCOME = np.exp(random.normal(17.5, 0.6, N))
YEAR = random.integers(1995, 2006, N).astype(float)
METHODS = ("cr1", "cr3", "wild", "webb")


def solved(A, b):
    """A x = b in fractions, by elimination."""
    rows = [[*row, right] for row, right in zip(A, b, strict=True)]
    for i, pivot in enumerate(rows):
        for row in rows[i + 1 :]:
            factor = row[i] / pivot[i]
            row[i:] = [value - factor * own for value, own in zip(row[i:], pivot[i:], strict=True)]
    for i in reversed(range(len(rows))):
        known = sum((rows[i][j] * rows[j][-1] for j in range(i + 1, len(rows))), Fraction(0))
        rows[i][-1] = (rows[i][-1] - known) / rows[i][i]
    return [row[-1] for row in rows]


def exact(columns, y, instruments=None):
    """Coefficients of a constant and the columns, as if there were no rounding."""
    W = [[Fraction(1), *map(Fraction, map(float, row))] for row in columns]
    V = W if instruments is None else [[Fraction(1), *map(Fraction, map(float, row))] for row in instruments]
    outcome = [Fraction(float(value)) for value in y]
    k, pairs = len(W[0]), list(zip(V, W, strict=True))
    gram = [[sum(v[i] * w[j] for v, w in pairs) for j in range(k)] for i in range(k)]
    moments = [sum(v[i] * value for v, value in zip(V, outcome, strict=True)) for i in range(k)]
    return [float(value) for value in solved(gram, moments)]


UNSCALED = {
    "income": np.c_[INCOME],
    "income squared": np.c_[INCOME, INCOME**2],
    "year squared": np.c_[YEAR, YEAR**2],
    "year cubed": np.c_[YEAR, YEAR**2, YEAR**3],
    "budget": np.c_[random.lognormal(27, 1, N), YEAR],
}


@pytest.mark.parametrize("case", UNSCALED)
def test_covariates_in_natural_units(case):
    columns = np.c_[X, UNSCALED[case]]
    right = exact(np.c_[columns, D], Y)[-1]
    for method in METHODS:
        found = linear_effect(columns, Y, D, GROUPS, inference=method, n_draws=99)
        assert_allclose(found.estimate, right, rtol=1e-9)
    without = [exact(np.c_[columns, D][c != GROUPS], Y[c != GROUPS])[-1] for c in (0, 7)]
    draws = linear_effect(columns, Y, D, GROUPS).draws
    assert_allclose(draws[[0, 7]], without, rtol=1e-8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("unit", [1e-300, 1e-14, 1e14, 1e154, 1e300])
def test_units_of_covariates(method, unit):
    plain, scaled = (
        linear_effect(columns, Y, D, GROUPS, inference=method, n_draws=99) for columns in (X, unit * X)
    )
    assert_allclose(scaled.confidence_interval(), plain.confidence_interval(), rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_units_of_treatment_and_outcome(method):
    plain = linear_effect(X, Y, D, GROUPS, inference=method, n_draws=99)
    for of_y, of_d in ((1, 1e12), (1e200, 1), (1e-200, 1)):
        scaled = linear_effect(X, of_y * Y, of_d * D, GROUPS, inference=method, n_draws=99)
        low_high = np.array(scaled.confidence_interval()) / (of_y / of_d)
        assert_allclose(low_high, plain.confidence_interval(), rtol=1e-9)
        assert_allclose(scaled.p_value, plain.p_value, rtol=1e-9)
    with pytest.raises(ValueError, match=r"of order 2\*\*1\d\d\d, beyond what numbers can hold"):
        linear_effect(X, 1e200 * Y, 1e-200 * D, GROUPS, inference=method)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", METHODS)
def test_dummy_trap(method):
    """As pyfixest: the last column is dropped, and not counted."""
    pf = pytest.importorskip("pyfixest")
    import pandas as pd

    a = (GROUPS % 2).astype(float)
    frame = pd.DataFrame(np.c_[X, a, 1 - a], columns=["u", "v", "w", "a", "b"]).assign(y=Y, d=D, g=GROUPS)
    columns = ["u", "v", "w", "a", "b"]
    with pytest.warns(DesignWarning, match="the covariate 'b' is a linear function of the intercept"):
        found = linear_effect(frame, "y", "d", "g", covariates=columns, inference=method, n_draws=99)
    without = linear_effect(frame, "y", "d", "g", covariates=columns[:-1], inference=method, n_draws=99)
    assert_allclose(found.confidence_interval(), without.confidence_interval(), rtol=1e-9)
    fit = pf.feols("y ~ d + u + v + w + a + b", frame, vcov={"CRV1": "g"})
    assert_allclose(found.estimate, fit.coef()["d"], rtol=1e-8)
    if method == "cr1":
        assert_allclose(found.std_error, fit.se()["d"], rtol=1e-8)


def test_more_than_one_redundant_column():
    columns = np.c_[X, np.full(N, 0.1), 3 * X[:, 0] - X[:, 1] + 7]
    with pytest.warns(DesignWarning, match="the covariates 'x3', 'x4' are linear functions"):
        found = linear_effect(columns, Y, D, GROUPS)
    assert_allclose(found.estimate, linear_effect(X, Y, D, GROUPS).estimate, rtol=1e-12)


def test_treatment_that_is_a_covariate_after_constant_ones():
    """A dropped column leaves a direction of rounding, which must not count as new."""
    d = np.r_[1.0, 0, 1, 0, 1, 0, 0, 1]
    columns = np.c_[np.full(8, 2.0), d, np.zeros(8)]
    with pytest.raises(ValueError, match="linear function of the covariates"):
        linear_effect(columns, np.arange(8.0) ** 2, d, [0, 2, 0, 1, 0, 1, 2, 0])
    every = np.c_[np.zeros(N), np.ones(N), X, X, X.sum(axis=1), D, np.zeros(N), 3 * D + X[:, 1]]
    assert basis_of(np.c_[every, GROUPS]).kept == [2, 3, 4, 9, 12]


def test_level_that_hides_a_combination():
    """c = a - b, but for the rounding of a and b at a level of 10 million: no information."""
    a, b = 1e7 + random.standard_normal((2, N))
    with pytest.warns(DesignWarning, match="the covariate 'x2' is a linear function"):
        linear_effect(np.c_[a, b, (a + 0.1) - (b - 0.2)], Y, D, GROUPS)


@pytest.mark.filterwarnings("ignore")
def test_cluster_dummies_that_leaving_a_cluster_out_empties():
    """Each jackknife fit drops the dummy of its cluster, as pyfixest's generalized inverse does."""
    pf = pytest.importorskip("pyfixest")
    import pandas as pd

    dummies = (GROUPS[:, None] == np.arange(1, G)).astype(float)
    d = random.standard_normal(N)
    found = linear_effect(dummies, Y, d, GROUPS)
    W = np.c_[np.ones(N), dummies, d]
    loops = [np.linalg.lstsq(W[c != GROUPS], Y[c != GROUPS], rcond=None)[0][-1] for c in range(G)]
    assert_allclose(found.draws, loops, rtol=1e-9)
    frame = pd.DataFrame(dummies, columns=[f"c{i}" for i in range(1, G)]).assign(y=Y, d=d, g=GROUPS)
    formula = "y ~ d + " + " + ".join(f"c{i}" for i in range(1, G))
    fit = pf.feols(formula, frame, vcov={"CRV3": "g"}, ssc=pf.ssc(k_adj=False, G_adj=False))
    assert_allclose(found.std_error, fit.se()["d"] * np.sqrt((G - 1) / G), rtol=1e-8)


def test_more_coefficients_than_rows():
    with pytest.raises(ValueError, match="there are 5 rows for 5 coefficients"):
        linear_effect(np.eye(5)[:, :3], np.arange(5.0), np.arange(5.0) ** 2, np.arange(5))


DYADIC = np.round(Y * 2**20) / 2**20  # so that adding a level rounds nothing


@pytest.mark.parametrize("method", ["aipw", "regression", "ipw"])
@pytest.mark.parametrize("outcome", [None, LinearRegression()], ids=["network", "linear"])
@pytest.mark.filterwarnings("ignore:inference='cr1' holds the outcome model fixed")
@pytest.mark.filterwarnings("ignore:the outcome model, RFPRegressor, predicts clusters left out worse")
def test_level_of_outcomes(outcome, method):
    def fitted(level):
        model = ClusterEffect(outcome=outcome, estimation_method=method, inference="cr1")
        return model.fit(X, DYADIC + level, D, GROUPS)

    plain = fitted(0.0)
    for level in (1e6, 1e7, 1e8):
        high = fitted(level)
        found = [high.estimate_ - plain.estimate_, high.std_error_ - plain.std_error_]
        assert_allclose(found, 0, atol=1e-9 * Y.std())
        assert abs(linear_effect(X, DYADIC + level, D, GROUPS).estimate - plain_linear()) < 1e-9


def plain_linear():
    return linear_effect(X, DYADIC, D, GROUPS).estimate


@pytest.mark.filterwarnings("ignore:the outcome model, RFPRegressor, predicts clusters left out worse")
@pytest.mark.parametrize("efficient", [False, True])
def test_level_of_cross_sections(efficient):
    rows = np.arange(2 * N) % N
    time = np.arange(2 * N) // N
    y = DYADIC[rows] * time + np.round(X[rows, 0] * 2**20) / 2**20
    data = (X[rows], y, D[rows], GROUPS[rows], time)
    low, high = (
        DifferenceInDifferences(efficient=efficient, inference="cv3").fit(data[0], y + level, *data[2:])
        for level in (0.0, 1e8)
    )
    assert abs(low.estimate_ - high.estimate_) < 1e-9


@pytest.mark.filterwarnings("ignore:inference='cr1' holds the outcome model fixed")
@pytest.mark.filterwarnings("ignore:the outcome model, RFPRegressor, predicts clusters left out worse")
def test_units_of_an_effect_by_a_network():
    plain = ClusterEffect(inference="cr1").fit(X, Y, D, GROUPS)
    for of_x, of_y in ((1e-300, 1), (1e154, 1), (1e300, 1), (1, 1e200), (1, 1e-200)):
        other = ClusterEffect(inference="cr1").fit(of_x * X, of_y * Y, D, GROUPS)
        found = [other.estimate_ / of_y, other.std_error_ / of_y]
        assert_allclose(found, [plain.estimate_, plain.std_error_], rtol=1e-4)  # trained in float32


def test_scaling_of_columns():
    columns = np.c_[X, np.full(N, 0.1), 1e300 * X[:, 0]]
    found = standardized(columns)
    assert_allclose(found[:, :3], (X - X.mean(axis=0)) / X.std(axis=0), rtol=1e-9)
    assert (found[:, 3] == 0).all()
    assert_allclose(found[:, 4], found[:, 0], rtol=1e-9)
    assert_allclose(level_and_spread(1e-300 * Y), (1e-300 * Y.mean(), 1e-300 * Y.std()), rtol=1e-12)
    assert level_and_spread(np.full(7, 0.1)) == (0.1, 1.0)
    basis = basis_of(np.c_[X, X[:, :1] + 1])
    assert basis.kept == [0, 1, 2]
    assert_allclose(basis.vectors.T @ basis.vectors, np.eye(4), atol=1e-14)


def test_two_stage_least_squares_in_natural_units():
    pytest.importorskip("linearmodels", reason="the extra rfpcore[iv] is not installed")
    from linearmodels.iv import IV2SLS

    from rfpcore.npiv import TwoStageLeastSquares

    z, u = random.standard_normal((2, N))
    x, w = z + u, np.c_[YEAR, YEAR**2, INCOME]
    y = 2 * x - u + 0.1 * (YEAR - 2000) ** 2
    model = TwoStageLeastSquares().fit(x, y, z, w)
    right = exact(np.c_[w, x], y, np.c_[w, z])
    assert_allclose(model.results_.params, right, rtol=1e-7)
    assert_allclose(model.predict(x, w), np.c_[np.ones(N), w, x] @ right, atol=1e-8)
    order_one = np.c_[np.ones(N), YEAR - 2000, (YEAR - 2000) ** 2, INCOME / 1e7]
    reference = IV2SLS(y, order_one, x, z).fit()
    assert_allclose(model.results_.std_errors["x0"], reference.std_errors.iloc[-1], rtol=1e-8)
    with pytest.warns(InstrumentWarning, match=r"left out of covariates: column 3, linear in the constant"):
        trap = TwoStageLeastSquares().fit(x, y, z, np.c_[w, np.ones(N)])
    assert_allclose(trap.predict(x, np.c_[w, np.ones(N)]), model.predict(x, w), rtol=1e-9)
    with pytest.warns(InstrumentWarning, match="left out of Z: column 1"):
        TwoStageLeastSquares().fit(x, y, np.c_[z, z + YEAR], w)
    with pytest.raises(ValueError, match="no excluded instrument is left: column 0 of Z"):
        TwoStageLeastSquares().fit(x, y, 2 * YEAR, w)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InstrumentWarning)  # of the same, and of what follows from it
        with pytest.raises(ValueError, match="column 0 of X is a linear function"):
            TwoStageLeastSquares().fit(YEAR, y, z, w)


@pytest.mark.parametrize(
    "method", ["jackknife", "cv3", "bootstrap", "cr1", "wild", "webb", "score-jackknife"]
)
@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_units_of_outcomes_in_every_method(method, unit):
    """Squares of such numbers over- and underflow."""
    plain, other = (
        ClusterEffect(outcome=LinearRegression(), inference=method, n_draws=99).fit(X, y, D, GROUPS)
        for y in (Y, unit * Y)
    )
    low_high = np.array(other.confidence_interval()) / unit
    assert_allclose(low_high, plain.confidence_interval(), rtol=1e-9, atol=1e-9)
    assert_allclose(other.p_value_, plain.p_value_, rtol=1e-9)


@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")
@pytest.mark.parametrize("size", [1e100, 1e160, 1e200, 1e300])
@pytest.mark.parametrize("row", [0, 7, 39])
def test_a_wild_row_costs_the_others_no_digits(row, size):
    """Warnings are errors here: sums of squares would overflow, and the others lose their digits."""
    random = np.random.default_rng(0)
    groups, time = np.repeat(np.arange(10), 4), np.tile(np.arange(4), 10)
    treated = (time >= np.array([2, 3, 9, 9, 2, 3, 9, 2, 3, 9])[groups]).astype(int)
    X, y = random.standard_normal(10)[groups][:, None], random.standard_normal(40)
    y[row] = size
    assert np.isfinite(StaggeredEffect().fit(X, y, treated, groups, time).estimate_)
    some = np.isin(groups, [0, 1, 4, 5]).astype(int)
    assert np.isfinite(DifferenceInDifferences().fit(X, y, some, groups, time > 1).estimate_)
    with pytest.raises(ValueError, match=r"y reaches 1.7e\+308; at most 1e\+300 is possible"):
        ClusterEffect().fit(X, y * (1.7e308 / size), some, groups)


def test_changes_of_large_levels_are_rounded():
    """Differences of numbers of 1e9 that are equal but for rounding have no standard error."""
    unit = np.repeat(np.arange(20), 2)
    late = np.tile([0, 1], 20)
    y = 1e9 * np.random.default_rng(0).integers(1, 9, 20)[unit] + 0.1 * late + 0.3 * unit
    with pytest.warns(DesignWarning, match="zero but for rounding"):
        model = DifferenceInDifferences().fit(np.empty((40, 0)), y, unit % 2, unit, late, unit=unit)
    assert np.isnan(model.std_error_)


def test_units_without_weight_set_no_scale():
    unit, late = np.repeat(np.arange(60), 2), np.tile([0, 1], 60)
    groups, kept = unit // 3, unit % 7 > 0
    y = np.where(kept, unit + groups % 2 * late + np.random.default_rng(0).standard_normal(120), 1e17)
    model = DifferenceInDifferences().fit(
        np.empty((120, 0)), y, groups % 2, groups, late, unit=unit, sample_weight=kept * 1.0
    )
    assert model.std_error_ > 0
