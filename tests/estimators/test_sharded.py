"""Training on Parquet files, of which each holds whole clusters: beside the same data in memory."""

import re
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pandas as pd
import pytest

from rfpcore import (
    Clusters,
    DivergenceError,
    InnerStepWarning,
    RFPClassifier,
    RFPRegressor,
    load,
    losses,
    value_and_grad,
)
from rfpcore.optimizers import Cosine
from rfpcore.regularize import L1, L2, Dropout, LabelSmoothing, MaxNorm

pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
from pyarrow import parquet  # noqa: E402

from rfpcore._shards.keys import below, label_keys, mixed  # noqa: E402
from rfpcore._shards.moments import ColumnMoments, together  # noqa: E402
from rfpcore.sharded import ParquetShards, write_shards  # noqa: E402

RANDOM = np.random.default_rng(0)
CLUSTERS = 120
GROUPS = RANDOM.permutation(np.repeat(np.arange(CLUSTERS), RANDOM.integers(1, 9, CLUSTERS)))
N = len(GROUPS)
X = RANDOM.normal(size=(N, 3)) * [1, 20, 3] + [5, 0, 100]
F = pd.DataFrame(X, columns=["a", "b", "c"])
NOISE = RANDOM.normal(size=(2, N)) * 0.2
Y = np.sin(X[:, 0]) + X[:, 1] / 20 + RANDOM.normal(size=CLUSTERS)[GROUPS] + NOISE[0]
WEIGHT = RANDOM.uniform(0.1, 2, N).round(1)
SHORT = {"max_iter": 25, "random_state": 0, "hidden_layer_sizes": (8,)}
# Float64: the shards' sums are rounded in another order, and 25 outer steps carry it on.
CLOSE = {"rtol": 1e-9, "atol": 1e-11}


def table(**changed):
    columns = {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": Y, "w": WEIGHT, "zip": GROUPS} | changed
    return pyarrow.table({name: column for name, column in columns.items() if column is not None})


def shards(folder, data=None, rows=100, **columns):
    parquet.write_table(table() if data is None else data, folder / "source.parquet", row_group_size=57)
    given = {"X": ["a", "b", "c"], "y": "y", "groups": "zip"} | columns
    return write_shards(folder / "source.parquet", folder / "shards", rows_per_shard=rows, **given)


def alike(one, other):
    np.testing.assert_allclose(one.theta_, other.theta_, **CLOSE)
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, **CLOSE)
    np.testing.assert_allclose(one.predict(F), other.predict(F), **CLOSE)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"alpha": 0.2, "inner_steps": 2, "inner_lr": 0.05, "inner_momentum": 0.5, "order": "first"},
        {"alpha": 1.0, "solver": "sgd", "learning_rate": Cosine(30), "clip_norm": 0.5},
        {"solver": "adamw", "weight_decay": 0.01, "adapt_layers": "last", "standardize": False},
        {"on_divergence": "skip", "tol": 1e-3, "n_iter_no_change": 10, "max_iter": 60},
        {"regularization": MaxNorm(0.7), "learning_rate_init": 0.02},
        {"regularization": L2(0.1, biases=False, decoupled=True), "clip_norm": 0.3},
        {"regularization": [L1(0.05, biases=False, method="proximal"), MaxNorm(0.5)], "clip_norm": 0.3}
        | {"weight_decay": 0.1, "solver": "sgd", "learning_rate_init": 0.1},
        {"inner_lr": "learned", "inner_steps": 2, "alpha": 0.3},
        {"regularization": L2(0.01), "dtype": "float32"},
        {"regularization": [L2(0.01, biases=False), MaxNorm(0.7)], "dtype": "float32"},
    ],
    ids=[
        "default",
        "inner",
        "sgd",
        "adamw",
        "skip",
        "norm",
        "biases",
        "layers",
        "learned",
        "float32",
        "float32_layers",
    ],
)
def test_objective_and_steps_are_those_of_fit(given, tmp_path):
    model = RFPRegressor(**SHORT | given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scales, convergence and inner steps: in `fit` only, or in both
        ours = model.fit_shards(shards(tmp_path))
        theirs = RFPRegressor(**SHORT | given).fit(F, Y, GROUPS)
    assert ours.n_iter_ == theirs.n_iter_
    if given.get("dtype") == "float32":  # eps is 1e-7, and sums of shards are in float64
        np.testing.assert_allclose(ours.theta_, theirs.theta_, rtol=1e-3, atol=1e-4)
        assert ours.theta_.dtype == np.float32
        return
    alike(ours, theirs)


@pytest.mark.parametrize("inner_lr", [0.01, "auto"])
def test_batch_with_nobody_to_train_on_is_told(inner_lr, tmp_path):
    found = shards(tmp_path, rows=1)
    given = SHORT | {"early_stopping": True, "validation_fraction": 0.6, "batch_size": 1}
    for seed in range(3):
        model = RFPRegressor(inner_lr=inner_lr, **given | {"random_state": seed})
        with pytest.raises(ValueError, match=r"the shards of outer step \d+ have no clusters to train on"):
            model.fit_shards(found)


def test_steps_are_chosen_where_the_first_shard_lacks_folds(tmp_path):
    """Its residuals, from which the clusters' effects come, are those of the folds that it has."""
    model = RFPRegressor(**SHORT | {"max_iter": "auto"}).fit_shards(shards(tmp_path, rows=1))
    assert model.n_iter_ > 0
    assert np.isfinite(model.predict(F)).all()


def test_learned_steps_are_those_of_fit_and_of_the_parameters_kept(tmp_path):
    found, given = shards(tmp_path), SHORT | {"inner_lr": "learned", "learning_rate_init": 0.05}
    ours = RFPRegressor(**given).fit_shards(found)
    np.testing.assert_allclose(ours.inner_lr_, RFPRegressor(**given).fit(F, Y, GROUPS).inner_lr_, **CLOSE)
    again = RFPRegressor(n_jobs=2, **given).fit_shards(found, cache_bytes=0)
    np.testing.assert_array_equal(again.inner_lr_, ours.inner_lr_)
    stops = given | {"early_stopping": True, "n_iter_no_change": 20, "max_iter": 200}
    best = RFPRegressor(**stops).fit_shards(found)
    assert best.best_iteration_ < best.n_iter_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it stops before it converges
        constant = {"learning_rate": Cosine(200), "max_iter": best.best_iteration_}
        shorter = RFPRegressor(**stops | constant).fit_shards(found)
    np.testing.assert_array_equal(best.theta_, shorter.theta_)
    np.testing.assert_array_equal(best.inner_lr_, shorter.inner_lr_)
    batches = RFPRegressor(batch_size=40, **given).fit_shards(found)
    assert np.ptp(batches.inner_lr_) > 0


def test_weights_levels_and_adaptation_are_those_of_fit(tmp_path):
    found = shards(tmp_path, rows=10**6, sample_weight="w")
    assert len(found) == 1
    ours = RFPRegressor(**SHORT).fit_shards(found)
    theirs = RFPRegressor(**SHORT).fit(F, Y, GROUPS, WEIGHT)
    alike(ours, theirs)
    for name in ("x_scaling_", "y_scaling_"):
        np.testing.assert_allclose(getattr(ours, name).level, getattr(theirs, name).level, rtol=1e-13)
        np.testing.assert_allclose(getattr(ours, name).spread, getattr(theirs, name).spread, rtol=1e-13)
    # Of one shard the covariance of effects is that of all clusters.
    mine, other = (model.adapt(F, Y, GROUPS).predict(F, GROUPS) for model in (ours, theirs))
    np.testing.assert_allclose(mine, other, rtol=1e-5)  # as far as the likelihood's maximum is sought


@pytest.mark.parametrize("class_weight", [None, "balanced", {"no": 3.0}], ids=["even", "balanced", "dict"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes(n_classes, class_weight, tmp_path):
    names = np.array(["no", "perhaps", "yes"])
    codes = np.searchsorted(np.quantile(Y, [0.5] if n_classes == 2 else [0.3, 0.8]), Y)
    labels = names[codes if n_classes == 3 else 2 * codes]
    given = SHORT | {"class_weight": class_weight, "regularization": LabelSmoothing(0.1)}
    data = table(y=labels.tolist(), zip=[f"zip {group}" for group in GROUPS])
    ours = RFPClassifier(**given).fit_shards(shards(tmp_path, data))
    theirs = RFPClassifier(**given).fit(F, labels, GROUPS)
    assert ours.classes_.tolist() == theirs.classes_.tolist()
    np.testing.assert_allclose(ours.theta_, theirs.theta_, **CLOSE)
    np.testing.assert_allclose(ours.predict_proba(F), theirs.predict_proba(F), **CLOSE)


def test_counts_and_several_outcomes(tmp_path):
    (tmp_path / "several").mkdir()
    counts = RANDOM.poisson(np.exp(0.3 * X[:, 0] - 1))
    ours = RFPRegressor(loss="poisson", **SHORT).fit_shards(shards(tmp_path, table(y=counts)))
    alike(ours, RFPRegressor(loss="poisson", **SHORT).fit(F, counts, GROUPS))
    two = shards(tmp_path / "several", table(z=NOISE[1]), y=["y", "z"])
    alike(RFPRegressor(**SHORT).fit_shards(two), RFPRegressor(**SHORT).fit(F, np.c_[Y, NOISE[1]], GROUPS))


def test_bits_depend_neither_on_what_is_kept_nor_on_threads(tmp_path):
    found = shards(tmp_path)
    thetas = [
        RFPRegressor(n_jobs=jobs, **SHORT).fit_shards(found, cache_bytes=room).theta_
        for jobs, room in ((1, None), (2, 0), (1, 20_000))
    ]
    np.testing.assert_array_equal(thetas[0], thetas[1])
    np.testing.assert_array_equal(thetas[0], thetas[2])


def test_batches_are_whole_shards_and_each_is_seen_once_an_epoch(tmp_path):
    from rfpcore.estimators.rfp._shard_steps import Batches

    batches = Batches(7, 700, batch_size=250, seed=3)
    assert batches.size == 3
    epochs = [[batches.of_step(step).tolist() for step in range(3 * e, 3 * e + 3)] for e in range(2)]
    assert [sorted(i for step in epoch for i in step) for epoch in epochs] == [list(range(7))] * 2
    assert epochs[0] != epochs[1]
    found = shards(tmp_path)
    first = RFPRegressor(**SHORT | {"batch_size": 40}).fit_shards(found)
    again = RFPRegressor(**SHORT | {"batch_size": 40}).fit_shards(found, cache_bytes=0)
    np.testing.assert_array_equal(first.theta_, again.theta_)
    assert first.score(F, Y) > 0.1


def test_early_stopping_holds_out_clusters_by_label(tmp_path):
    given = SHORT | {"early_stopping": True, "max_iter": "auto", "validation_fraction": 0.25}
    found = shards(tmp_path)
    model = RFPRegressor(n_iter_no_change=20, learning_rate_init=0.05, **given).fit_shards(found)
    assert model.n_iter_ < 500
    assert model.best_iteration_ == 10 * (1 + np.argmax(model.validation_scores_))
    # What was held out, from the labels alone; R_k of it by the function for data in memory.
    seed = int(np.random.RandomState(0).randint(2**31 - 1, size=2)[1])
    out = below(label_keys(np.arange(CLUSTERS)), 0.25, seed)[GROUPS]
    assert 0.1 < out.mean() < 0.4

    data = Clusters(model.x_scaling_.apply(X[out]), model.y_scaling_.apply(Y[out, None]), GROUPS[out])
    value, _ = value_and_grad(
        model.net_, model.theta_, data, alpha=0.5, inner_steps=1, inner_lr=model.inner_lr_
    )
    np.testing.assert_allclose(-value, model.validation_scores_.max(), rtol=1e-10)
    with pytest.raises(ValueError, match="early_stopping holds out 0 of 120 clusters"):
        RFPRegressor(early_stopping=True, validation_fraction=1e-9, random_state=0).fit_shards(found)


def folds_by_label(n_clusters, n_folds, seed):
    """What `fit_shards` deals: ranks of the labels' numbers, cut into folds; clusters are 0, 1, 2, ..."""
    ranks = np.argsort(np.argsort(mixed(label_keys(np.arange(n_clusters)))))
    return ranks * n_folds // n_clusters


AUTO = SHORT | {"max_iter": "auto", "learning_rate_init": 0.02}


@pytest.mark.parametrize(
    "given",
    [{}, {"inner_lr": 0.05, "standardize": False, "alpha": 0.3}, {"loss": "poisson", "solver": "sgd"}],
    ids=["default", "float64", "poisson"],
)
def test_steps_are_chosen_as_in_fit(given, tmp_path, monkeypatch):
    """Where `fit` leaves out the same clusters: as many steps, and the same parameters after them."""
    monkeypatch.setattr("rfpcore.estimators.rfp._folds.deal", folds_by_label)
    counts = np.random.default_rng(1).poisson(np.exp(0.3 * X[:, 0] - 1))
    y = counts if "loss" in given else Y
    # In float64, without it, rounding does not grow: features are as they come of standardization.
    own = X if given.get("standardize", True) else (X - [5, 0, 100]) / [1, 20, 3]
    found = shards(tmp_path, table(y=y, **dict(zip("abc", own.T, strict=True))), rows=120)
    assert len(found) > 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scales: in `fit` only
        ours, theirs = RFPRegressor(**AUTO | given), RFPRegressor(**AUTO | given).fit(own, y, GROUPS)
        ours.fit_shards(found)
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.theta_, theirs.theta_, **CLOSE)


def test_after_steps_are_chosen_clusters_adapt_as_after_fit(tmp_path, monkeypatch):
    """Of one shard the covariance of effects, on residuals left out, and the shrinkage are those of all."""
    monkeypatch.setattr("rfpcore.estimators.rfp._folds.deal", folds_by_label)
    ours = RFPRegressor(**AUTO).fit_shards(shards(tmp_path, rows=10**6, sample_weight="w"))
    theirs = RFPRegressor(**AUTO).fit(F, Y, GROUPS, WEIGHT)
    alike(ours, theirs)
    assert ours.shrinkage_ == theirs.shrinkage_
    # The search is in float32, of which some steps keep 5 digits; logarithms of variances are of order 1.
    np.testing.assert_allclose(ours.effects_.parameters, theirs.effects_.parameters, rtol=1e-3, atol=1e-3)
    warm = ours.set_params(warm_start=True)
    steps = warm.n_iter_
    assert warm.fit_shards(shards_of(tmp_path)).n_iter_ == steps


def test_steps_are_chosen_with_batches_classes_and_fits_that_diverge(tmp_path):
    labels = np.where(Y > 0.5, "high", "low")
    given = AUTO | {"batch_size": 30, "hidden_layer_sizes": (4,)}
    found = shards(tmp_path, table(y=labels), rows=150)
    model = RFPClassifier(**given).fit_shards(found)
    assert model.n_iter_ in (10, 20, 40, 80, 160, 320, 500)
    again = RFPClassifier(n_jobs=2, **given).fit_shards(found, cache_bytes=0)
    np.testing.assert_array_equal(again.theta_, model.theta_)
    assert again.shrinkage_ == model.shrinkage_
    assert model.score(F, labels) > 0.7
    (tmp_path / "numbers").mkdir()
    numbers = shards(tmp_path / "numbers")
    with pytest.raises(DivergenceError, match="the loss of cluster"):
        RFPRegressor(**AUTO | {"inner_lr": 1e200, "inner_steps": 3}).fit_shards(numbers)


class Dealt(np.random.RandomState):
    """Deals rows in an order that is given; all else is that of the seed."""

    def permutation(self, n):
        assert n == len(self.order)
        return self.order


def order_by_label(groups, seed):
    """What `fit_shards` draws, a cluster at a time: its label's number and a row's place make the row's."""
    numbers, seen = np.zeros(len(groups), np.uint64), {}
    for row, group in enumerate(groups.tolist()):
        own = mixed(label_keys(np.array([group])), seed + 2)
        numbers[row] = mixed(own + np.uint64(seen.get(group, 0)))[0]
        seen[group] = seen.get(group, 0) + 1
    return np.argsort(numbers)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"max_iter": "auto", "learning_rate_init": 0.05},
        {"inner_lr": 0.05, "alpha": 0.0, "inner_steps": 2},
    ],
    ids=["default", "auto", "maml"],
)
def test_query_rows_part_clusters_as_in_fit(given, tmp_path, monkeypatch):
    """Where `fit` draws the same rows: the same parameters; and the rows depend on no shard."""
    monkeypatch.setattr("rfpcore.estimators.rfp._folds.deal", folds_by_label)
    groups = np.random.default_rng(2).permutation(np.repeat(np.arange(120), 5))[:N]
    groups = np.where(np.bincount(groups, minlength=120)[groups] == 1, 0, groups)
    random = Dealt(0)
    seed = int(np.random.RandomState(0).randint(2**31 - 1, size=2)[1])
    random.order = order_by_label(groups, seed)
    own = SHORT | {"query_fraction": 0.4} | given
    theirs = RFPRegressor(**own | {"random_state": random}).fit(F, Y, groups)
    for rows in (100, 10**6):
        (tmp_path / str(rows)).mkdir()
        found = shards(tmp_path / str(rows), table(zip=groups), rows=rows)
        ours = RFPRegressor(**own | {"random_state": np.random.RandomState(0)}).fit_shards(found)
        assert ours.n_iter_ == theirs.n_iter_
        alike(ours, theirs)


def test_query_rows_go_with_clusters_held_out(tmp_path):
    groups = np.arange(N) % 90
    found = shards(tmp_path, table(zip=groups))
    given = SHORT | {"query_fraction": 0.5, "early_stopping": True, "n_iter_no_change": 20}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few steps converge nowhere
        model = RFPRegressor(**given).fit_shards(found)
        again = RFPRegressor(**given).fit_shards(found, cache_bytes=0)
    np.testing.assert_array_equal(again.theta_, model.theta_)
    # R_k of the held-out clusters by the function for data in memory, on the rows that are drawn.
    seed = int(np.random.RandomState(0).randint(2**31 - 1, size=2)[1])
    out = below(label_keys(np.arange(90)), 0.1, seed)[groups]
    rank = np.empty(N, int)
    order = order_by_label(groups, seed)
    for group in range(90):
        rows = order[groups[order] == group]
        rank[rows] = np.arange(len(rows))
    query = rank < np.rint(0.5 * np.bincount(groups)[groups])
    data = Clusters(
        model.x_scaling_.apply(X[out]), model.y_scaling_.apply(Y[out, None]), groups[out], query=query[out]
    )
    value, _ = value_and_grad(
        model.net_, model.theta_, data, alpha=0.5, inner_steps=1, inner_lr=model.inner_lr_
    )
    np.testing.assert_allclose(-value, model.validation_scores_.max(), rtol=1e-10)


def test_clusters_of_one_row_cannot_be_parted(tmp_path):
    with pytest.raises(ValueError, match=r"query_fraction=0\.5 parts the rows of each cluster, but"):
        RFPRegressor(query_fraction=0.5).fit_shards(shards(tmp_path))


def test_one_cluster_leaves_none_to_train_on(tmp_path):
    found = shards(tmp_path, table(zip=np.zeros(N, int)))
    with pytest.raises(ValueError, match="there is 1 cluster; to leave clusters out, at least 2 are needed"):
        RFPRegressor(**AUTO).fit_shards(found)


def test_result_is_an_ordinary_estimator(tmp_path):
    model = RFPRegressor(inner_lr=0.02, **SHORT).fit_shards(shards(tmp_path))
    assert type(model) is RFPRegressor
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    model.save(tmp_path / "model.rfp")
    again = load(tmp_path / "model.rfp")
    np.testing.assert_array_equal(again.predict(F), model.predict(F))
    before = model.theta_
    model.partial_fit(F, Y, GROUPS)
    assert (model.theta_ != before).any()
    warm = (
        load(tmp_path / "model.rfp").set_params(warm_start=True, max_iter=1).fit_shards(shards_of(tmp_path))
    )
    # The step of `partial_fit` and that of the warm start begin at the same parameters.
    np.testing.assert_allclose(warm.loss_curve_[0], model.loss_curve_[-1], rtol=1e-9)
    with pytest.raises(ValueError, match="warm_start goes on from features"):
        warm.fit_shards(shards_of(tmp_path, X=["b", "a", "c"]))


def shards_of(folder, **columns):
    return ParquetShards(folder / "shards", **{"X": ["a", "b", "c"], "y": "y", "groups": "zip"} | columns)


def test_callbacks_stop_and_what_they_raise_leaves_the_estimator_as_it_was(tmp_path):
    found, seen = shards(tmp_path), []

    def watch(state):
        seen.append(state.estimator.predict(F).shape)
        return state.iteration >= 20

    model = RFPRegressor(callbacks=watch, **SHORT | {"max_iter": 40}).fit_shards(found)
    assert model.n_iter_ == 20
    assert seen == [(N,), (N,)]
    before = dict(vars(model))

    def interrupt(state):
        raise KeyboardInterrupt

    model.callbacks = interrupt
    before["callbacks"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        model.fit_shards(found)
    assert vars(model) == before


@pytest.mark.parametrize("kind", ["table", "batch"])
def test_partial_fit_takes_what_arrow_reads(kind):
    """Pieces of a stream, as `iter_batches` of a file gives them: the bits of the same rows as arrays."""
    data = table(zip=[f"zip {group}" for group in GROUPS])
    piece = data if kind == "table" else data.combine_chunks().to_batches()[0]
    ours = RFPRegressor(**SHORT).partial_fit(
        piece.select(["a", "b", "c"]), piece.column("y"), piece.column("zip")
    )
    theirs = RFPRegressor(**SHORT).partial_fit(X, Y, [f"zip {group}" for group in GROUPS])
    np.testing.assert_array_equal(ours.theta_, theirs.theta_)
    assert hasattr(ours, "feature_names_in_") == (kind == "table")


def test_dealing_keeps_every_row_and_clusters_whole(tmp_path):
    found = shards(tmp_path, sample_weight="w")
    assert len(found) == -(-N // 100)
    rows = [found.read(i) for i in range(len(found))]
    groups = [set(each.groups.tolist()) for each in rows]
    assert sum(map(len, groups)) == CLUSTERS
    assert set().union(*groups) == set(range(CLUSTERS))
    together_ = np.concatenate([np.c_[each.groups, each.X, each.y, each.sample_weight] for each in rows])
    given = np.c_[GROUPS, X, Y, WEIGHT]
    # Sorted by cluster, and in a cluster in the order of the source.
    np.testing.assert_array_equal(
        together_[np.argsort(together_[:, 0], kind="stable")], given[np.argsort(GROUPS, kind="stable")]
    )
    assert not list((tmp_path / "shards").glob(".dealing*"))


def test_dealing_does_not_depend_on_how_the_source_is_cut(tmp_path):
    pieces = [table().slice(0, 50), table().slice(50)]
    paths = [tmp_path / f"{i}.parquet" for i in range(2)]
    for path, piece in zip(paths, pieces, strict=True):
        parquet.write_table(piece, path, row_group_size=11)
    given = {"X": ["a", "b", "c"], "y": "y", "groups": "zip", "rows_per_shard": 100}
    one, other = shards(tmp_path), write_shards(paths, tmp_path / "others", **given)
    assert one.n_rows == other.n_rows
    np.testing.assert_array_equal(one.read(1).X, other.read(1).X)


def test_levels_and_spreads_of_parts_are_those_of_all():
    columns = np.column_stack(
        [1e300 * NOISE[0], 1e-300 * NOISE[0], 1e9 + NOISE[0], np.full(N, 7.3), np.zeros(N), GROUPS]
    )
    from rfpcore._scaling import Scaling

    for weights in (None, WEIGHT):
        parts = np.array_split(np.arange(N), 7)
        found = together(
            [ColumnMoments.of(columns[p], None if weights is None else weights[p]) for p in parts]
        )
        expected = Scaling.of(columns, weights)
        np.testing.assert_allclose(found.level, expected.level, rtol=1e-12, atol=1e-315)
        # A spread of .2 on a level of 1e9 has 9 digits fewer than float64.
        np.testing.assert_allclose(found.spread, expected.spread, rtol=1e-6)


def test_divergence_names_the_cluster_of_the_first_shard(tmp_path):
    found = shards(tmp_path)
    with pytest.raises(DivergenceError, match="the loss of cluster") as error:
        RFPRegressor(inner_lr=1e200, inner_steps=3, **SHORT).fit_shards(found)
    assert error.value.label in found.read(0).groups
    with pytest.raises(DivergenceError, match="all clusters of outer step 1 diverged"):
        RFPRegressor(inner_lr=1e200, inner_steps=3, on_divergence="skip", **SHORT).fit_shards(found)


def test_harmful_inner_step_is_said(tmp_path):
    with pytest.warns(InnerStepWarning, match="of the weight: inner_lr=3 is too large"):
        RFPRegressor(inner_lr=3.0, **SHORT | {"max_iter": 1}).fit_shards(shards(tmp_path))


def test_misuse_is_told_before_any_work(tmp_path, monkeypatch):
    found = shards(tmp_path)
    monkeypatch.setattr(ParquetShards, "read", None)
    for given, message in [
        ({"inner_lr": "learnt"}, "inner_lr='learnt'"),
        ({"regularization": Dropout(0.5)}, "has no meaning in the outer loop"),
        ({"hidden_layer_sizes": (0,)}, "hidden_layer_sizes"),
        ({"alpha": 2.0}, "alpha"),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            RFPRegressor(**SHORT | given).fit_shards(found)
        with pytest.raises(ValueError, match=re.escape(message)):
            RFPClassifier(**SHORT | given).fit_shards(found)
    with pytest.raises(TypeError, match=r"shards is a ndarray; rfpcore\.sharded\.ParquetShards"):
        RFPRegressor(**SHORT).fit_shards(X)
    with pytest.raises(ValueError, match="cache_bytes=-1"):
        RFPRegressor(**SHORT).fit_shards(found, cache_bytes=-1)
    with pytest.raises(TypeError, match="scheduler is int"):
        RFPRegressor(**SHORT).fit_shards(found, scheduler=3)


def test_files_that_are_no_shards_are_named(tmp_path):
    given = {"X": ["a", "b", "c"], "y": "y", "groups": "zip"}
    for name, part in (("1", table().slice(0, 100)), ("2", table().slice(100))):
        parquet.write_table(part, tmp_path / f"{name}.parquet")
    with pytest.raises(ValueError, match=r"have rows in two shards, one of them in .*1.parquet and .*2.parq"):
        RFPRegressor(**SHORT).fit_shards(ParquetShards(tmp_path, **given))
    for changed, error, message in [
        ({"y": "wage"}, ValueError, "y names column 'wage'; there are 'a', 'b'"),
        ({"X": ["a", "y"]}, ValueError, "column 'y' has two uses"),
        ({"X": []}, ValueError, "X names no column"),
        ({"X": "a"}, TypeError, "X='a' is a str; a sequence of columns"),
    ]:
        with pytest.raises(error, match=message):
            ParquetShards(tmp_path, **given | changed)
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(ValueError, match=r"has no .parquet files"):
        ParquetShards(tmp_path / "nowhere", **given)
    with pytest.raises(ValueError, match="there is no file"):
        ParquetShards(tmp_path / "none.parquet", **given)
    parquet.write_table(table(b=X[:, 1].astype(np.float32)), tmp_path / "3.parquet")
    with pytest.raises(ValueError, match=r"3.parquet has float column 'b'; .*1.parquet has it as double"):
        ParquetShards(tmp_path, **given)
    with pytest.raises(TypeError, match="column 'a' is of type string; numbers are needed"):
        shards(tmp_path, table(a=["x"] * N))


@pytest.mark.parametrize("index", [None, "row"])
def test_an_index_of_pandas_is_no_feature(index, tmp_path):
    """As `frame[frame.a > 5]` leaves it; by its name it can be one, or say the clusters."""
    frame = F.assign(y=Y, zip=GROUPS)
    frame.index = pd.Index(RANDOM.permutation(N), name=index)
    frame.to_parquet(tmp_path / "source.parquet")
    written = write_shards(tmp_path / "source.parquet", tmp_path / "shards", y="y", groups="zip")
    for found in (ParquetShards(tmp_path / "source.parquet", y="y", groups="zip"), written):
        assert found.columns.X == ("a", "b", "c")
    name = index or "__index_level_0__"
    named = ParquetShards(tmp_path / "source.parquet", y="y", groups="zip", X=["a", name])
    assert list(named.columns.X) == ["a", name]
    frame.set_index("zip").to_parquet(tmp_path / "clusters.parquet")
    assert ParquetShards(tmp_path / "clusters.parquet", y="y", groups="zip").columns.X == ("a", "b", "c")


def test_labels_that_are_no_text_are_told_with_their_file(tmp_path):
    offsets = np.arange(N + 1, dtype=np.int32)
    labels = pyarrow.Array.from_buffers(
        pyarrow.string(), N, [None, pyarrow.py_buffer(offsets), pyarrow.py_buffer(b"\xff" * N)]
    )
    parquet.write_table(table(zip=labels), tmp_path / "1.parquet")
    found = ParquetShards(tmp_path, X=["a", "b", "c"], y="y", groups="zip")
    with pytest.raises(ValueError, match=r"1\.parquet: column 'zip' cannot be read: "):
        RFPRegressor(**SHORT).fit_shards(found)


def test_what_a_row_has_wrong_is_told_with_its_file(tmp_path):
    bad = X[:, 0].copy()
    bad[5] = np.nan
    with pytest.raises(ValueError, match="must be finite"):
        RFPRegressor(**SHORT).fit_shards(shards(tmp_path, table(a=bad)))


def test_folders_with_something_in_them_are_never_written_to(tmp_path):
    shards(tmp_path)
    with pytest.raises(ValueError, match="has something in it"):
        shards(tmp_path)


def test_medians_start_at_the_mean(tmp_path):
    given = SHORT | {"max_iter": 150, "loss": losses.huber(1.0)}
    ours = RFPRegressor(**given).fit_shards(shards(tmp_path))
    theirs = RFPRegressor(**given).fit(F, Y, GROUPS)
    assert abs(ours.score(F, Y) - theirs.score(F, Y)) < 0.05  # another start, the same objective


MEMORY = """
    import resource, sys
    import numpy as np, pyarrow
    from pyarrow import parquet
    from rfpcore import RFPRegressor
    from rfpcore.sharded import write_shards

    clusters, pieces = 100_000, 20
    random = np.random.default_rng(0)
    schema = pyarrow.schema([(n, "float32") for n in "abcdy"] + [("zip", "int64")])
    with parquet.ParquetWriter(sys.argv[1] + "/source.parquet", schema) as writer:
        for piece in range(pieces):
            own = clusters // pieces
            groups = np.repeat(np.arange(own) + own * piece, 10)
            columns = random.normal(size=(5, len(groups))).astype("f4")
            writer.write_table(pyarrow.table([*columns, groups], schema=schema))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shards = write_shards(
        sys.argv[1] + "/source.parquet", sys.argv[1] + "/shards", y="y", groups="zip", rows_per_shard=50_000
    )
    model = RFPRegressor(hidden_layer_sizes=(8,), inner_lr=0.01, max_iter=2, random_state=0)
    model.fit_shards(shards, cache_bytes=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(peak, pyarrow.default_memory_pool().max_memory())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux alone")
def test_memory_is_that_of_a_shard(tmp_path):
    """A million rows are 28 MB in the file and 48 in float64, three times copied; a shard is a twentieth.

    What pyarrow holds at once is some pieces and a shard, and not the file that is read.
    """
    code = textwrap.dedent(MEMORY)
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    process, arrow = map(int, run.stdout.split())
    assert process < 60_000, run.stdout  # in KiB
    assert arrow < 30_000_000, run.stdout
