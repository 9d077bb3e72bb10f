"""Mixed models on Parquet files, of which each holds whole clusters: beside the same data in memory."""

import re

import numpy as np
import pandas as pd
import pytest

from rfpcore import DivergenceError, MixedRegressor, RFPRegressor, load

pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
from pyarrow import parquet  # noqa: E402

from rfpcore._file_parts import object_of  # noqa: E402
from rfpcore._shards.keys import fold_edges, fold_of, label_keys  # noqa: E402
from rfpcore.estimators.mixed import _base, _problem, _sharded  # noqa: E402
from rfpcore.estimators.mixed import _shard_work as on_shard  # noqa: E402
from rfpcore.estimators.mixed._rows import StandardUnits  # noqa: E402
from rfpcore.sharded import ParquetShards, write_shards  # noqa: E402

RANDOM = np.random.default_rng(0)
CLUSTERS = 60
GROUPS = RANDOM.permutation(np.repeat(np.arange(CLUSTERS), RANDOM.integers(1, 12, CLUSTERS)))
N = len(GROUPS)
X = RANDOM.normal(size=(N, 3)) * [1, 20, 3] + [5, 0, 100]
F = pd.DataFrame(X, columns=["a", "b", "c"])
Y = 3 * np.sin(X[:, 0]) + X[:, 1] / 20 + RANDOM.normal(size=CLUSTERS)[GROUPS] + 0.3 * RANDOM.normal(size=N)
WEIGHT = RANDOM.uniform(0.5, 2, N).round(1)
CENTRE = RANDOM.normal(size=CLUSTERS)
AGAINST = X - np.array([5, 0, 100]) + 3 * CENTRE[GROUPS, None]
Y_AGAINST = AGAINST[:, 0] - 4 * CENTRE[GROUPS] + 0.3 * RANDOM.normal(size=N)
SHORT = {"mean": "network", "max_iter": 40, "hidden_layer_sizes": (6,), "weight_decay": 0.0}
# The networks are float32: sums over shards are rounded in another order, and the steps carry it on.
CLOSE = {"rtol": 1e-3, "atol": 1e-4}


def shards(folder, rows=150, X=X, outcome=Y, groups=GROUPS, name="shards", **columns):
    table = pyarrow.table(
        {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": outcome, "zip": groups, "w": WEIGHT}
    )
    parquet.write_table(table, folder / "source.parquet")
    given = {"X": ["a", "b", "c"], "y": "y", "groups": "zip"} | columns
    return write_shards(folder / "source.parquet", folder / name, rows_per_shard=rows, **given)


def dealt_by_label(n_clusters, n_folds, seed):
    keys = on_shard.dealt_keys(label_keys(np.arange(n_clusters)), seed)
    return fold_of(keys, fold_edges(keys, n_folds))


def same(one, other):
    for mean in ("mean", "unseen"):
        ours, theirs = (getattr(model._memory, mean).thetas for model in (one, other))
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(one.variance_components_.variance, other.variance_components_.variance)
    np.testing.assert_array_equal(one.predict_interval(F), other.predict_interval(F))
    np.testing.assert_array_equal(one.population_interval(F), other.population_interval(F))
    assert one.guard_ == other.guard_


@pytest.mark.parametrize(
    ("given", "columns", "data"),
    [
        ({"weight_decay": "auto"}, {}, (X, Y)),
        ({"cluster_means": True, "effects": "intercept", "max_iter": 45}, {}, (X, Y)),
        (
            {"effects": ("intercept", "slopes"), "effect_columns": ["b"], "slope_covariance": "full"}
            | {"center_slopes": False},
            {},
            (X, Y),
        ),
        ({"weight_decay": 1e-3, "random_state": 3}, {"sample_weight": "w"}, (X, Y)),
        ({"max_iter": 200, "effects": "intercept"}, {}, (AGAINST, Y_AGAINST)),
    ],
    ids=["default", "means", "slopes", "weights", "guard"],
)
def test_objective_choices_and_variances_are_those_of_fit(given, columns, data, tmp_path, monkeypatch):
    """All rows are in the sample: but for the folds, which are dealt by label, nothing differs."""
    features, y = data
    frame = pd.DataFrame(features, columns=["a", "b", "c"])
    found = shards(tmp_path, X=features, outcome=y, **columns)
    assert len(found) > 2
    ours = MixedRegressor(**SHORT | given).fit_shards(found)
    monkeypatch.setattr(_base, "dealt", dealt_by_label)
    theirs = MixedRegressor(**SHORT | given).fit(frame, y, GROUPS, WEIGHT if columns else None)
    one, other = ours._memory, theirs._memory
    assert (one.mean.n_iter, one.mean.weight_decay) == (other.mean.n_iter, other.mean.weight_decay)
    assert ours.mean_ == theirs.mean_ == ("ordinary network" if y is Y_AGAINST else "network")
    for name in ("mean", "unseen"):
        np.testing.assert_allclose(getattr(one, name).thetas, getattr(other, name).thetas, **CLOSE)
    np.testing.assert_allclose(ours.predict(frame), theirs.predict(frame), **CLOSE)
    for name in ("guard_", "log_likelihood_", "r2_marginal_", "r2_conditional_", "intraclass_correlation_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), **CLOSE)
    for name in ("variance", "std_error"):
        mine, its = (getattr(model.variance_components_, name) for model in (ours, theirs))
        np.testing.assert_allclose(mine, its, rtol=0.05)  # as far as the likelihood's maximum is sought
    for method in ("predict_interval", "population_interval"):
        mine, its = (getattr(model, method)(frame) for model in (ours, theirs))
        np.testing.assert_allclose(mine, its, atol=0.005 * y.std())
    adapted = ours.adapt(frame, y, GROUPS, WEIGHT if columns else None)
    np.testing.assert_allclose(adapted.predict(frame, GROUPS), theirs.predict(frame, GROUPS), **CLOSE)


def test_same_bits_whatever_is_kept_and_by_how_many_threads(tmp_path):
    found = shards(tmp_path)
    here = MixedRegressor(**SHORT).fit_shards(found)
    same(MixedRegressor(n_jobs=2, **SHORT).fit_shards(found, cache_bytes=0), here)


def test_pieces_of_a_shard_are_whole_clusters_and_sum_to_it(tmp_path, monkeypatch):
    found = shards(tmp_path)
    whole = MixedRegressor(**SHORT).fit_shards(found)
    for rows in (1, 37):  # fewer than some clusters have, and several of them
        monkeypatch.setattr(on_shard, "PIECE_ROWS", rows)
        pieces = MixedRegressor(**SHORT).fit_shards(found)
        # Sums of float64 in another order; the networks of float32 carry it on.
        np.testing.assert_allclose(pieces.predict(F), whole.predict(F), **CLOSE)
        np.testing.assert_allclose(
            pieces.population_interval(F), whole.population_interval(F), atol=1e-3 * Y.std()
        )


def test_model_without_clusters_has_no_effects_to_draw(tmp_path):
    display = pytest.importorskip("rfpcore.plotting").RandomEffectsDisplay
    with pytest.raises(ValueError, match="no clusters to draw"):
        display.from_estimator(MixedRegressor(**SHORT).fit_shards(shards(tmp_path)))


def test_variances_come_of_some_rows_of_some_clusters_however_they_are_dealt(tmp_path, monkeypatch):
    for module in (_problem, _sharded):
        monkeypatch.setattr(module, "ROWS_IN_ALL", 150)
    for module in (_problem, _sharded, on_shard):
        monkeypatch.setattr(module, "ROWS_OF_A_CLUSTER", 8)
    found = [shards(tmp_path, rows, name=str(rows)) for rows in (60, 10**6)]
    assert len(found[1]) == 1
    one, other = (MixedRegressor(**SHORT).fit_shards(each) for each in found)
    drawn = one._memory.drawn
    assert drawn == other._memory.drawn
    kept = np.minimum(np.bincount(GROUPS), 8)[
        np.argsort(on_shard.sampling_keys(label_keys(np.arange(CLUSTERS)), 0))
    ]
    count = int((np.cumsum(kept) <= 150).sum())
    assert drawn[:3] == (N, np.bincount(GROUPS).min(), np.bincount(GROUPS).max())
    assert drawn[3:] == (count, kept[:count].sum())
    assert f"{count} clusters, {drawn.n_sampled} rows" in one.summary()
    np.testing.assert_allclose(one.predict(F), other.predict(F), **CLOSE)
    mine, its = (model.population_interval(F) for model in (one, other))
    np.testing.assert_allclose(mine, its, atol=0.005 * Y.std())
    mine, its = (model.variance_components_.variance for model in (one, other))
    np.testing.assert_allclose(mine, its, rtol=0.05)


def test_rows_that_are_drawn_keep_the_mean_of_their_whole_cluster(tmp_path, monkeypatch):
    monkeypatch.setattr(on_shard, "ROWS_OF_A_CLUSTER", 4)
    read = shards(tmp_path, rows=10**6).read(0)
    survey = on_shard.survey(read, MixedRegressor())
    scales = _sharded._scales([survey], N)
    structure = _sharded.structure(MixedRegressor(mean="network")._checked(), 3, None, 1)
    reader = on_shard.MixedReader(
        MixedRegressor(), scales, structure, fold_edges(survey.keys, 3), 7, 1, False
    )
    drawn = on_shard.draw(reader(read), np.uint64(2**64 - 1))
    order = np.argsort(read.groups, kind="stable")
    Z = (read.X[order] - read.X.mean(axis=0)) / read.X.std(axis=0)
    of = {label: Z[read.groups[order] == label] for label in np.unique(read.groups)}
    np.testing.assert_array_equal(drawn.sizes, [min(len(rows), 4) for rows in of.values()])
    starts = np.r_[0, np.cumsum(drawn.sizes)]
    for at, rows in enumerate(of.values()):
        np.testing.assert_allclose(drawn.means[at], rows.mean(axis=0), atol=1e-12)
        own = drawn.Z[starts[at] : starts[at + 1]]
        distances = np.abs(own[:, None] - rows).max(axis=2)
        assert len(set(distances.argmin(axis=1).tolist())) == len(own)  # different rows of it
        assert distances.min(axis=1).max() < 1e-12


@pytest.mark.parametrize("takes_means", [False, True])
def test_model_keeps_no_clusters_and_adapts_to_any(takes_means, tmp_path):
    model = MixedRegressor(cluster_means=takes_means, **SHORT).fit_shards(shards(tmp_path))
    assert len(model.labels_) == len(model.random_effects_) == 0
    assert model.random_effects_.names == ["intercept", "a", "b", "c"]
    for refused in (model.predict, model.predict_interval, model.sample_effects):
        with pytest.raises(ValueError, match="fitted on shards keeps none: adapt to their rows"):
            refused(F, GROUPS)
    found = model.predict(F, GROUPS, unknown="population")
    assert takes_means or (found == model.predict(F)).all()
    adapted = model.adapt(F[:200], Y[:200], GROUPS[:200])
    own = np.isin(GROUPS, adapted.labels_)
    assert adapted.score(F[own], Y[own], GROUPS[own]) > model.score(F[own], Y[own]) + 0.1
    assert model.adapt(F[:1], Y[:1]).predict_interval(F[:2]).shape == (2, 2)


def test_file_has_all_of_it(tmp_path):
    model = MixedRegressor(**SHORT).fit_shards(shards(tmp_path, sample_weight="w"))
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    same(again, model)
    assert again.summary() == model.summary()
    assert len(again.labels_) == len(again.random_effects_) == 0
    rows = (F[:50], Y[:50], GROUPS[:50], WEIGHT[:50])
    ours, theirs = (each.adapt(*rows).predict(F[:50], GROUPS[:50]) for each in (again, model))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda learnt: learnt.pop("shards"), "there are 0 clusters; a fit on shards keeps none, others do"),
        (lambda learnt: learnt["shards"].pop(), "shards has 4 numbers; 5 are needed"),
        (lambda learnt: learnt["shards"].__setitem__(0, 0), "n_rows=0"),
    ],
    ids=["none", "few", "zero"],
)
def test_files_that_contradict_themselves_are_refused(spoil, match, tmp_path, monkeypatch):
    MixedRegressor(**SHORT).fit_shards(shards(tmp_path)).save(tmp_path / "model.safetensors")

    def spoilt(document, name):
        found = object_of(document, name)
        if name == "learnt":
            spoil(found)
        return found

    monkeypatch.setattr("rfpcore.estimators.mixed._saved.object_of", spoilt)
    with pytest.raises(ValueError, match=re.escape(match)):
        load(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"mean": "auto"}, "mean='auto' needs all rows at once; on shards"),
        ({"mean": "linear"}, "pass mean='network'"),
        ({"mean": RFPRegressor()}, "pass mean='network'"),
        ({"loss": "poisson"}, "loss='poisson' is not fitted on shards"),
        ({"effect_columns": ["d"]}, "effect_columns[0]='d' is no column of X"),
        ({"max_iter": 0}, "max_iter=0"),
    ],
    ids=["auto", "linear", "regressor", "poisson", "columns", "steps"],
)
def test_misuse_is_told_before_rows_are_read(given, match, tmp_path, monkeypatch):
    found = shards(tmp_path)
    monkeypatch.setattr(ParquetShards, "read", lambda *_: pytest.fail("rows were read"))
    with pytest.raises(ValueError, match=re.escape(match)):
        MixedRegressor(**SHORT | given).fit_shards(found)


def test_rows_that_cannot_be_fitted_are_told(tmp_path):
    with pytest.raises(ValueError, match="names 2 columns; a mixed model has one outcome"):
        MixedRegressor(**SHORT).fit_shards(shards(tmp_path, name="two", y=["y", "w"]))
    with pytest.raises(ValueError, match=r"each of the \d+ clusters has one row"):
        MixedRegressor(**SHORT).fit_shards(shards(tmp_path, groups=np.arange(N), name="single"))
    whole = shards(tmp_path)
    twice = ParquetShards([whole.files[0]] * 2, X=["a", "b", "c"], y="y", groups="zip")
    with pytest.raises(ValueError, match="clusters have rows in two shards"):
        MixedRegressor(**SHORT).fit_shards(twice)
    with pytest.raises(TypeError, match="shards is a DataFrame"):
        MixedRegressor(**SHORT).fit_shards(F)
    model = MixedRegressor(**SHORT).fit_shards(whole)
    before = model.predict(F)
    with pytest.raises(ValueError, match=r"y .*nan in row"):
        model.fit_shards(shards(tmp_path, outcome=np.where(np.arange(N) == 5, np.nan, Y), name="nan"))
    np.testing.assert_array_equal(model.predict(F), before)


def test_one_outcome_in_a_list_is_one(tmp_path):
    one = MixedRegressor(**SHORT).fit_shards(shards(tmp_path))
    same(MixedRegressor(**SHORT).fit_shards(shards(tmp_path, name="list", y=["y"])), one)


def test_standard_units_are_those_of_fit(tmp_path):
    """A constant column has a unit of 1, and the mean weight is that of all rows."""
    fixed = X * [1, 0, 1e8] + [0, 7, 0]
    found = shards(tmp_path, X=fixed, sample_weight="w")
    surveys = [on_shard.survey(found.read(index), MixedRegressor()) for index in range(len(found))]
    ours, theirs = _sharded._scales(surveys, N), StandardUnits.of(fixed, Y, WEIGHT)
    np.testing.assert_allclose(ours.x.level, theirs.x.level, rtol=1e-13)
    np.testing.assert_allclose(ours.x.spread, theirs.x.spread, rtol=1e-13)
    assert ours.x.spread[1] == 1
    mine, its = ((scales.y_mean, scales.y_scale, scales.weight) for scales in (ours, theirs))
    np.testing.assert_allclose(mine, its, rtol=1e-12)


def test_networks_that_overflow_are_told_as_by_fit(tmp_path):
    """From float32's largest numbers on, in every run."""
    model = MixedRegressor(learning_rate_init=1e38, **SHORT)
    with pytest.raises(DivergenceError) as theirs:
        model.fit(F, Y, GROUPS)
    with pytest.raises(DivergenceError, match=re.escape(str(theirs.value))):
        model.fit_shards(shards(tmp_path))
