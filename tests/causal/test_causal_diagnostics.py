"""Diagnostics against brute force and closed forms; the displays draw what they hold."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from policy_data import GROUPS, D, X, Y
from scipy.spatial import Delaunay
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor
from small_models import regressor

from rfpcore import causal
from rfpcore.causal import StaggeredEffect, effective_weights, in_hull, own_cluster_share, triad
from rfpcore.datasets import make_vee


@pytest.fixture(autouse=True)
def headless():
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    yield
    plt.close("all")


def test_neighbours_by_brute_force():
    distance = np.linalg.norm(X[:, None] - X, axis=2) + np.diag(np.full(len(X), np.inf))
    nearest = np.argsort(distance, axis=1)[:, :3]
    shares = (GROUPS[nearest] == GROUPS[:, None]).mean(axis=1)
    for unit in (1.0, 2.0**-900, 2.0**900):
        assert_allclose(own_cluster_share(unit * X, GROUPS, 3), shares)
    with pytest.raises(ValueError, match="n_neighbors=126 is too large; at most 125"):
        own_cluster_share(X, GROUPS, 126)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_hull_against_qhull(dimension):
    random = np.random.default_rng(dimension)
    rows, points = random.standard_normal((30, dimension)), 1.5 * random.standard_normal((60, dimension))
    if dimension == 1:
        expected = ((points >= rows.min()) & (points <= rows.max()))[:, 0]
    else:
        expected = Delaunay(rows).find_simplex(points) >= 0
    assert 0 < expected.sum() < 60
    assert_array_equal(in_hull(rows, points), expected)
    assert_array_equal(in_hull(1e6 * rows + 1e7, 1e6 * points + 1e7), expected)  # whatever the units
    with pytest.raises(ValueError, match=r"points has 4 columns; X has"):
        in_hull(rows, np.zeros((1, 4)))


def test_weights_of_linear_models():
    """Sums of the hat matrix over the rows of each cluster."""
    W = np.column_stack([np.ones(len(X)), X])
    hat = W @ np.linalg.pinv(W)
    expected = [hat[:5, c == GROUPS].sum(axis=1) for c in range(14)]
    assert_allclose(effective_weights(LinearRegression(), X, Y, GROUPS, X[:5]), expected, atol=1e-8)
    smoother = effective_weights(KNeighborsRegressor(4), X, Y, GROUPS, X[:5])
    nearest = KNeighborsRegressor(4).fit(X, Y).kneighbors(X[:5], return_distance=False)
    assert_allclose(smoother, [(GROUPS[nearest] == c).mean(axis=1) for c in range(14)], atol=1e-8)


def test_weights_of_a_network_sum_to_one():
    """Its output bias starts at the mean outcome, so a level added to all outcomes is added to the fit."""
    weights = effective_weights(regressor(inner_lr=0.05), X, Y, GROUPS, X[:3])
    assert_allclose(weights.sum(axis=0), 1, atol=1e-4)  # differences of size 1e-3, squared
    assert weights.std(axis=0).min() > 1e-3  # and differ by cluster


def test_traits():
    flat = triad(
        np.random.default_rng(0).standard_normal((300, 2)), Y.repeat(3)[:300] * 0 + 1, np.arange(300) % 10
    )
    assert flat["own_neighbours"] == pytest.approx(0.1, abs=0.05)
    assert flat["covariates_between"] < 0.1
    assert flat["outcomes_between"] == 0
    vee = triad(*make_vee(random_state=0))
    assert vee["own_neighbours"] > 0.3  # with 20 clusters, 0.05 would be none
    assert vee["covariates_between"] > 0.9
    assert vee["outcomes_between"] > 0.5


def test_event_study():
    cluster, year = np.repeat(np.arange(12), 5), np.tile(np.arange(5), 12)
    start = np.array([2, 3, 9])[cluster % 3]
    y = np.random.default_rng(0).standard_normal(60) + (year >= start)
    model = StaggeredEffect().fit(np.empty((60, 0)), y, year >= start, cluster, year)
    display = causal.EventStudyDisplay.from_estimator(model).plot()
    effects = model.aggregate("dynamic")
    assert_array_equal(display.times, [-2, -1, 0, 1, 2])
    assert_array_equal(display.estimates, [e.estimate for e in effects])
    assert_array_equal([display.low[0], display.high[0]], effects[0].confidence_interval())
    assert_array_equal(display.ax_.lines[-2].get_ydata(), display.estimates)  # the last is adoption's line


def test_other_displays():
    vee = make_vee(n_clusters=6, n_per_cluster=9, random_state=0)
    model = regressor(inner_lr=0.05).fit(*vee)
    neighbours = causal.NeighbourDisplay.from_features({"two": X[:, :2], "three": X}, GROUPS).plot()
    heights = [patch.get_height() for patch in neighbours.ax_.patches]
    assert_allclose(sum(heights), 2)
    triads = causal.TriadDisplay.from_models({"fit": model}, *vee).plot()
    assert_allclose(triads.ax_.lines[0].get_ydata(), model.predict(triads.curves["fit"][0][:, None]))
    weights = causal.WeightsDisplay.from_estimator(LinearRegression(), X, Y, GROUPS, X[0]).plot()
    assert_allclose(sum(p.get_height() for p in weights.ax_.patches), 1)
    curves = causal.AdaptedCurvesDisplay.from_estimator(model, *vee).plot()
    assert_allclose(curves.population, model.predict(curves.grid[:, None]))
    adapted = model.adapt(*vee).predict(curves.grid[:, None], groups=np.full(100, 2))
    assert_allclose(curves.adapted[2], adapted)
    with pytest.raises(ValueError, match="feature=3; a column number, 0 to 0"):
        causal.AdaptedCurvesDisplay.from_estimator(model, *vee, feature=3)
    assert D.sum() > 0
