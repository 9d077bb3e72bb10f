"""Adaptation to clusters, and the inner step."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from small_models import GROUPS, X, Y, regressor

import rfpcore
from rfpcore import RFPRegressor, losses
from rfpcore.datasets import make_vee
from rfpcore.estimators.rfp._shrinkage import KAPPAS
from rfpcore.exceptions import DivergenceError, DivergenceWarning, InnerStepWarning, ScaleWarning


@pytest.fixture(scope="module")
def fitted():
    return regressor().fit(X, Y, GROUPS)


def test_adapt_is_the_functional_adapt(fitted):
    data = rfpcore.Clusters(X, Y, GROUPS)
    adapted = fitted.adapt(X, Y, GROUPS, inner_steps=4, inner_lr=0.01)
    thetas, status = rfpcore.adapt(fitted.net_, fitted.theta_, data, inner_steps=4, inner_lr=0.01)
    assert_array_equal(adapted.thetas_, thetas)
    assert_array_equal(adapted.status_.loss_after, status.loss_after)
    for c, theta in enumerate(thetas):
        mine = c == GROUPS
        assert_array_equal(adapted.predict(X, GROUPS)[mine], fitted.net_.predict(theta, X[mine])[:, 0])


def test_adapt_to_clusters_never_seen(fitted):
    new_X, new_y, new_groups = make_vee(n_clusters=4, random_state=9)
    adapted = fitted.adapt(new_X, new_y, new_groups + 100, method="gradient")
    assert_array_equal(adapted.labels_, [100, 101, 102, 103])
    assert (adapted.status_.loss_after < adapted.status_.loss_before).all()
    assert adapted.score(new_X, new_y, new_groups + 100) > fitted.score(new_X, new_y)


def test_adapted_rows_in_any_order_and_of_some_clusters(fitted):
    adapted = fitted.adapt(X, Y, GROUPS, method="gradient")
    rows = np.random.default_rng(1).permutation(np.flatnonzero(GROUPS % 2))
    assert_array_equal(adapted.predict(X[rows], GROUPS[rows]), adapted.predict(X, GROUPS)[rows])


def test_unknown_clusters_are_named_or_take_the_population(fitted):
    adapted = fitted.adapt(X, Y, GROUPS, method="gradient")
    with pytest.raises(ValueError, match="groups holds 7 in row 1; 2 of its 3 labels are not among the 6"):
        adapted.predict(X[:3], [0, 7, 8])
    mixed = adapted.predict(X[:3], [0, 7, 8], unknown="population")
    assert_array_equal(mixed[1:], fitted.predict(X[:3])[1:])
    assert_array_equal(mixed[:1], adapted.predict(X[:1], [0]))
    with pytest.raises(ValueError, match="unknown='zero' is unknown; one of 'raise', 'population'"):
        adapted.predict(X, GROUPS, unknown="zero")
    with pytest.raises(ValueError, match="groups is needed: which of the 6 clusters"):
        adapted.predict(X)


def test_adapt_to_one_cluster_needs_no_labels(fitted):
    adapted = fitted.adapt(X[:9], Y[:9], method="gradient")
    assert_array_equal(adapted.predict(X[:9]), fitted.net_.predict(adapted.thetas_[0], X[:9])[:, 0])


def test_adapted_is_not_touched_by_a_later_fit():
    model = regressor().fit(X, Y, GROUPS)
    adapted = model.adapt(X, Y, GROUPS, method="gradient")
    before = adapted.predict(X, GROUPS)
    model.set_params(hidden_layer_sizes=(3,)).fit(X, -Y, GROUPS)
    assert_array_equal(adapted.predict(X, GROUPS), before)
    assert_array_equal(pickle.loads(pickle.dumps(adapted)).predict(X, GROUPS), before)


def test_zero_steps_adapt_nothing(fitted):
    assert_array_equal(fitted.adapt(X, Y, GROUPS, inner_steps=0).predict(X, GROUPS), fitted.predict(X))


def test_only_the_last_layer_adapts():
    model = regressor(adapt_layers="last").fit(X, Y, GROUPS)
    moved = (model.adapt(X, Y, GROUPS, method="gradient").thetas_ != model.theta_).any(axis=0)
    assert_array_equal(moved, np.arange(len(moved)) >= len(moved) - 6)  # 5 weights and a bias


def test_a_step_for_each_parameter():
    steps = np.full(16, 0.02)
    by_array, by_number = (
        regressor(inner_lr=steps).fit(X, Y, GROUPS),
        regressor(inner_lr=0.02).fit(X, Y, GROUPS),
    )
    assert_allclose(by_array.theta_, by_number.theta_, rtol=1e-9)
    assert_array_equal(by_array.inner_lr_, steps)
    with pytest.raises(ValueError, match=r"inner_lr has shape \(3,\); the network has 16 parameters"):
        regressor(inner_lr=np.ones(3)).fit(X, Y, GROUPS)


def test_auto_step_is_half_the_limit_at_the_start():
    model = regressor(max_iter=1).fit(X, Y, GROUPS)
    theta = model.net_.init(0)
    theta[-1] = Y.mean()
    largest = rfpcore.curvature(model.net_, theta, rfpcore.Clusters(X, Y, GROUPS)).max()
    assert_allclose(model.inner_lr_, 1 / largest, rtol=1e-12)


def test_auto_step_shrinks_when_it_does_harm():
    """Then features become twenty times as large, and the first step is far too long."""
    model = regressor(hidden_layer_sizes=(), learning_rate_init=1e-6).partial_fit(0.05 * X, Y, GROUPS)
    first = model.inner_lr_
    for _ in range(50):
        model.partial_fit(X, Y, GROUPS)
    limit = 2 / rfpcore.curvature(model.net_, model.theta_, rfpcore.Clusters(X, Y, GROUPS)).max()
    assert first > limit > model.inner_lr_


def test_a_step_that_does_harm_is_warned_of():
    model = regressor(hidden_layer_sizes=(), inner_lr=1.5, alpha=0.99, max_iter=1)
    with pytest.warns(
        InnerStepWarning, match=r"raises the loss of \d of 6 clusters: inner_lr=1.5 .* 2 / lambda_max"
    ):
        model.fit(X, Y, GROUPS)
    with pytest.warns(InnerStepWarning, match="inner_lr=1.5"):
        model.adapt(X, Y, GROUPS, inner_lr=None)


def test_divergence_is_raised_or_skipped():
    far = X.copy()
    model = regressor(hidden_layer_sizes=(), loss="poisson", inner_lr=1e-3)
    far[GROUPS == 3] = 1e6 * np.sign(model.fit(X, np.abs(Y), GROUPS).theta_[0])  # rates of e^(10^6 w)
    message = "the loss of cluster 3 is inf at inner step 0"
    with pytest.warns(ScaleWarning), pytest.raises(DivergenceError, match=message) as error:
        model.fit(far, np.abs(Y), GROUPS)
    assert error.value.label == 3
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.set_params(on_divergence="skip").fit(far, np.abs(Y), GROUPS)
        adapted = model.adapt(far, np.abs(Y), GROUPS, method="gradient")
    assert any("left out 30 times in 30 outer steps" in str(w.message) for w in caught)
    assert {w.category for w in caught} >= {DivergenceWarning}
    assert_array_equal(adapted.thetas_[3], model.theta_)
    assert_array_equal(np.flatnonzero(~adapted.status_.ok), [3])


def test_a_step_beyond_the_limit_of_one_cluster_is_warned_of():
    """Though few feel it: lambda of a linear model is known, and one cluster steeper than the rest."""
    far = np.where(GROUPS == 2, 30.0, 1.0)[:, None] * np.sign(X)
    design = [np.column_stack([far[c == GROUPS], np.ones(9)]) for c in range(6)]
    steepest = max(2 * np.linalg.eigvalsh(Z.T @ Z / 9).max() for Z in design)
    model = regressor(hidden_layer_sizes=(), alpha=1 - 1e-9, max_iter=1, learning_rate_init=1e-9)
    weight = np.where(GROUPS == 2, 0.1, 1.0)  # so little that nobody minds its loss
    model.set_params(inner_lr=1.9 / steepest).fit(far, 0 * Y, GROUPS, weight)
    with pytest.warns(InnerStepWarning, match=r"of 1 of 6 clusters: .* is 2\.[12]\d* in cluster 2"):
        model.set_params(inner_lr=2.2 / steepest).fit(far, 0 * Y, GROUPS, weight)


def test_rows_pull_as_clusters_left_out_say():
    fit = regressor(max_iter="auto", inner_lr=0.05).fit(X, Y, GROUPS)
    kappa = fit.shrinkage_
    assert kappa in KAPPAS
    raw, shrunk = (
        fit.adapt(X[:12], Y[:12], GROUPS[:12], method="gradient", shrink=shrink) for shrink in (False, True)
    )
    share = np.array([9, 3]) / (np.array([9, 3]) + kappa)
    expected = fit.theta_ + share[:, None] * (raw.thetas_ - fit.theta_)
    assert_allclose(shrunk.thetas_, expected, rtol=1e-9, atol=1e-12)
    as_twice = fit.adapt(X[:9], Y[:9], GROUPS[:9], np.full(9, 2.0), method="gradient")
    twice = np.repeat(np.arange(9), 2)
    repeated = fit.adapt(X[twice], Y[twice], GROUPS[twice], method="gradient")
    assert_allclose(as_twice.thetas_, repeated.thetas_, rtol=1e-9, atol=1e-12)
    assert not hasattr(regressor().fit(X, Y, GROUPS), "shrinkage_")  # nothing was left out


@pytest.mark.parametrize("effect", [0.0, 1.0], ids=["no effects", "levels"])
def test_adapting_to_a_row_is_no_worse_than_the_population(effect):
    """Without cluster effects the row is noise; with them it says most of what there is to know."""
    random = np.random.default_rng(0)
    old, new = np.arange(30), np.arange(100, 130)
    groups, few, many = np.repeat(old, 15), new, np.repeat(new, 20)
    level = effect * random.standard_normal(200)

    def draw(codes):
        Z = random.standard_normal((len(codes), 1))
        return Z, np.sin(2 * Z[:, 0]) + level[codes] + 0.3 * random.standard_normal(len(codes))

    fit = RFPRegressor(hidden_layer_sizes=(16,), random_state=0).fit(*draw(groups), groups)
    Z, y = draw(many)
    alone = np.mean((fit.predict(Z) - y) ** 2)
    adapted = np.mean((fit.adapt(*draw(few), few).predict(Z, many) - y) ** 2)
    assert adapted < (1.02 if effect == 0 else 0.75) * alone


def test_how_adaptation_is_asked_for(fitted):
    data = rfpcore.Clusters(X, Y, GROUPS)
    ten, _ = rfpcore.adapt(fitted.net_, fitted.theta_, data, inner_steps=10, inner_lr="auto")
    assert_array_equal(fitted.adapt(X, Y, GROUPS, method="gradient").thetas_, ten)
    trained, _ = rfpcore.adapt(fitted.net_, fitted.theta_, data, inner_steps=1, inner_lr=fitted.inner_lr_)
    assert_array_equal(fitted.adapt(X, Y, GROUPS, inner_steps=None, inner_lr=None).thetas_, trained)
    with pytest.raises(ValueError, match="method='magic'"):
        fitted.adapt(X, Y, GROUPS, method="magic")


def test_no_curvature_to_go_by_takes_the_step_of_training():
    """Beyond its delta Huber's loss is straight, and one far row all there is."""
    fit = regressor(hidden_layer_sizes=(), loss=losses.huber(1.0), inner_lr=0.05).fit(X, Y, GROUPS)
    auto, given = (fit.adapt(X[:1], [1e6], **step) for step in ({}, {"inner_lr": None}))
    assert_array_equal(auto.thetas_, given.thetas_)


@pytest.mark.parametrize("method", ["exact", "gradient"])
def test_dates_of_another_unit_are_the_same_clusters(method):
    """They were none of the clusters, and got the population's prediction where that was asked for."""
    days = np.array([f"2020-0{1 + g}-01" for g in GROUPS], "M8[D]")
    adapted = regressor().fit(X, Y, days).adapt(X, Y, days.astype("M8[ns]"), method=method)
    expected = adapted.predict(X, days.astype("M8[ns]"))
    for same in (days, days.astype("M8[us]"), list(pd.to_datetime(days)), pd.Series(days)):
        assert_array_equal(adapted.predict(X, same, unknown="population"), expected)
    with pytest.raises(ValueError, match="9 of its 9 labels are not among the 6"):
        adapted.predict(X[:9], days[:9] + np.arange(9) + 1)
