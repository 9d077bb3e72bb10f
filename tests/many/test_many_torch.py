"""Every optimizer and regularizer beside PyTorch: parameters after 50 steps agree to 1e-9 in float64."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from torch_many import train

from rfpcore.many import Model, Record, fit_many
from rfpcore.optimizers import SGD, Adam, AdamW, Cosine, PowerLaw, Step
from rfpcore.regularize import (
    L1,
    L2,
    BatchNorm,
    ClipNorm,
    Dropout,
    InputNoise,
    LabelSmoothing,
    MaxNorm,
    Mixup,
    Shifts,
)

# Gradients agree to 1e-15; fifty steps, some through square roots of small moments, lose a few digits.
TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}

random = np.random.default_rng(5)
X = random.normal(size=(90, 6))
CLASSES = random.integers(0, 3, 90)
TARGETS = {
    "squared": random.normal(size=(90, 2)),
    "softmax": CLASSES,
    "logistic": (random.random((90, 2)) < 0.5).astype(float),
    "poisson": random.poisson(2.0, (90, 2)).astype(float),
    "cross_entropy": random.dirichlet(np.ones(3), 90),
}
OUTPUTS = {"squared": 2, "softmax": 3, "logistic": 2, "poisson": 2, "cross_entropy": 3}


def compare(model, rows=None, weights=None, X=X):
    y, n_outputs = TARGETS[model.loss], OUTPUTS[model.loss]
    found = fit_many(
        X, y, model, rows=rows, row_weights=weights, n_outputs=n_outputs, record=Record(every=50)
    )
    theta = model.net(X.shape[1], n_outputs).init(model.seed)
    network, losses = train(model, X, y.astype(float), theta, n_outputs, rows, weights)
    assert not np.allclose(network.flat(), theta, rtol=0.01)  # it has moved
    assert_allclose(found.thetas[0], network.flat(), **TOLERANCE)
    assert_allclose(found[0].batch_norm, network.flat_batch_norm() if network.norms else [], **TOLERANCE)
    steps = -(-90 // (model.batch_size or 90)) if rows is None and weights is None else 0
    if steps:
        assert_allclose(found.loss_curves[0, 0], np.mean(losses[:steps]), rtol=1e-12)
    return found, network


def model(**options):
    defaults = {"hidden_layer_sizes": (7, 17), "loss": "softmax", "optimizer": SGD(0.2), "batch_size": 32}
    return Model(**(defaults | {"n_steps": 50, "seed": 3} | options))


OPTIMIZERS = [
    SGD(0.2),
    SGD(0.1, momentum=0.9),
    SGD(0.1, momentum=0.9, nesterov=True),
    Adam(0.02),
    Adam(0.02, beta1=0.5, beta2=0.9, epsilon=1e-3),
    AdamW(0.02, weight_decay=0.3),
    SGD(0.2, schedule=Cosine(80)),
    SGD(0.2, schedule=Step(20, 0.3)),
    Adam(0.02, schedule=PowerLaw(10, 1.5)),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_optimizers_and_schedules(optimizer):
    compare(model(optimizer=optimizer))


@pytest.mark.parametrize("activation", ["identity", "tanh", "relu", "softplus", "silu", "gelu"])
@pytest.mark.parametrize("loss", list(TARGETS))
def test_losses_and_activations(loss, activation):
    compare(model(loss=loss, activation=activation, optimizer=SGD(0.02), regularization=L2(0.1)))


@pytest.mark.parametrize("hidden", [(), (5,), (16, 16, 16), (70,)])
@pytest.mark.parametrize("batch_size", [None, 1, 13, 90, 1000])
def test_shapes(hidden, batch_size):
    compare(model(hidden_layer_sizes=hidden, batch_size=batch_size, optimizer=SGD(0.05)))


REGULARIZERS = [
    L2(0.3),
    L2(0.3, biases=False),
    L2(0.3, decoupled=True),
    L1(0.05),
    L1(0.05, biases=False),
    L1(0.05, smoothing=0.1),
    L1(0.05, method="decoupled"),
    L1(0.05, method="decoupled", smoothing=0.1, biases=False),
    L1(0.05, method="proximal"),
    L1(0.05, method="proximal", biases=False),
    ClipNorm(0.3),
    ClipNorm(0.3) + L2(0.3),
    MaxNorm(0.8),
    LabelSmoothing(0.2),
    LabelSmoothing(0.2, form="uniform"),
    InputNoise(0.4),
    Mixup(0.4),
    Mixup(3.0) + LabelSmoothing(0.1),
    Shifts((2, 3), offsets=(-1, 1)),
    Shifts((3, 2), offsets=(-1, 0, 1), probability=0.8) + Mixup(1.0) + InputNoise(0.1),
    Dropout(0.4),
    Dropout((0.6, 0.1), mask="row"),
    Dropout(0.4, inputs=0.2),
    Dropout(0.2, mask="row", inputs=0.3) + BatchNorm() + Mixup(1.0) + InputNoise(0.1),
    BatchNorm(),
    BatchNorm(momentum=0.5, epsilon=0.1),
    # Biases before a normalization have no gradient but rounding, which Adam would blow up where they decay.
    BatchNorm() + Dropout(0.3, mask="row") + L2(0.1, biases=False) + MaxNorm(1.0),
    L2(0.1)
    + L1(0.02, method="proximal")
    + Dropout(0.2)
    + LabelSmoothing(0.1)
    + ClipNorm(0.5)
    + InputNoise(0.1),
]


@pytest.mark.parametrize("optimizer", [SGD(0.2), Adam(0.02)], ids=["sgd", "adam"])
@pytest.mark.parametrize("regularization", REGULARIZERS, ids=str)
def test_regularizers(regularization, optimizer):
    compare(model(regularization=regularization, optimizer=optimizer))


@pytest.mark.parametrize("mask", ["batch", "row"])
def test_a_linear_model_drops_inputs(mask):
    compare(model(hidden_layer_sizes=(), regularization=Dropout(0.0, mask, 0.3), optimizer=SGD(0.2)))


@pytest.mark.parametrize("activation", ["identity", "relu", "softplus", "silu", "gelu"])
def test_layers_with_other_activations(activation):
    terms = BatchNorm() + Dropout(0.3) + L2(0.5)
    compare(model(activation=activation, regularization=terms, optimizer=SGD(0.1), loss="squared"))


NO_BIAS = [
    (SGD(0.2), None),
    (SGD(0.1, momentum=0.9), L2(0.1)),
    (Adam(0.02), ClipNorm(0.3) + L1(0.05, method="proximal")),
    (AdamW(0.02, weight_decay=0.3), MaxNorm(0.8)),
    (SGD(0.2), ClipNorm(0.3) + L1(0.05, smoothing=0.1)),
    (Adam(0.02), Dropout(0.4, inputs=0.2) + Mixup(1.0)),
]


@pytest.mark.parametrize(("optimizer", "regularization"), NO_BIAS, ids=str)
@pytest.mark.parametrize("hidden", [(7, 17), ()], ids=str)
@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_without_biases(hidden, activation, optimizer, regularization):
    """Softplus is not 0 at 0: its padded units would show."""
    if hidden or activation == "tanh":
        given = {"optimizer": optimizer, "regularization": regularization, "hidden_layer_sizes": hidden}
        compare(model(bias=False, activation=activation, **given))


@pytest.mark.parametrize("form", ["others", "uniform"])
def test_smoothed_binary_labels(form):
    compare(model(loss="logistic", regularization=LabelSmoothing(0.3, form=form) + Mixup(0.5)))


@pytest.mark.parametrize("loss", ["squared", "poisson", "logistic", "cross_entropy"])
def test_mixed_targets(loss):
    compare(model(loss=loss, regularization=Mixup(0.5), optimizer=SGD(0.02)))


@pytest.mark.parametrize("regularization", [None, Dropout(0.3), Mixup(0.7), BatchNorm()], ids=str)
@pytest.mark.parametrize("replacement", [False, True])
def test_rows_and_weights(regularization, replacement):
    bootstrap = random.integers(0, 90, 77)
    weights = random.exponential(size=90) * (random.random(90) < 0.7)
    options = {"regularization": regularization, "replacement": replacement, "batch_size": 20}
    compare(model(**options), rows=bootstrap)
    compare(model(**options), weights=weights)
    compare(model(**options), rows=bootstrap, weights=weights)


def test_shares_that_are_certain_are_codes():
    one_hot = np.eye(3)[CLASSES]
    for terms in (None, Mixup(0.5), Dropout(0.3) + BatchNorm()):
        codes = fit_many(X, CLASSES, model(regularization=terms))
        shares = fit_many(X, one_hot, model(loss="cross_entropy", regularization=terms))
        assert_allclose(shares.thetas, codes.thetas, rtol=1e-12, atol=1e-14)


def test_predictions_use_running_statistics():
    import torch

    found, network = compare(model(regularization=BatchNorm() + Dropout(0.2)))
    network.eval()
    with torch.no_grad():
        expected = network(torch.tensor(X)).numpy()
        loss = torch.nn.functional.cross_entropy(torch.tensor(expected), torch.tensor(CLASSES)).item()
    assert_allclose(found.predict(X)[0], expected, **TOLERANCE)
    assert_allclose(found.train_losses[0, -1], loss, **TOLERANCE)
    assert_allclose(found.train_accuracies[0, -1], (expected.argmax(1) == CLASSES).mean(), rtol=1e-12)


def test_single_precision_follows():
    """float32 after ten steps is float64's, to float32's rounding in ten steps of size 0.2."""
    for terms in (None, Dropout(0.3) + BatchNorm()):
        one = model(regularization=terms, n_steps=10)
        double, single = (fit_many(X, CLASSES, one, dtype=kind).thetas for kind in (np.float64, np.float32))
        assert_allclose(single, double, atol=2e-5)
