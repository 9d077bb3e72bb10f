"""Intervals for new clusters: against the definitions written out, and coverage by simulation."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rfpcore
from rfpcore.conformal import ClusterConformal
from rfpcore.datasets import make_vee

SIZES = np.array([1, 2, 3, 4, 6, 12, 2, 3])
LCM = 12


def draw(random, sizes, spread=1.0):
    """A line, a cluster's own level, and noise."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    X = random.standard_normal((len(groups), 1))
    y = X[:, 0] + spread * random.standard_normal(len(sizes))[groups] + random.standard_normal(len(groups))
    return X, y, groups


X, Y, GROUPS = draw(np.random.default_rng(0), SIZES)
NEW = np.linspace(-2, 2, 7)[:, None]


def by_copies(values, clusters, level):
    """The quantile of a list in which every cluster has as many numbers, and one more cluster infinities."""
    found = []
    for cluster in np.unique(clusters):
        own = values[clusters == cluster]
        found += [value for value in own for _ in range(LCM // len(own))]
    found += [np.inf] * LCM
    return np.sort(found)[int(np.ceil(level * len(found) - 1e-9)) - 1]


def test_split_is_the_quantile_of_clusters_that_count_alike():
    model = ClusterConformal(LinearRegression(), method="split", random_state=3).fit(X, Y, GROUPS)
    out = np.random.RandomState(3).permutation(8)[:4]
    measured = np.isin(GROUPS, out)
    line = LinearRegression().fit(X[~measured], Y[~measured])
    errors = np.abs(Y[measured] - line.predict(X[measured]))
    assert model.n_clusters_ == 4
    assert_allclose(np.sort(model.errors_), np.sort(errors))
    for level in (0.3, 0.5, 0.8):
        half = by_copies(errors, GROUPS[measured], level)
        expected = np.column_stack([line.predict(NEW) - half, line.predict(NEW) + half])
        assert_allclose(model.predict_interval(NEW, level=level), expected, rtol=1e-12)
    assert_array_equal(model.predict(NEW), line.predict(NEW))


@pytest.mark.parametrize(("method", "n_folds"), [("jackknife+", 10), ("cv+", 4), ("cv+", 20)])
def test_cross_validation_plus_by_its_definition(method, n_folds, monkeypatch):
    model = ClusterConformal(LinearRegression(), method=method, n_folds=n_folds, random_state=3)
    model.fit(X, Y, GROUPS)
    count = min(n_folds, 8) if method == "cv+" else 8
    fold = np.empty(8, int)
    fold[np.random.RandomState(3).permutation(8)] = np.arange(8) % count
    low, high = np.empty((2, len(NEW), len(Y)))
    for row, cluster in enumerate(GROUPS):
        rest = fold[GROUPS] != fold[cluster]
        line = LinearRegression().fit(X[rest], Y[rest])
        error = abs(Y[row] - line.predict(X[[row]])[0])
        low[:, row], high[:, row] = line.predict(NEW) - error, line.predict(NEW) + error
    for level in (0.5, 0.85):
        expected = [
            [-by_copies(-low[i], GROUPS, level), by_copies(high[i], GROUPS, level)] for i in range(len(NEW))
        ]
        assert_allclose(model.predict_interval(NEW, level=level), expected, rtol=1e-10)
    monkeypatch.setattr(rfpcore.conformal, "CELLS", 70)
    assert_allclose(model.predict_interval(NEW, level=level), expected, rtol=1e-10)
    assert_allclose(model.predict(NEW), LinearRegression().fit(X, Y).predict(NEW))


@pytest.mark.parametrize(
    ("method", "n_clusters", "promised"), [("split", 10, 0.8), ("jackknife+", 10, 0.6), ("cv+", 20, 0.6)]
)
def test_coverage_of_a_random_row_of_a_new_cluster(method, n_clusters, promised):
    """A short form of benches/conformal: 300 data sets, whose share has a standard error of .023."""
    random, hits = np.random.default_rng(1), []
    for _ in range(300):
        sizes = random.integers(1, 12, n_clusters + 1)
        x, y, groups = draw(random, sizes, spread=1.5)
        seen = groups < n_clusters
        model = ClusterConformal(LinearRegression(), method=method, n_folds=5, random_state=0)
        model.fit(x[seen], y[seen], groups[seen])
        low, high = model.predict_interval(x[~seen][:1], level=0.8)[0]
        hits.append(low <= y[~seen][0] <= high)
    assert np.mean(hits) > promised - 3 * 0.023
    assert 0.74 < np.mean(hits) < 0.95  # about the level, whatever is promised


def test_any_regressor_takes_frames_and_groups():
    frame = pd.DataFrame({"x": X[:, 0]})
    pipeline = make_pipeline(StandardScaler(), LinearRegression())
    named = ClusterConformal(pipeline, random_state=0).fit(frame, pd.Series(Y), GROUPS)
    plain = ClusterConformal(LinearRegression(), random_state=0).fit(X, Y, GROUPS)
    new = pd.DataFrame({"x": NEW[:, 0]})
    assert_allclose(named.predict_interval(new, level=0.8), plain.predict_interval(NEW, level=0.8), rtol=1e-9)
    x, y, groups = make_vee(n_clusters=4, n_per_cluster=6, random_state=0)
    network = rfpcore.RFPRegressor(hidden_layer_sizes=(3,), max_iter=5, inner_lr=0.05, random_state=0)
    model = ClusterConformal(network, method="split", random_state=0).fit(x, y, groups)
    train = np.isin(groups, np.random.RandomState(0).permutation(4)[2:])
    alone = network.fit(x[train], y[train], groups[train])  # a warning, which is an error, had it no groups
    assert_array_equal(model.predict(x), alone.predict(x))


def test_too_few_clusters_for_a_level():
    model = ClusterConformal(LinearRegression()).fit(X, Y, GROUPS)
    assert model.largest_level_ == 8 / 9
    assert np.isfinite(model.predict_interval(NEW, level=8 / 9)).all()
    with pytest.raises(ValueError, match=r"level=0\.95 needs at least 19 clusters .* there are 8"):
        model.predict_interval(NEW, level=0.95)


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"estimator": LogisticRegression()}, TypeError, "LogisticRegression; intervals need a regressor"),
        ({"estimator": 3}, TypeError, "estimator=3; a regressor"),
        ({"method": "plus"}, ValueError, "method='plus'"),
        ({"n_folds": 1}, ValueError, "n_folds=1"),
        ({"groups": None}, ValueError, "groups is None"),
        ({"groups": np.zeros(len(Y))}, ValueError, "there is 1 cluster; at least 2"),
        ({"y": np.stack([Y, Y], 1)}, ValueError, "one outcome, is needed"),
        ({"y": Y[1:]}, ValueError, "y has 32 rows"),
        ({"X": 3.0}, TypeError, "X is a float"),
    ],
)
def test_what_is_refused(changed, error, words):
    own = {name: changed.pop(name) for name in list(changed) if name not in ("X", "y", "groups")}
    model = ClusterConformal(**{"estimator": LinearRegression()} | own)
    with pytest.raises(error, match=words):
        model.fit(**{"X": X, "y": Y, "groups": GROUPS} | changed)
