"""Columns that say little: nearly collinear, constant, constant within clusters; and fits at the edge."""

import numpy as np
import pytest

import rfpcore
from rfpcore import MixedClassifier, MixedRegressor

RANDOM = np.random.default_rng(0)
CLUSTERS, ROWS = 30, 8
N = CLUSTERS * ROWS
GROUPS = np.repeat(np.arange(CLUSTERS), ROWS)
LEVEL = RANDOM.standard_normal(CLUSTERS)[GROUPS]
YEAR = RANDOM.integers(1990, 2020, N).astype(float)
T = (YEAR - 2005) / 10
SLOPES = {"mean": "linear", "effects": ("intercept", "slopes")}


def powers(t, most):
    return np.column_stack([t**k for k in range(1, most + 1)])


@pytest.mark.parametrize("most", [3, 4])
@pytest.mark.parametrize("reml", [False, True])
def test_powers_of_years_are_those_of_decades(most, reml, tmp_path):
    """The same functions: of years the columns are collinear but for 1e-5 (third power) and 1e-8 (fourth)."""
    random = np.random.default_rng(7)
    y = 1 + powers(T, most) @ np.array([1, -0.5, 0.3, 0.2])[:most] + LEVEL + 0.3 * random.standard_normal(N)
    years, decades = powers(YEAR, most), powers(T, most)
    one = MixedRegressor(mean="linear", reml=reml).fit(years, y, GROUPS)
    other = MixedRegressor(mean="linear", reml=reml).fit(decades, y, GROUPS)
    # What rounding of the columns themselves leaves: 1e-16 over 1e-8.
    np.testing.assert_allclose(one.predict(years), other.predict(decades), atol=1e-6)
    np.testing.assert_allclose(one.population_interval(years), other.population_interval(decades), atol=1e-5)
    variances = [model.variance_components_.variance for model in (one, other)]
    np.testing.assert_allclose(*variances, rtol=1e-6)
    by_hand = one.coefficients_[0] + years @ one.coefficients_[1:]
    np.testing.assert_allclose(by_hand, one.predict(years), atol=1e-5)
    if not reml:  # REML's depends on the columns' units
        assert one.log_likelihood_ == pytest.approx(other.log_likelihood_, abs=1e-5)
    test = [model.no_effects_test_.statistic for model in (one, other)]
    assert test[0] == pytest.approx(test[1], rel=1e-6)
    one.save(tmp_path / "years.safetensors")
    again = rfpcore.load(tmp_path / "years.safetensors")
    np.testing.assert_array_equal(again.population_interval(years), one.population_interval(years))


def test_restricted_likelihood_of_turned_columns_is_that_of_the_columns():
    """Years' and decades' differ by the determinant of the change of columns."""
    random = np.random.default_rng(7)
    y = 1 + T + LEVEL + 0.3 * random.standard_normal(N)
    one = MixedRegressor(mean="linear").fit(powers(YEAR, 3), y, GROUPS)
    other = MixedRegressor(mean="linear").fit(powers(T, 3), y, GROUPS)
    # Years' powers are decades' times an upper triangle with the diagonal 1, 10, 100, 1000.
    assert other.log_likelihood_ - one.log_likelihood_ == pytest.approx(6 * np.log(10), abs=1e-5)


@pytest.mark.parametrize("gap", [1e-4, 1e-6, 1e-8])
def test_columns_that_differ_by_hardly_anything(gap):
    random = np.random.default_rng(7)
    x, other = random.standard_normal((2, N))
    y = 1 + x + 2 * other + LEVEL + 0.3 * random.standard_normal(N)
    close, apart = np.column_stack([x, x + gap * other]), np.column_stack([x, other])
    one, two = (MixedRegressor(mean="linear").fit(columns, y, GROUPS) for columns in (close, apart))
    np.testing.assert_allclose(one.predict(close), two.predict(apart), atol=1e-14 / gap)
    errors = one.coefficient_std_errors_[2] * gap, two.coefficient_std_errors_[2]
    assert errors[0] == pytest.approx(errors[1], rel=1e-14 / gap)


def test_classes_of_collinear_columns_have_the_same_test():
    random = np.random.default_rng(0)
    p = 1 / (1 + np.exp(-(T - 0.3 * T**3 + LEVEL)))
    y = random.random(N) < p
    one, other = (MixedClassifier(mean="linear").fit(powers(t, 3), y, GROUPS) for t in (YEAR, T))
    assert one.no_effects_test_.statistic == pytest.approx(other.no_effects_test_.statistic, abs=1e-5)
    mine, its = one.population_interval(powers(YEAR, 3)), other.population_interval(powers(T, 3))
    np.testing.assert_allclose(mine, its, atol=1e-6)


@pytest.mark.parametrize("kind", ["constant", "of the cluster"])
@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_slopes_of_which_no_row_says_anything_have_no_variance(kind, covariance):
    """The other variances and errors are those without the column's slopes."""
    random = np.random.default_rng(7)
    x = random.standard_normal(N)
    y = 1 + 2 * x + LEVEL + 0.5 * random.standard_normal(CLUSTERS)[GROUPS] * x + random.standard_normal(N)
    column = np.full(N, 5.0) if kind == "constant" else random.standard_normal(CLUSTERS)[GROUPS]
    centred = kind != "constant" or covariance == "diagonal"
    given = SLOPES | {"slope_covariance": covariance, "center_slopes": centred}
    for X in (np.column_stack([column, x]), np.column_stack([x, column])):
        at = 1 + int(np.argmax(X[0] == column[0]))
        found = MixedRegressor(**given).fit(X, y, GROUPS).variance_components_
        plain = MixedRegressor(**given, effect_columns=[2 - at]).fit(X, y, GROUPS).variance_components_
        assert found.variance[at] == 0
        assert np.isnan(found.std_error[at])
        assert found.is_singular
        np.testing.assert_allclose(np.delete(found.variance, at), plain.variance, rtol=1e-5)
        np.testing.assert_allclose(np.delete(found.std_error, at), plain.std_error, rtol=1e-3)


def test_slopes_of_counts_on_a_constant_column_have_no_variance():
    random = np.random.default_rng(7)
    x = random.standard_normal(N)
    y = random.poisson(np.exp(0.5 + 0.3 * x + 0.5 * LEVEL)).astype(float)
    model = MixedRegressor(loss="poisson", **SLOPES).fit(np.column_stack([np.full(N, 5.0), x]), y, GROUPS)
    plain = MixedRegressor(loss="poisson", **SLOPES).fit(x[:, None], y, GROUPS)
    found, wanted = model.variance_components_, plain.variance_components_
    assert found.variance[1] == 0
    np.testing.assert_allclose(found.variance[[0, 2]], wanted.variance, rtol=1e-4)
    np.testing.assert_allclose(found.std_error[[0, 2]], wanted.std_error, rtol=1e-2)


def test_correlation_of_one_is_a_singular_fit(tmp_path):
    random = np.random.default_rng(0)
    groups, x = np.repeat(np.arange(8), 6), random.standard_normal(48)
    y = x + random.standard_normal(8)[groups] * (1 + 0.4 * x) + random.standard_normal(48)
    model = MixedRegressor(**SLOPES).fit(x[:, None], y, groups)
    found = model.variance_components_
    assert found.correlations["cluster"][0, 1] == pytest.approx(1, abs=1e-6)
    assert (found.variance > 0).all()
    assert found.is_singular
    assert "A correlation is 1 (a singular fit)" in model.summary()
    model.save(tmp_path / "edge.safetensors")
    assert rfpcore.load(tmp_path / "edge.safetensors").variance_components_.is_singular


def test_a_fit_inside_is_not_singular():
    random = np.random.default_rng(7)
    x = random.standard_normal(N)
    y = x + LEVEL + 0.5 * random.standard_normal(CLUSTERS)[GROUPS] * x + 0.3 * random.standard_normal(N)
    model = MixedRegressor(**SLOPES).fit(x[:, None], y, GROUPS)
    assert not model.variance_components_.is_singular
    assert "singular" not in model.summary()
