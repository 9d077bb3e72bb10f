"""Features and outcomes of any unit: against data standardised by hand, and against least squares."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from small_models import CLASSES, GROUPS, X, Y, classifier, regressor

import rfpcore
from rfpcore import EnsembleRegressor, MLPClassifier, MLPRegressor, RFPRegressor, losses
from rfpcore._scaling import Scaling
from rfpcore.estimators import RFPRegressorCV, refit_clusters

UNITS = np.array([1e6, -2e-7])
WIDE = np.column_stack([X[:, 0], np.cos(3 * X[:, 0])]) / UNITS[::-1] + np.array([2e6, 0.0])
FAR = 250.0 + 40.0 * Y


def by_hand(columns):
    return (columns - columns.mean(axis=0)) / columns.std(axis=0)


def model(**params):
    return regressor(standardize=True, inner_lr=0.05, **params)


@pytest.mark.parametrize("loss", ["squared", losses.huber(0.5), losses.quantile(0.7)])
def test_it_is_a_fit_of_data_standardised_by_hand(loss):
    fit = model(loss=loss).fit(WIDE, FAR, GROUPS)
    Z, u = by_hand(WIDE), by_hand(FAR)
    plain = regressor(inner_lr=0.05, loss=loss).fit(Z, u, GROUPS)
    assert_allclose(fit.theta_, plain.theta_, rtol=1e-7)  # of rounding, after 30 steps
    assert_allclose(fit.predict(WIDE), FAR.mean() + FAR.std() * plain.predict(Z), rtol=1e-9)
    own = fit.adapt(WIDE, FAR, GROUPS).predict(WIDE, GROUPS)
    plain_own = plain.adapt(Z, u, GROUPS).predict(Z, GROUPS)
    assert_allclose(own, FAR.mean() + FAR.std() * plain_own, rtol=1e-8)


def test_units_and_levels_do_not_matter():
    near = model().fit(X, Y, GROUPS).predict(X)
    far = model().fit(1e9 + 1e3 * X, 1e9 + 1e5 * Y, GROUPS).predict(1e9 + 1e3 * X)
    assert_allclose((far - 1e9) / 1e5, near, atol=1e-6)  # of 1e9 + 1e3 x the last six digits are x


def test_counts_stay_counts():
    counts = np.random.default_rng(0).poisson(np.exp(Y))
    fit = model(loss="poisson").set_params(inner_lr=0.005).fit(WIDE, counts, GROUPS)
    assert not hasattr(fit, "y_scaling_")
    plain = regressor(inner_lr=0.005, loss="poisson").fit(by_hand(WIDE), counts, GROUPS)
    assert_allclose(fit.predict(WIDE), plain.predict(by_hand(WIDE)), rtol=1e-7)


def test_classes():
    fit = classifier(standardize=True, inner_lr=0.05).fit(WIDE, CLASSES, GROUPS)
    plain = classifier(inner_lr=0.05).fit(by_hand(WIDE), CLASSES, GROUPS)
    assert_allclose(fit.predict_proba(WIDE), plain.predict_proba(by_hand(WIDE)), rtol=1e-7)
    own, plain_own = (m.adapt(Z, CLASSES, GROUPS) for m, Z in ((fit, WIDE), (plain, by_hand(WIDE))))
    assert_allclose(
        own.predict_proba(WIDE, GROUPS), plain_own.predict_proba(by_hand(WIDE), GROUPS), rtol=1e-6
    )


@pytest.mark.parametrize(("level", "unit"), [(250.0, 1.0), (1e9, 1.0), (1e9, 1e5), (0.0, 1e-7)], ids=str)
def test_odd_columns_do_no_worse_than_least_squares(level, unit):
    """A day, an income, a rate of 1e-7, a constant; the outcome is linear in them, far out, in any unit."""
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(30), 20)
    Z = random.standard_normal((600, 3))
    columns = np.column_stack(
        [20_000 + 300 * Z[:, 0], 2e6 * np.exp(Z[:, 1]), 1e-7 * Z[:, 2], np.full(600, 7.0), 1e150 * Z[:, 0]]
    )
    y = level + unit * (Z.sum(axis=1) + random.standard_normal(600))
    train = groups < 24
    fit = RFPRegressor(hidden_layer_sizes=(16,), max_iter=80, random_state=0)
    fit.fit(columns[train], y[train], groups[train])
    linear = LinearRegression().fit(by_hand(columns[:, :3])[train], y[train])
    found, needed = (
        fit.score(columns[~train], y[~train]),
        linear.score(by_hand(columns[:, :3])[~train], y[~train]),
    )
    assert found > needed - 0.03, (found, needed)


def test_no_digits_of_a_high_level_are_lost_in_float32():
    y = 1e9 + Y
    fit = model(dtype="float32", hidden_layer_sizes=(16,), max_iter=200).fit(X.astype(np.float32), y, GROUPS)
    assert fit.predict(X).dtype == np.float64
    assert fit.score(X, y) > 0.5


def test_a_row_of_weight_two_is_the_row_twice():
    random = np.random.default_rng(0)
    times = random.integers(0, 3, len(Y))
    rows = np.repeat(np.arange(len(Y)), times)
    weighted = model().fit(WIDE, FAR, GROUPS, times)
    repeated = model().fit(WIDE[rows], FAR[rows], GROUPS[rows])
    assert_allclose(weighted.x_scaling_.level, repeated.x_scaling_.level, rtol=1e-12)
    assert_allclose(weighted.predict(WIDE), repeated.predict(WIDE), rtol=1e-7)


def test_warm_start_and_partial_fit_keep_what_was_learnt():
    fit = model(warm_start=True).fit(WIDE, FAR, GROUPS)
    level = fit.x_scaling_.level
    assert_array_equal(fit.fit(2 * WIDE, FAR, GROUPS).x_scaling_.level, level)
    with pytest.raises(ValueError, match="goes on from standardize=True"):
        fit.set_params(standardize=False).fit(WIDE, FAR, GROUPS)
    stream = model().partial_fit(WIDE, FAR, GROUPS)
    first = stream.y_scaling_.level
    assert_array_equal(stream.partial_fit(WIDE, FAR + 1, GROUPS).y_scaling_.level, first)


def test_refits_share_the_scale_of_all_clusters():
    fits = refit_clusters(model(), WIDE, FAR, GROUPS, 1 - np.eye(6))
    plain = refit_clusters(regressor(inner_lr=0.05), by_hand(WIDE), by_hand(FAR), GROUPS, 1 - np.eye(6))
    scaled = FAR.mean() + FAR.std() * plain.predict(by_hand(WIDE))
    assert_allclose(fits.predict(WIDE), scaled, rtol=1e-8)
    assert_allclose(fits[2].predict(WIDE), scaled[2], rtol=1e-8)


def test_chosen_by_cross_validation():
    params = {"alphas": (0.2, 1.0), "inner_lrs": (0.05,), "n_folds": 3}
    fit = RFPRegressorCV(model(max_iter=20), **params).fit(WIDE, FAR, GROUPS)
    plain = RFPRegressorCV(regressor(max_iter=20, inner_lr=0.05), **params)
    plain.fit(by_hand(WIDE), by_hand(FAR), GROUPS)
    assert fit.best_params_ == plain.best_params_
    assert_allclose(fit.predict(WIDE), FAR.mean() + FAR.std() * plain.predict(by_hand(WIDE)), rtol=1e-8)


def test_ordinary_networks_and_their_ensembles():
    network = MLPRegressor(hidden_layer_sizes=(5,), max_iter=5, standardize=True, random_state=0)
    plain = clone(network).set_params(standardize=False).fit(by_hand(WIDE), by_hand(FAR))
    expected = FAR.mean() + FAR.std() * plain.predict(by_hand(WIDE))
    assert_allclose(network.fit(WIDE, FAR).predict(WIDE), expected, rtol=1e-8)
    several = EnsembleRegressor(network, 3, random_state=0).fit(WIDE, FAR)
    each = several.predict_each(WIDE)
    assert_array_equal(each[1], several.estimators_[1].predict(WIDE))
    assert_allclose(several.predict(WIDE), each.mean(axis=0), rtol=1e-12)
    classes = MLPClassifier((5,), max_iter=5, standardize=True, random_state=0).fit(WIDE, CLASSES)
    plain_classes = MLPClassifier((5,), max_iter=5, random_state=0).fit(by_hand(WIDE), CLASSES)
    assert_allclose(classes.predict_proba(WIDE), plain_classes.predict_proba(by_hand(WIDE)), rtol=1e-8)


@pytest.mark.parametrize(
    "make",
    [
        lambda: model().fit(WIDE, FAR, GROUPS),
        lambda: classifier(standardize=True).fit(WIDE, CLASSES, GROUPS),
        lambda: model(max_iter="auto").fit(WIDE, FAR, GROUPS),
        lambda: MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, standardize=True).fit(
            WIDE, np.column_stack([FAR, Y])
        ),
        lambda: EnsembleRegressor(MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, standardize=True), 2).fit(
            WIDE, FAR
        ),
    ],
    ids=["RFP", "classes", "steps by folds", "two outcomes", "ensemble"],
)
def test_files(tmp_path, make):
    fit = make()
    fit.save(tmp_path / "m.safetensors")
    loaded = rfpcore.load(tmp_path / "m.safetensors")
    assert_array_equal(loaded.predict(WIDE), fit.predict(WIDE))
    if hasattr(fit, "shrinkage_"):
        own, before = (each.adapt(WIDE, FAR, GROUPS).predict(WIDE, GROUPS) for each in (loaded, fit))
        assert_array_equal(own, before)


@pytest.mark.parametrize(
    "column",
    [
        [5.0] * 4,
        [0.0] * 4,
        [1e308, -1e308, 1e308, 0.0],
        [1e-310, 0.0, 0.0, 0.0],
        [1e9, 1e9 + 1, 1e9, 1e9 + 2],
    ],
    ids=["constant", "zeros", "huge", "tiny", "high"],
)
def test_columns_of_any_size_become_of_order_one(column):
    columns = np.array(column)[:, None]
    scaling = Scaling.of(columns)
    scaled = scaling.apply(columns)
    assert np.abs(scaled).max() <= 2
    assert scaled.std() == pytest.approx(0 if len(set(column)) == 1 else 1)
    assert_allclose(scaling.undo(scaled), columns, rtol=1e-12, atol=1e-12 * np.abs(columns).max())
