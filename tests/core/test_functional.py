"""The functional API: values on problems with a closed form, dtypes, options, curvature, and its cost."""

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import rfpcore


def linear_problem(n_clusters=4, seed=0):
    """A linear model (two features and a constant): inner steps and R_k have a closed form."""
    random = np.random.default_rng(seed)
    sizes = random.integers(3, 9, n_clusters)
    X, y = random.standard_normal((sizes.sum(), 2)), random.standard_normal(sizes.sum())
    return rfpcore.MLP(2, ()), X, y, np.repeat(np.arange(n_clusters), sizes)


# The objective on a problem with a closed form


def closed_form(X, y, groups, theta, alpha, k, lr, weight=None, query=None, n_c=None, momentum=0.0):
    """R_k of the linear model, cluster by cluster, as in equations 1 to 3 of the paper."""
    Z = np.column_stack([X, np.ones(len(X))])
    w = np.ones(len(X)) if weight is None else np.asarray(weight, float)
    total = counted = 0.0
    for i, c in enumerate(np.unique(groups)):
        rows = groups == c
        inner = rows if query is None else rows & ~query
        outer = rows if query is None else rows & query
        t, m = theta.copy(), 0.0
        for _ in range(k):
            m = momentum * m + 2 * (w * (Z @ t - y))[inner] @ Z[inner] / w[inner].sum()
            t = t - lr * m
        loss = [np.average((y - Z @ p)[r] ** 2, weights=w[r]) for p, r in ((theta, rows), (t, outer))]
        n = rows.sum() if n_c is None else n_c[i]
        total, counted = total + n * (alpha * loss[0] + (1 - alpha) * loss[1]), counted + n
    return total / counted


@pytest.mark.parametrize("alpha", [0, 0.3, 1])
@pytest.mark.parametrize("k", [0, 1, 5])
@pytest.mark.parametrize("kind", ["plain", "weight", "query", "by weight", "by array", "by dict", "momentum"])
def test_value_of_a_linear_model(alpha, k, kind):
    net, X, y, groups = linear_problem()
    random = np.random.default_rng(5)
    theta, weight, query = (
        random.standard_normal(3),
        random.uniform(0.5, 2, len(y)),
        random.random(len(y)) < 0.4,
    )
    query[np.unique(groups, return_index=True)[1]] = True
    query[np.unique(groups, return_index=True)[1] + 1] = False
    n_c = np.array([1.0, 0.0, 2.0, 0.5])
    keywords, expected = {
        "plain": ({}, {}),
        "weight": ({"sample_weight": weight}, {"weight": weight}),
        "query": ({"query": query, "sample_weight": weight}, {"query": query, "weight": weight}),
        "by weight": (
            {"sample_weight": weight, "cluster_weight": "weight"},
            {"weight": weight, "n_c": np.bincount(groups, weight)},
        ),
        "by array": ({"cluster_weight": n_c}, {"n_c": n_c}),
        "by dict": ({"cluster_weight": dict(enumerate(n_c))}, {"n_c": n_c}),
        "momentum": ({}, {"momentum": 0.9}),
    }[kind]
    data = rfpcore.Clusters(X, y, groups, **keywords)
    momentum = expected.get("momentum", 0.0)
    value, _ = rfpcore.value_and_grad(net, theta, data, alpha, k, 0.02, inner_momentum=momentum)
    assert isinstance(value, float)
    assert_allclose(value, closed_form(X, y, groups, theta, alpha, k, 0.02, **expected), rtol=1e-12)


def test_alpha_one_is_ordinary_training(problem):
    net, theta, data = problem
    value, grad = rfpcore.value_and_grad(net, theta, data, alpha=1)
    outputs = net.predict(theta, data.X)
    assert_allclose(value, np.mean((data.y - outputs) ** 2), rtol=1e-12)
    assert_array_equal(grad, rfpcore.value_and_grad(net, theta, data, alpha=1, inner_steps=0)[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_of_theta_decides(problem, dtype):
    net, theta, data = problem
    theta = theta.astype(dtype)
    value, grad = rfpcore.value_and_grad(net, theta, data)
    thetas, status = rfpcore.adapt(net, theta, data)
    result = rfpcore.objective(net, theta, data)
    assert type(value) is float
    assert type(result.value) is float
    assert type(result.inner_lr_gradient) is float
    assert grad.dtype == thetas.dtype == rfpcore.hvp(net, theta, theta, data).dtype == dtype
    assert thetas.shape == (3, net.n_parameters)
    assert status.loss_after.dtype == np.float64


def test_objective_agrees_with_its_parts(problem):
    net, theta, data = problem
    options = {"alpha": 0.3, "inner_steps": 3, "inner_lr": 0.05}
    result = rfpcore.objective(net, theta, data, **options)
    value, grad = rfpcore.value_and_grad(net, theta, data, **options)
    assert_allclose(result.value, value, rtol=1e-15)
    assert_allclose(result.gradient, grad, rtol=1e-13, atol=1e-15)
    thetas, status = rfpcore.adapt(net, theta, data, 3, 0.05)
    assert_array_equal(status.loss_before, result.status.loss_before)
    assert_array_equal(status.loss_after, result.status.loss_after)
    n = data.sizes
    expected = (n * (0.3 * status.loss_before + 0.7 * status.loss_after)).sum() / n.sum()
    assert_allclose(value, expected, rtol=1e-12)
    slope = (n * (status.loss_before - status.loss_after)).sum() / n.sum()
    assert_allclose(result.alpha_gradient, slope, rtol=1e-12)
    for c, own in enumerate(thetas):
        rows = slice(*data.offsets[c : c + 2])
        loss = np.mean((data.y[rows] - net.predict(own, data.X[rows])) ** 2)
        assert_allclose(status.loss_after[c], loss, rtol=1e-12)


def test_inner_lr_per_parameter_equals_a_common_one(problem):
    net, theta, data = problem
    common = rfpcore.objective(net, theta, data, inner_lr=0.05)
    each = rfpcore.objective(net, theta, data, inner_lr=np.full(net.n_parameters, 0.05))
    assert each.value == common.value
    assert each.inner_lr_gradient.shape == theta.shape
    assert_allclose(each.inner_lr_gradient.sum(), common.inner_lr_gradient, rtol=1e-12)


def test_head_only_adapts_the_last_layer(problem):
    net, theta, data = problem
    thetas, _ = rfpcore.adapt(net, theta, data, adapt_layers="last")
    n_head = 5 + 1
    assert_array_equal(thetas[:, :-n_head], np.broadcast_to(theta[:-n_head], (3, len(theta) - n_head)))
    assert (thetas[:, -n_head:] != theta[-n_head:]).any()


def test_query_split_adapts_on_support_rows_only(problem):
    net, theta, data = problem
    X, y, query = data.X[:7], data.y[:7], np.arange(7) % 3 == 0
    split, _ = rfpcore.adapt(net, theta, rfpcore.Clusters(X, y, query=query))
    support, _ = rfpcore.adapt(net, theta, rfpcore.Clusters(X[~query], y[~query]))
    assert_allclose(split, support, rtol=1e-13)


# Curvature and the automatic step


def test_curvature_of_a_linear_model():
    net, X, y, groups = linear_problem()
    data = rfpcore.Clusters(X, y, groups)
    lam = rfpcore.curvature(net, np.zeros(3), data, n_iterations=500)
    Z = np.column_stack([X, np.ones(len(X))])
    exact = [
        np.linalg.eigvalsh(2 * Z[groups == c].T @ Z[groups == c] / sum(groups == c))[-1] for c in range(4)
    ]
    assert_allclose(lam, exact, rtol=1e-6)


def test_curvature_is_that_of_the_support_rows(problem):
    net, theta, data = problem
    query = np.arange(16) % 3 == 0
    split = rfpcore.Clusters(data.X[1:], data.y[1:], np.arange(16) % 2, query=query)
    lam = rfpcore.curvature(net, theta, split, n_iterations=200)
    assert_allclose(lam, rfpcore.curvature(net, theta, split.support(), n_iterations=200), rtol=1e-12)


def test_auto_inner_lr_is_a_fraction_of_the_stability_limit(problem):
    net, theta, data = problem
    step = rfpcore.auto_inner_lr(net, theta, data, fraction=0.25)
    assert_allclose(step, 0.25 * 2 / rfpcore.curvature(net, theta, data).max(), rtol=1e-12)
    auto = rfpcore.value_and_grad(net, theta, data, inner_lr="auto")
    assert auto[0] == rfpcore.value_and_grad(net, theta, data, inner_lr=2 * step)[0]
    _, status = rfpcore.adapt(net, theta, data, 50, "auto")
    assert (status.loss_after < status.loss_before).all()


def test_auto_inner_lr_needs_curvature():
    net = rfpcore.MLP(1, ())
    data = rfpcore.Clusters([[1.0]], [0], [0])
    with pytest.raises(
        ValueError, match=r"largest curvature of the 1 clusters is 0; give inner_lr as a number"
    ):
        rfpcore.auto_inner_lr(net, np.zeros(2), data, loss="softmax")


def test_hvp_is_linear_and_symmetric(problem):
    net, theta, data = problem
    u, v = np.random.default_rng(0).standard_normal((2, len(theta)))
    Hu, Hv = (rfpcore.hvp(net, theta, w, data) for w in (u, v))
    assert_allclose(v @ Hu, u @ Hv, rtol=1e-10)
    assert_allclose(rfpcore.hvp(net, theta, u + 2 * v, data), Hu + 2 * Hv, rtol=1e-10, atol=1e-12)


# Cost


def test_overhead_of_value_and_grad_is_two_microseconds():
    net = rfpcore.MLP(1, ())
    theta, data = net.init(0), rfpcore.Clusters([[1.0]], [1.0])
    rfpcore.value_and_grad(net, theta, data)
    inside = [net._architecture, theta, data.handle(net, "squared", theta.dtype), 0.5]
    inside += [rfpcore.functional.inner_loop(2, 5, 0.01, 0.0, "all", "exact"), "squared", False, 0]

    def best(function, *arguments):
        """The least of many short runs: noise only adds."""
        times = []
        for _ in range(200):
            start = time.perf_counter()
            for _ in range(50):
                function(*arguments)
            times.append((time.perf_counter() - start) / 50)
        return min(times)

    overhead = best(rfpcore.value_and_grad, net, theta, data) - best(rfpcore._rfpcore.value_and_grad, *inside)
    assert overhead < 2e-6 * 2  # the promise is 2 µs; twice that allows for a slow or busy machine
