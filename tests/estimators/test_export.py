"""Modules of PyTorch predict what the estimators do."""

import io
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError
from small_networks import CODES, LABELS, SMALL, X, Y

from rfpcore import (
    EnsembleClassifier,
    EnsembleRegressor,
    MixedRegressor,
    MLPClassifier,
    MLPRegressor,
    RFPClassifier,
    RFPRegressor,
)
from rfpcore.export import to_torch

torch = pytest.importorskip("torch")

FAR = 1e4 + 1e3 * X  # of units that only standardising copes with
RFP = {"hidden_layer_sizes": (4, 3), "max_iter": 5, "inner_lr": 0.05, "random_state": 0}
GROUPS = np.arange(90) % 6
COUNTS = np.abs(np.rint(3 * Y))
TOLERANCE = {"float64": 1e-12, "float32": 1e-6}


def numbers(model, x):
    return model.predict(x).reshape(len(x), -1)


def probabilities(model, x):
    return model.predict_proba(x)


CASES = {
    "plain": (lambda d: MLPRegressor(**SMALL, dtype=d).fit(X, Y), numbers, X),
    "several outcomes": (lambda d: MLPRegressor(**SMALL, dtype=d).fit(X, np.stack([Y, -Y], 1)), numbers, X),
    "counts": (lambda d: MLPRegressor("poisson", **SMALL, dtype=d).fit(X, COUNTS), numbers, X),
    "units": (
        lambda d: MLPRegressor("huber", **SMALL, dtype=d, standardize=True).fit(FAR, 1e3 * Y - 50),
        numbers,
        FAR,
    ),
    "two classes": (lambda d: MLPClassifier(**SMALL, dtype=d).fit(X, CODES), probabilities, X),
    "classes": (
        lambda d: MLPClassifier(**SMALL, dtype=d, standardize=True).fit(FAR, LABELS),
        probabilities,
        FAR,
    ),
    "RFP": (lambda d: RFPRegressor(**RFP, dtype=d).fit(FAR, Y, GROUPS), numbers, FAR),
    "RFP, classes": (lambda d: RFPClassifier(**RFP, dtype=d).fit(X, LABELS, GROUPS), probabilities, X),
    "ensemble": (
        lambda d: EnsembleRegressor(MLPRegressor(**SMALL, dtype=d), 3, random_state=0).fit(X, Y),
        numbers,
        X,
    ),
    "ensemble, classes": (
        lambda d: EnsembleClassifier(MLPClassifier(**SMALL, dtype=d), 3, random_state=0).fit(X, LABELS),
        probabilities,
        X,
    ),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_predictions_are_the_same(name, dtype):
    fit, predict, rows = CASES[name]
    model, rows = fit(dtype), rows.astype(dtype)
    expected = predict(model, rows)
    with torch.no_grad():
        found = to_torch(model)(torch.tensor(rows)).numpy()
    assert found.shape == expected.shape
    assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype] * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("activation", ["identity", "tanh", "relu", "softplus", "silu", "gelu", "elu"])
def test_activations(activation):
    model = MLPRegressor(**SMALL, activation=activation).fit(X, Y)
    rows = np.vstack([X, 30 * X])
    with torch.no_grad():
        found = to_torch(model)(torch.tensor(rows))[:, 0].numpy()
    assert_allclose(found, model.predict(rows), rtol=1e-12, atol=1e-12)


def test_linear_outputs_are_those_of_the_network():
    model = MLPClassifier(**SMALL).fit(X, LABELS)
    with torch.no_grad():
        found = to_torch(model, output="linear")(torch.tensor(X)).numpy()
    assert_allclose(found, model.decision_function(X), rtol=0, atol=1e-12)
    ensemble = EnsembleClassifier(MLPClassifier(**SMALL), 2, random_state=0).fit(X, LABELS)
    with pytest.raises(ValueError, match="output='linear' is of one network"):
        to_torch(ensemble, output="linear")


def test_a_module_is_a_copy_that_trains_and_can_be_kept():
    model = MLPRegressor(**SMALL, standardize=True).fit(X, Y)
    module, before = to_torch(model), model.predict(X)
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    again = torch.load(buffer, weights_only=False)
    (module(torch.tensor(X))[:, 0] - torch.tensor(Y)).square().mean().backward()
    torch.optim.SGD(module.parameters(), lr=0.1).step()
    with torch.no_grad():
        assert_allclose(again(torch.tensor(X))[:, 0], before, atol=1e-12)
        assert not np.allclose(module(torch.tensor(X))[:, 0], before)
    assert_allclose(model.predict(X), before)
    exported = torch.export.export(again, (torch.tensor(X),)).module()
    with torch.no_grad():
        assert_allclose(exported(torch.tensor(X))[:, 0], before, atol=1e-12)


def test_what_is_refused(monkeypatch):
    with pytest.raises(TypeError, match="model is a MixedRegressor; one of MLPRegressor"):
        to_torch(MixedRegressor())
    with pytest.raises(NotFittedError):
        to_torch(MLPRegressor())
    model = MLPRegressor(**SMALL).fit(X, Y)
    with pytest.raises(ValueError, match="output='logits'"):
        to_torch(model, output="logits")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="to_torch needs torch"):
        to_torch(model)
