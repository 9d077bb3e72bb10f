"""The squared loss in a matrix for each cluster: against torch, differences and the ordinary loss."""

import pickle

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.func import grad_and_value

import rfpcore
from rfpcore import MLP, Clusters, _rfpcore, value_and_grad
from rfpcore.optimizers import Adam
from rfpcore.torch_reference import forward

# Around the widths of registers (4 to 16), and beyond the 512 rows that the passes take at once.
SIZES = (1, 2, 5, 8, 9, 16, 17, 25, 40, 130, 700)


def problem(sizes=SIZES, dtype=np.float64, inputs=3):
    """Rows in random order, labels whose order is not that of appearance, and a matrix for each label."""
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(len(sizes)), sizes)) * 10
    n = len(groups)
    X, y = rng.standard_normal((n, inputs)).astype(dtype), rng.standard_normal(n).astype(dtype)
    roots = [rng.standard_normal((m, m)) / np.sqrt(m) for m in sizes]
    return X, y, groups, [root @ root.T + 0.1 * np.eye(len(root)) for root in roots]


def in_torch(net, theta, X, y, groups, matrices):
    """The definition: Σ r'Ar / N, every cluster's rows in the order in which they were given."""

    def loss(theta):
        r = forward(net, theta, torch.as_tensor(X, dtype=torch.float64))[:, 0] - torch.as_tensor(y)
        own = [r[torch.as_tensor(np.flatnonzero(groups == label))] for label in np.unique(groups)]
        return sum(r @ torch.as_tensor(a) @ r for r, a in zip(own, matrices, strict=True)) / len(y)

    gradient, value = grad_and_value(loss)(torch.as_tensor(theta, dtype=torch.float64))
    return value.item(), gradient.numpy()


@pytest.mark.parametrize("hidden", [(), (6,), (32, 32)], ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-4)], ids=["float64", "float32"]
)
def test_value_and_gradient_are_those_of_torch(hidden, dtype, tolerance):
    X, y, groups, matrices = problem(dtype=dtype)
    net = MLP(3, hidden)
    theta = net.init(0, dtype)
    expected, by_torch = in_torch(net, theta, X, y, groups, matrices)
    value, gradient = value_and_grad(net, theta, Clusters(X, y, groups, precision=matrices), alpha=1.0)
    assert gradient.dtype == dtype
    assert value == pytest.approx(expected, rel=tolerance)
    assert np.linalg.norm(gradient - by_torch) < tolerance * np.linalg.norm(by_torch)


def test_gradient_is_that_of_difference_quotients():
    X, y, groups, matrices = problem((4, 30, 9))
    net, data = MLP(3, (8, 8)), Clusters(X, y, groups, precision=matrices)
    theta = net.init(0)
    direction = np.random.default_rng(1).standard_normal(len(theta))
    step = 1e-5
    ends = [value_and_grad(net, theta + s * step * direction, data, 1.0)[0] for s in (1, -1)]
    along = value_and_grad(net, theta, data, 1.0)[1] @ direction
    # Central differences: the square of the step, and rounding over the step.
    assert along == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-7)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_identity_is_ordinary_training_to_the_bit(dtype):
    X, y, groups, matrices = problem(dtype=dtype)
    net = MLP(3, (32, 32))
    theta = net.init(0, dtype)
    both = (
        Clusters(X, y, groups),
        Clusters(X, y, groups, precision=[np.eye(len(matrix)) for matrix in matrices]),
    )
    (value, gradient), (same_value, same_gradient) = (value_and_grad(net, theta, data, 1.0) for data in both)
    assert value == same_value
    np.testing.assert_array_equal(gradient, same_gradient)
    ends, values = zip(*(trained(net, theta, data, dtype) for data in both), strict=True)
    np.testing.assert_array_equal(*ends)
    np.testing.assert_array_equal(*values)


def trained(net, theta, data, dtype, n_threads=1):
    handle = data.handle(net, "squared", np.dtype(dtype))
    inner, optimizer = _rfpcore.Inner(0, 1.0), _rfpcore.Optimizer(Adam(0.01))
    trainer = _rfpcore.Trainer(
        net._architecture, theta, 1.0, inner, "squared", optimizer, 4, 0, False, n_threads
    )
    values = trainer.advance(handle, 15)
    return trainer.theta, values


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_same_bits_on_any_number_of_threads(dtype):
    X, y, groups, matrices = problem((*SIZES, 1300), dtype)
    net, data = MLP(3, (32, 32)), Clusters(X, y, groups, precision=matrices)
    theta = net.init(0, dtype)
    one, two = (value_and_grad(net, theta, data, 1.0, n_jobs=n) for n in (1, 2))
    assert one[0] == two[0]
    np.testing.assert_array_equal(one[1], two[1])
    one, two = (trained(net, theta, data, dtype, n) for n in (1, 2))
    np.testing.assert_array_equal(one[0], two[0])


def test_training_finds_generalized_least_squares():
    """A linear model under errors with a common part in each cluster: Aitken's closed form."""
    rng = np.random.default_rng(0)
    sizes = [3, 8, 12, 5, 1]
    groups = np.repeat(np.arange(5), sizes)
    X = rng.standard_normal((29, 2))
    y = X @ [1.0, -2.0] + 3 * rng.standard_normal(5)[groups] + rng.standard_normal(29)
    matrices = [np.linalg.inv(np.eye(n) + 9) for n in sizes]
    net, data = MLP(2, ()), Clusters(X, y, groups, precision=matrices)
    theta = net.init(0)
    for _ in range(3000):
        theta = theta - 0.2 * value_and_grad(net, theta, data, 1.0)[1]
    design = np.column_stack([X, np.ones(29)])
    V = np.eye(29) + 9 * (groups[:, None] == groups)
    expected = np.linalg.solve(design.T @ np.linalg.solve(V, design), design.T @ np.linalg.solve(V, y))
    np.testing.assert_allclose(theta, expected, rtol=1e-8)


def refit(data, net, thetas, optimizers, counts, held_out=None, keep_looks=False, n_threads=1):
    inner = _rfpcore.Inner(0, 1.0)
    seeds: NDArray[np.uint64] = np.zeros(len(thetas), np.uint64)
    return _rfpcore.refit(
        net._architecture,
        thetas,
        data.handle(net, "squared", thetas.dtype),
        counts,
        np.ones(len(thetas)),
        [inner] * len(thetas),
        "squared",
        optimizers,
        10,
        seeds,
        held_out,
        every=4,
        n_threads=n_threads,
        keep_looks=keep_looks,
    )


def test_refits_have_optimizers_of_their_own_and_keep_every_look():
    X, y, groups, matrices = problem((4, 30, 9, 12))
    net, data = MLP(3, (5,)), Clusters(X, y, groups, precision=matrices)
    thetas = np.stack([net.init(0)] * 3)
    optimizers = [_rfpcore.Optimizer(Adam(rate)) for rate in (0.01, 0.02, 0.03)]
    out = np.array([[True, False, False, False], [False, True, True, False], [False] * 4])
    found = refit(data, net, thetas, optimizers, 1.0 - out, out, keep_looks=True)
    looks = found[6]
    assert looks.shape == (3, 3, net.n_parameters)
    for run, own in enumerate(optimizers):
        alone = refit(data, net, thetas[:1], own, 1.0 - out[run : run + 1], out[run : run + 1])
        assert alone[6] is None
        np.testing.assert_array_equal(alone[0][0], found[0][run])
        losses = [held_out_loss(net, theta, X, y, groups, matrices, out[run]) for theta in looks[run]]
        # Without held-out clusters there is nothing to look at, but the parameters are kept.
        np.testing.assert_allclose(found[4][run], losses if out[run].any() else [np.nan] * 3, rtol=1e-10)
    np.testing.assert_array_equal(found[0][2], looks[2, 2])
    again = refit(data, net, thetas, optimizers, 1.0 - out, out, keep_looks=True, n_threads=2)
    np.testing.assert_array_equal(looks, again[6])


def held_out_loss(net, theta, X, y, groups, matrices, out):
    r = net.predict(theta, X)[:, 0] - y
    own = [r[groups == label] for label in np.unique(groups)]
    total = sum(r @ a @ r for r, a, held in zip(own, matrices, out, strict=True) if held)
    return total / max(1, sum(len(r) for r, held in zip(own, out, strict=True) if held))


def test_looks_after_the_last_of_a_run_are_missing():
    X, y, groups, matrices = problem((4, 30))
    net, data = MLP(3, (5,)), Clusters(X, y, groups, precision=matrices)
    thetas = np.stack([net.init(0), 1e200 * net.init(0)])
    optimizer = _rfpcore.Optimizer(Adam(0.01))
    found = refit(data, net, thetas, optimizer, np.ones((2, 2)), keep_looks=True)
    assert found[5][0] is None
    assert isinstance(found[5][1], _rfpcore.DivergenceError)
    assert np.isfinite(found[6][0]).all()
    assert np.isnan(found[6][1]).all()


def test_optimizers_are_as_many_as_runs():
    X, y, groups, _ = problem((4, 30))
    net, data = MLP(3, (5,)), Clusters(X, y, groups)
    thetas, optimizer = np.stack([net.init(0)] * 2), _rfpcore.Optimizer(Adam(0.01))
    with pytest.raises(ValueError, match="optimizers has 3 elements, needs 2"):
        refit(data, net, thetas, [optimizer] * 3, np.ones((2, 2)))


def test_ready_matrices_are_of_sorted_rows():
    X, y, groups, matrices = problem((4, 30, 9))
    net = MLP(3, (5,))
    theta = net.init(0)
    data = Clusters(X, y, groups, precision=matrices)
    flat = np.concatenate([matrix.ravel() for matrix in matrices])
    ready = _rfpcore.Precision(data.offsets, flat)
    assert (ready.n_clusters, ready.dtype) == (3, "float64")
    again = Clusters(X, y, groups, precision=ready)
    assert data.has_precision
    assert again.has_precision
    assert not Clusters(X, y, groups).has_precision
    one, two = (value_and_grad(net, theta, data, 1.0) for data in (data, again))
    assert one[0] == pytest.approx(two[0], rel=1e-14)
    np.testing.assert_allclose(one[1], two[1], rtol=1e-12)
    with pytest.raises(TypeError, match="of one dtype; the precision is float64"):
        value_and_grad(net, theta.astype(np.float32), again, 1.0)


def test_pickled_with_its_matrices():
    X, y, groups, matrices = problem((4, 9))
    net, data = MLP(3, (5,)), Clusters(X, y, groups, precision=matrices)
    again = pickle.loads(pickle.dumps(data))
    theta = net.init(0)
    assert value_and_grad(net, theta, data, 1.0)[0] == value_and_grad(net, theta, again, 1.0)[0]


def spoiled(index, value):
    """Symmetric matrices for clusters of 2 and 3 rows, one of whose elements is not as it should be."""
    matrices = [np.eye(2), np.eye(3)]
    matrices[1][index] = value
    return matrices


@pytest.mark.parametrize(
    ("precision", "error", "message"),
    [
        ("ab", TypeError, "precision is a str; a sequence of matrices"),
        (3.0, TypeError, "precision is a float"),
        (np.array(3.0), TypeError, "precision is a ndarray"),
        ([np.eye(2)], ValueError, "precision has 1 matrices; there are 2 clusters"),
        ([np.eye(3), np.eye(2)], ValueError, r"cluster a has shape \(3, 3\).* has 2 rows, so \(2, 2\)"),
        ([np.eye(2), np.ones(9)], ValueError, r"cluster b has shape \(9,\)"),
        (spoiled((0, 0), np.nan), ValueError, "the precision of cluster b.*nan"),
        (spoiled((1, 2), 0.5), ValueError, r"cluster b must be symmetric, but element \(1, 2\) is 0.5"),
        ([np.eye(2), [["x"] * 3] * 3], (TypeError, ValueError), "cluster b"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_refuses_what_are_no_symmetric_matrices(precision, error, message):
    with pytest.raises(error, match=message):
        Clusters(np.zeros((5, 1)), np.zeros(5), ["b", "a", "b", "a", "b"], precision=precision)


def test_refuses_what_it_is_not_for():
    X, y, groups = np.zeros((5, 1)), np.zeros(5), ["b", "a", "b", "a", "b"]
    matrices = [np.eye(2), np.eye(3)]
    with pytest.raises(ValueError, match="precision and sample_weight are both given"):
        Clusters(X, y, groups, np.ones(5), precision=matrices)
    with pytest.raises(ValueError, match="precision and query are both given"):
        Clusters(X, y, groups, query=[True, True, False, False, False], precision=matrices)
    ready = _rfpcore.Precision(np.array([0, 3, 5]), np.concatenate([np.eye(3).ravel(), np.eye(2).ravel()]))
    with pytest.raises(ValueError, match="the precision of cluster 0 has 3 rows, the cluster has 2"):
        Clusters(X, y, groups, precision=ready)
    net, data = MLP(1, (3,)), Clusters(X, y, groups, precision=matrices)
    theta = net.init(0)
    with pytest.raises(ValueError, match=r"alpha must be 1 with a precision, got 0\.5"):
        value_and_grad(net, theta, data, alpha=0.5)
    with pytest.raises(ValueError, match="a precision needs the squared loss"):
        value_and_grad(net, theta, data, alpha=1.0, loss="huber")
    wide, both = MLP(1, (3,), 2), Clusters(X, np.zeros((5, 2)), groups, precision=matrices)
    with pytest.raises(ValueError, match="the number of outputs must be 1 with a precision, got 2"):
        value_and_grad(wide, wide.init(0), both, alpha=1.0)
    for call in (
        lambda: rfpcore.hvp(net, theta, theta, data),
        lambda: rfpcore.curvature(net, theta, data),
        lambda: rfpcore.auto_inner_lr(net, theta, data),
        lambda: rfpcore.adapt(net, theta, data),
        lambda: rfpcore.objective(net, theta, data, alpha=1.0),
        lambda: rfpcore.dropout_gradient(net, theta, data, 0.5, random_state=0),
        lambda: rfpcore.torch_reference.value_and_grad(net, theta, data),
    ):
        with pytest.raises(ValueError, match="needs clusters without a precision"):
            call()
