"""Sweeps: what they train, what they keep when interrupted, and which files they refuse."""

import itertools
import json
import signal
import sys

import numpy as np
import pytest
import safetensors
from numpy.testing import assert_array_equal

import rfpcore.sweeps
from rfpcore import InterruptedWarning, _specs, sweep
from rfpcore._sweep_file import _NUMBERS
from rfpcore.datasets import make_noisy_moons
from rfpcore.many import Model, Record, fit_many
from rfpcore.optimizers import SGD, AdamW, Cosine, PowerLaw, Step
from rfpcore.regularize import L2, BatchNorm, Dropout, Shifts

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


def test_resumed_from_its_file(path, interrupt_after, monkeypatch):
    options = {"record": Record(every=4, thetas=True), "held_out": (X, Y)}
    interrupt_after(2)
    with pytest.warns(InterruptedWarning, match="the same call goes on from there"):
        part = sweep(X, Y, GRID, BASE, path=path, n_jobs=1, **options)
    monkeypatch.undo()
    trained = []
    fit = rfpcore.sweeps.fit_many
    monkeypatch.setattr(
        rfpcore.sweeps, "fit_many", lambda X, y, models, **o: trained.extend(models) or fit(X, y, models, **o)
    )
    resumed = sweep(X, Y, GRID, BASE, path=path, **options)
    assert len(trained) == 6 - part.finished.sum()
    whole = sweep(X, Y, GRID, BASE, **options)
    assert resumed.result.models == whole.result.models
    for one, other in zip(resumed.result, whole.result, strict=True):
        assert vars(one).keys() == vars(other).keys()
        for name in vars(one).keys() - {"model", "net"}:
            assert_array_equal(getattr(one, name), getattr(other, name), strict=name not in _NUMBERS)
    assert_array_equal(resumed.result.predict(X), whole.result.predict(X))
    trained.clear()
    again = sweep(X, Y, GRID, BASE, path=path, **options)
    assert not trained
    assert_array_equal(again.result.thetas, whole.result.thetas)


def test_each_point_with_rows_of_its_own(path):
    rows = [np.arange(i, 60, 2) for i in range(6)]
    weights = np.random.default_rng(0).random((6, 60))
    whole = sweep(X, Y, GRID, BASE, rows=rows, row_weights=weights)
    sweep(X, Y, GRID, BASE, rows=rows, row_weights=weights, path=path)
    with safetensors.safe_open(path, "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    _, document = rfpcore._files.read(path)
    document["finished"] = {index: document["finished"][index] for index in ("0", "4")}
    tensors = {name: tensor for name, tensor in tensors.items() if name[:2] in ("0.", "4.")}
    rfpcore._files.write(path, tensors, document)
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


def test_file_that_does_not_hold_together(path):
    sweep(X, Y, GRID, BASE, path=path)
    tensors, document = rfpcore._files.read(path)
    rfpcore._files.write(path, {n: t for n, t in tensors.items() if n != "3.theta"}, document)
    with pytest.raises(ValueError, match=r"lacks '3\.theta'"):
        sweep(X, Y, GRID, BASE, path=path)
    rfpcore._files.write(path, tensors | {"3.theta": np.ones(3)}, document)
    with pytest.raises(ValueError, match=r"3.theta is float64 of shape \(3,\); floats, \(32,?\), are needed"):
        sweep(X, Y, GRID, BASE, path=path)


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
    assert _specs.decode(json.loads(json.dumps(_specs.encode(value)))) == value


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind 'Popen' is unknown; one of Adam, AdamW"):
        _specs.decode({"kind": "Popen", "args": ["ls"]})
