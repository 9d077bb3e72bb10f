"""Stopping, watching, going on: the outer loop as the estimators run it."""

import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from small_models import CLASSES, GROUPS, X, Y, classifier, regressor

import rfpcore


@pytest.fixture(scope="module")
def fitted():
    return regressor().fit(X, Y, GROUPS)


@pytest.mark.parametrize("batch_size", [None, 4])
def test_partial_fits_are_one_fit(batch_size):
    params = {"batch_size": batch_size, "inner_lr": 0.02}
    whole = regressor(**params).fit(X, Y, GROUPS)
    parts = regressor(**params)
    passes = 30 if batch_size is None else 15  # two batches see six clusters
    for _ in range(passes):
        parts.partial_fit(X, Y, GROUPS)
    assert_array_equal(parts.theta_, whole.theta_)
    assert_array_equal(parts.loss_curve_, whole.loss_curve_)
    assert parts.n_iter_ == 30


def test_partial_fit_of_a_classifier():
    model = classifier()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        model.partial_fit(X, CLASSES, GROUPS)
    model.partial_fit(X[:9], CLASSES[:9], classes=["mid", "low", "high"])
    model.partial_fit(X[9:], CLASSES[9:], GROUPS[9:])
    assert (model.n_iter_, len(model.classes_)) == (2, 3)
    with pytest.raises(ValueError, match="are not those of the first call"):
        model.partial_fit(X, CLASSES, classes=["a", "b"])
    with pytest.raises(ValueError, match="no use for early_stopping"):
        classifier(early_stopping=True).partial_fit(X, CLASSES, GROUPS, classes=["mid", "low", "high"])


def test_partial_fit_goes_on_with_its_network(fitted):
    model = clone(fitted).fit(X, Y, GROUPS)
    assert model.partial_fit(X, Y, GROUPS).net_ == fitted.net_
    with pytest.raises(ValueError, match="has 2 features, but RFPRegressor is expecting 1"):
        model.partial_fit(np.hstack([X, X]), Y, GROUPS)


def test_warm_start_goes_on_from_theta():
    params = {
        "warm_start": True,
        "solver": "sgd",
        "momentum": 0.0,
        "inner_lr": 0.02,
        "learning_rate_init": 0.01,
    }
    model = regressor(**params, max_iter=15).fit(X, Y, GROUPS)
    model.fit(X, Y, GROUPS)
    # Gradient descent without momentum has no state but theta.
    assert_array_equal(model.theta_, regressor(**params, max_iter=30).fit(X, Y, GROUPS).theta_)
    assert model.n_iter_ == 15
    model.set_params(hidden_layer_sizes=(3, 3))
    with pytest.raises(
        ValueError, match=r"warm_start goes on from MLP\(.*\(5,\).* now make it MLP\(.*\(3, 3\)"
    ):
        model.fit(X, Y, GROUPS)
    labels = classifier(warm_start=True).fit(X, Y > 1, GROUPS)
    with pytest.raises(ValueError, match="warm_start needs the classes of the earlier fit"):
        labels.fit(X, np.where(Y > 1, "a", "b"))


def test_a_new_fit_starts_afresh(fitted):
    model = regressor(early_stopping=True, n_iter_no_change=10).fit(X, Y, GROUPS)
    model.set_params(early_stopping=False, n_iter_no_change=100).fit(pd.DataFrame({"x": X[:, 0]}), Y, GROUPS)
    model.fit(X, Y, GROUPS)
    assert_array_equal(model.theta_, fitted.theta_)
    assert set(vars(model)) == set(vars(fitted))


def early(**params):
    return regressor(
        early_stopping=True, max_iter=400, n_iter_no_change=40, learning_rate_init=0.02, **params
    )


def test_early_stopping_keeps_the_best_parameters():
    seen = {}

    def keep(state):
        seen[state.iteration] = state.theta

    model = early(callbacks=keep).fit(X, -Y * (1 + GROUPS % 2), GROUPS)
    scores = model.validation_scores_
    assert model.n_iter_ < 400
    assert model.n_iter_ == list(seen)[-1]
    assert len(scores) == len(seen)
    assert model.best_iteration_ == 10 * (scores.argmax() + 1) <= model.n_iter_ - 40 + 10
    assert_array_equal(model.theta_, seen[model.best_iteration_])


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_early_stopping_holds_out_whole_clusters(alpha):
    """Exactly one choice of held-out clusters explains the scores, as R_k on them."""
    params = {"alpha": alpha, "inner_lr": 0.02, "validation_fraction": 0.2, "n_iter_no_change": 10}
    seen = []
    model = regressor(early_stopping=True, callbacks=seen.append, **params).fit(X, Y, GROUPS)
    matches = 0
    for c in range(6):
        mine = c == GROUPS
        data = rfpcore.Clusters(X[mine], Y[mine])
        value = rfpcore.value_and_grad(model.net_, seen[0].theta, data, alpha, 1, 0.02)[0]
        matches += np.isclose(model.validation_scores_[0], -value, rtol=1e-12)
    assert matches == 1


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_held_out_clusters_that_diverge_score_worst():
    """Rates of e^(10^6 w) overflow in the one cluster held out, whichever it is, and in no other."""
    params = {"hidden_layer_sizes": (), "loss": "poisson", "inner_lr": 1e-3, "early_stopping": True}
    rates, scores = np.abs(Y), []
    sign = np.sign(regressor(**params).fit(X, rates, GROUPS).theta_[0])
    for c in range(6):
        model = regressor(**params, on_divergence="skip")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rfpcore.DivergenceWarning)
            warnings.simplefilter("ignore", rfpcore.ScaleWarning)
            model.fit(np.where((c == GROUPS)[:, None], 1e6 * sign, X), rates, GROUPS)
        scores.append(model.validation_scores_)
    assert_array_equal(np.isneginf(scores).all(axis=1).sum(), 1)


def test_early_stopping_needs_two_clusters():
    with pytest.raises(ValueError, match="whole clusters, so it needs at least 2; got 1"):
        regressor(early_stopping=True).fit(X, Y, np.zeros(len(X)))


def test_tolerance_on_the_training_objective():
    model = regressor(tol=1e-3, n_iter_no_change=20, max_iter=3000, solver="sgd").fit(X, Y, GROUPS)
    assert model.n_iter_ < 3000
    gain = model.loss_curve_[-40:-30].mean() - model.loss_curve_[-10:].mean()
    assert gain < 3e-3  # three looks, each without the gain asked for
    assert not hasattr(model, "validation_scores_")
    with pytest.warns(ConvergenceWarning, match="max_iter=30 outer steps came before n_iter_no_change=100"):
        regressor(tol=1e-9).fit(X, Y, GROUPS)


def test_the_result_does_not_depend_on_watching(capsys):
    """Nor on the pieces the work is done in, nor on the number of threads."""
    params = {"max_iter": 123, "batch_size": 3}
    plain = regressor(**params).fit(X, Y, GROUPS)
    watched = regressor(**params, verbose=1, callbacks=[lambda state: None]).fit(X, Y, GROUPS)
    assert_array_equal(watched.theta_, plain.theta_)
    assert_array_equal(watched.loss_curve_, plain.loss_curve_)
    for n_jobs in (1, 2, 5):
        assert_array_equal(regressor(**params, n_jobs=n_jobs).fit(X, Y, GROUPS).theta_, plain.theta_)
    assert "RFPRegressor" in capsys.readouterr().err


def test_progress_without_rich(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    regressor(verbose=1, max_iter=100).fit(X, Y, GROUPS)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("RFPRegressor: 100/100 steps, loss 0.")
    assert len(lines) <= 20


@pytest.mark.parametrize("again", [False, True])
def test_a_moment_of_a_fit_is_not_saved_for_the_whole(again, tmp_path):
    model = regressor(warm_start=True)
    if again:
        model.fit(X, Y, GROUPS)
    told = []

    def keep(state):
        with pytest.raises(ValueError, match="or of a moment within a fit"):
            state.estimator.save(tmp_path / "model")
        told.append(state.estimator.predict(X))

    model.set_params(callbacks=keep).fit(X, Y, GROUPS)
    assert len(told) == 3
    model.save(tmp_path / "model")


def test_callbacks_see_the_fit_and_stop_it():
    states = []

    def watch(state):
        states.append(state)
        return state.iteration == 20

    model = regressor(callbacks=[watch, lambda state: "not a bool"]).fit(X, Y, GROUPS)
    assert [s.iteration for s in states] == [10, 20]
    assert model.n_iter_ == 20
    assert_array_equal(states[1].estimator.predict(X), model.predict(X))
    assert (states[0].estimator.predict(X) != model.predict(X)).any()
    assert states[0].estimator.adapt(X, Y, GROUPS).score(X, Y, GROUPS) < 1
    assert states[1].loss == model.loss_curve_[-1]
    assert (states[0].max_iter, states[0].validation_score) == (30, None)
    assert states[0].inner_lr == model.inner_lr_


def test_an_error_in_a_fit_leaves_the_estimator_as_it_was():
    model = regressor().fit(X, Y, GROUPS)
    before = dict(vars(model))

    def fail(state):
        raise RuntimeError("enough")

    model.callbacks = before["callbacks"] = fail
    with pytest.raises(RuntimeError, match="enough"):
        model.fit(np.hstack([X, X]), Y, GROUPS)
    assert vars(model) == before


@pytest.mark.parametrize(
    "params",
    [
        {"solver": "adamw", "weight_decay": 0.1},
        {"solver": "sgd", "clip_norm": 0.1, "learning_rate_init": 0.05},
        {"learning_rate": "cosine"},
        {"learning_rate": "power"},
        {"batch_size": 2},
        {"order": "first"},
    ],
    ids=str,
)
def test_outer_options_train_and_differ(params, fitted):
    model = regressor(**params).fit(X, Y, GROUPS)
    assert model.loss_curve_[-5:].mean() < model.loss_curve_[:5].mean()
    assert (model.theta_ != fitted.theta_).any()


def test_query_split_is_drawn_from_the_seed():
    params = {"query_fraction": 0.3, "alpha": 0.0, "inner_lr": 0.02}
    model = regressor(**params).fit(X, Y, GROUPS)
    assert_array_equal(model.theta_, regressor(**params).fit(X, Y, GROUPS).theta_)
    same_start = model.net_.init(0)
    other = regressor(**params | {"random_state": np.random.RandomState(1), "warm_start": True})
    other.net_, other.theta_ = model.net_, same_start
    assert other.fit(X, Y, GROUPS).loss_curve_[0] != model.loss_curve_[0]
    with pytest.raises(ValueError, match=r"cluster 9 \(1 rows\) without query"):
        regressor(**params).fit(X, Y, np.where(np.arange(len(Y)) == 0, 9, GROUPS))


def test_query_split_takes_its_share_of_every_cluster():
    from rfpcore.estimators.rfp._splits import query_rows

    codes = np.repeat(np.arange(5), [2, 3, 10, 20, 1])
    mask = query_rows(codes, 0.3, np.random.RandomState(0).permutation(len(codes)))
    assert_array_equal(np.bincount(codes, mask), [1, 1, 3, 6, 0])
