"""Files: written whole or not at all, over regular files only, and refused where they are damaged."""

import hashlib
import json
import os
import stat
import threading
import warnings

import numpy as np
import pytest
import safetensors.numpy
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from rfpcore import MLPRegressor, RFPClassifier, RFPRegressor, _files, sweep
from rfpcore.datasets import make_vee

X, Y, GROUPS = make_vee(n_clusters=4, n_per_cluster=6, random_state=0)
MODEL = RFPRegressor(hidden_layer_sizes=(4,), max_iter=5, random_state=0).fit(X, Y, GROUPS)
CLASSIFIER = RFPClassifier(hidden_layer_sizes=(4,), max_iter=5, random_state=0).fit(X, Y > 1, GROUPS)
POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX permissions and special files")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def raw(path, tensors, text, **more):
    """A file whose metadata say what they like."""
    path.write_bytes(safetensors.numpy.save(tensors, {"rfpcore": text} | more))


def signed(path, tensors, text):
    raw(path, tensors, text, sha256=hashlib.sha256(text.encode()).hexdigest())


SPECIAL = {
    "directory": lambda path: path.mkdir(),
    "FIFO": os.mkfifo if hasattr(os, "mkfifo") else None,
    "symbolic link": lambda path: path.symlink_to(path.with_name("elsewhere")),
}


@POSIX
@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file_is_not_replaced(kind, path):
    path.with_name("elsewhere").write_bytes(b"precious")
    SPECIAL[kind](path)
    before = path.lstat()
    for write in (MODEL.save, lambda path: sweep(X, Y, {"seed": [0]}, path=path)):
        with pytest.raises(ValueError, match=f"model.safetensors is a {kind}; a regular file is needed"):
            write(path)
    assert path.lstat().st_ino == before.st_ino
    assert path.with_name("elsewhere").read_bytes() == b"precious"
    assert sorted(os.listdir(path.parent)) == ["elsewhere", path.name]


@POSIX
@pytest.mark.parametrize("device", ["/dev/null", "/dev/full", "/dev/zero"])
def test_devices_are_refused(device):
    with pytest.raises(ValueError, match="is a device; a regular file is needed"):
        MODEL.save(device)
    with pytest.raises(ValueError, match="is a device; a regular file is needed"):
        RFPRegressor.load(device)
    assert stat.S_ISCHR(os.stat(device).st_mode)


@POSIX
@pytest.mark.parametrize("kind", ["directory", "FIFO"])
def test_loading_what_is_no_regular_file_is_an_error_at_once(kind, path):
    SPECIAL[kind](path)
    with pytest.raises(ValueError, match=f"is a {kind}; a regular file is needed"):
        RFPRegressor.load(path)


@POSIX
def test_a_link_to_a_file_is_read(path):
    MODEL.save(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))
    assert_array_equal(RFPRegressor.load(path).predict(X), MODEL.predict(X))


def test_no_folder_and_no_name(path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*missing to write model"):
        MODEL.save(path.parent / "missing" / "model")
    with pytest.raises(ValueError, match="is a directory"):
        MODEL.save(path.parent)
    with pytest.raises(ValueError, match="path=''; a str or path that is not empty"):
        MODEL.save("")


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_permissions_are_kept(mode, path):
    MODEL.save(path)
    path.chmod(mode)
    MODEL.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@POSIX
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_new_files_follow_the_umask(umask, path):
    before = os.umask(umask)
    try:
        MODEL.save(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_threads_that_save_to_one_path_neither_lose_nor_tear_it(path):
    models = [
        RFPRegressor(hidden_layer_sizes=(2 + seed,), max_iter=1, random_state=seed).fit(X, Y, GROUPS)
        for seed in range(4)
    ]
    expected = [model.predict(X) for model in models]
    models[0].save(path)
    errors = []

    def work(model):
        try:
            for _ in range(25):
                model.save(path)
                found = RFPRegressor.load(path).predict(X)
                assert any(np.array_equal(found, known) for known in expected)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=[model]) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert os.listdir(path.parent) == [path.name]


def test_file_and_folder_are_synced(path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_mode) or real(fd))
    MODEL.save(path)
    assert [stat.S_ISREG(mode) for mode in synced] == [True, False][: 1 if os.name == "nt" else 2]


def test_every_flipped_bit_is_refused(path):
    MODEL.save(path)
    data = path.read_bytes()
    random = np.random.default_rng(0)
    for at in random.choice(8 * len(data), 300, replace=False):
        spoilt = bytearray(data)
        spoilt[at // 8] ^= 1 << at % 8
        path.write_bytes(spoilt)
        with pytest.raises(ValueError, match=r"model\.safetensors"):
            RFPRegressor.load(path)


def test_a_damaged_tensor_is_named(path):
    MODEL.save(path)
    tensors, document = _files.read(path)
    tensors["theta"] = tensors["theta"] + 1e-9
    signed(path, tensors, json.dumps(document))
    with pytest.raises(ValueError, match="is damaged: 'theta' does not have the digest"):
        RFPRegressor.load(path)
    del tensors["theta"]
    signed(path, tensors, json.dumps(document))
    with pytest.raises(ValueError, match="is damaged: of 'theta' it has only one of tensor and digest"):
        RFPRegressor.load(path)
    raw(path, tensors, json.dumps(document))
    with pytest.raises(ValueError, match="has no digests"):
        RFPRegressor.load(path)
    raw(path, tensors, json.dumps(document), sha256="0")
    with pytest.raises(ValueError, match="is damaged: its metadata"):
        RFPRegressor.load(path)


def test_files_of_format_1_load(path):
    """They have no digests; all other checks hold for them too."""
    for model in (MODEL, CLASSIFIER):
        model.save(path)
        tensors, document = _files.read(path)
        del document["digests"]
        raw(path, tensors, json.dumps(document | {"format_version": 1}))
        assert_array_equal(type(model).load(path).predict(X), model.predict(X))
        raw(path, tensors | {"extra": np.ones(3)}, json.dumps(document | {"format_version": 1}))
        with pytest.raises(ValueError, match="there is an array 'extra', which has no meaning here"):
            type(model).load(path)


@pytest.mark.parametrize(
    "text",
    ["[" * 10**5 + "]" * 10**5, '{"a":' * 10**5 + "1" + "}" * 10**5, "{", "", "\x00", '"text"', "9" * 5000],
)
def test_metadata_that_are_no_document(text, path):
    signed(path, {"theta": np.zeros(3)}, text)
    with pytest.raises(ValueError, match="metadata"):
        RFPRegressor.load(path)


CHANGES = {
    "params": (None, [], 3, "a", {"depth": 3}, {"alpha": {}}, {"alpha": 2}, {"alpha": "a"}, {"n_jobs": 0}),
    "params, too": ({"loss": 3}, {"loss": "magic"}, {"n_jobs": "two"}, {"alpha": float("inf")}),
    "params, three": ({"max_iter": 10**400}, {"hidden_layer_sizes": [[1]]}, {"random_state": -1}),
    "params, four": ({"alpha": [[[[0.5]]]]}, {"verbose": "a"}, {"warm_start": 2}, {"tol": {"kind": "L2"}}),
    "learnt": (None, {}, [], {"n_features_in_": 1}, {"n_features_in_": 1, "n_outputs_": 1, "_y_ndim": 7}),
    "learnt, too": ({"n_features_in_": 1, "n_outputs_": 1, "_y_ndim": 1, "best_iteration_": -5},),
    "learnt, three": ({"n_features_in_": float("inf"), "n_outputs_": 1, "_y_ndim": 1},),
    "learnt, four": ({"n_features_in_": 1, "n_outputs_": True, "_y_ndim": 1},),
    "net": (None, [], [1, [4], 1], [1, 4, 1, "tanh"], [1, [2**70], 1, "tanh"], [1, ["a"], 1, "tanh"], {}),
    "memory": (None, [], {"n_steps": -3, "batch_seed": 0}, {"n_steps": 2**64, "batch_seed": 0}),
    "memory, too": ({"n_steps": 3, "batch_seed": -1}, {"n_steps": 3.0, "batch_seed": 1}),
    "feature_names": (None, 3, "a", [3], [None], ["a", "b"], [["a"]], [{}]),
    "classes": ({"dtype": "<f8", "labels": [0.0, 1.0]},),
    "unknown": (1, None),
}


@pytest.mark.parametrize("name", CHANGES)
def test_documents_that_do_not_hold_together(name, path):
    MODEL.save(path)
    tensors, document = _files.read(path)
    for value in CHANGES[name]:
        text = json.dumps(document | {name.split(",")[0]: value})
        signed(path, tensors, text)
        with pytest.raises(ValueError, match=r"does not hold together|lacks"):
            RFPRegressor.load(path)


LABELS = {
    "the same twice": ("<U1", ["a", "a"]),
    "out of order": ("<i8", [2, 1]),
    "one": ("<i8", [1]),
    "none": ("<i8", []),
    "dicts": ("|O", [{}, {"a": 1}]),
    "lists": ("|O", [["a"], ["b"]]),
    "bytes": ("|S10", ["a", "b"]),
    "numbers with a dtype of texts": ("<U1", [1, 2]),
    "bools with a dtype of numbers": ("<i8", [False, True]),
    "too large": ("<i1", [1, 300]),
    "not finite": ("<f8", [0.0, float("inf")]),
    "fractions with a dtype of integers": ("<i8", [0.5, 1.5]),
    "missing": ("|O", [None, "a"]),
    "of many parts": ("i4,i4", [1, 2]),
    "dates": ("<M8[D]", ["2020-01-01", "2020-01-02"]),
    "arrays": ("(1000000000,)f8", [1.0, 2.0]),
    "no dtype": (None, [0, 1]),
    "no list": ("<U1", "ab"),
}


@pytest.mark.parametrize("name", LABELS)
def test_class_labels_that_are_none(name, path):
    CLASSIFIER.save(path)
    tensors, document = _files.read(path)
    dtype, labels = LABELS[name]
    text = json.dumps(document | {"classes": {"dtype": dtype, "labels": labels}})
    signed(path, tensors, text)
    with pytest.raises(ValueError, match="does not hold together"):
        RFPClassifier.load(path)


def test_texts_are_as_long_as_they_are(path):
    """A few bytes of file do not ask for gigabytes of labels."""
    CLASSIFIER.save(path)
    tensors, document = _files.read(path)
    _files.write(path, tensors, document | {"classes": {"dtype": "<U200000000", "labels": ["a", "bc"]}})
    assert RFPClassifier.load(path).classes_.dtype == "<U2"


TENSORS = {
    "param.alpha": np.zeros((3, 3)),
    "param.theta_": np.zeros(13),
    "validation_scores": np.zeros((2, 2), np.int8),
    "theta": np.full(13, 1e308),
    "loss_curve": np.zeros(0),
    "second_moment": -np.ones(13),
    "first_moment": np.full(13, np.inf),
    "inner_lr": np.zeros((1, 1)),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_do_not_hold_together(name, path):
    MODEL.save(path)
    tensors, document = _files.read(path)
    spoilt = tensors | {name: TENSORS[name]}
    if spoilt[name].dtype == np.int8:
        raw(path, spoilt, json.dumps(document | {"format_version": 1}))
    else:
        _files.write(path, spoilt, document)
    with pytest.raises(ValueError, match=r"does not hold together|dtype int8"):
        RFPRegressor.load(path)


def test_early_stopping_goes_with_its_scores(path):
    model = RFPRegressor(max_iter=20, early_stopping=True, n_iter_no_change=10, random_state=0, inner_lr=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, Y, GROUPS)
    model.save(path)
    tensors, document = _files.read(path)
    for scores in ([np.nan, 0.0], [np.inf, 0.0], np.zeros(21), [], [[0.0]]):
        _files.write(path, tensors | {"validation_scores": np.array(scores, np.float64)}, document)
        with pytest.raises(ValueError, match="validation_scores"):
            RFPRegressor.load(path)
    for best in (-5, 21, 1.0, None):
        learnt = document["learnt"] | {"best_iteration_": best}
        _files.write(path, tensors, document | {"learnt": learnt})
        with pytest.raises(ValueError, match="best_iteration_"):
            RFPRegressor.load(path)


def test_a_model_that_could_not_be_loaded_is_not_saved(path):
    model = MLPRegressor(hidden_layer_sizes=(3,), max_iter=1, random_state=0).fit(X, Y)
    model.alpha = None  # no parameter: not looked at
    model.save(path)
    before = path.read_bytes()
    for params in ({"n_jobs": "two"}, {"loss": "magic"}, {"tol": float("inf")}, {"dtype": "float16"}):
        kept = model.get_params()
        with pytest.raises((ValueError, TypeError), match=next(iter(params))):
            model.set_params(**params).save(path)
        model.set_params(**kept)
    model.theta_ = np.full_like(model.theta_, 1e308)
    with pytest.raises(ValueError, match="the network's output is not finite"):
        model.save(path)
    assert path.read_bytes() == before
