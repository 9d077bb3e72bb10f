"""Gradients of penalties against torch's, to 1e-10 relative in float64: both are exact."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose

import rfpcore
from rfpcore import MLP, Clusters
from rfpcore.implicit import (
    ActivationRidge,
    BatchVariance,
    DropoutCurvature,
    NuclearNorm,
    PathNorm,
    PerLayer,
    Proximal,
    Quadratic,
    SquaredGradient,
)
from rfpcore.implicit._penalty import as_penalties
from rfpcore.regularize import L1, L2

torch = pytest.importorskip("torch", reason="the oracle needs torch: pip install rfpcore[torch]")

ACTIVATIONS = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softplus": torch.nn.functional.softplus,
    "gelu": torch.nn.functional.gelu,
}
LOSSES = {
    "squared": lambda f, y: ((f - y) ** 2).sum(1),
    "logistic": lambda f, y: (torch.nn.functional.softplus(f) - y * f).sum(1),
    "softmax": lambda f, y: torch.nn.functional.cross_entropy(f, y[:, 0].long(), reduction="none"),
    "poisson": lambda f, y: (torch.exp(f) - y * f).sum(1),
}


def problem(activation="tanh", loss="squared", hidden=(5, 4), n=24, weighted=False, seed=0):
    random = np.random.default_rng(seed)
    net = MLP(3, hidden, 3 if loss == "softmax" else 2, activation)
    X = random.standard_normal((n, 3))
    y = random.integers(0, 3, (n, 1)) if loss == "softmax" else random.random((n, 2))
    weight = random.random(n) if weighted else None
    data = Clusters(X, y.astype(float), sample_weight=weight)
    return net, data, 0.7 * random.standard_normal(net.n_parameters)


def layers(net, theta):
    at = 0
    for n_in, n_out in net.layer_shapes:
        yield (
            theta[at : at + n_in * n_out].reshape(n_in, n_out),
            theta[at + n_in * n_out : at + (n_in + 1) * n_out],
        )
        at += (n_in + 1) * n_out


def forward(net, theta, X):
    """Outputs and the units of each layer, the inputs first."""
    units, h = [], X
    *hidden, last = layers(net, theta)
    for W, b in hidden:
        units.append(h)
        h = ACTIVATIONS[net.activation](h @ W + b)
    units.append(h)
    return h @ last[0] + last[1], units


def rows(data):
    weight = np.ones(data.n_rows) if data.sample_weight is None else data.sample_weight
    return [torch.as_tensor(np.array(a, float)) for a in (data.X, data.y, weight / weight.sum())]


def mean_loss(net, theta, data, loss):
    X, y, share = rows(data)
    return (share * LOSSES[loss](forward(net, theta, X)[0], y)).sum()


def gradient_of(function, theta):
    at = torch.tensor(theta, requires_grad=True)
    (found,) = torch.autograd.grad(function(at), at)
    return found.numpy()


def check(penalty, function, theta):
    (found,) = penalty.gradients(theta[None])[:, :, 0]
    expected = gradient_of(function, theta)
    assert_allclose(found, expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())


THETA = np.random.default_rng(0).standard_normal(MLP(3, (5, 4), 2).n_parameters)


@pytest.mark.parametrize(
    ("penalty", "function"),
    [
        (L2(0.3), lambda t: 0.15 * (t**2).sum()),
        (L1(0.3), lambda t: 0.3 * t.abs().sum()),
        (
            L1(0.3, smoothing=0.5),
            lambda t: 0.3 * torch.nn.functional.huber_loss(t, 0 * t, reduction="sum", delta=0.5) / 0.5,
        ),
        (Quadratic(), lambda t: 0.5 * (t**2).sum()),
        (Proximal(np.arange(len(THETA))), lambda t: 0.5 * ((t - torch.arange(len(THETA))) ** 2).sum()),
    ],
    ids=["L2", "L1", "smooth L1", "scalar", "proximal"],
)
def test_of_the_parameters(penalty, function):
    check(as_penalties(penalty, None)[0], function, THETA)


def test_quadratic_columns_are_the_gradient_of_its_form():
    quadratic, theta = Quadratic("symmetric"), THETA[:6]
    coefficients = np.random.default_rng(1).standard_normal(21)
    found = quadratic.gradients(theta[None])[0] @ coefficients
    assert_allclose(found, quadratic.matrix(coefficients) @ theta, rtol=1e-12)
    assert_allclose(quadratic.coefficients(quadratic.matrix(coefficients)), coefficients, rtol=1e-14)
    assert_allclose(np.linalg.norm(coefficients), np.linalg.norm(quadratic.matrix(coefficients)), rtol=1e-13)


@pytest.mark.parametrize("term", [L2(0.3), L2(0.3, biases=False), L1(0.2, smoothing=0.5)], ids=str)
def test_layers_add_up(term):
    net = MLP(3, (5, 4), 2)
    whole = as_penalties(term, net)[0].gradients(THETA[None])[0, :, 0]
    parts = PerLayer(term, net).gradients(THETA[None])[0]
    assert_allclose(parts.sum(axis=1), whole, rtol=1e-15)
    assert ((parts != 0).sum(axis=1) <= 1).all()


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_nuclear_norm(layer):
    net = MLP(3, (5, 4), 2)
    check(
        NuclearNorm(net, layer), lambda t: torch.linalg.svdvals(list(layers(net, t))[layer][0]).sum(), THETA
    )


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)], ids=str)
def test_path_norm(hidden):
    """Path by path."""
    net = MLP(3, hidden, 2)
    theta = np.random.default_rng(0).standard_normal(net.n_parameters)

    def norm(t):
        weights = [W for W, _ in layers(net, t)]
        total = 0
        for path in itertools.product(*(range(w) for w in (3, *hidden, 2))):
            product = 1
            for W, i, j in zip(weights, path, path[1:], strict=False):
                product = product * W[i, j] ** 2
            total = total + product
        return 0.5 * total

    check(PathNorm(net), norm, theta)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["tanh", "softplus", "gelu"])
def test_squared_gradient(activation, loss):
    net, data, theta = problem(activation, loss)

    def squared(t):
        (g,) = torch.autograd.grad(mean_loss(net, t, data, loss), t, create_graph=True)
        return (g**2).sum()

    check(SquaredGradient(net, data, loss), squared, theta)


@pytest.mark.parametrize(
    "batches", [6, [np.arange(10), np.arange(10, 20), np.arange(14, 24)]], ids=["size", "rows"]
)
def test_batch_variance(batches):
    """The mean gradient is that of the batches, which need not cut the rows up."""
    net, data, theta = problem("softplus", "softmax")
    several = np.arange(24).reshape(-1, 6) if batches == 6 else batches
    parts = [Clusters(data.X[b], data.y[b]) for b in several]

    def variance(t):
        gs = [
            torch.autograd.grad(mean_loss(net, t, part, "softmax"), t, create_graph=True)[0] for part in parts
        ]
        mean = sum(gs) / len(gs)
        return sum(((g - mean) ** 2).sum() for g in gs) / len(gs)

    check(BatchVariance(net, data, batches, "softmax"), variance, theta)


def dropped(net, theta, data, loss, inputs):
    """½ Σ_l mean_x Σ_j h² J′HJ by torch's Jacobians and Hessians, row by row."""
    X, y, share = rows(data)
    total = 0
    for i in range(len(X)):
        f, units = forward(net, theta, X[i : i + 1])
        curved = torch.autograd.functional.hessian(
            lambda f, i=i: LOSSES[loss](f[None], y[i : i + 1]).sum(), f[0], create_graph=True
        )
        for layer, h in enumerate(units):
            if layer == 0 and not inputs:
                continue

            def above(h, layer=layer):
                *hidden, last = list(layers(net, theta))[layer:]
                for W, b in hidden:
                    h = ACTIVATIONS[net.activation](h @ W + b)
                return h @ last[0] + last[1]

            J = torch.autograd.functional.jacobian(above, h[0], create_graph=True)  # (outputs, units)
            total = total + share[i] * 0.5 * (h[0] ** 2 * torch.einsum("cj,cd,dj->j", J, curved, J)).sum()
    return total


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["tanh", "softplus", "relu"])
def test_dropout_curvature(activation, loss):
    net, data, theta = problem(activation, loss, n=8)
    penalty = DropoutCurvature(net, data, loss)
    check(penalty, lambda t: dropped(net, t, data, loss, inputs=False), theta)
    value = dropped(net, torch.tensor(theta), data, loss, inputs=False).detach()
    assert_allclose(penalty.value(theta), float(value), rtol=1e-12)


@pytest.mark.parametrize("hidden", [(), (5,), (4, 3, 4)], ids=str)
def test_dropout_curvature_with_inputs_and_weights(hidden):
    net, data, theta = problem("tanh", "softmax", hidden, n=8, weighted=True)
    check(
        DropoutCurvature(net, data, "softmax", inputs=True),
        lambda t: dropped(net, t, data, "softmax", inputs=True),
        theta,
    )


def test_random_signs_are_unbiased():
    """The mean of 4000 draws: within five standard errors of the whole sum, in every parameter."""
    net, data, theta = problem("tanh", "softmax", (4,), n=6)
    exact = DropoutCurvature(net, data, "softmax").gradients(theta[None])[0, :, 0]
    draws = [
        DropoutCurvature(net, data, "softmax", n_draws=100, random_state=seed).gradients(theta[None])[0, :, 0]
        for seed in range(40)
    ]
    error = np.std(draws, axis=0, ddof=1) / np.sqrt(40)
    assert (np.abs(np.mean(draws, axis=0) - exact) <= 5 * error + 1e-14).all()


def test_activation_ridge_is_the_dropout_curvature_of_a_linear_model():
    net, data, theta = problem("tanh", "squared", (), weighted=True)
    ridge = ActivationRidge(net, data).gradients(theta[None])
    assert_allclose(
        ridge, DropoutCurvature(net, data, inputs=True).gradients(theta[None]), rtol=1e-10, atol=1e-14
    )


def test_weights_of_rows_and_clusters_are_those_of_the_loss():
    from rfpcore.implicit._checks import row_shares

    random = np.random.default_rng(0)
    X, y, groups, weight = (
        random.standard_normal((12, 2)),
        random.standard_normal(12),
        np.arange(12) % 3,
        random.random(12),
    )
    net = MLP(2, (3,), 1)
    theta = net.init(0)
    for options in ({}, {"cluster_weight": [1.0, 5.0, 0.5]}):
        data = Clusters(X, y, groups, weight, **options)
        rows_loss = ((net.predict(theta, data.X) - data.y) ** 2)[:, 0]
        assert_allclose(
            row_shares(data) @ rows_loss, rfpcore.value_and_grad(net, theta, data, 1.0, 0)[0], rtol=1e-12
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda net, data: SquaredGradient(net, data), "SquaredGradient needs a Hessian, and relu's"),
        (lambda net, data: BatchVariance(net, data, 6), "BatchVariance needs a Hessian, and relu's"),
        (lambda net, data: ActivationRidge(net, data), r"the network has hidden layers \(5, 4\)"),
        (lambda net, data: DropoutCurvature(MLP(3, (), 2), data), "no hidden layers whose units"),
        (lambda net, data: DropoutCurvature(net, data, "huber"), "loss='huber' has no smooth Hessian"),
        (lambda net, data: NuclearNorm(net, 3), "layer=3 is too large"),
        (lambda net, data: Quadratic("full"), "shape='full' is unknown"),
        (lambda net, data: Quadratic(indices=[0, 0]), "different and not negative"),
        (lambda net, data: Proximal([[1.0]]), "center"),
    ],
)
def test_refusals(make, message):
    net, data, _ = problem("relu")
    with pytest.raises(ValueError, match=message):
        make(net, data)


def test_another_number_of_parameters():
    net, data, theta = problem()
    for penalty in (SquaredGradient(net, data), PathNorm(net), Proximal(theta), Quadratic(indices=[100])):
        with pytest.raises(ValueError, match="parameters"):
            penalty.gradients(theta[None, :5])


def test_batches_that_are_none():
    net, data, _ = problem()
    with pytest.raises(ValueError, match="batches=5 does not divide the 24 rows"):
        BatchVariance(net, data, 5)
    with pytest.raises(ValueError, match=r"batches\[0\] holds 0 to 24; 0 to 23 are possible"):
        BatchVariance(net, data, [[0, 24]])
    with pytest.raises(TypeError, match="rows a batch, or a list of row numbers"):
        BatchVariance(net, data, "all")
    with pytest.raises(ValueError, match="data has weights"):
        BatchVariance(net, problem(weighted=True)[1], 6)
