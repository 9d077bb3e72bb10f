"""Uniform bands against multivariate quantiles by integration, plain loops and a simulation."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.optimize import brentq

from rfpcore.causal import Effect, StaggeredEffect
from rfpcore.causal._bands import normal_critical_value, uniform_band

G = 20


def pulls_with(correlation, scales):
    """(G, E) pulls whose products sum to a given covariance."""
    root = np.linalg.cholesky(correlation)
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((G, len(root))))[0]
    return basis @ root.T * scales


def equicorrelated(rho, n=4):
    return (1 - rho) * np.eye(n) + rho


def integrated(correlation, df, level):
    """The same quantile by integrating the multivariate density over a cube."""
    mean, one = np.zeros(len(correlation)), np.ones(len(correlation))
    if np.isinf(df):
        cube = stats.multivariate_normal(mean, correlation).cdf
    else:
        cube = stats.multivariate_t(mean, correlation, df, seed=0).cdf
    return brentq(lambda c: cube(c * one, lower_limit=-c * one) - level, 0.5, 10, xtol=1e-4)


@pytest.mark.parametrize("df", [np.inf, 12])
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_equicorrelated_effects(rho, df, level):
    correlation = equicorrelated(rho)
    pulls = pulls_with(correlation, scales=[1.0, 0.1, 5.0, 2.0])
    found = normal_critical_value(pulls, df, level, np.random.default_rng(1))
    # 100,000 draws: a standard error of at most .009 where the density at the quantile is .08.
    assert_allclose(found, integrated(correlation, df, level), atol=0.035)


def test_independent_and_equal_effects():
    """Sidak's quantile, and that of one effect."""
    random = np.random.default_rng(2)
    sidak = stats.norm.ppf((1 + 0.95 ** (1 / 4)) / 2)
    assert_allclose(normal_critical_value(pulls_with(np.eye(4), 1.0), np.inf, 0.95, random), sidak, atol=0.03)
    same = np.tile(random.standard_normal((G, 1)), 3)
    assert_allclose(normal_critical_value(same, 19, 0.95, random), stats.t(19).ppf(0.975), atol=0.035)


def jackknifed(rows):
    """Effects that are means over clusters, with their leave-one-out estimates."""
    n, full = len(rows), rows.mean(axis=0)
    without = (rows.sum(axis=0) - rows) / (n - 1)
    errors = np.sqrt((n - 1) / n * np.sum((without - full) ** 2, axis=0))
    effects = [Effect(str(e), full[e], errors[e], n - 1.0, "jackknife") for e in range(len(full))]
    return effects, without


def test_coverage_of_means():
    """Five correlated means of 20 clusters: the band covers all of them, the intervals do not."""
    random = np.random.default_rng(3)
    root = np.linalg.cholesky(equicorrelated(0.3, 5))
    together = np.zeros((400, 2), bool)
    for covered in together:
        effects, without = jackknifed(random.standard_normal((G, 5)) @ root.T)
        band = uniform_band(effects, without, np.zeros(G, int), "cv3", 0.95, seed=0)
        bounds = np.array([effect.confidence_interval() for effect in effects])
        covered[:] = np.all((band.low < 0) & (band.high > 0)), np.all((bounds[:, 0] < 0) & (bounds[:, 1] > 0))
    uniform, pointwise = together.mean(axis=0)
    assert 0.92 <= uniform <= 0.98  # 95 % and three Monte-Carlo errors of 1.1 points
    assert pointwise < 0.89


def test_strata():
    """By arm, leaving a cluster out counts from the mean of its arm, as in the standard error."""
    effects, without = jackknifed(np.random.default_rng(4).standard_normal((G, 3)))
    arm = np.arange(G) % 2
    shifted = without + 100.0 * arm[:, None]  # what differs between arms moves no standard error
    bands = [
        uniform_band(effects, values, arm, "jackknife", 0.95, 0).critical_value
        for values in (without, shifted)
    ]
    assert_allclose(*bands, rtol=1e-9)


CLUSTER, YEAR = np.repeat(np.arange(24), 5), np.tile(np.arange(5), 24)
TREATMENT = np.array([2, 3, 9])[CLUSTER % 3] <= YEAR
Y = CLUSTER + TREATMENT + np.random.default_rng(5).standard_normal(120)
LONG = (np.empty((120, 0)), Y, TREATMENT, CLUSTER, YEAR)


@pytest.mark.parametrize("method", ["jackknife", "cv3", "bootstrap"])
def test_event_study(method):
    model = StaggeredEffect(inference=method, n_draws=200).fit(*LONG)
    effects, band = model.aggregate("dynamic"), model.uniform_band(0.9)
    middle, half = (band.low + band.high) / 2, (band.high - band.low) / 2
    assert_allclose(middle, [e.estimate for e in effects], atol=1e-12)
    assert_allclose(half, [band.critical_value * e.std_error for e in effects], rtol=1e-12)
    pointwise = effects[0].critical_value(0.9)
    bonferroni = effects[0].critical_value(1 - 0.1 / len(effects))
    assert pointwise < band.critical_value < bonferroni + 0.1
    if method == "bootstrap":
        largest = np.max([np.abs(e.draws - e.estimate) / e.std_error for e in effects], axis=0)
        assert_allclose(band.critical_value, np.sort(largest)[180], rtol=0.02)
    model.infer("cv3")
    assert_array_equal(model.uniform_band(0.9).low, band.low)  # that of the method of the fit
    frame = model.to_frame(0.9, by="dynamic")
    assert_array_equal(frame["band_high"], band.high)
    assert "band_low" not in model.to_frame(by="simple")


@pytest.mark.filterwarnings("ignore:.*cannot be estimated at all without one of the clusters")
def test_event_times_without_an_error_are_no_part_of_it():
    start = np.where(np.arange(24) == 0, 1, np.array([2, 3, 9])[np.arange(24) % 3])
    model = StaggeredEffect().fit(LONG[0], Y, start[CLUSTER] <= YEAR, CLUSTER, YEAR)
    band, errors = model.uniform_band(), np.array([e.std_error for e in model.aggregate("dynamic")])
    assert np.isnan(errors).any()
    assert_array_equal(np.isnan(band.low), np.isnan(errors))
    with pytest.raises(ValueError, match=r"level=1.0; a number in \(0, 1\)"):
        model.uniform_band(1.0)


def test_draws_of_the_bootstrap_without_an_event_time():
    effects = [Effect(str(e), 0.0, 1.0, np.inf, "bootstrap") for e in range(2)]
    draws = np.array([[3.0, np.nan], [np.nan, np.nan], [1.0, -4.0], [2.0, 5.0]])
    band = uniform_band(effects, draws, np.zeros(4, int), "bootstrap", 0.5, 0)
    assert band.critical_value == 4.0
    nothing = [Effect("0", 0.0, np.nan, np.inf, "jackknife")]
    assert np.isnan(uniform_band(nothing, draws[:, :1], np.zeros(4, int), "jackknife", 0.5, 0).critical_value)
