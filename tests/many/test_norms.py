"""Norms of a trained network against PyTorch's Jacobian of the same network."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from rfpcore.many import Model, fit_many
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


def test_misuse():
    found = fit_many(X, Y, Model((2,), n_steps=1))[0]
    with pytest.raises(ValueError, match="X has 3 features; the network has 4 inputs"):
        found.norms(X[:, :3])
