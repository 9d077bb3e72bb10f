"""Models on disk: what comes back, and what is refused."""

import json
import os

import numpy as np
import pandas as pd
import pytest
import safetensors
import safetensors.numpy
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

from rfpcore import RFPClassifier, RFPRegressor, _files
from rfpcore.datasets import make_vee
from rfpcore.optimizers import Cosine
from rfpcore.regularize import L1, ClipNorm

X, Y, GROUPS = make_vee(n_clusters=4, n_per_cluster=6, random_state=0)
SMALL = {"hidden_layer_sizes": (4,), "max_iter": 20, "random_state": 0}
THREE = np.digitize(Y, [0.7, 1.6])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(path):
    """A file, and its parts to spoil."""
    RFPRegressor(**SMALL).fit(X, Y, GROUPS).save(path)
    with safetensors.safe_open(path, "numpy") as file:
        document = json.loads(file.metadata()["rfpcore"])
    return safetensors.numpy.load_file(path), document


def write(path, tensors, document):
    _files.write(path, tensors, document)


MODELS = {
    "regressor": (RFPRegressor(**SMALL), Y),
    "two outputs": (RFPRegressor(**SMALL), np.column_stack([Y, -Y])),
    "column": (RFPRegressor(**SMALL), Y[:, None]),
    "poisson": (RFPRegressor(**SMALL, loss="poisson"), THREE),
    "float32": (RFPRegressor(**SMALL, dtype="float32"), Y),
    "steps": (RFPRegressor(**SMALL, inner_lr=np.linspace(0.01, 0.02, 13)), Y),
    "ordinary": (RFPRegressor(**SMALL, alpha=1), Y),
    "early": (RFPRegressor(**SMALL, early_stopping=True, n_iter_no_change=10), Y),
    "linear": (RFPRegressor(**SMALL | {"hidden_layer_sizes": []}), Y),
    "numpy numbers": (RFPRegressor(**SMALL, alpha=np.float32(0.25), n_jobs=np.int64(1)), Y),
    "batches": (RFPRegressor(**SMALL, batch_size=2), Y),
    "regularized": (RFPRegressor(**SMALL, regularization=L1(0.01) + ClipNorm(1), learning_rate=Cosine(9)), Y),
    "bools": (RFPClassifier(**SMALL), Y > 1),
    "ints": (RFPClassifier(**SMALL), np.array([-5, 3, 99])[THREE]),
    "floats": (RFPClassifier(**SMALL), np.array([0.0, 2.0])[(Y > 1) * 1]),
    "strings": (RFPClassifier(**SMALL), np.array(["low", "mid", "high"])[THREE]),
    "objects": (RFPClassifier(**SMALL), np.array(["low", "mid", "high"], object)[THREE]),
}


@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.InnerStepWarning")
@pytest.mark.parametrize("name", MODELS)
def test_what_is_saved_comes_back(name, path):
    estimator, y = MODELS[name]
    model = estimator.fit(X, y, GROUPS)
    model.save(path)
    loaded = type(model).load(path)
    assert repr(loaded) == repr(model) or name in ("linear", "numpy numbers")  # [] comes back as ()
    assert vars(loaded).keys() == vars(model).keys()
    for attribute in ("theta_", "loss_curve_", "validation_scores_", "classes_"):
        if hasattr(model, attribute):
            assert_array_equal(getattr(loaded, attribute), getattr(model, attribute))
            assert getattr(loaded, attribute).dtype == getattr(model, attribute).dtype
    assert_array_equal(loaded.predict(X), model.predict(X))
    adapted = [m.adapt(X, y, GROUPS).predict(X, GROUPS) for m in (loaded, model)]
    assert_array_equal(*adapted)
    if not model.early_stopping:
        assert_array_equal(loaded.partial_fit(X, y, GROUPS).theta_, model.partial_fit(X, y, GROUPS).theta_)


def test_feature_names_come_back(path):
    frame = pd.DataFrame({"size": X[:, 0], "age": Y})
    RFPRegressor(**SMALL).fit(frame, Y, GROUPS).save(path)
    loaded = RFPRegressor.load(path)
    assert_array_equal(loaded.feature_names_in_, ["size", "age"])
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(frame[["age", "size"]])


def test_callbacks_and_generators_stay_behind(path):
    random = np.random.RandomState(0)
    model = RFPRegressor(**SMALL | {"random_state": random}, callbacks=[lambda state: None])
    model.fit(X, Y, GROUPS).save(path)
    loaded = RFPRegressor.load(path)
    assert (loaded.callbacks, loaded.random_state) == (None, None)


def test_an_unfitted_model_is_not_saved(path):
    with pytest.raises(NotFittedError):
        RFPRegressor().save(path)
    assert not path.exists()


def test_labels_that_no_file_holds(path):
    days = np.array(["2020-01-01", "2020-01-02"], "datetime64[D]").astype(object)
    model = RFPClassifier(**SMALL).fit(X, Y > 1, GROUPS)
    model.classes_ = days
    with pytest.raises(ValueError, match=r"classes_ has dtype object and holds .* of type date"):
        model.save(path)
    assert not path.exists()


def test_a_save_that_fails_leaves_the_old_file(path, monkeypatch):
    model = RFPRegressor(**SMALL).fit(X, Y, GROUPS)
    model.save(path)
    old = path.read_bytes()

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(type(path), "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        model.fit(X, -Y, GROUPS).save(path)
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(keep, path, saved):
    data = path.read_bytes()[:keep]
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"\({len(data)} bytes\) is not a complete safetensors file"):
        RFPRegressor.load(path)


def test_no_file():
    with pytest.raises(FileNotFoundError):
        RFPRegressor.load("no such file")


def test_files_of_others_are_refused(path, saved):
    safetensors.numpy.save_file(saved[0], path)
    with pytest.raises(ValueError, match="no entry 'rfpcore'"):
        RFPRegressor.load(path)
    safetensors.numpy.save_file(saved[0], path, {"rfpcore": "{"})
    with pytest.raises(ValueError, match="no JSON"):
        RFPRegressor.load(path)
    safetensors.numpy.save_file(saved[0], path, {"rfpcore": "[]"})
    with pytest.raises(ValueError, match="metadata of type list"):
        RFPRegressor.load(path)
    path.write_bytes(b"\x80\x04K\x01.")  # a pickle
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        RFPRegressor.load(path)


def test_another_class_is_refused(path, saved):
    with pytest.raises(ValueError, match=r"holds a RFPRegressor; RFPClassifier\.load was called"):
        RFPClassifier.load(path)


@pytest.mark.parametrize("version", [0, 3, -1, None, "1", True, 1.0, 2.0])
def test_another_version_is_refused(version, path, saved):
    tensors, document = saved
    write(path, tensors, document | {"format_version": version})
    with pytest.raises(ValueError, match=f"format version {version!r}; this rfpcore reads versions 1 and 2"):
        RFPRegressor.load(path)


def spoil(path, saved, tensors=None, **document):
    write(path, saved[0] | (tensors or {}), saved[1] | document)


@pytest.mark.parametrize(
    ("tensors", "document", "message"),
    [
        ({"theta": np.zeros(12)}, {}, r"theta is float64 of shape \(12,\); floats, \(13\), are needed"),
        ({"theta": np.zeros((13, 1))}, {}, r"theta is float64 of shape \(13, 1\)"),
        ({"theta": np.full(13, np.nan)}, {}, "theta must be finite, .* 13 of its 13 values"),
        ({"theta": np.zeros(13, np.int64)}, {}, "theta is int64 of shape .*; floats"),
        (
            {"second_moment": np.zeros(13, np.float32)},
            {},
            r"second_moment is float32 of shape \(13,\); float64, \(13\), are needed",
        ),
        ({"first_moment": np.zeros(3)}, {}, r"first_moment is float64 of shape \(3,\)"),
        ({"inner_lr": np.ones(5)}, {}, r"inner_lr has shape \(5,\); the network has 13 parameters"),
        ({"inner_lr": -np.ones(1)}, {}, "inner_lr=-1.0; a positive number"),
        (
            {},
            {"net": [1, [4], 2, "tanh"]},
            r"the network has \(1, 2\) inputs and outputs; the data had \(1, 1\)",
        ),
        ({}, {"net": [1, [4], 1, "os.system"]}, "activation='os.system' is unknown"),
        ({}, {"params": {"depth": 3}}, "unexpected keyword argument 'depth'"),
        (
            {},
            {"learnt": {"n_features_in_": 1, "_y_ndim": 1, "n_outputs_": "x"}},
            "n_outputs_='x' is a str; an integer",
        ),
        ({}, {"feature_names": ["a", "b"]}, "there are 2 feature names for 1 features"),
        ({}, {"memory": {}}, "lacks 'n_steps'"),
    ],
)
def test_files_that_do_not_hold_together_are_refused(tensors, document, message, path, saved):
    spoil(path, saved, tensors, **document)
    with pytest.raises(ValueError, match=message):
        RFPRegressor.load(path)


def test_a_missing_tensor_is_named(path, saved):
    tensors, document = saved
    del tensors["theta"]
    write(path, tensors, document)
    with pytest.raises(ValueError, match="lacks 'theta'"):
        RFPRegressor.load(path)
