"""Sweeps: what they train, what they keep when interrupted, and which files they refuse."""

import itertools
import json
import os
import signal
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

import rfpcore
from rfpcore import InterruptedWarning, _value, sweep
from rfpcore.datasets import make_noisy_moons
from rfpcore.many import Model, Record, fit_many
from rfpcore.optimizers import SGD, AdamW, Cosine, PowerLaw, Step
from rfpcore.regularize import L2, BatchNorm, Dropout, EarlyStopping, Shifts
from rfpcore.studies import _shard_file, sweeps
from rfpcore.studies._sweep_file import SweepFile

X, Y, _ = make_noisy_moons(60, random_state=0)
BASE = Model((6,), loss="softmax", optimizer=SGD(0.1), n_epochs=3)
GRID = {"regularization": [L2(0.0), Dropout(0.3) + L2(0.01), BatchNorm()], "seed": [0, 1]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sweep.safetensors"


@pytest.fixture
def interrupt_after(monkeypatch):
    """Send this process Ctrl-C's signal after so many finished models."""

    def arm(count):
        update = rfpcore._progress.NoProgress.update
        calls = itertools.count()

        def count_down(self, done, note):
            update(self, done, note)
            if next(calls) == count:
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(rfpcore._progress.NoProgress, "update", count_down)

    return arm


def test_a_grid_is_the_product():
    found = sweep(X, Y, GRID, BASE)
    expected = [{"regularization": r, "seed": s} for r in GRID["regularization"] for s in GRID["seed"]]
    assert found.points == expected
    assert found.finished.all()
    models = [Model((6,), loss="softmax", optimizer=SGD(0.1), n_epochs=3, **point) for point in expected]
    direct = fit_many(X, Y, models)
    assert found.result.models == direct.models
    assert_array_equal(found.result.thetas, direct.thetas)
    assert repr(found) == "SweepResult(6 of 6 models finished)"


def test_a_list_of_points():
    points = [{"seed": 3}, {"hidden_layer_sizes": (4, 4), "loss": "logistic"}]
    found = sweep(X, Y, points, Model(loss="logistic", n_epochs=1))
    assert [len(theta) for theta in found.result.thetas] == [4417, 37]


def test_frame_and_matching():
    found = sweep(X, Y, GRID, BASE, record=Record(every=3))
    frame = found.to_frame()
    assert list(frame.columns[:4]) == ["model", "regularization", "seed", "step"]
    assert frame["step"].tolist() == [0, 3, 6] * 6
    assert frame["model"].tolist() == np.repeat(range(6), 3).tolist()
    assert set(frame["regularization"]) == {repr(term) for term in GRID["regularization"]}
    assert found.matching(regularization=BatchNorm()).tolist() == [4, 5]
    assert found.matching(regularization=BatchNorm(), seed=1).tolist() == [5]
    with pytest.raises(ValueError, match="no finished point has a value for 'loss'"):
        found.matching(loss="softmax")


def test_points_with_rows_of_their_own(path):
    """A point is trained and measured on the rows it lists, and on the first n_rows of them."""
    orders = [np.random.default_rng(seed).permutation(len(X))[:40] for seed in range(2)]
    aside = np.arange(50, 60)
    points = [{"seed": s, "rows": orders[s], "n_rows": n} for n in (20, 40) for s in range(2)]
    points += [{"seed": 0, "held_out_rows": [1, 2, 3]}, {"seed": 0, "n_rows": 7, "test_rows": aside}]
    options = {"record": Record(every=3), "held_out": (X, Y), "test": (X, Y), "held_out_rows": [4, 5]}
    for _ in range(2):  # the second from its file
        found = sweep(X, Y, points, BASE, path=path, rows=np.arange(30), **options)
        for point, one in zip(points, found.result, strict=True):
            rows = np.asarray(point.get("rows", np.arange(30)))[: point.get("n_rows")]
            parts = [point.get("held_out_rows", [4, 5]), point.get("test_rows", np.arange(len(X)))]
            held_out, test = ((X[part], Y[part]) for part in parts)
            model = replace(BASE, seed=point["seed"])
            direct = fit_many(
                X[rows], Y[rows], model, record=Record(every=3), held_out=held_out, test=test, n_outputs=2
            )
            for name in ("theta", "train_losses", "held_out_losses", "test_losses", "test_accuracies"):
                assert_array_equal(getattr(one, name), getattr(direct[0], name))
    frame = found.to_frame()
    assert list(frame.columns[:4]) == ["model", "n_rows", "seed", "step"]
    assert_array_equal(frame.drop_duplicates("model")["n_rows"], [20, 20, 40, 40, np.nan, 7])
    assert found.matching(n_rows=20).tolist() == [0, 1]
    changed = [point | ({"rows": orders[0]} if point["seed"] else {}) for point in points]
    with pytest.raises(
        ValueError, match=r"another sweep: its model 1 has rows=\[20\] .*, here it has \[20\]"
    ):
        sweep(X, Y, changed, BASE, path=path, rows=np.arange(30), **options)
    with pytest.raises(ValueError, match=r"another sweep: only one of the two has \['test_rows'\]"):
        sweep(X, Y, [*points[:-1], {"n_rows": 7}], BASE, path=path, rows=np.arange(30), **options)
    with pytest.raises(ValueError, match=r"another sweep: its test X is .*, here it is"):
        sweep(X, Y, points, BASE, path=path, rows=np.arange(30), **options | {"test": (X + 1, Y)})
    with pytest.raises(ValueError, match=r"another sweep: its held-out rows is .*, here it is"):
        sweep(X, Y, points, BASE, path=path, rows=np.arange(30), **options | {"held_out_rows": [4]})


def test_a_grid_of_sample_sizes():
    found = sweep(X, Y, {"n_rows": [10, 60], "seed": [0, 1]}, BASE)
    assert_array_equal(
        found.result[1].theta, fit_many(X[:10], Y[:10], replace(BASE, seed=1), n_outputs=2)[0].theta
    )
    assert found.points[2] == {"n_rows": 60, "seed": 0}
    assert found.to_frame()["n_rows"].tolist() == [10, 10, 60, 60]


@pytest.mark.parametrize("by", ["held_out_losses", "test_accuracies"])
def test_best_points(by):
    """By hand: a loop over widths and strengths, means over seeds."""
    strengths = [L2(0.0), L2(0.3), L2(3.0)]
    grid = {"hidden_layer_sizes": [(2,), (8,)], "regularization": strengths, "seed": range(3)}
    data = {"held_out": (X[40:], Y[40:]), "test": (X[40:], 1 - Y[40:]), "record": Record(every=4)}
    found = sweep(X[:40], Y[:40], grid, replace(BASE, n_epochs=30), **data)
    assert found.result.kept(by).tolist() == getattr(found.result, by)[:, -1].tolist()
    means = getattr(found.result, by)[:, -1].reshape(2, 3, 3).mean(2)
    best = means.argmin(1) if by == "held_out_losses" else means.argmax(1)
    chosen = found.best("hidden_layer_sizes", by)
    assert [one.values for one in chosen] == [{"hidden_layer_sizes": (2,)}, {"hidden_layer_sizes": (8,)}]
    for width, (one, at) in enumerate(zip(chosen, best, strict=True)):
        assert one.point == {"hidden_layer_sizes": ((2,), (8,))[width], "regularization": strengths[at]}
        assert one.score == pytest.approx(means[width, at], rel=1e-12)
        assert one.at_edge == (() if at == 1 else ("regularization",))
        assert_array_equal(one.models, width * 9 + 3 * at + np.arange(3))
    (over_all,) = found.best(by=by)
    assert over_all.score == pytest.approx(means.min() if by == "held_out_losses" else means.max(), rel=1e-12)
    assert "hidden_layer_sizes" in over_all.at_edge  # of two values each is at the edge
    (confined,) = found.best(by=by, among=np.arange(3, 6))
    assert (confined.point["regularization"], confined.at_edge) == (L2(0.3), ())
    with pytest.raises(ValueError, match="each has 'loss'; no finished point has a value for it"):
        found.best("loss")
    with pytest.raises(ValueError, match="each has 'seed'"):
        found.best(["seed"])
    with pytest.raises(ValueError, match="by='losses' is unknown; one of 'train_losses'"):
        found.best(by="losses")
    with pytest.raises(ValueError, match="among holds 18; the result has 18 rows"):
        found.best(among=[18])


def test_best_points_of_models_that_stop_or_diverge():
    """The score is that of the parameters that are kept; a model that diverged is never best."""
    stopping = EarlyStopping(2, every=3, min_delta=0.02)
    points = [{"optimizer": SGD(0.1), "seed": s, "rows": np.arange(30)} for s in range(2)]
    points += [{"optimizer": SGD(1e30), "seed": s, "regularization": L2(0.1)} for s in range(2)]
    data = {"held_out": (X[30:], Y[30:]), "record": Record(steps=[0])}
    with pytest.warns(rfpcore.DivergenceWarning):
        found = sweep(X, Y, points, Model((6,), loss="squared", regularization=stopping), **data)
    stopped = [one for one in found.result if one.status == "stopped"]
    assert len(stopped) == 2
    for one, score in zip(stopped, found.result.kept("held_out_losses"), strict=False):
        assert score == one.validation_losses.min()
    assert np.isnan(found.result.kept("held_out_losses")[2:]).all()
    (best,) = found.best()
    assert best.point == {"optimizer": SGD(0.1)}
    assert_array_equal(best.models, [0, 1])
    with pytest.raises(ValueError, match="no train_losses are recorded of step"):
        found.best(by="train_losses")


def test_interrupted_without_a_file(interrupt_after):
    interrupt_after(2)
    with pytest.warns(InterruptedWarning, match=r"interrupted: [2-5] of 6 models are finished$"):
        found = sweep(X, Y, GRID, BASE, n_jobs=1)
    assert_array_equal(np.flatnonzero(found.finished), np.arange(found.finished.sum()))
    whole = sweep(X, Y, GRID, BASE)
    assert_array_equal(found.result.thetas, whole.result.thetas[: len(found.result)])
    assert set(found.to_frame()["model"]) == set(np.flatnonzero(found.finished))


def test_interrupted_before_anything_is_finished(interrupt_after):
    interrupt_after(0)
    with pytest.raises(KeyboardInterrupt):
        sweep(X, Y, GRID, BASE)


def test_intervals_are_kept(path):
    grid = {"regularization": [L2(0.0), Dropout(0.3) + L2(0.01)]}
    record = Record(every=2, thetas=True, intervals=True)
    for found in [sweep(X, Y, grid, BASE, path=path, record=record) for _ in range(2)]:
        for one, direct in zip(found.result, fit_many(X, Y, found.result.models, record=record), strict=True):
            assert_array_equal(one.applied_gradients, direct.applied_gradients)
            assert_array_equal(one.bare_gradients, direct.bare_gradients)
            assert np.abs(one.applied_gradients - one.bare_gradients).max() > 0 or one is found.result[0]


@pytest.mark.parametrize("keep", [("scores",), ("scores", "parameters")], ids=len)
def test_norms_are_kept(path, keep):
    grid, record = {"hidden_layer_sizes": [(3,), (4, 2)]}, Record(every=5, norms=True)
    for found in [sweep(X, Y, grid, BASE, path=path, record=record, keep=keep) for _ in range(2)]:
        for one, direct in zip(found.result, fit_many(X, Y, found.result.models, record=record), strict=True):
            assert_array_equal(one.weight_norms, direct.weight_norms, strict=True)
        assert np.isfinite(found.to_frame()["weight_norm"]).all()


def test_resumed_from_its_file(path, interrupt_after, monkeypatch):
    options = {"record": Record(every=4, thetas=True), "held_out": (X, Y)}
    interrupt_after(2)
    with pytest.warns(InterruptedWarning, match="the same call goes on from there"):
        part = sweep(X, Y, GRID, BASE, path=path, n_jobs=1, **options)
    monkeypatch.undo()
    trained = []
    fit = sweeps.fit_many
    monkeypatch.setattr(
        rfpcore.studies.sweeps,
        "fit_many",
        lambda X, y, models, **o: trained.extend(models) or fit(X, y, models, **o),
    )
    resumed = sweep(X, Y, GRID, BASE, path=path, **options)
    assert len(trained) == 6 - part.finished.sum()
    whole = sweep(X, Y, GRID, BASE, **options)
    assert resumed.result.models == whole.result.models
    for one, other in zip(resumed.result, whole.result, strict=True):
        assert vars(one).keys() == vars(other).keys()
        for name in vars(one).keys() - {"model", "net"}:
            assert_array_equal(
                getattr(one, name), getattr(other, name), strict=isinstance(getattr(one, name), np.ndarray)
            )
    assert_array_equal(resumed.result.predict(X), whole.result.predict(X))
    trained.clear()
    again = sweep(X, Y, GRID, BASE, path=path, **options)
    assert not trained
    assert_array_equal(again.result.thetas, whole.result.thetas)


def test_fields_that_came_later_are_written_only_where_they_are_used(path):
    """So files of before hold what they would hold today, and are resumed."""
    assert "bias" not in _value.encode(BASE)
    assert _value.encode(Dropout(0.3)) == {"kind": "Dropout", "rate": 0.3, "mask": "batch"}
    grid = {"bias": [True, False], "regularization": [Dropout(0.2), Dropout(0.2, inputs=0.1)]}
    found = sweep(X, Y, grid, BASE, path=path)
    again = sweep(X, Y, grid, BASE, path=path)
    assert [len(theta) for theta in again.result.thetas] == [32, 32, 24, 24]
    for theta, same in zip(found.result.thetas, again.result.thetas, strict=True):
        assert_array_equal(theta, same)
    with pytest.raises(ValueError, match=r"another sweep: only one of the two has \['bias'\]"):
        sweep(X, Y, grid | {"bias": [True, True]}, BASE, path=path)


def test_each_point_with_rows_of_its_own(path):
    rows = [np.arange(i, 60, 2) for i in range(6)]
    weights = np.random.default_rng(0).random((6, 60))
    whole = sweep(X, Y, GRID, BASE, rows=rows, row_weights=weights)
    write(path, whole.result, (0, 4), rows=rows, row_weights=weights)
    resumed = sweep(X, Y, GRID, BASE, rows=rows, row_weights=weights, path=path)
    assert_array_equal(resumed.result.thetas, whole.result.thetas)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": X + 1}, r"its X is float64\[60, 2\] \w+, here it is float64\[60, 2\]"),
        ({"y": 1 - Y}, "its y is"),
        ({"points": GRID | {"seed": [0, 2]}}, "its model 1 has seed=1, here it has 2"),
        ({"points": GRID | {"seed": [0]}}, "it has 6 models, here there are 3"),
        ({"points": GRID | {"regularization": [L2(0.0), L2(0.1), BatchNorm()]}}, "its model 2 has regulariz"),
        ({"base": Model((7,), loss="softmax", optimizer=SGD(0.1), n_epochs=3)}, "has hidden_layer_sizes="),
        ({"base": Model((6,), loss="softmax", optimizer=SGD(0.2), n_epochs=3)}, "model 0 has optimizer="),
        ({"rows": np.arange(50)}, "its rows is None, here it is"),
        ({"row_weights": np.ones(60)}, "its row_weights is None"),
        ({"held_out": (X, Y)}, "its held-out X is None"),
        ({"record": Record(every=1)}, "its record is None, here it is Record"),
        ({"dtype": np.float32}, "its dtype is None, here it is float32"),
    ],
)
def test_file_of_another_sweep(path, change, message):
    call = {"X": X, "y": Y, "points": GRID, "base": BASE}
    sweep(**call, path=path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        sweep(**call | change, path=path)
    assert path.read_bytes() == before


def test_file_of_something_else(path):
    path.write_bytes(b"no sweep")
    with pytest.raises(ValueError, match="is not a complete safetensors file"):
        sweep(X, Y, GRID, BASE, path=path)
    rfpcore.MLPClassifier((3,), max_iter=1).fit(X, Y).save(path)
    with pytest.raises(ValueError, match="holds a MLPClassifier, no sweep"):
        sweep(X, Y, GRID, BASE, path=path)


def test_a_frame_of_weights_is_resumed(path):
    weights = pd.DataFrame(np.random.default_rng(0).uniform(1, 2, (6, 60)))
    whole = sweep(X, Y, GRID, BASE, row_weights=weights)
    write(path, whole.result, (0, 4), row_weights=weights.to_numpy())
    resumed = sweep(X, Y, GRID, BASE, row_weights=weights, path=path)
    assert_array_equal(resumed.result.thetas, whole.result.thetas)


def test_numbers_of_numpy_are_numbers_of_a_table():
    found = sweep(X, Y, {"seed": np.arange(2), "batch_size": np.array([5, 20])}, BASE).to_frame()
    assert found.groupby("model").first()[["seed", "batch_size"]].to_numpy().tolist() == [
        [0, 5],
        [0, 20],
        [1, 5],
        [1, 20],
    ]


OPTIONS = dict.fromkeys(("held_out", "rows", "row_weights", "record", "n_outputs", "dtype", "test"))
OPTIONS["keep"] = ["scores", "parameters"]


def write(path, result, *shards, **options):
    """A file of a sweep with these shards, each of some of its models."""
    file = SweepFile(path, result.models, X, Y, OPTIONS | options)
    for models in shards:
        file.append({index: result[index] for index in models})


def shards(path):
    return _shard_file.read_shards(path)[0]


def rewrite(path, *parts):
    """The file of these tensors and documents, digests and all."""
    path.write_bytes(b"".join(_shard_file.shard(tensors, document) for tensors, document in parts))


def test_a_file_only_grows(path, monkeypatch):
    """Every shard has the bytes that it was written with; that is what makes a sweep of many models cheap."""
    monkeypatch.setattr(sweeps, "_WRITE_EVERY", 0.0)
    monkeypatch.setattr(sweeps, "_WRITING_SHARE", 1e9)
    seen, append = [], SweepFile.append
    monkeypatch.setattr(
        SweepFile, "append", lambda self, new: append(self, new) or seen.append(path.read_bytes())
    )
    whole = sweep(X, Y, GRID, BASE, path=path)
    assert len(seen) == 6
    assert all(after.startswith(before) for before, after in itertools.pairwise(seen))
    again = sweep(X, Y, GRID, BASE, path=path)
    assert len(shards(path)) == 7
    assert_array_equal(again.result.thetas, whole.result.thetas)


def test_a_header_does_not_grow_with_the_models(path):
    """Of safetensors it may have 100 MB: with tensors for each model that was the end at some 50,000."""
    result = sweep(X, Y, {"seed": [0]}, BASE).result[0]
    sizes = []
    for n in (10, 10_000):
        models = [BASE] * n
        file = SweepFile(path.with_name(str(n)), models, X, Y, OPTIONS)
        file.append(dict.fromkeys(range(n), result))
        (_, head), (tensors, document) = shards(file.path)
        sizes.append(len(json.dumps([head, document])) + len(tensors))
        found = SweepFile(file.path, models, X, Y, OPTIONS).results()
        assert list(found) == list(range(n))
        assert_array_equal(found[n - 1].theta, result.theta)
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("how", ["cut off", "zeros", "short head"])
def test_a_torn_end_is_trained_again(path, how):
    whole = sweep(X, Y, GRID, BASE, path=path)
    (_, end), data = ends(path), path.read_bytes()
    torn = {"cut off": data[:-9], "zeros": data[:-99] + bytes(99), "short head": data[:end] + data[end:][:5]}
    path.write_bytes(torn[how])
    with pytest.warns(InterruptedWarning, match=r"the last \d+ bytes of .* are no whole shard"):
        again = sweep(X, Y, GRID, BASE, path=path)
    assert_array_equal(again.result.thetas, whole.result.thetas)
    assert len(shards(path)) == 2
    assert_array_equal(sweep(X, Y, GRID, BASE, path=path).result.thetas, whole.result.thetas)


def ends(path):
    """Where the first two shards of a file begin."""
    length = int.from_bytes(path.read_bytes()[8:16], "little")
    return 0, 16 + length


def test_damage_before_the_end_is_refused(path):
    """Nothing that was finished is thrown away for one bit, wherever that is."""
    write(path, sweep(X, Y, GRID, BASE).result, (0, 4), (1, 2, 3, 5))
    data = path.read_bytes()
    random, last = np.random.default_rng(0), data.rindex(data[:8])
    for at in [0, 7, 9, 15, *random.choice(last, 60, replace=False)]:
        spoilt = bytearray(data)
        spoilt[at] ^= 1 << int(random.integers(8))
        path.write_bytes(spoilt)
        with pytest.raises(ValueError, match="is damaged at byte"):
            sweep(X, Y, GRID, BASE, path=path)
        assert path.read_bytes() == spoilt


def test_somebody_else_writes_to_the_file(path):
    result = sweep(X, Y, GRID, BASE).result
    one = SweepFile(path, result.models, X, Y, OPTIONS)
    one.append({0: result[0]})
    other = SweepFile(path, result.models, X, Y, OPTIONS)
    one.append({1: result[1]})
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"bytes, where \d+ are known of.*: somebody else has written to it"):
        other.append({1: result[1]})
    assert path.read_bytes() == before


def test_an_append_that_fails_leaves_whole_shards(path, monkeypatch):
    result = sweep(X, Y, GRID, BASE).result
    file = SweepFile(path, result.models, X, Y, OPTIONS)
    file.append({0: result[0]})
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            file.append({1: result[1]})
    assert path.read_bytes() == before
    file.append({1: result[1]})
    assert list(SweepFile(path, result.models, X, Y, OPTIONS).results()) == [0, 1]


def test_only_scores(path):
    """Scores are those of a sweep that keeps all, parameters nowhere."""
    record, options = Record(every=2), {"held_out": (X, Y), "keep": ("scores",)}
    whole = sweep(X, Y, GRID, BASE, record=record, held_out=(X, Y), path=path.with_name("whole"))
    lean = sweep(X, Y, GRID, BASE, record=record, path=path, **options)
    again = sweep(X, Y, GRID, BASE, record=record, path=path, **options)
    for found in (lean, again):
        assert found.to_frame().equals(whole.to_frame())
        assert_array_equal(found.result.loss_curves, whole.result.loss_curves)
        assert found.result.thetas.shape == (6, 0)
        with pytest.raises(ValueError, match=r"the parameters were not kept, as keep=\('scores',\) says"):
            found.result.predict(X)
    assert path.stat().st_size < path.with_name("whole").stat().st_size
    with pytest.raises(ValueError, match="its keep is scores, here it is scores, parameters"):
        sweep(X, Y, GRID, BASE, record=record, held_out=(X, Y), path=path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": "scores"}, r"keep='scores' is a str; a sequence"),
        ({"keep": ["thetas"]}, r"keep\[0\]='thetas' is unknown; one of 'scores', 'parameters'"),
        ({"keep": ["parameters"]}, "'scores' are always kept"),
        ({"keep": ["scores"], "record": Record(every=1, thetas=True)}, "asks for parameters, which keep="),
        ({"keep": ["scores"], "record": Record(every=1, intervals=True)}, "asks for parameters, which keep="),
    ],
)
def test_what_cannot_be_kept(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        sweep(X, Y, GRID, BASE, **options)


def test_file_that_does_not_hold_together(path):
    sweep(X, Y, GRID, BASE, path=path)
    head, (tensors, document) = shards(path)
    numbers, lines = tensors["numbers"], tensors["lines"]
    for change, message in (
        ({"theta": tensors["theta"][1:]}, "cannot reshape array|numbers; the models have"),
        ({"theta": np.append(tensors["theta"], 1.0)}, "theta has 193 numbers; the models have 192"),
        ({"theta": tensors["theta"] * np.nan}, r"0\.theta must be finite"),
        ({"numbers": numbers[:, :3]}, "numbers is int64 of shape"),
        ({"numbers": numbers * 0}, "diverged|model 0 is there twice|rising|n_outputs"),
        ({"numbers": numbers + 100}, "the number of a model=10. is too large"),
        ({"lines": -lines}, "lines of .* is too small"),
        ({"extra": numbers}, "there is an array 'extra'"),
    ):
        rewrite(path, head, (tensors | change, document))
        with pytest.raises(ValueError, match=message):
            sweep(X, Y, GRID, BASE, path=path)
    rewrite(path, head, (tensors, document), (tensors, document))
    with pytest.raises(ValueError, match="model 0 is there twice"):
        sweep(X, Y, GRID, BASE, path=path)
    with pytest.raises(ValueError, match="is the file of a sweep"):
        rfpcore.load(path)


@pytest.mark.parametrize(
    ("points", "error", "message"),
    [
        ([], ValueError, "points is empty"),
        ({"seed": []}, ValueError, "points is empty"),
        (
            {"lr": [0.1]},
            ValueError,
            r"points\[0\] has 'lr', which Model has not; its fields are hidden",
        ),
        ([{"seed": 0}, {"sede": 0}], ValueError, r"points\[1\] has 'sede'"),
        ({"seed": 3}, TypeError, r"points\['seed'\]=3; a sequence of values"),
        ({"loss": "softmax"}, TypeError, r"points\['loss'\]='softmax'; a sequence of values"),
        ({"seed": [-1]}, ValueError, "seed=-1 is too small"),
        ({"n_rows": [61]}, ValueError, r"points\[0\]\['n_rows'\]=61 is too large"),
        ({"n_rows": [5, 2.5]}, TypeError, r"points\[1\]\['n_rows'\]=2\.5 is a float"),
        ([{"rows": [60]}], ValueError, r"points\[0\]\['rows'\] holds 60; X has 60 rows"),
        ([{"rows": [0, 1], "n_rows": 3}], ValueError, r"points\[0\]\['n_rows'\]=3 is too large; at most 2"),
        ([{"test_rows": [0]}], ValueError, r"points have test_rows, row numbers of test=\(X, y\)"),
    ],
)
def test_points_that_are_none(points, error, message):
    with pytest.raises(error, match=message):
        sweep(X, Y, points, BASE)


def test_progress(monkeypatch, capsys):
    sweep(X, Y, GRID, BASE, verbose=1)
    assert "6/6" not in capsys.readouterr().out  # standard error only
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    sweep(X, Y, GRID, BASE, verbose=1)
    assert capsys.readouterr().err.splitlines()[-1].startswith("sweep: 6/6 models, loss 0.")


def test_a_model_that_diverges_is_kept_and_told(path):
    points = {"optimizer": [SGD(0.1), SGD(1e30)], "loss": ["squared"]}
    with pytest.warns(rfpcore.DivergenceWarning, match="1 of 2 models diverged"):
        found = sweep(X, Y * 1e3, points, BASE, path=path)
    assert found.result.status.tolist() == ["finished", "diverged"]
    again = sweep(X, Y * 1e3, points, BASE, path=path)
    assert again.result.status.tolist() == ["finished", "diverged"]


@pytest.mark.parametrize(
    "value",
    [
        BASE,
        Model((), optimizer=AdamW(1e-2, schedule=Cosine(5)), regularization=Shifts((8, 8)), n_steps=3),
        Model(optimizer=SGD(0.1, 0.9, True, PowerLaw(3, 1)), batch_size=None),
        Step(3, 0.5),
        None,
        (1, 2.5, "a", True),
    ],
)
def test_specifications_go_to_json_and_back(value):
    assert _value.decode(json.loads(json.dumps(_value.encode(value)))) == value


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind 'Popen' is unknown; one of Adam, AdamW"):
        _value.decode({"kind": "Popen", "args": ["ls"]})


class TestTwoAtOnce:
    def test_what_another_has_begun_is_gone_on_from(self, path):
        whole = sweep(X, Y, GRID, BASE).result
        one, other = (SweepFile(path, whole.models, X, Y, OPTIONS) for _ in range(2))
        one.append({0: whole[0], 1: whole[1]})
        other.append({1: whole[1], 2: whole[2]})
        other.append({3: whole[3]})
        with pytest.raises(ValueError, match="somebody else has written to it"):
            one.append({2: whole[2]})
        found = SweepFile(path, whole.models, X, Y, OPTIONS).results()
        assert list(found) == [0, 1, 2, 3]

    def test_another_file_of_the_same_length(self, path):
        whole = sweep(X, Y, GRID, BASE).result
        file = SweepFile(path, whole.models, X, Y, OPTIONS)
        file.append({0: whole[0]})
        data = path.read_bytes()
        other = data[:-8] + bytes(8)
        path.write_bytes(other)
        with pytest.raises(ValueError, match="is another file by now: somebody else"):
            file.append({1: whole[1]})
        assert path.read_bytes() == other
        path.rename(path.with_name("old"))
        path.write_bytes(data)  # the same again, of another number, as file systems over a network give it
        file.append({1: whole[1]})
        assert list(SweepFile(path, whole.models, X, Y, OPTIONS).results()) == [0, 1]

    def test_who_waited_for_another_looks_after_that(self, path, monkeypatch):
        fcntl = pytest.importorskip("fcntl", reason="this system has no such locks")
        whole = sweep(X, Y, GRID, BASE).result
        file = SweepFile(path, whole.models, X, Y, OPTIONS)
        file.append({0: whole[0]})

        def wait(file, how):
            if how == fcntl.LOCK_EX:
                with path.open("ab") as other:
                    other.write(_shard_file.shard({}, {"class": "shard"}))

        monkeypatch.setattr(fcntl, "flock", wait)
        with pytest.raises(ValueError, match="somebody else has written to it"):
            file.append({1: whole[1]})

    def test_a_process_that_was_forked_meanwhile_keeps_no_lock(self, path, monkeypatch):
        """It has the same open file, as a copy of the descriptor is."""
        fcntl = pytest.importorskip("fcntl", reason="this system has no such locks")
        whole = sweep(X, Y, GRID, BASE).result
        file = SweepFile(path, whole.models, X, Y, OPTIONS)
        file.append({0: whole[0]})
        real, copies = fcntl.flock, []

        def lock(file, how):
            copies.append(os.dup(file.fileno()))
            real(file, how)

        monkeypatch.setattr(fcntl, "flock", lock)
        file.append({1: whole[1]})
        with path.open("r+b") as other:
            real(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an error where it is locked
        assert len(copies) == 2
        for copy in copies:
            os.close(copy)


def test_a_full_disk_is_said_and_costs_only_what_did_not_fit(path, monkeypatch):
    resource = pytest.importorskip("resource", reason="this system has no such limits")
    monkeypatch.setattr(sweeps, "_WRITE_EVERY", 0.0)
    monkeypatch.setattr(sweeps, "_WRITING_SHARE", np.inf)
    whole = sweep(X, Y, GRID, BASE)
    write(path, whole.result, (0,))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 3000, hard))  # a shard has about 2000
    try:
        with pytest.raises(OSError, match="File too large"):
            sweep(X, Y, GRID, BASE, path=path, n_jobs=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    file = SweepFile(path, whole.result.models, X, Y, OPTIONS)  # and no warning of a torn end
    assert list(file.results()) == [0, 1]
    assert_array_equal(sweep(X, Y, GRID, BASE, path=path).result.thetas, whole.result.thetas)
