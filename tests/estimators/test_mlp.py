"""Ordinary networks as estimators: against the trainer, closed forms and scikit-learn's own."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn.neural_network
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_networks import CODES, LABELS, SMALL, THREE, X, Y

from rfpcore import (
    DivergenceError,
    EnsembleClassifier,
    MLPClassifier,
    MLPRegressor,
)
from rfpcore.datasets import make_noisy_moons
from rfpcore.many import Model, fit_many
from rfpcore.optimizers import SGD, Adam, Cosine, PowerLaw
from rfpcore.regularize import L2, BatchNorm, ClipNorm, Dropout, EarlyStopping


def test_a_classifier_is_its_model():
    """The estimator adds nothing to the trainer but the names of the classes."""
    terms = L2(0.01) + Dropout(0.2)
    found = MLPClassifier(**SMALL, regularization=terms).fit(X, LABELS)
    model = Model((5,), "relu", "softmax", Adam(1e-3), terms, 32, n_epochs=4, seed=0)
    codes = np.searchsorted(["high", "low", "mid"], LABELS)
    result = fit_many(X, codes, model)
    assert_array_equal(found.theta_, result.thetas[0])
    assert_array_equal(found.loss_curve_, result.loss_curves[0])
    assert found.classes_.tolist() == ["high", "low", "mid"]
    logits = result.predict(X)[0]
    assert_array_equal(found.decision_function(X), logits)
    assert_array_equal(found.predict(X), found.classes_[logits.argmax(axis=1)])
    assert_allclose(found.predict_proba(X), np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))


def test_a_regressor_is_its_model_from_the_mean():
    found = MLPRegressor(**SMALL, solver="sgd", learning_rate="cosine").fit(X, Y)
    model = Model((5,), "relu", "squared", SGD(1e-3, 0.9, True, Cosine(12)), None, 32, n_epochs=4, seed=0)
    start = model.net(2, 1).init(0)
    start[-1] = Y.mean()
    assert_allclose(found.theta_, fit_many(X, Y, model, theta=start).thetas[0], rtol=1e-12)


def test_two_classes_have_one_logit():
    found = MLPClassifier(**SMALL).fit(X, CODES)
    result = fit_many(X, CODES, Model((5,), "relu", "logistic", n_epochs=4, seed=0))
    assert_array_equal(found.theta_, result.thetas[0])
    assert_allclose(found.predict_proba(X)[:, 1], 1 / (1 + np.exp(-result.predict(X)[0, :, 0])))


def test_linear_regression_is_found():
    """With one layer and full batches gradient descent has the minimum of least squares, weighted too."""
    weights = np.random.default_rng(0).uniform(0.1, 2, len(X))
    Z = np.column_stack([X, np.ones(len(X))])
    root = np.sqrt(weights)[:, None]
    expected = np.linalg.lstsq(root * Z, root[:, 0] * Y)[0]
    model = MLPRegressor(
        hidden_layer_sizes=(), solver="sgd", learning_rate_init=0.1, batch_size=None, max_iter=2000
    ).fit(X, Y, weights)
    assert_allclose(model.theta_, expected, rtol=1e-8)  # 2000 steps of a contraction leave only rounding
    assert_allclose(model.coefs_[0][:, 0], expected[:2], rtol=1e-8)
    assert_allclose(model.intercepts_[0], expected[2:], rtol=1e-8)


def test_about_as_good_as_scikit_learns():
    """Same widths, epochs and optimizer on easy data: the accuracies differ by the seed, a few points."""
    params = {"hidden_layer_sizes": (32,), "max_iter": 200, "batch_size": 32, "random_state": 0}
    train, test = (
        make_noisy_moons(400, flipped=0, random_state=1),
        make_noisy_moons(2000, flipped=0, random_state=2),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = sklearn.neural_network.MLPClassifier(**params).fit(train.X, train.y)
    ours = MLPClassifier(**params).fit(train.X, train.y)
    assert ours.score(test.X, test.y) > theirs.score(test.X, test.y) - 0.03
    assert [W.shape for W in ours.coefs_] == [(2, 32), (32, 1)] == [W.shape for W in theirs.coefs_]


@pytest.mark.parametrize("Frame", [pd.DataFrame, pl.DataFrame])
def test_frames(Frame):
    frame = Frame({"u": X[:, 0], "v": X[:, 1]})
    model = MLPClassifier(**SMALL).fit(frame, LABELS)
    assert model.feature_names_in_.tolist() == ["u", "v"]
    assert_array_equal(model.predict(frame), MLPClassifier(**SMALL).fit(X, LABELS).predict(X))
    ensemble = EnsembleClassifier(MLPClassifier(**SMALL), 2, random_state=0).fit(frame, LABELS)
    assert ensemble.feature_names_in_.tolist() == ["u", "v"]
    with pytest.raises(ValueError, match="feature names should match"):
        ensemble.predict(Frame({"v": X[:, 0], "u": X[:, 1]}))


def test_outcomes_of_all_kinds():
    counts = np.random.default_rng(0).poisson(np.exp(Y))
    poisson = MLPRegressor("poisson", **SMALL | {"max_iter": 300, "learning_rate_init": 0.01}).fit(X, counts)
    assert (poisson.predict(X) > 0).all()
    assert np.corrcoef(np.log(poisson.predict(X)), Y)[0, 1] > 0.9
    two = MLPRegressor(**SMALL).fit(X, np.column_stack([Y, -Y]))
    assert two.predict(X).shape == (90, 2)
    assert MLPRegressor(**SMALL).fit(X, Y[:, None]).predict(X).shape == (90, 1)
    single = MLPRegressor(**SMALL).fit(X.astype(np.float32), Y)
    assert single.theta_.dtype == single.predict(X.astype(np.float32)).dtype == np.float32
    assert MLPRegressor(**SMALL, dtype="float64").fit(X.astype(np.float32), Y).theta_.dtype == np.float64


def test_weights_are_copies_and_zero_is_none():
    """With full batches a weight of 2 is the row twice, up to rounding."""
    params = SMALL | {"batch_size": None}
    weights = np.random.default_rng(0).integers(0, 3, len(X))
    rows = np.repeat(np.arange(len(X)), weights)
    expected = MLPClassifier(**params).fit(X[rows], LABELS[rows]).predict_proba(X)
    assert_allclose(MLPClassifier(**params).fit(X, LABELS, weights).predict_proba(X), expected, rtol=1e-10)


def test_early_stopping_keeps_the_best():
    params = SMALL | {"max_iter": 500, "hidden_layer_sizes": (32,), "learning_rate_init": 0.02}
    model = MLPClassifier(**params, early_stopping=True, n_iter_no_change=5).fit(X, LABELS)
    scores = model.validation_scores_
    assert model.n_iter_ == len(scores) < 500
    assert model.best_iteration_ == scores.argmax() + 1
    assert model.n_iter_ >= model.best_iteration_ + 5
    data = model._learn(X, LABELS, None, None, np.random.RandomState(0))
    rows, codes = data.held_out[0], data.held_out[1][:, 0].astype(int)
    share = np.unique(LABELS, return_counts=True)[1] / 10
    assert np.abs(np.bincount(codes) - share).max() < 1  # of each class a tenth
    assert_allclose(log_loss(codes, model.predict_proba(rows)), -scores.max(), rtol=1e-10)
    with pytest.warns(ConvergenceWarning, match="max_iter=2 epochs came before n_iter_no_change=10"):
        MLPRegressor(**SMALL | {"max_iter": 2}, early_stopping=True).fit(X, Y)


def test_warm_start_goes_on():
    params = SMALL | {"solver": "sgd", "momentum": 0.0, "batch_size": None}
    twice = MLPClassifier(**params, warm_start=True).fit(X, LABELS).fit(X, LABELS)
    # Full batches and no momentum: two fits are one of twice the length.
    assert_allclose(twice.theta_, MLPClassifier(**params | {"max_iter": 8}).fit(X, LABELS).theta_, rtol=1e-12)
    with pytest.raises(ValueError, match="warm_start needs the classes of the earlier fit"):
        twice.fit(X, THREE)
    with pytest.raises(ValueError, match=r"warm_start goes on from MLP\(n_inputs=2"):
        twice.set_params(hidden_layer_sizes=(6,)).fit(X, LABELS)
    normed = MLPClassifier(**SMALL, warm_start=True, regularization=BatchNorm()).fit(X, LABELS)
    with pytest.raises(ValueError, match="warm_start with BatchNorm is not possible"):
        normed.fit(X, LABELS)


def test_batch_normalization_is_folded_in():
    model = MLPClassifier(**SMALL, regularization=BatchNorm()).fit(X, LABELS)
    result = fit_many(
        X,
        np.searchsorted(model.classes_, LABELS),
        Model((5,), "relu", "softmax", regularization=BatchNorm(), n_epochs=4, seed=0),
    )
    assert_allclose(model.decision_function(X), result.predict(X)[0], rtol=1e-12)
    assert_allclose(model.net_.predict(model.theta_, X), result.predict(X)[0], rtol=1e-12)


def test_divergence_is_an_error_and_leaves_the_estimator():
    model = MLPRegressor(**SMALL).fit(X, Y)
    before = dict(vars(model))
    model.set_params(solver="sgd", learning_rate_init=1e6)
    with pytest.raises(DivergenceError, match="a smaller learning_rate_init or ClipNorm"):
        model.fit(X, Y)
    assert_array_equal(model.theta_, before["theta_"])
    model.set_params(regularization=ClipNorm(1e-6)).fit(X, Y)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"solver": "lbfgs"}, ValueError, "solver='lbfgs' is unknown; one of 'adam', 'sgd'"),
        ({"learning_rate": "adaptive"}, ValueError, "learning_rate='adaptive' is unknown"),
        ({"learning_rate_init": 0}, ValueError, r"learning_rate_init=0\.0; a positive number"),
        ({"batch_size": "all"}, ValueError, "batch_size='all' is unknown"),
        ({"batch_size": 0}, ValueError, "batch_size=0 is too small"),
        ({"max_iter": 0}, ValueError, "max_iter=0 is too small"),
        ({"momentum": 1}, ValueError, r"momentum=1\.0; a number in \[0, 1\)"),
        ({"beta_2": -0.1}, ValueError, r"beta_2=-0\.1"),
        ({"epsilon": 0}, ValueError, r"epsilon=0\.0"),
        ({"tol": -1}, ValueError, r"tol=-1\.0"),
        ({"nesterovs_momentum": 1}, TypeError, "nesterovs_momentum=1 is a int"),
        ({"early_stopping": "yes"}, TypeError, "early_stopping='yes' is a str"),
        ({"early_stopping": True, "validation_fraction": 1}, ValueError, r"validation_fraction=1\.0"),
        ({"regularization": EarlyStopping(3)}, ValueError, "the estimator holds rows out itself"),
        ({"regularization": [L2(1), L2(2)]}, ValueError, "two terms of the kind L2"),
        ({"regularization": "l2"}, TypeError, "regularization='l2' is a str"),
        ({"activation": "logistic"}, ValueError, "activation='logistic' is unknown"),
        ({"dtype": "float16"}, ValueError, "dtype='float16' is unknown"),
        ({"hidden_layer_sizes": 5}, TypeError, "hidden_layer_sizes=5; a sequence"),
    ],
)
def test_parameters_that_are_none(params, error, message):
    with pytest.raises(error, match=message):
        MLPClassifier(**SMALL | params).fit(X, LABELS)


def test_schedules_and_specifications_survive_cloning():
    model = MLPClassifier(**SMALL, learning_rate=PowerLaw(100.0), regularization=L2(0.1) + Dropout(0.1))
    again = clone(model)
    assert again.get_params() == model.get_params()
    fitted = again.fit(X, LABELS)
    assert_array_equal(pickle.loads(pickle.dumps(fitted)).theta_, fitted.theta_)


def test_in_a_grid_search():
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**SMALL))
    grid = {"mlpclassifier__regularization": [None, L2(0.1), Dropout(0.2)]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, LABELS)
    assert len(search.cv_results_["params"]) == 3
