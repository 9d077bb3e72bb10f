"""Gradients at many parameters, and derivatives of the outputs, against torch.func and differences."""

from typing import get_args

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import rfpcore
from rfpcore._options import Activation

torch = pytest.importorskip("torch", reason="the oracle needs torch: pip install rfpcore[torch]")
from rfpcore import torch_reference  # noqa: E402

SHAPES = [((), 1), ((), 3), ((1,), 1), ((5,), 2), ((4, 3, 2), 1), ((33, 17), 5)]


def problem(hidden=(5,), n_outputs=2, activation="tanh", n_rows=23, dtype=np.float64):
    random = np.random.default_rng(len(hidden) + n_outputs)
    net = rfpcore.MLP(3, hidden, n_outputs, activation)
    theta = net.init(1) + 0.1 * random.standard_normal(net.n_parameters)
    v, w = random.standard_normal(net.n_parameters), random.standard_normal((n_rows, n_outputs))
    X = random.standard_normal((n_rows, 3))
    return net, *(a.astype(dtype) for a in (theta, v, w, X))


def oracle(net, theta, v, w, X):
    """J v, J'w and the Hessian product by reverse-mode torch.func alone, in float64."""
    at, along, weights, x = (torch.tensor(a, dtype=torch.float64) for a in (theta, v, w, X))

    def outputs(t):
        return torch_reference.forward(net, t, x)

    def pulled(weights, t=at):  # J'w, linear in w: its gradient along v is J v
        return torch.func.vjp(outputs, t)[1](weights)[0]

    slope = torch.func.grad(lambda u: pulled(u) @ along)(weights)
    product = torch.func.grad(lambda t: pulled(weights, t) @ along)(at)
    gradient = pulled(weights)
    return [np.asarray(a) for a in (slope, gradient, product)]


def found_by_kernel(net, theta, v, w, X, n_jobs=None):
    return [
        rfpcore.jvp(net, theta, v, X, n_jobs),
        rfpcore.vjp(net, theta, w, X, n_jobs),
        rfpcore.output_hvp(net, theta, v, w, X, n_jobs),
    ]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-4)])
@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize(("hidden", "n_outputs"), SHAPES, ids=str)
def test_outputs_as_torch(hidden, n_outputs, activation, dtype, tolerance):
    case = problem(hidden, n_outputs, activation, dtype=dtype)
    for found, expected in zip(found_by_kernel(*case), oracle(*case), strict=True):
        assert (found.dtype, found.shape) == (dtype, expected.shape)
        # Relative in norm; a linear model's second derivatives are exactly zero.
        assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected)


def test_outputs_of_many_rows_on_any_threads():
    """Several parts of rows, and a cluster that is split over the threads."""
    case = problem((64, 32), n_rows=5000)
    one = found_by_kernel(*case, n_jobs=1)
    for found, expected in zip(one, oracle(*case), strict=True):
        assert np.linalg.norm(found - expected) <= 1e-10 * np.linalg.norm(expected)
    for n_jobs in (2, 3):
        for found, same in zip(found_by_kernel(*case, n_jobs=n_jobs), one, strict=True):
            assert_array_equal(found, same)


@pytest.mark.parametrize("activation", ["identity", "tanh", "softplus", "silu", "gelu"])
def test_outputs_as_differences(activation):
    net, theta, v, w, X = problem((4, 3), 2, activation)
    h = 1e-5  # error h^2 f'''/6 + eps/h: 1e-10
    slope, gradient, product = found_by_kernel(net, theta, v, w, X)
    ahead, behind = theta + h * v, theta - h * v
    assert_allclose(slope, (net.predict(ahead, X) - net.predict(behind, X)) / (2 * h), atol=1e-8)
    assert_allclose(gradient @ v, (w * slope).sum(), rtol=1e-11)  # both are w' J v
    change = rfpcore.vjp(net, ahead, w, X) - rfpcore.vjp(net, behind, w, X)
    assert_allclose(product, change / (2 * h), atol=1e-7)


def clusters(n_rows=40, loss="squared", **options):
    random = np.random.default_rng(3)
    X = random.standard_normal((n_rows, 3))
    y = random.integers(0, 2, n_rows) if loss == "softmax" else random.standard_normal((n_rows, 2))
    return rfpcore.Clusters(X, y, np.arange(n_rows) % 5, **options)


def thetas_of(net, count):
    return np.random.default_rng(4).standard_normal((count, net.n_parameters)) / 2


@pytest.mark.parametrize("loss", ["squared", "softmax"])
@pytest.mark.parametrize("options", ["plain", "weighted", "split"])
def test_gradient_is_that_of_the_mean_loss(loss, options):
    weights = np.random.default_rng(5).uniform(0.1, 2, 40)
    given = {
        "plain": {},
        "weighted": {"sample_weight": weights, "cluster_weight": [1.0, 0.0, 2.0, 0.5, 3.0]},
        "split": {"query": np.arange(40) % 3 == 0},
    }[options]
    net, data = rfpcore.MLP(3, (5,), 2), clusters(loss=loss, **given)
    thetas = thetas_of(net, 4)
    many = rfpcore.gradient(net, thetas, data, loss)
    for theta, found in zip(thetas, many, strict=True):
        expected = torch_reference.value_and_grad(net, theta, data, 1.0, 0, 0.1, loss=loss).gradient
        assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
        assert_array_equal(found, rfpcore.gradient(net, theta, data, loss))
        same = rfpcore.value_and_grad(net, theta, data, alpha=1.0, inner_steps=0, loss=loss)[1]
        assert_array_equal(found, same)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 2, 30])
def test_gradients_on_any_threads(count, dtype):
    """Fewer points than threads, which share the rows, and more, which share the points."""
    net, data = rfpcore.MLP(3, (40, 40), 2), clusters(3000)
    thetas = thetas_of(net, count).astype(dtype)
    one = rfpcore.gradient(net, thetas, data, n_jobs=1)
    assert (one.dtype, one.shape) == (dtype, thetas.shape)
    for n_jobs in (2, 4):
        assert_array_equal(rfpcore.gradient(net, thetas, data, n_jobs=n_jobs), one)


def test_a_point_that_diverges_is_named():
    net, data = rfpcore.MLP(3, (5,), 2), clusters()
    thetas = thetas_of(net, 3)
    thetas[1] = 1e200
    message = r"theta\[1\]: the loss of cluster 0 is inf at inner step 0; 5 of 5 clusters"
    with pytest.raises(rfpcore.DivergenceError, match=message):
        rfpcore.gradient(net, thetas, data)


MISUSE = {
    "width": (lambda g, n, t, d, X: g(n, t[:, :-1], d), r"theta has shape \(2, 31\).*\(T, 32\)"),
    "none": (lambda g, n, t, d, X: g(n, t[:0], d), r"theta has shape \(0, 32\).*T at least 1"),
    "deep": (lambda g, n, t, d, X: g(n, t[None], d), r"theta has shape \(1, 2, 32\)"),
    "nan": (lambda g, n, t, d, X: g(n, t * np.nan, d), "theta.*64.*nan"),
    "v": (lambda g, n, t, d, X: rfpcore.jvp(n, t[0], t[0, 1:], X), r"v has shape \(31,\)"),
    "w": (lambda g, n, t, d, X: rfpcore.vjp(n, t[0], X[:, 0], X), r"w has shape \(40,\).*\(40, 2\)"),
    "X": (lambda g, n, t, d, X: rfpcore.jvp(n, t[0], t[0], X[:, 1:]), "X has 2 features"),
    "large": (lambda g, n, t, d, X: rfpcore.vjp(n, t[0], X[:, 1:] * 5e307, X), "finite"),
}


@pytest.mark.parametrize("case", MISUSE)
def test_own_words(case):
    call, message = MISUSE[case]
    net, data = rfpcore.MLP(3, (5,), 2), clusters()
    with pytest.raises(ValueError, match=message):
        call(rfpcore.gradient, net, thetas_of(net, 2), data, np.asarray(data.X))
