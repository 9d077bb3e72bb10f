"""Ensembles: their members, their spread, and what is left of one that was interrupted."""

import signal
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from small_networks import LABELS, SMALL, X, Y

import rfpcore.estimators.mlp._training as training
from rfpcore import EnsembleClassifier, EnsembleRegressor, InterruptedWarning, MLPClassifier, MLPRegressor


def test_members_are_networks_with_their_seeds():
    ensemble = EnsembleRegressor(MLPRegressor(**SMALL), 3, random_state=5).fit(X, Y)
    seeds = np.random.RandomState(5).randint(2**31 - 1, size=3)
    each = [MLPRegressor(**SMALL | {"random_state": int(seed)}).fit(X, Y) for seed in seeds]
    for own, alone in zip(ensemble.estimators_, each, strict=True):
        assert_array_equal(own.theta_, alone.theta_)
        assert_array_equal(own.predict(X), alone.predict(X))
        assert own.get_params() == alone.get_params()
    predictions = np.stack([alone.predict(X) for alone in each])
    mean, std = ensemble.predict(X, return_std=True)
    assert_array_equal(ensemble.predict_each(X), predictions)
    assert_allclose(mean, predictions.mean(axis=0))
    assert_allclose(std, predictions.std(axis=0))
    assert_array_equal(ensemble.predict(X), mean)


def test_bootstrap_draws_rows():
    """A member is a network trained on copies of its rows."""
    ensemble = EnsembleClassifier(MLPClassifier(**SMALL), 2, bootstrap=True, random_state=5).fit(X, LABELS)
    random = np.random.RandomState(5)
    seeds, rows = random.randint(2**31 - 1, size=2), random.randint(90, size=(2, 90))
    assert_array_equal(np.unique(LABELS[rows[0]]), ensemble.classes_)
    alone = MLPClassifier(**SMALL | {"random_state": int(seeds[0])}).fit(X[rows[0]], LABELS[rows[0]])
    assert_allclose(ensemble.estimators_[0].theta_, alone.theta_, rtol=1e-12)
    each = ensemble.predict_proba_each(X)
    mean, std = ensemble.predict_proba(X, return_std=True)
    assert_allclose(mean, each.mean(axis=0))
    assert_allclose(std, each.std(axis=0))
    assert_allclose(mean.sum(axis=1), 1)
    assert_array_equal(ensemble.predict(X), ensemble.classes_[mean.argmax(axis=1)])


def test_interrupted_ensemble_keeps_what_is_finished(monkeypatch):
    count, train = {"left": 2}, training.train

    def train_and_interrupt(*arguments):
        *arguments, on_finished = arguments

        def finished(index, result):
            on_finished(index, result)
            count["left"] -= 1
            if count["left"] == 0:
                signal.raise_signal(signal.SIGINT)

        return train(*arguments, finished)

    monkeypatch.setattr(training, "train", train_and_interrupt)
    ensemble = EnsembleRegressor(MLPRegressor(**SMALL), 50, random_state=0, n_jobs=1)
    with pytest.warns(InterruptedWarning, match="of 50 networks are done, and make up the ensemble"):
        ensemble.fit(X, Y)
    assert 2 <= len(ensemble.estimators_) < 50
    whole = EnsembleRegressor(MLPRegressor(**SMALL), 50, random_state=0)
    monkeypatch.undo()
    assert_array_equal(ensemble.estimators_[1].theta_, whole.fit(X, Y).estimators_[1].theta_)


def test_an_ensemble_takes_networks_only():
    with pytest.raises(TypeError, match="estimator is a MLPRegressor; MLPClassifier is needed"):
        EnsembleClassifier(MLPRegressor()).fit(X, LABELS)
    with pytest.raises(ValueError, match="n_estimators=0 is too small"):
        EnsembleClassifier(n_estimators=0).fit(X, LABELS)


def test_progress_of_an_ensemble(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    EnsembleRegressor(MLPRegressor(**SMALL), 4, verbose=1).fit(X, Y)
    assert capsys.readouterr().err.splitlines()[-1].startswith("EnsembleRegressor: 4/4 networks, loss ")
