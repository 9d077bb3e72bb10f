"""The same bits for any number of threads and any chunking; the same numbers for any order of the rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import rfpcore
from rfpcore import _rfpcore
from rfpcore.optimizers import Adam


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def problem(request):
    """Sixty clusters of very unequal sizes, one of them large enough to be split over threads."""
    random = np.random.default_rng(3)
    sizes = np.append(np.ceil(200 / np.arange(1, 60)), 5000).astype(int)
    groups = np.repeat(random.permutation(60), sizes)
    X, y = random.standard_normal((len(groups), 4)), random.standard_normal(len(groups))
    net = rfpcore.MLP(4, (17, 9))
    return net, net.init(0, request.param), X, y, groups


def everything(net, theta, data, n_jobs):
    """All that the functional API computes, as one list of arrays."""
    value, grad = rfpcore.value_and_grad(net, theta, data, n_jobs=n_jobs)
    result = rfpcore.objective(
        net, theta, data, inner_steps=2, inner_lr=np.full(len(theta), 0.01), n_jobs=n_jobs
    )
    thetas, status = rfpcore.adapt(net, theta, data, inner_momentum=0.9, n_jobs=n_jobs)
    return [
        *(value, grad, result.value, result.gradient, result.alpha_gradient, result.inner_lr_gradient),
        *(thetas, status.loss_before, status.loss_after),
        rfpcore.hvp(net, theta, grad, data, n_jobs=n_jobs),
        rfpcore.curvature(net, theta, data, n_iterations=3, n_jobs=n_jobs),
        net.predict(theta, data.X, n_jobs=n_jobs),
    ]


@pytest.mark.parametrize("n_jobs", [2, 5, -1, None])
def test_same_bits_for_any_number_of_threads(problem, n_jobs):
    net, theta, X, y, groups = problem
    data = rfpcore.Clusters(X, y, groups)
    for one, many in zip(everything(net, theta, data, 1), everything(net, theta, data, n_jobs), strict=True):
        assert_array_equal(one, many)


def test_same_bits_twice(problem):
    net, theta, X, y, groups = problem
    runs = [everything(net, theta, rfpcore.Clusters(X, y, groups), 2) for _ in range(2)]
    for one, other in zip(*runs, strict=True):
        assert_array_equal(one, other)


@pytest.mark.parametrize("what", ["rows", "labels", "both"])
def test_same_numbers_for_any_order(problem, what):
    net, theta, X, y, groups = problem
    random = np.random.default_rng(4)
    rows = random.permutation(len(y)) if what != "labels" else np.arange(len(y))
    names = random.permutation(60) if what != "rows" else np.arange(60)
    labels = np.array([f"cluster {name}" for name in names])[groups]
    value, grad = rfpcore.value_and_grad(net, theta, rfpcore.Clusters(X, y, groups))
    data = rfpcore.Clusters(X[rows], y[rows], labels[rows])
    again = rfpcore.value_and_grad(net, theta, data)
    # Sums of some 6000 rows in another order, over six passes: a few hundred roundings at most.
    eps = np.finfo(theta.dtype).eps
    assert_allclose(again[0], value, rtol=300 * eps)
    assert_allclose(again[1], grad, rtol=0, atol=300 * eps * np.linalg.norm(grad))


@pytest.mark.parametrize("batch_size", [None, 7])
def test_same_bits_in_one_call_or_in_chunks(problem, batch_size):
    net, theta, X, y, groups = problem
    data = rfpcore.Clusters(X, y, groups).handle(net, "squared", theta.dtype)

    def trainer(n_threads):
        inner, adam = _rfpcore.Inner(2, 0.01), _rfpcore.Optimizer(Adam(1e-2))
        return _rfpcore.Trainer(
            net._architecture, theta, 0.5, inner, "squared", adam, batch_size, 5, n_threads=n_threads
        )

    whole, chunks, resumed = trainer(1), trainer(2), trainer(5)
    values = whole.advance(data, 9)
    assert_array_equal(np.concatenate([chunks.advance(data, n) for n in (4, 1, 4)]), values)
    assert_array_equal(chunks.theta, whole.theta)
    half = trainer(1)
    half.advance(data, 5)
    resumed.restore(half.state())
    assert_array_equal(resumed.advance(data, 4), values[5:])
    assert_array_equal(resumed.theta, whole.theta)
