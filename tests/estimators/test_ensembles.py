"""Ensembles: their members, their spread, and what is left of one that was interrupted."""

import signal
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from small_networks import LABELS, SMALL, X, Y

import rfpcore.estimators.mlp._training as training
from rfpcore import (
    EnsembleClassifier,
    EnsembleRegressor,
    InterruptedWarning,
    MLPClassifier,
    MLPRegressor,
    _files,
)


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
        *arguments, on_finished, scheduler = arguments

        def finished(index, result):
            on_finished(index, result)
            count["left"] -= 1
            if count["left"] == 0:
                signal.raise_signal(signal.SIGINT)

        return train(*arguments, finished, scheduler)

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


BAGGED = {"n_estimators": 6, "bootstrap": True, "random_state": 5}
GROUPS = np.repeat(np.arange(15), 6)
NEW = np.linspace(-2, 2, 5)[:, None].repeat(X.shape[1], axis=1)


def by_hand(ensemble, rows, groups, weights, level):
    """Jackknife+ after bootstrap, cluster by cluster; a cluster's rows have the weight of one together."""
    low, high, mass = [], [], []
    outcomes = np.asarray(Y, float)
    for cluster in np.unique(groups):
        own = np.flatnonzero(groups == cluster)
        apart = [m for m in range(len(rows)) if not np.isin(rows[m], own).any()]
        if not apart:
            continue
        members = [ensemble.estimators_[m] for m in apart]
        errors = np.abs(outcomes[own] - np.mean([one.predict(X[own]) for one in members], axis=0))
        centre = np.mean([one.predict(NEW) for one in members], axis=0)
        low += [centre - error for error in errors]
        high += [centre + error for error in errors]
        mass += (weights[own] / weights[own].sum()).tolist()
    needed = level * (sum(mass) + 1)

    def quantile(values):
        order = np.argsort(values)
        return values[order][np.searchsorted(np.cumsum(np.array(mass)[order]), needed - 1e-9)]

    low, high = np.array(low), np.array(high)
    return np.array([[-quantile(-low[:, i]), quantile(high[:, i])] for i in range(len(NEW))])


@pytest.mark.parametrize("standardize", [False, True])
def test_intervals_of_clusters_by_their_definition(standardize):
    member = MLPRegressor(**SMALL, standardize=standardize)
    weights = 1.0 + np.arange(90) % 3
    ensemble = EnsembleRegressor(member, **BAGGED).fit(X, Y, weights, groups=GROUPS)
    random = np.random.RandomState(5)
    random.randint(2**31 - 1, size=6)
    rows = [np.flatnonzero(np.isin(GROUPS, own)) for own in random.randint(15, size=(6, 15))]
    for level in (0.5, 0.8):
        found = ensemble.predict_interval(NEW, level=level)
        assert_allclose(found, by_hand(ensemble, rows, GROUPS, weights, level), rtol=1e-9)


def test_intervals_of_rows_by_their_definition():
    ensemble = EnsembleRegressor(MLPRegressor(**SMALL), **BAGGED).fit(X, Y)
    random = np.random.RandomState(5)
    random.randint(2**31 - 1, size=6)
    rows = random.randint(90, size=(6, 90))
    expected = by_hand(ensemble, rows, np.arange(90), np.ones(90), 0.8)
    assert_allclose(ensemble.predict_interval(NEW, level=0.8), expected, rtol=1e-9)


def test_intervals_cover_new_clusters():
    """300 data sets, whose share has a standard error of .023."""
    random, hits = np.random.default_rng(0), []
    member = MLPRegressor(hidden_layer_sizes=(), learning_rate_init=0.1, max_iter=15, standardize=True)
    for _ in range(300):
        groups = np.repeat(np.arange(13), 5)
        x = random.standard_normal((65, 1))
        y = x[:, 0] + 1.5 * random.standard_normal(13)[groups] + random.standard_normal(65)
        seen = groups < 12
        model = EnsembleRegressor(member, 8, bootstrap=True, random_state=0, n_jobs=1)
        model.fit(x[seen], y[seen], groups=groups[seen])
        low, high = model.predict_interval(x[~seen][:1], level=0.8)[0]
        hits.append(low <= y[~seen][0] <= high)
    assert 0.8 - 3 * 0.023 < np.mean(hits) < 0.97


def test_intervals_in_files(tmp_path):
    ensemble = EnsembleRegressor(MLPRegressor(**SMALL), **BAGGED).fit(X, Y, groups=GROUPS)
    ensemble.save(tmp_path / "model")
    loaded = EnsembleRegressor.load(tmp_path / "model")
    assert_array_equal(loaded.predict_interval(NEW, level=0.7), ensemble.predict_interval(NEW, level=0.7))
    for name, change, words in (
        ("weights", lambda old: 2 * old, "or of others"),
        ("clusters", lambda old: old + 99, "clusters are none of"),
        ("outside", lambda old: 0 * old, "a network has drawn each"),
        ("outside", lambda old: old[:, 1:], "left_out.outside is int64 of shape"),
    ):
        tensors = {}
        document = ensemble._document(tensors)
        tensors[f"left_out.{name}"] = change(tensors[f"left_out.{name}"])
        _files.write(tmp_path / "torn", tensors, document)
        with pytest.raises(ValueError, match=words):
            EnsembleRegressor.load(tmp_path / "torn")


def test_where_there_are_no_intervals():
    counts = EnsembleRegressor(MLPRegressor("poisson", **SMALL), **BAGGED).fit(X, np.abs(Y).round())
    with pytest.raises(ValueError, match="there are no intervals for counts: their errors grow"):
        counts.predict_interval(X)
    two = EnsembleRegressor(MLPRegressor(**SMALL), **BAGGED).fit(X, np.stack([Y, Y], 1))
    with pytest.raises(ValueError, match="no intervals for 2 outcomes"):
        two.predict_interval(X)
    same = EnsembleRegressor(MLPRegressor(**SMALL), 2, random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match="fit with bootstrap=True"):
        same.predict_interval(X)
    few = EnsembleRegressor(MLPRegressor(**SMALL), **BAGGED).fit(X, Y, groups=GROUPS)
    with pytest.raises(ValueError, match=r"level=0\.99 needs at least 99 rows or clusters .* there are 1"):
        few.predict_interval(X, level=0.99)
    assert not hasattr(EnsembleClassifier, "predict_interval")
