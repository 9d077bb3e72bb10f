"""The network: a value, its parameters' layout and its forward pass."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import rfpcore

ACTIVATIONS = {
    "identity": lambda z: z,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "softplus": lambda z: np.logaddexp(z, 0),
    "silu": lambda z: z / (1 + np.exp(-z)),
}


def test_mlp_is_a_value():
    net = rfpcore.MLP(3, [4, 5], n_outputs=2, activation="relu")
    assert net == rfpcore.MLP(3, (4, 5), 2, "relu") != rfpcore.MLP(3, (4,), 2, "relu")
    assert len({net, pickle.loads(pickle.dumps(net)), copy.deepcopy(net)}) == 1
    assert repr(net) == "MLP(n_inputs=3, hidden_layer_sizes=(4, 5), n_outputs=2, activation='relu')"
    assert net.n_parameters == (3 + 1) * 4 + (4 + 1) * 5 + (5 + 1) * 2
    with pytest.raises(AttributeError):
        net.n_inputs = 4


def test_init_has_the_stated_distribution_and_is_reproducible():
    net = rfpcore.MLP(400, (300,), 200)
    theta = net.init(random_state=0)
    for W, b in net.unflatten(theta):
        # 120000 and 60000 draws: the standard deviation is known to 0.2-0.3 %, so 1 % is over three of them.
        assert abs(W.std() * np.sqrt(len(W)) - 1) < 0.01
        assert_array_equal(b, 0)
    assert_array_equal(theta, net.init(random_state=0))
    assert_array_equal(net.init(0, dtype=np.float32), theta.astype(np.float32))
    assert not np.array_equal(net.init(), net.init())
    for source in (np.random.default_rng, np.random.RandomState):
        assert_array_equal(net.init(source(3)), net.init(source(3)))


def test_unflatten_gives_views():
    net = rfpcore.MLP(2, (3,), 1)
    theta = np.arange(13.0)
    (W0, b0), (W1, b1) = net.unflatten(theta)
    assert_array_equal(W0, [[0, 1, 2], [3, 4, 5]])
    assert_array_equal(b0, [6, 7, 8])
    assert_array_equal(W1, [[9], [10], [11]])
    b1[0] = -1
    assert theta[12] == -1


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predict_is_the_forward_pass(activation, dtype):
    net = rfpcore.MLP(3, (7, 17), 2, activation)
    theta, X = net.init(0, dtype), np.random.default_rng(1).standard_normal((11, 3))
    h, layers = X, net.unflatten(theta.astype(float))
    for W, b in layers[:-1]:
        h = ACTIVATIONS[activation](h @ W + b)
    outputs = net.predict(theta, X)
    assert outputs.dtype == dtype
    assert outputs.shape == (11, 2)
    # Sums of at most 17 terms of order one, in three layers: a few hundred roundings at the very most.
    assert_allclose(outputs, h @ layers[-1][0] + layers[-1][1], rtol=0, atol=300 * np.finfo(dtype).eps)
