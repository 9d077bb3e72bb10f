"""The kernel's derivatives against central differences of its value, in float64: no other library needed."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import rfpcore

# Five points, error h^4 |f^(5)| / 30 + eps |f| / h: with h = 1e-3 both are about 1e-12 for f of order one.
H = 1e-3
TOLERANCE = 1e-8


def slope(function, direction):
    """Derivative of function(step * direction) at step 0."""
    f = [function(m * H * direction) for m in (-2, -1, 1, 2)]
    return (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * H)


def make(loss="squared", activation="tanh", n_outputs=2, hidden=(7, 3), **clusters):
    random = np.random.default_rng(0)
    X = random.standard_normal((23, 3))
    numbers = random.standard_normal((23, n_outputs))
    y = {
        "logistic": random.random((23, n_outputs)),
        "softmax": random.integers(0, n_outputs, 23),
        "poisson": random.poisson(1.0, (23, n_outputs)),
        "cross_entropy": random.dirichlet(np.ones(n_outputs), 23),
    }.get(loss, numbers)
    net = rfpcore.MLP(3, hidden, n_outputs, activation)
    theta = net.init(1) + 0.1 * random.standard_normal(net.n_parameters)
    return net, theta, rfpcore.Clusters(X, y, np.arange(23) % 4, **clusters), random


VARIANTS = {
    "plain": {},
    "no steps": {"inner_steps": 0},
    "many steps": {"inner_steps": 8},
    "maml": {"alpha": 0.0},
    "momentum": {"inner_momentum": 0.9},
    "head only": {"adapt_layers": "last"},
}


def check(net, theta, data, random, **options):
    lr = random.uniform(0.01, 0.05, len(theta))
    options = {"alpha": 0.3, "inner_steps": 3} | options
    alpha = options.pop("alpha")
    result = rfpcore.objective(net, theta, data, alpha, inner_lr=lr, **options)

    def value(theta=theta, alpha=alpha, lr=lr):
        return rfpcore.value_and_grad(net, theta, data, alpha, inner_lr=lr, **options)[0]

    size = np.linalg.norm(result.gradient) + abs(result.value)
    for _ in range(4):
        d = random.standard_normal(len(theta))
        d /= np.linalg.norm(d)
        assert_allclose(result.gradient @ d, slope(lambda s: value(theta + s), d), atol=TOLERANCE * size)
        # Steps are positive; a move of at most H / 2 keeps them so.
        d /= 4 * np.abs(d).max()
        assert_allclose(
            result.inner_lr_gradient @ d, slope(lambda s: value(lr=lr + s), d), atol=TOLERANCE * size
        )
    # R_k is linear in alpha: two values suffice.
    assert_allclose(result.alpha_gradient, value(alpha=1.0) - value(alpha=0.0), atol=1e-12 * size)


@pytest.mark.parametrize("variant", VARIANTS)
def test_options(variant):
    net, theta, data, random = make()
    check(net, theta, data, random, **VARIANTS[variant])


@pytest.mark.parametrize("loss", rfpcore.losses.TABLE)
@pytest.mark.parametrize("activation", ["identity", "tanh", "softplus", "silu", "gelu"])
def test_losses_and_activations(loss, activation):
    net, theta, data, random = make(loss, activation)
    check(net, theta, data, random, loss=loss)


@pytest.mark.parametrize("cluster_weight", ["size", "weight", [0.0, 1.0, 2.0, 3.0]])
def test_weights_and_query_split(cluster_weight):
    weights = np.random.default_rng(1).uniform(0.1, 2, 23)
    query = np.arange(23) % 3 == 0
    net, theta, data, random = make(sample_weight=weights, query=query, cluster_weight=cluster_weight)
    check(net, theta, data, random)


@pytest.mark.parametrize("hidden", [(), (1,), (5,), (4, 3, 2)])
def test_depths(hidden):
    net, theta, data, random = make(hidden=hidden)
    check(net, theta, data, random)


def test_first_order_is_the_gradient_where_the_steps_end():
    """alpha grad L(theta) + (1 - alpha) sum_c n_c / N grad L_c(theta_c^k), from ordinary gradients alone."""
    net, theta, data, _ = make()
    found = rfpcore.value_and_grad(net, theta, data, 0.3, 4, 0.05, order="first")[1]
    thetas, _ = rfpcore.adapt(net, theta, data, 4, 0.05)
    expected = 0.3 * rfpcore.value_and_grad(net, theta, data, alpha=1)[1]
    for c, own in enumerate(thetas):
        rows = slice(*data.offsets[c : c + 2])
        cluster = rfpcore.Clusters(data.X[rows], data.y[rows])
        share = data.sizes[c] / data.n_rows
        expected += 0.7 * share * rfpcore.value_and_grad(net, own, cluster, alpha=1)[1]
    assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("loss", rfpcore.losses.TABLE)
def test_hvp(loss):
    net, theta, data, random = make(loss)
    v = random.standard_normal(len(theta))

    def gradient(t):
        return rfpcore.value_and_grad(net, t, data, alpha=1, inner_steps=0, loss=loss)[1]

    expected = slope(lambda s: gradient(theta + s), v)
    found = rfpcore.hvp(net, theta, v, data, loss)
    assert_allclose(found, expected, atol=TOLERANCE * np.linalg.norm(expected))


def test_curvature_is_the_largest_eigenvalue():
    net, theta, data, _ = make(hidden=(4,))
    for c, lam in enumerate(rfpcore.curvature(net, theta, data, n_iterations=300)):
        rows = slice(*data.offsets[c : c + 2])
        cluster = rfpcore.Clusters(data.X[rows], data.y[rows])
        hessian = np.array([rfpcore.hvp(net, theta, e, cluster) for e in np.eye(len(theta))])
        assert_allclose(lam, np.linalg.eigvalsh(hessian)[-1], rtol=1e-6)
