"""Batch normalisation in deep feature instrumental variables, against torch in float64."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from rfpcore.datasets import make_demand
from rfpcore.exceptions import InstrumentWarning
from rfpcore.npiv import DeepFeatureIV
from rfpcore.npiv._batch_norm import NormedNet

DATA = make_demand(60, random_state=0)


def normed(last, seed=0):
    """A network with parameters of no special values, in float64, and rows for it."""
    random = np.random.RandomState(seed)
    net = NormedNet((3, 9, 7, 5), 1e-3, 0.0, random, 1, last)
    net.theta = net.theta + 0.3 * random.standard_normal(len(net.theta))
    return net, random.standard_normal((40, 3)), random.standard_normal((40, 6))


def in_torch(net, last):
    """The published stack of layers with the same parameters."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    widths = (3, 9, 7, 5)
    linear = [nn.Linear(n, m) for n, m in itertools.pairwise(widths)]
    if last:
        norm = nn.BatchNorm1d(5)
        stack = nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2], norm)
        order = [*linear, norm]
    else:
        norm = nn.BatchNorm1d(7)
        stack = nn.Sequential(linear[0], nn.ReLU(), linear[1], norm, nn.ReLU(), linear[2], nn.ReLU())
        order = [*linear[:2], norm, linear[2]]
    stack, at = stack.double(), 0
    for layer in order:
        for parameter in (layer.weight, layer.bias):
            values = net.theta[at : at + parameter.numel()]
            at += parameter.numel()
            shape = tuple(parameter.shape)[::-1]  # weights lie inputs first here
            parameter.data = torch.tensor(values.reshape(shape).T.copy())
    assert at == len(net.theta)
    return torch, stack, norm, order


@pytest.mark.parametrize("last", [True, False])
def test_features_and_gradient_are_those_of_torch(last):
    """Float64 throughout: differences are rounding."""
    net, x, upstream = normed(last)
    torch, stack, norm, order = in_torch(net, last)
    torch.set_num_threads(1)
    norm.eps = 1e-5
    found = net.features(x)
    expected = stack(torch.tensor(x))
    assert_array_equal(found[:, 0], 1)
    assert_allclose(found[:, 1:], expected.detach().numpy(), rtol=1e-9, atol=1e-12)
    (expected * torch.tensor(upstream[:, 1:])).sum().backward()
    gradient = np.concatenate(
        [part.grad.numpy().T.ravel() for layer in order for part in (layer.weight, layer.bias)]
    )
    # Sums of 40 rows; those of the layer before are differences from a mean, 0 where it is a bias.
    assert_allclose(net.gradient(x, upstream), gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("last", [True, False])
def test_other_rows_have_the_statistics_of_those_in_training(last):
    net, x, upstream = normed(last)
    torch, stack, norm, _ = in_torch(net, last)
    net.features(x)
    gradient = net.gradient(x, upstream)
    norm.momentum = 1.0
    stack(torch.tensor(x))
    norm.running_var *= 39 / 40  # torch keeps the unbiased variance, and normalises by the other
    other = 2 * x[:3] + 1
    expected = stack.eval()(torch.tensor(other)).detach().numpy()
    assert_allclose(net.apply(other)[:, 1:], expected, rtol=1e-9, atol=1e-12)
    assert_array_equal(net.gradient(x, upstream), gradient)
    if last:
        with pytest.raises(ValueError, match="is not rectified"):
            net.folded()
    else:
        assert_allclose(net.folded().features(other)[:, 1:], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore:DeepFeatureIV predicts")
def test_prediction_of_a_row_does_not_depend_on_the_others():
    model = DeepFeatureIV(
        max_iter=2,
        hidden_layer_sizes_instrument=(8, 4),
        hidden_layer_sizes_covariates=(8, 6, 3),
        batch_norm=True,
        random_state=0,
    )
    model.fit(DATA.X, DATA.y, DATA.Z, DATA.covariates)
    whole = model.predict(DATA.X, DATA.covariates)
    # Products of matrices of other heights may round another way, in float32.
    assert_allclose(model.predict(DATA.X[:1], DATA.covariates[:1]), whole[:1], rtol=1e-5)


@pytest.mark.filterwarnings("ignore:DeepFeatureIV predicts")
def test_one_layer_of_covariates_is_left_as_it_is():
    """There is no hidden layer to normalise; the instruments' one layer is normalised."""
    net = DeepFeatureIV(
        max_iter=1,
        hidden_layer_sizes_instrument=(4,),
        hidden_layer_sizes_covariates=(3,),
        batch_norm=True,
        random_state=0,
    )
    fitted = net.fit(DATA.X, DATA.y, DATA.Z, DATA.covariates)
    assert fitted._structural.net_w.widths == (2, 3)
    with pytest.raises(TypeError, match="batch_norm='yes' is a str; True or False"):
        DeepFeatureIV(batch_norm="yes").fit(DATA.X, DATA.y, DATA.Z)


def test_noise_that_is_followed_is_said():
    """A second stage that has learnt its half by heart knows less of the other than a line does."""
    random = np.random.default_rng(0)
    z, u, W = random.standard_normal(300), random.standard_normal(300), random.standard_normal((300, 6))
    x, y = z + u, z + 2 * u + W[:, 0] + random.standard_normal(300)
    with pytest.warns(InstrumentWarning, match="has not seen worse than a linear second stage does: R2 -?0"):
        DeepFeatureIV(random_state=0).fit(x, y, z, covariates=W)
    DeepFeatureIV(max_iter=1, penalty=10.0, random_state=0).fit(
        x, y, z, covariates=W
    )  # no warning: an error here
