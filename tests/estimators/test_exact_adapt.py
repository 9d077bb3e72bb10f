"""`RFPRegressor.adapt(method="exact")`: the posterior of clusters' effects beside the population."""

import numpy as np
import pytest

import rfpcore
from rfpcore import RFPRegressor
from rfpcore.datasets import make_vee
from rfpcore.estimators import AdaptedRegressor, ExactlyAdaptedRegressor

QUICK = {"hidden_layer_sizes": (8,), "max_iter": 60, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    return make_vee(n_clusters=12, n_per_cluster=15, random_state=0)


@pytest.fixture(scope="module")
def model(data):
    return RFPRegressor(**QUICK).fit(*data)


def test_exact_is_the_default_and_the_gradient_form_is_asked_for(model, data):
    assert isinstance(model.adapt(*data), ExactlyAdaptedRegressor)
    assert isinstance(model.adapt(*data, method="exact"), ExactlyAdaptedRegressor)
    for kwargs in ({"method": "gradient"}, {"inner_steps": 3}, {"inner_lr": 0.01}):
        assert isinstance(model.adapt(*data, **kwargs), AdaptedRegressor)


def test_prediction_is_the_populations_and_the_posterior_mean(model, data):
    X, y, groups = data
    prior, rows = model.effects_, groups == 4
    adapted = model.adapt(X[rows], y[rows])
    new = np.linspace(-2, 2, 7)[:, None]
    # By hand, in the units of the network and of the prior.
    Z, Q = (model.x_scaling_.apply(part) for part in (X[rows], new))
    unit = model.y_scaling_.spread[0]
    r = (y[rows] - model.predict(X[rows])) / unit / prior.y_scale
    Z, Q = ((part - prior.x_mean) / prior.x_scale for part in (Z, Q))
    intercept, slope, smooth, length, noise = np.exp(prior.parameters)
    centre = Z.mean()

    def covariance(a, b):
        lines = intercept + slope * np.outer(a - centre, b - centre)
        return lines + smooth * np.exp(-((a[:, None] - b[None]) ** 2) / (2 * length**2))

    V = covariance(Z[:, 0], Z[:, 0]) + noise * np.eye(len(Z))
    effect = covariance(Q[:, 0], Z[:, 0]) @ np.linalg.solve(V, r)
    expected = model.predict(new) + unit * prior.y_scale * effect
    assert adapted.predict(new) == pytest.approx(expected, abs=1e-6)


def test_few_rows_do_no_harm(data):
    # Over clusters never seen, one, three and five labelled rows are better than none.
    X, y, groups = make_vee(n_clusters=40, n_per_cluster=12, random_state=1)
    train = groups < 20
    model = RFPRegressor(hidden_layer_sizes=(16,), random_state=0).fit(X[train], y[train], groups[train])
    rank = np.tile(np.arange(12), 40)
    asked = ~train & (rank >= 5)
    before = np.mean((model.predict(X[asked]) - y[asked]) ** 2)
    for n in (1, 3, 5):
        known = ~train & (rank < n)
        adapted = model.adapt(X[known], y[known], groups[known])
        assert np.mean((adapted.predict(X[asked], groups[asked]) - y[asked]) ** 2) < before


def test_covariance_comes_from_clusters_left_out(data):
    # With few clusters and many steps a network's own residuals would say that there is no noise.
    X, _, groups = data
    noise = np.random.default_rng(0).standard_normal(len(X))
    chosen = RFPRegressor(random_state=0).fit(X, noise, groups).effects_
    assert np.exp(chosen.parameters[-1]) == pytest.approx(1.0, abs=0.3)  # of residuals' variance


def test_where_there_is_none_the_gradient_form_takes_its_place(data):
    X, y, groups = data
    for model, rows in (
        (RFPRegressor(loss="huber", **QUICK), (X, y, groups)),
        (RFPRegressor(**QUICK), (X, np.column_stack([y, y]), groups)),
        (RFPRegressor(alpha=1.0, **QUICK), (X[:12], y[:12], np.arange(12))),
    ):
        model.fit(*rows)
        assert isinstance(model.adapt(*rows), AdaptedRegressor)
        with pytest.raises(ValueError, match="no covariance of clusters' effects for method='exact'"):
            model.adapt(*rows, method="exact")
    with pytest.raises(ValueError, match="method='closed' is unknown"):
        model.adapt(*rows, method="closed")


def test_unknown_clusters_and_files(model, data, tmp_path):
    X, y, groups = data
    adapted = model.adapt(X[:30], y[:30], groups[:30])
    with pytest.raises(ValueError, match="not among the 2 adapted clusters"):
        adapted.predict(X, groups)
    found = adapted.predict(X, groups, unknown="population")
    assert found[40:] == pytest.approx(model.predict(X)[40:])
    model.save(tmp_path / "model.safetensors")
    again = rfpcore.load(tmp_path / "model.safetensors").adapt(X[:30], y[:30], groups[:30])
    np.testing.assert_array_equal(again.predict(X, groups, unknown="population"), found)


def test_weights_of_zero_are_rows_that_are_not_there(model, data):
    X, y, groups = data
    weights = np.r_[np.zeros(5), np.ones(10)]
    whole = model.adapt(X[:15], y[:15], groups[:15], weights)
    part = model.adapt(X[5:15], y[5:15], groups[5:15])
    # The cluster's mean of x, about which slopes turn, is that of all its rows.
    assert whole.predict(X[:15]) == pytest.approx(part.predict(X[:15]), abs=0.05)


@pytest.mark.parametrize("scale", [1e-50, 1e-12, 1e5, 1e30])
def test_the_scale_of_weights_does_not_matter(scale, data, tmp_path):
    """Such as how many people each row stands for; the noise's variance was sought near 1 all the same."""
    weights = 1.0 + np.arange(len(data[1])) % 3
    model = RFPRegressor(**QUICK)
    model.fit(*data, weights)
    expected = model.adapt(*data, weights).predict(data[0], data[2])
    model.fit(*data, scale * weights)
    adapted = model.adapt(*data, scale * weights)
    assert adapted.predict(data[0], data[2]) == pytest.approx(expected, rel=1e-6)
    model.save(tmp_path / "model")
    loaded = rfpcore.load(tmp_path / "model").adapt(*data, scale * weights)
    assert (loaded.predict(data[0], data[2]) == adapted.predict(data[0], data[2])).all()
    # Rows without weights are ordinary ones.
    same = np.full(len(data[1]), scale * weights.mean())
    ordinary = model.adapt(*data).predict(data[0], data[2])
    assert ordinary == pytest.approx(model.adapt(*data, same).predict(data[0], data[2]), rel=1e-9)


def test_partial_fit_learns_the_effects_anew_as_it_goes_on(tmp_path):
    """They stayed those of the first pass, whose network has learnt next to nothing of the population."""
    X, y, groups = make_vee(n_clusters=40, n_per_cluster=12, random_state=1)
    train, rank = groups < 20, np.tile(np.arange(12), 40)
    known, asked = ~train & (rank < 5), ~train & (rank >= 6)

    def error(model):
        adapted = model.adapt(X[known], y[known], groups[known])
        return np.mean((y[asked] - adapted.predict(X[asked], groups[asked])) ** 2)

    options = {"hidden_layer_sizes": (16,), "learning_rate": "constant", "inner_lr": 0.05, "random_state": 0}
    data = X[train], y[train], groups[train]
    fitted = RFPRegressor(**options, max_iter=128).fit(*data)
    model = RFPRegressor(**options)
    found = [model.partial_fit(*data).effects_ for _ in range(128)]
    assert [step for step in range(1, 128) if found[step] is not found[step - 1]] == [1, 7, 31, 127]
    assert np.array_equal(model.theta_, fitted.theta_)
    assert error(model) == pytest.approx(error(fitted), rel=1e-9)
    # Few clusters know less than many: what was known stays, in files too.
    model.save(tmp_path / "model")
    loaded = rfpcore.load(tmp_path / "model")
    before, few = loaded.effects_, groups < 9
    for _ in range(512 - 128):
        model.partial_fit(X[few], y[few], groups[few])
        loaded.partial_fit(X[few], y[few], groups[few])
    assert model.effects_ is found[-1]
    assert loaded.effects_ is before


def test_effects_of_clusters_left_out_stay(data):
    model = RFPRegressor(hidden_layer_sizes=(8,), random_state=0).fit(*data)
    before, steps = model.effects_, model.n_iter_
    for _ in range(steps + 1):
        model.partial_fit(*data)
    assert model.effects_ is before


@pytest.mark.parametrize("max_iter", [60, "auto"])
def test_rows_of_no_weight_are_as_if_they_were_not_there(max_iter, data):
    """They set the units of effects, and the means that slopes turn about."""
    X, y, groups = data
    random = np.random.default_rng(0)
    order = random.permutation(len(y) + 9)
    own = order[order < len(y)]
    wild = np.r_[X, 50 * random.standard_normal((9, 1))][order], np.r_[y, np.full(9, 100.0)][order]
    rows = *wild, np.r_[groups, np.arange(9)][order], (order < len(y)).astype(float)
    model = RFPRegressor(**QUICK | {"max_iter": max_iter})
    expected = model.fit(X[own], y[own], groups[own]).adapt(X[own], y[own], groups[own]).predict(X, groups)
    assert model.adapt(*rows).predict(X, groups) == pytest.approx(expected, rel=1e-9)
    assert model.fit(*rows).adapt(*rows).predict(X, groups) == pytest.approx(expected, rel=1e-6)


def test_rows_of_hardly_any_weight_set_no_units(data):
    """A few outliers of weight 1e-9 set the unit of all effects, in which theirs were sought near 1."""
    X, y, groups = data
    wild = np.linspace(-1e4, 1e4, 9)[:, None]
    rows = np.r_[X, wild], np.r_[y, wild[:, 0]], np.r_[groups, np.arange(9)]
    weights = np.r_[1.0 + np.arange(len(y)) % 3, np.full(9, 1e-9)]
    model = RFPRegressor(**QUICK)
    expected = model.fit(*data, weights[:-9])
    adapted, scale = expected.adapt(*data, weights[:-9]).predict(X, groups), expected.effects_.y_scale
    found = model.fit(*rows, weights)
    # The features have been standardised by their weights.
    assert found.effects_.x_mean == pytest.approx([0.0], abs=1e-6)
    assert found.effects_.x_scale == pytest.approx([1.0], rel=1e-6)
    assert found.effects_.y_scale == pytest.approx(scale, rel=1e-3)
    # The clusters' means of x, about which slopes turn, are those of all rows.
    assert found.adapt(*rows, weights).predict(X, groups) == pytest.approx(adapted, abs=0.05)
