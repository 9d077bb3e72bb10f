"""`Record(intervals=True)`: mean gradients of the steps between two records, as applied and of the bare loss.

The oracle is PyTorch's autograd on the same batches, masks, noise and mixtures, at the parameters recorded
before each step; for plain descent also how far the parameters have moved.
"""

import itertools

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch_many import Network, changed, masks_of, row_losses, smoothed

from rfpcore import _rfpcore
from rfpcore.many import Model, Record, fit_many
from rfpcore.optimizers import SGD, Adam, AdamW, Cosine
from rfpcore.regularize import (
    L1,
    L2,
    BatchNorm,
    ClipNorm,
    Dropout,
    EarlyStopping,
    InputNoise,
    LabelSmoothing,
    MaxNorm,
    Mixup,
    Shifts,
)

random = np.random.default_rng(11)
X = random.normal(size=(60, 4))
Y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
CLASSES = random.integers(0, 3, 60)
WEIGHTS = random.exponential(size=60) * (random.random(60) < 0.8)

EVERY = Record(every=1, losses=False, metrics=False, thetas=True, intervals=True)
SEVENTH = Record(every=7, losses=False, metrics=False, thetas=True, intervals=True)

PENALTIES = [
    None,
    L2(0.3),
    L2(0.3, biases=False),
    L2(0.3, decoupled=True),
    L1(0.05),
    L1(0.05, biases=False),
    L1(0.05, smoothing=0.1) + L2(0.1),
    L1(0.05, method="decoupled", smoothing=0.1, biases=False),
    ClipNorm(0.3),
    ClipNorm(0.3) + L2(0.3, decoupled=True) + L1(0.02),
]

DISTURBED = [
    LabelSmoothing(0.2),
    InputNoise(0.4),
    Mixup(0.4) + LabelSmoothing(0.1),
    Shifts((2, 2), offsets=(-1, 1), probability=0.7),
    Dropout(0.4),
    Dropout((0.6, 0.1), mask="row") + L2(0.1) + ClipNorm(0.5),
    Dropout(0.3) + Mixup(1.0) + InputNoise(0.1) + L1(0.02),
]


def model(**options):
    defaults = {"hidden_layer_sizes": (7, 17), "loss": "softmax", "optimizer": SGD(0.1), "batch_size": 16}
    return Model(**(defaults | {"n_steps": 17, "seed": 3} | options))


def trained(one, record=EVERY, **options):
    y, n_outputs = (CLASSES, 3) if one.loss == "softmax" else (Y, 1)
    return fit_many(X, y, one, record=record, n_outputs=n_outputs, **options)[0]


def torch_gradient(one, theta, x, t, own, masks=()):
    """Of a batch's loss at flat parameters."""
    network = Network(one, one.net(X.shape[1], t.shape[1]), theta)
    (own * row_losses(one.loss, network(x, masks), t)).mean().backward()
    pairs = [(layer.weight.grad.T, layer.bias) for layer in network.linear]
    parts = [p for weight, bias in pairs for p in (weight, None if bias is None else bias.grad)]
    return torch.cat([p.reshape(-1) for p in parts if p is not None]).numpy()


def penalised(one, gradient, theta):
    """Scaled down, with the gradients of the penalties: by hand."""
    terms = one.terms
    sizes = [4, *one.hidden_layer_sizes, 3 if one.loss == "softmax" else 1]
    pairs = itertools.pairwise(sizes)
    is_weight = np.concatenate([np.repeat([1.0, 0.0], [a * b, b * one.bias]) for a, b in pairs])
    if (clip := terms.get(ClipNorm)) is not None:
        gradient = gradient * min(1.0, clip.limit / np.linalg.norm(gradient))
    if (l2 := terms.get(L2)) is not None:
        gradient = gradient + l2.strength * theta * (1.0 if l2.biases else is_weight)
    if (l1 := terms.get(L1)) is not None:
        slope = np.clip(theta / l1.smoothing, -1, 1) if l1.smoothing else np.sign(theta)
        gradient = gradient + l1.strength * slope * (1.0 if l1.biases else is_weight)
    return gradient


def expected(one, thetas, weights=None):
    """Applied and bare gradient of each step, at the parameters before it."""
    y = (CLASSES if one.loss == "softmax" else Y).reshape(60, 1)
    rows = np.arange(60) if weights is None else np.flatnonzero(weights)
    w = np.ones(len(rows)) if weights is None else weights[rows] / weights[rows].mean()
    n_outputs = 3 if one.loss == "softmax" else 1
    kernel, bare_model = one.kernel(one.net(4, n_outputs)), Model(loss=one.loss)
    soft, bare = smoothed(one, y[rows], n_outputs), smoothed(bare_model, y[rows], n_outputs)
    found = []
    for step, theta in enumerate(thetas[:-1]):
        drawn = _rfpcore.draws(kernel, len(rows), step)
        batch = drawn["rows"]
        x, own = torch.tensor(X[rows[batch]]), torch.tensor(w[batch])
        applied = torch_gradient(
            one, theta, *changed(one.terms, drawn, x, soft[batch], own), masks_of(one, drawn)
        )
        found.append((penalised(one, applied, theta), torch_gradient(one, theta, x, bare[batch], own)))
    return map(np.array, zip(*found, strict=True))


# Gradients agree to rounding; a few hundred sums.
TOLERANCE = {"rtol": 1e-11, "atol": 1e-13}


@pytest.mark.parametrize("optimizer", [SGD(0.1), SGD(0.1, momentum=0.9), Adam(0.02)], ids=str)
@pytest.mark.parametrize("terms", [*PENALTIES, *DISTURBED], ids=str)
def test_beside_autograd(terms, optimizer):
    one = model(regularization=terms, optimizer=optimizer)
    each = trained(one)
    applied, bare = expected(one, each.thetas)
    assert_array_equal(each.applied_gradients[0], 0)
    assert_array_equal(each.bare_gradients[0], 0)
    assert_allclose(each.applied_gradients[1:], applied, **TOLERANCE)
    assert_allclose(each.bare_gradients[1:], bare, **TOLERANCE)
    seventh = trained(one, SEVENTH)
    assert_array_equal(seventh.steps, [0, 7, 14, 17])
    bounds = itertools.pairwise(seventh.steps)
    for line, (start, stop) in enumerate(bounds, 1):
        assert_allclose(seventh.applied_gradients[line], applied[start:stop].mean(0), **TOLERANCE)
        assert_allclose(seventh.bare_gradients[line], bare[start:stop].mean(0), **TOLERANCE)


@pytest.mark.parametrize("other", [None, L2(0.3), Dropout(0.3)], ids=str)
@pytest.mark.parametrize("hidden", [(), (7, 17)], ids=str)
def test_clipping_without_biases(hidden, other):
    """The norm is that of the weights: biases that are not there have no part in it."""
    terms = [ClipNorm(0.1)] if other is None else [ClipNorm(0.1), other]
    one = model(bias=False, regularization=terms, hidden_layer_sizes=hidden)
    each = trained(one)
    applied, bare = expected(one, each.thetas)
    assert_allclose(each.applied_gradients[1:], applied, **TOLERANCE)
    assert_allclose(each.bare_gradients[1:], bare, **TOLERANCE)


@pytest.mark.parametrize("terms", [None, L2(0.1), Dropout(0.4), LabelSmoothing(0.2), Mixup(0.5)], ids=str)
def test_row_weights(terms):
    one = model(regularization=terms, optimizer=AdamW(0.02, weight_decay=0.0), batch_size=11)
    each = trained(one, row_weights=WEIGHTS)
    applied, bare = expected(one, each.thetas, WEIGHTS)
    assert_allclose(each.applied_gradients[1:], applied, **TOLERANCE)
    assert_allclose(each.bare_gradients[1:], bare, **TOLERANCE)


@pytest.mark.parametrize("hidden", [(), (5,), (50, 3)])
@pytest.mark.parametrize("terms", PENALTIES, ids=str)
def test_displacement_of_descent(hidden, terms):
    """θ_a − θ_b is the sum of lr times the applied gradient: to rounding of parameters of about 1."""
    one = model(hidden_layer_sizes=hidden, regularization=terms, loss="squared", activation="relu")
    found = trained(one, SEVENTH)
    moved = found.thetas[:-1] - found.thetas[1:]
    steps = np.diff(found.steps)[:, None]
    assert np.abs(moved).max() > 1e-3
    assert_allclose(moved, 0.1 * steps * found.applied_gradients[1:], rtol=1e-12, atol=1e-14)


def test_displacement_with_a_schedule():
    """Step by step, the rates are those of the optimizer's own `learning_rates`."""
    one = model(optimizer=SGD(0.1, schedule=Cosine(12)), regularization=L2(0.3), loss="squared")
    found = trained(one)
    moves = one.optimizer.learning_rates(0, 17)[:, None] * found.applied_gradients[1:]
    assert_allclose(found.thetas[0] - found.thetas[-1], moves.sum(0), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("terms", [None, L2(0.3), MaxNorm(0.6), L1(0.05, method="proximal")], ids=str)
@pytest.mark.parametrize("batch_size", [1, 16, None, 700])
@pytest.mark.parametrize("hidden", [(), (5,), (64, 70)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_recording_changes_no_bit(terms, batch_size, hidden, dtype):
    """Descent steps within the pass, and writes the gradient beside; 700 rows go through in parts."""
    many_rows = np.tile(X, (12, 1))
    one = model(hidden_layer_sizes=hidden, regularization=terms, batch_size=batch_size, n_steps=5)
    options = {"n_outputs": 3, "dtype": dtype}
    plain = fit_many(many_rows, np.tile(CLASSES, 12), one, **options)
    watched = fit_many(many_rows, np.tile(CLASSES, 12), one, record=EVERY, **options)
    assert_array_equal(plain.thetas, watched.thetas)
    assert plain[0].applied_gradients.shape[0] == plain[0].bare_gradients.shape[0] == 0


@pytest.mark.parametrize("terms", [None, L2(0.1) + ClipNorm(0.3), Dropout(0.4), Mixup(0.5)], ids=str)
def test_single_precision_follows(terms):
    """Gradients of size 0.1 at parameters that are apart by single precision's rounding of 17 steps."""
    one = model(regularization=terms)
    double, single = (trained(one, SEVENTH, dtype=kind) for kind in (np.float64, np.float32))
    for name in ("applied_gradients", "bare_gradients"):
        assert getattr(single, name).dtype == np.float32
        assert_allclose(getattr(single, name), getattr(double, name), atol=2e-6)


def test_steps_that_are_listed():
    one = model(regularization=Dropout(0.3), optimizer=SGD(0.1, schedule=Cosine(20)))
    each = trained(one)
    listed = trained(one, Record(steps=[4, 5, 11], thetas=True, intervals=True))
    assert_array_equal(listed.theta, each.theta)
    for name in ("applied_gradients", "bare_gradients"):
        every = getattr(each, name)[1:]
        means = [every[:4].mean(0), every[4], every[5:11].mean(0)]
        assert_allclose(getattr(listed, name), means, **TOLERANCE)


def test_training_that_stops_early_or_diverges():
    terms = EarlyStopping(patience=2, every=5)
    one = model(regularization=terms, optimizer=SGD(3.0), n_steps=400, loss="squared")
    data = {"held_out": (X, Y)}
    found = fit_many(X, Y, one, record=Record(every=7, thetas=True, intervals=True), **data)[0]
    assert found.status == "stopped"
    assert found.steps[-1] == found.n_steps
    assert len(found.applied_gradients) == len(found.bare_gradients) == len(found.steps)
    moved = found.thetas[:-1] - found.thetas[1:]
    assert_allclose(moved, 3.0 * np.diff(found.steps)[:, None] * found.applied_gradients[1:], rtol=1e-11)


def test_results_of_many_models_hold_them():
    result = fit_many(X, Y, [model(loss="squared"), model(loss="squared", seed=1)], record=SEVENTH)
    for index, one in enumerate(result):
        assert_array_equal(result.recorded_applied_gradients[index], one.applied_gradients)
        assert_array_equal(result.recorded_bare_gradients[index], one.bare_gradients)
    assert not len(result[0].without_parameters().bare_gradients)


def test_misuse():
    with pytest.raises(ValueError, match="gradients recorded with batch normalization"):
        trained(model(regularization=BatchNorm(), batch_size=30), SEVENTH)
    with pytest.raises(TypeError, match=r"intervals='yes' is a str"):
        Record(every=1, intervals="yes")
