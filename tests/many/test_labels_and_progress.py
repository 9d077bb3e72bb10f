"""Labels that are texts, and the progress of many fits."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

import rfpcore
from rfpcore.many import Model, Record, fit_many

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((30, 2))
CODES = np.digitize(X[:, 0], [-0.4, 0.4])
NAMES = np.array(["a", "b", "c"])
SMALL = {"hidden_layer_sizes": (3,), "n_epochs": 2, "batch_size": 10}


@pytest.mark.parametrize(
    "kind",
    [np.asarray, list, lambda y: y.astype(object), pd.Series, pd.Categorical],
    ids=["array", "list", "objects", "series", "categories"],
)
@pytest.mark.parametrize(("loss", "n"), [("softmax", 3), ("logistic", 2)])
def test_texts_are_their_codes(kind, loss, n):
    codes = np.minimum(CODES, n - 1)
    model = Model(**SMALL, loss=loss)
    record = Record(every=1)
    found, expected = (
        fit_many(X, y, model, held_out=(X[:9], y[:9]), test=(X[9:], y[9:]), record=record)
        for y in (kind(NAMES[codes]), codes)
    )
    assert found.classes.tolist() == NAMES[:n].tolist()
    assert expected.classes is None
    assert_array_equal(found.thetas, expected.thetas)
    assert_array_equal(found.held_out_losses, expected.held_out_losses)
    assert_array_equal(found.test_accuracies, expected.test_accuracies)
    assert found.predict(X).shape[-1] == (3 if n == 3 else 1)


def test_sweeps_list_the_classes(tmp_path):
    model, points = Model(**SMALL, loss="softmax"), {"seed": [0, 1]}
    place = tmp_path / "sweep"
    found, expected, again = (
        rfpcore.sweep(X, y, points, model, held_out=(X[:9], y[:9]), record=Record(every=1), path=path)
        for y, path in ((NAMES[CODES], place), (CODES, None), (NAMES[CODES], place))
    )
    assert found.classes.tolist() == found.result.classes.tolist() == NAMES.tolist()
    assert again.classes.tolist() == NAMES.tolist()
    assert expected.classes is None
    assert_array_equal(found.result.thetas, expected.result.thetas)
    assert_array_equal(again.result.held_out_losses, expected.result.held_out_losses)


@pytest.mark.parametrize(
    ("loss", "y", "words"),
    [
        ("squared", NAMES[CODES], "y holds texts; loss='squared' needs numbers, softmax"),
        ("logistic", NAMES[CODES], "y has 3 classes; loss='logistic' is for two"),
        ("softmax", ["a", "b", 3] * 10, "y holds 3 in row 2, among labels that are texts"),
        ("softmax", [None, "b", "a"] * 10, "y holds None in row 0"),
    ],
)
def test_what_is_refused(loss, y, words):
    with pytest.raises(ValueError, match=words):
        fit_many(X, y, Model(**SMALL, loss=loss))


def test_labels_that_training_has_not():
    with pytest.raises(ValueError, match=r"held_out\[1\] holds 'd' in row 1"):
        fit_many(X, NAMES[CODES], Model(**SMALL, loss="softmax"), held_out=(X[:2], ["a", "d"]))


def test_progress_says_how_many_are_done(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rich.console", None)  # the plain line
    seen = []
    models = [Model(**SMALL, seed=seed) for seed in range(3)]
    loud = fit_many(X, X[:, 0], models, verbose=1, on_finished=lambda index, result: seen.append(index))
    shown = capsys.readouterr().err
    assert "fit_many: 3/3 models, loss " in shown
    assert sorted(seen) == [0, 1, 2]
    quiet = fit_many(X, X[:, 0], models)
    assert capsys.readouterr().err == ""
    assert_array_equal(loud.thetas, quiet.thetas)
