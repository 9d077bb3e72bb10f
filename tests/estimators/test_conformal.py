"""Intervals for new clusters: against the definitions written out, and coverage by simulation."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rfpcore
from rfpcore import _conformal, _files
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
    monkeypatch.setattr(_conformal, "CELLS", 70)
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


@pytest.mark.parametrize("method", ["split", "jackknife+"])
def test_a_row_of_weight_two_is_two_rows(method):
    """Of a regressor without weights, so that the same line is fitted: whole copies of all rows."""

    class Middle(RegressorMixin, BaseEstimator):
        def fit(self, X, y):
            self.middle_ = np.median(X)
            return self

        def predict(self, X):
            return np.full(len(X), self.middle_)

    options = {"method": method, "random_state": 3}
    twice = np.random.default_rng(5).integers(1, 3, len(Y))
    copies = np.repeat(np.arange(len(Y)), twice)
    x = np.full_like(X, 0.5)  # the middle is the same, whatever is repeated
    weighed = ClusterConformal(Middle(), **options).fit(x, Y, GROUPS, sample_weight=twice)
    repeated = ClusterConformal(Middle(), **options).fit(x[copies], Y[copies], GROUPS[copies])
    for level in (0.3, 0.6, 0.8):
        assert_array_equal(
            weighed.predict_interval(NEW, level=level), repeated.predict_interval(NEW, level=level)
        )
    # How weights compare between clusters does not matter.
    other = ClusterConformal(Middle(), **options).fit(x, Y, GROUPS, sample_weight=twice * 4.0 ** (GROUPS % 3))
    assert_array_equal(other.predict_interval(NEW, level=0.6), weighed.predict_interval(NEW, level=0.6))


def test_weights_reach_the_estimator_and_leave_rows_out():
    weight = np.where(np.arange(len(Y)) % 5 == 4, 0.0, 1.0 + np.arange(len(Y)) % 3)
    used = weight > 0
    model = ClusterConformal(LinearRegression(), random_state=0).fit(X, Y, GROUPS, weight)
    alone = ClusterConformal(LinearRegression(), random_state=0)
    alone.fit(X[used], Y[used], GROUPS[used], weight[used])
    assert_array_equal(model.predict_interval(NEW, level=0.8), alone.predict_interval(NEW, level=0.8))
    line = LinearRegression().fit(X[used], Y[used], weight[used])
    assert_array_equal(model.predict(NEW), line.predict(NEW))
    with pytest.raises(ValueError, match="sample_weight is 0 in every row of cluster 0"):
        ClusterConformal(LinearRegression()).fit(X, Y, GROUPS, np.where(GROUPS == 0, 0.0, 1.0))
    with pytest.raises(ValueError, match="must not be negative"):
        ClusterConformal(LinearRegression()).fit(X, Y, GROUPS, np.full(len(Y), -1.0))


def test_coverage_of_a_row_that_is_drawn_by_its_weight():
    """Rows of large weight are noisier; 300 data sets, whose share has a standard error of .023."""
    random, hits, blind = np.random.default_rng(2), [], []
    for _ in range(300):
        sizes = random.integers(4, 12, 21)
        x, y, groups = draw(random, sizes)
        weight = np.where(random.random(len(y)) < 0.3, 20.0, 1.0)
        y = y + (weight > 1) * 8 * random.standard_normal(len(y))
        seen = groups < 20
        row = random.choice(np.flatnonzero(~seen), p=weight[~seen] / weight[~seen].sum())
        for weights, found in ((weight[seen], hits), (None, blind)):
            model = ClusterConformal(LinearRegression(), method="split", random_state=0)
            model.fit(x[seen], y[seen], groups[seen], weights)
            low, high = model.predict_interval(x[[row]], level=0.8)[0]
            found.append(low <= y[row] <= high)
    assert np.mean(hits) > 0.8 - 3 * 0.023
    assert np.mean(blind) < 0.8 - 3 * 0.023


@pytest.mark.parametrize("method", ["split", "cv+"])
@pytest.mark.parametrize(
    "estimator",
    [
        rfpcore.MLPRegressor(hidden_layer_sizes=(3,), max_iter=3, random_state=0),
        rfpcore.RFPRegressor(hidden_layer_sizes=(3,), max_iter=5, inner_lr=0.05, random_state=0),
        rfpcore.MixedRegressor(mean="linear"),
    ],
    ids=["MLPRegressor", "RFPRegressor", "MixedRegressor"],
)
def test_saved_and_loaded_to_the_same_bits(method, estimator, tmp_path):
    model = ClusterConformal(estimator, method=method, n_folds=2, random_state=0).fit(X, Y, GROUPS)
    model.save(tmp_path / "model")
    for loaded in (rfpcore.load(tmp_path / "model"), ClusterConformal.load(tmp_path / "model")):
        assert_array_equal(loaded.predict(NEW), model.predict(NEW))
        assert_array_equal(loaded.predict_interval(NEW, level=0.6), model.predict_interval(NEW, level=0.6))
        assert loaded.largest_level_ == model.largest_level_
        assert loaded.get_params()["method"] == method


def test_models_of_other_packages_are_in_no_file(tmp_path):
    model = ClusterConformal(LinearRegression(), random_state=0).fit(X, Y, GROUPS)
    with pytest.raises(ValueError, match="of the class LinearRegression, of another package"):
        model.save(tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("errors", lambda old: -old, "none below 0"),
        ("weights", lambda old: 2 * old, "weights sum to"),
        ("folds", lambda old: old + 7, "none of the 2 members"),
        ("folds", lambda old: old[1:], "folds is int64 of shape"),
    ],
)
def test_files_that_do_not_hold_together(name, value, words, tmp_path):
    estimator = rfpcore.MLPRegressor(hidden_layer_sizes=(3,), max_iter=3, random_state=0)
    model = ClusterConformal(estimator, n_folds=2, random_state=0).fit(X, Y, GROUPS)
    tensors = {}
    document = model._document(tensors)
    tensors[name] = value(tensors[name])
    _files.write(tmp_path / "model", tensors, document)
    with pytest.raises(ValueError, match=words):
        rfpcore.load(tmp_path / "model")


def test_the_largest_level_of_very_many_rows():
    """Rounding leaves the sum of 499 000 weights short of 499; the smallest error was the quantile."""
    groups = np.repeat(np.arange(500), 1000)
    y = np.random.default_rng(0).standard_normal(len(groups))
    model = ClusterConformal(DummyRegressor(), method="split", validation_fraction=0.998, random_state=0)
    model.fit(np.zeros((len(y), 1)), y, groups)
    assert model.n_clusters_ == 499
    low, high = model.predict_interval([[0.0]], level=model.largest_level_)[0]
    assert (high - low) / 2 == pytest.approx(model.errors_.max(), rel=1e-12)


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.coo_array, sparse.csr_matrix])
def test_sparse_features_go_to_estimators_that_take_them(kind):
    plain = ClusterConformal(LinearRegression(), random_state=0).fit(X, Y, GROUPS)
    model = ClusterConformal(LinearRegression(), random_state=0).fit(kind(X), Y, GROUPS)
    assert_allclose(
        model.predict_interval(kind(NEW), level=0.8), plain.predict_interval(NEW, level=0.8), rtol=1e-9
    )


def test_weights_without_a_sum():
    with pytest.raises(ValueError, match="sample_weight sums to inf in cluster 1"):
        ClusterConformal(LinearRegression()).fit(X, Y, GROUPS, np.full(len(Y), 1e308))


def test_names_of_features():
    model = ClusterConformal(LinearRegression())
    assert not hasattr(model, "feature_names_in_")
    model.fit(pd.DataFrame({"x": X[:, 0]}), Y, GROUPS)
    assert_array_equal(model.feature_names_in_, ["x"])
    assert not hasattr(model.fit(X, Y, GROUPS), "feature_names_in_")
