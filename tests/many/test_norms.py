"""Norms of a trained network against PyTorch's Jacobian of the same network."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from rfpcore.many import Model, Record, fit_many
from rfpcore.optimizers import SGD
from rfpcore.regularize import BatchNorm
from rfpcore.torch_reference import ACTIVATIONS, forward

RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(40, 4))
Y = RANDOM.normal(size=(40, 3))


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("hidden", [(), (5,), (6, 7)], ids=str)
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"regularization": BatchNorm()}], ids=str)
def test_norms(hidden, activation, options):
    """To rounding: both are float64."""
    model = Model(hidden, activation, optimizer=SGD(0.02), n_steps=30, batch_size=20, **options)
    found = fit_many(X, Y, model)[0]
    norms, theta = found.norms(X[:9]), torch.tensor(found.parameters())
    jacobians = torch.func.vmap(torch.func.jacrev(lambda x: forward(found.net, theta, x)))(
        torch.tensor(X[:9])
    )
    assert_allclose(norms.jacobian, torch.linalg.matrix_norm(jacobians).mean(), rtol=1e-10)
    layers = found.net.unflatten(found.parameters())
    assert_allclose(norms.weights, [np.sqrt((W**2).sum()) for W, _ in layers], rtol=1e-12)
    h, lengths = torch.tensor(X[:9]), []
    for W, b in layers[:-1]:
        h = ACTIVATIONS[activation](h @ torch.tensor(W) + (torch.tensor(b) if len(b) else 0))
        lengths.append(float(h.norm(dim=1).mean()))
    assert_allclose(norms.hidden, lengths, rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("hidden", [(), (5,), (6, 17)], ids=str)
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"regularization": BatchNorm()}], ids=str)
def test_recorded_norms_are_those_of_recorded_parameters(hidden, options, dtype):
    """Sums of squares in float64 of the same numbers: to rounding; folding in float32 is done twice alike."""
    model = Model(hidden, "tanh", optimizer=SGD(0.02), n_steps=30, batch_size=20, **options)
    record = Record(every=7, thetas=True, norms=True)
    found = fit_many(X, Y, model, record=record, dtype=dtype)
    one = found[0]
    assert one.weight_norms.shape == (6, len(hidden) + 1)
    for step, norms in zip(one.steps, one.weight_norms, strict=True):
        assert_allclose(norms, one.norms(X[:5], int(step)).weights, rtol=1e-12)
    last, recorded = one.norms(X[:9]), one.norms(X[:9], 30)
    assert (recorded.jacobian, recorded.hidden.tolist()) == (last.jacobian, last.hidden.tolist())
    assert_allclose(found.to_frame()["weight_norm"], np.linalg.norm(one.weight_norms, axis=1))
    assert (found.recorded_weight_norms[0] == one.weight_norms).all()


def test_recording_norms_changes_nothing_else():
    model = Model((6,), optimizer=SGD(0.02), n_steps=30, batch_size=20)
    plain, norms = (
        fit_many(X, Y, model, record=Record(steps=[3, 30], losses=False, metrics=False, norms=norms))[0]
        for norms in (False, True)
    )
    assert (plain.theta == norms.theta).all()
    assert plain.weight_norms.shape == (0, 2)
    assert norms.weight_norms.shape == (2, 2)
    assert not len(norms.train_losses)


def test_misuse():
    found = fit_many(X, Y, Model((2,), n_steps=1))[0]
    with pytest.raises(ValueError, match=r"step=1, but no parameters are recorded; Record\(thetas=True\)"):
        found.norms(X, 1)
    recorded = fit_many(X, Y, Model((2,), n_steps=4), record=Record(every=2, thetas=True))[0]
    with pytest.raises(ValueError, match=r"step=3 is not recorded; the steps are \[0, 2, 4\]"):
        recorded.norms(X, 3)
    with pytest.raises(ValueError, match="X has 3 features; the network has 4 inputs"):
        found.norms(X[:, :3])
