"""Networks without biases: everything against torch.func, and their layout."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import rfpcore
from rfpcore import _rfpcore, many, optimizers, regularize

torch = pytest.importorskip("torch", reason="the oracle needs torch: pip install rfpcore[torch]")
from rfpcore import torch_reference  # noqa: E402

RANDOM = np.random.default_rng(0)


def problem(hidden=(8,), activation="tanh", n_rows=23, n_outputs=2, dtype=np.float64, **clusters):
    random = np.random.default_rng(len(hidden))
    net = rfpcore.MLP(3, hidden, n_outputs, activation, bias=False)
    X, y = random.standard_normal((n_rows, 3)), random.standard_normal((n_rows, n_outputs))
    data = rfpcore.Clusters(X.astype(dtype), y.astype(dtype), np.arange(n_rows) % 4, **clusters)
    return net, net.init(1, dtype), data


def test_layout():
    net = rfpcore.MLP(3, (4,), 2, bias=False)
    assert net.n_parameters == 3 * 4 + 4 * 2
    assert "bias=False" in repr(net)
    assert net != rfpcore.MLP(3, (4,), 2)
    assert pickle.loads(pickle.dumps(net)) == net
    theta = net.init(0)
    (W, b), (V, c) = net.unflatten(theta)
    assert (b.shape, c.shape) == ((0,), (0,))
    assert_array_equal(np.concatenate([W.ravel(), V.ravel()]), theta)
    # The weights of a seed are those of the network with biases.
    for (own, _), (other, _) in zip(
        net.unflatten(theta), rfpcore.MLP(3, (4,), 2).unflatten(rfpcore.MLP(3, (4,), 2).init(0)), strict=True
    ):
        assert_array_equal(own, other)
    X = RANDOM.standard_normal((700, 3))
    assert_allclose(net.predict(theta, X), np.tanh(X @ W) @ V, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("bias", [1, "no", None])
def test_bias_is_true_or_false(bias):
    for make in (lambda: rfpcore.MLP(3, (4,), bias=bias), lambda: rfpcore.Model((4,), bias=bias)):
        with pytest.raises(TypeError, match=r"bias=.* True or False is needed"):
            make()


LR = RANDOM.uniform(0.01, 0.04, 200)
CASES = {
    "plain": {},
    "maml": {"alpha": 0.0},
    "ordinary": {"alpha": 1.0},
    "no steps": {"inner_steps": 0},
    "momentum": {"inner_momentum": 0.8},
    "last": {"adapt_layers": "last"},
    "first order": {"order": "first"},
    "first order, momentum": {"order": "first", "inner_momentum": 0.5},
    "many steps": {"inner_steps": 12},
}


def compared(net, theta, data, alpha=0.3, inner_steps=3, inner_lr=0.05, **options):
    """Largest relative error of the value and all gradients, by both calls."""
    found = rfpcore.objective(net, theta, data, alpha, inner_steps, inner_lr, **options)
    quick = rfpcore.value_and_grad(net, theta, data, alpha, inner_steps, inner_lr, **options)
    expected = torch_reference.value_and_grad(
        net, theta.astype(float), data, alpha, inner_steps, inner_lr, **options
    )
    pairs = [
        (found.value, expected.value),
        (found.gradient, expected.gradient),
        (quick[0], expected.value),
        (quick[1], expected.gradient),
        (found.alpha_gradient, expected.alpha_gradient),
        (found.inner_lr_gradient, expected.inner_lr_gradient),
    ]
    size = abs(float(expected.value))  # gradients that cancel are rounding of terms of the value's size
    return max(np.linalg.norm(np.asarray(a) - np.asarray(b)) / max(np.linalg.norm(b), size) for a, b in pairs)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-4)])
@pytest.mark.parametrize("lr", ["common", "each"])
@pytest.mark.parametrize("case", CASES)
def test_objective(case, lr, dtype, tolerance):
    net, theta, data = problem(dtype=dtype)
    rate = 0.03 if lr == "common" else LR[: net.n_parameters]
    assert compared(net, theta, data, inner_lr=rate, **CASES[case]) < tolerance


@pytest.mark.parametrize("hidden", [(), (1,), (5, 4, 3), (17,)], ids=str)
@pytest.mark.parametrize("activation", ["tanh", "relu", "softplus", "gelu", "elu"])
def test_shapes_and_activations(hidden, activation):
    """Softplus is not 0 at 0: its padded units need their bias, and the others must have none."""
    assert compared(*problem(hidden, activation)) < 1e-10


@pytest.mark.parametrize("order", ["exact", "first"])
@pytest.mark.parametrize("hidden", [(64, 64), (100, 40, 40)], ids=str)
def test_small_clusters_of_wide_networks(hidden, order):
    """Clusters of two rows take the dual form, in which a bias is a weight of an input that is always 1."""
    random = np.random.default_rng(2)
    net = rfpcore.MLP(3, hidden, 1, "softplus", bias=False)
    data = rfpcore.Clusters(random.standard_normal((12, 3)), random.standard_normal(12), np.arange(12) // 2)
    assert compared(net, net.init(0), data, order=order) < 1e-10


def test_query_split_weights_and_a_split_cluster():
    weights = RANDOM.uniform(0.1, 2, 23)
    assert compared(*problem(sample_weight=weights, query=np.arange(23) % 3 == 0)) < 1e-10
    random = np.random.default_rng(2)
    net = rfpcore.MLP(3, (8,), 1, bias=False)
    data = rfpcore.Clusters(random.standard_normal((1500, 3)), random.standard_normal(1500))
    assert compared(net, net.init(0), data) < 1e-10


@pytest.mark.parametrize("options", [{}, {"inner_momentum": 0.5}, {"adapt_layers": "last"}], ids=str)
def test_adapt_descends_along_the_gradient(options):
    net, theta, data = problem((6, 5), "softplus")
    thetas, _ = rfpcore.adapt(net, theta, data, 4, 0.05, **options)
    for c, own in enumerate(thetas):
        rows = slice(*data.offsets[c : c + 2])
        cluster = rfpcore.Clusters(data.X[rows], data.y[rows])
        expected, velocity = theta.copy(), 0.0
        for _ in range(4):
            gradient = rfpcore.gradient(net, expected, cluster)
            velocity = options.get("inner_momentum", 0.0) * velocity + gradient
            if "adapt_layers" in options:
                velocity[: -5 * 2] = 0
            expected -= 0.05 * velocity
        assert_allclose(own, expected, rtol=1e-11, atol=1e-13)


def hessian_of(function, theta):
    return torch.func.jacrev(torch.func.grad(function))(torch.tensor(theta)).numpy()


def test_second_derivatives():
    net, theta, data = problem((5,), "gelu")
    loss = torch_reference.risk(net, data, 0)
    zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    hessian = hessian_of(lambda t: loss(t, zero, one), theta)
    v = RANDOM.standard_normal(len(theta))
    assert_allclose(rfpcore.hvp(net, theta, v, data), hessian @ v, rtol=1e-9, atol=1e-11)
    one_cluster = rfpcore.Clusters(data.X, data.y, cluster_weight="size")
    loss = torch_reference.risk(net, one_cluster, 0)
    hessian = hessian_of(lambda t: loss(t, zero, one), theta)
    top = np.linalg.eigvalsh(hessian)[-1]
    assert_allclose(rfpcore.curvature(net, theta, one_cluster, n_iterations=500), top, rtol=1e-8)


@pytest.mark.parametrize("hidden", [(), (5,), (4, 3)], ids=str)
def test_derivatives_of_the_outputs(hidden):
    net, theta, data = problem(hidden, "softplus")
    v, w = RANDOM.standard_normal(len(theta)), RANDOM.standard_normal((23, 2))

    def outputs(t):
        return torch_reference.forward(net, t, torch.tensor(data.X))

    def weighted(t):
        return (torch.tensor(w) * outputs(t)).sum()

    at = torch.tensor(theta)
    jacobian = torch.func.jacrev(outputs)(at).numpy()
    assert_allclose(rfpcore.jvp(net, theta, v, data.X), jacobian @ v, rtol=1e-10, atol=1e-12)
    assert_allclose(
        rfpcore.vjp(net, theta, w, data.X), np.einsum("no,nop", w, jacobian), rtol=1e-10, atol=1e-12
    )
    hessian = hessian_of(weighted, theta)
    assert_allclose(rfpcore.output_hvp(net, theta, v, w, data.X), hessian @ v, rtol=1e-10, atol=1e-12)


def test_the_outer_loop_steps_over_the_flat_vector():
    net, theta, data = problem((5,))
    terms = [regularize.L2(0.5, biases=False), regularize.MaxNorm(0.4)]
    optimizer = _rfpcore.Optimizer(optimizers.SGD(0.1), terms)
    trainer = _rfpcore.Trainer(net._architecture, theta, 1.0, _rfpcore.Inner(0, 0.1), "squared", optimizer)
    trainer.advance(data.handle(net, "squared", theta.dtype), 1)
    expected = theta - 0.1 * (rfpcore.gradient(net, theta, data) + 0.5 * theta)
    for W, _ in net.unflatten(expected):
        W *= np.minimum(1, 0.4 / np.linalg.norm(W, axis=0))
    assert_allclose(trainer.theta, expected, rtol=1e-12)


def test_many_models_keep_what_is_recorded_flat():
    X, y = RANDOM.standard_normal((30, 3)), RANDOM.standard_normal(30)
    model = rfpcore.Model((5,), activation="softplus", optimizer=optimizers.SGD(0.1), n_steps=4, bias=False)
    found = rfpcore.fit_many(X, y, model, record=many.Record(every=1, thetas=True, gradients=True))[0]
    assert found.thetas.shape == (5, 20)
    for theta, gradient in zip(found.thetas, found.gradients, strict=True):
        assert_allclose(gradient, rfpcore.gradient(found.net, theta, rfpcore.Clusters(X, y)), rtol=1e-11)
    (W, _), (V, _) = found.net.unflatten(found.theta)
    assert_allclose(found.predict(X), np.logaddexp(0, X @ W) @ V, rtol=1e-11, atol=1e-13)


def test_a_normalization_needs_biases():
    with pytest.raises(ValueError, match="BatchNorm with bias=False"):
        rfpcore.Model((4,), regularization=regularize.BatchNorm(), bias=False)


def test_a_mean_gradient_under_dropout():
    net, theta, data = problem((5,), "softplus")
    mean, _ = rfpcore.dropout_gradient(net, theta, data, 0.0, 2)
    assert_allclose(mean, rfpcore.gradient(net, theta, data), rtol=1e-12)
