"""Numbers at the ends of their range: the right value, or an error; never a silent NaN."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from rfpcore import MLP, Clusters, _rfpcore, adapt, curvature, hvp, value_and_grad
from rfpcore.exceptions import DivergenceError, InternalError
from rfpcore.many import Model, fit_many
from rfpcore.npiv import MeanField
from rfpcore.regularize import L1, Mixup

NET = MLP(2, (4,))
RANDOM = np.random.default_rng(0)
X, Y, GROUPS = RANDOM.normal(size=(12, 2)), RANDOM.normal(size=12), np.arange(12) % 3
THETA = NET.init(0)


@pytest.mark.parametrize("size", [1e99, 1e40, 1e-40, 1e-99])
def test_only_the_ratios_of_cluster_weights_count(size):
    alike, extreme = (Clusters(X, Y, GROUPS, cluster_weight=np.full(3, w)) for w in (1.0, size))
    expected, found = (value_and_grad(NET, THETA, data) for data in (alike, extreme))
    assert_allclose(found[0], expected[0], rtol=1e-14)
    assert_allclose(found[1], expected[1], rtol=1e-12)
    product = hvp(NET, THETA, THETA, extreme)
    assert_allclose(product, hvp(NET, THETA, THETA, alike), rtol=1e-12)


@pytest.mark.parametrize("size", [1e98, 1e-40, 1e-99])
def test_only_the_ratios_of_row_weights_within_a_cluster_count(size):
    expected = value_and_grad(NET, THETA, Clusters(X, Y, GROUPS))
    found = value_and_grad(NET, THETA, Clusters(X, Y, GROUPS, sample_weight=np.full(12, size)))
    assert_allclose(found[0], expected[0], rtol=1e-14)
    assert_allclose(found[1], expected[1], rtol=1e-12)


@pytest.mark.parametrize("size", [1e308, 1e200, 1e-200, 5e-324])
def test_weights_whose_sums_leave_the_range_are_refused(size):
    with pytest.raises(ValueError, match=r"cluster_weight adds up to .*a sum of 1e-100 to 1e\+100 is needed"):
        Clusters(X, Y, GROUPS, cluster_weight=np.full(3, size))
    with pytest.raises(ValueError, match=r"3 of 3 clusters have no finite sum above zero \(from 1e-100"):
        Clusters(X, Y, GROUPS, sample_weight=np.full(12, size))


@pytest.mark.parametrize(("x", "theta"), [(1e160, 1.0), (1e300, 1.0), (1.0, 1e160), (1.0, 1e300)])
def test_derivatives_that_overflow_are_errors(x, theta):
    net = MLP(2, (4,), activation="identity")
    data, point = Clusters(X * x, Y, GROUPS), np.full(net.n_parameters, theta)
    for call in (
        lambda: value_and_grad(net, point, data),
        lambda: hvp(net, point, point, data),
        lambda: curvature(net, point, data),
        lambda: adapt(net, point, data),
    ):
        with pytest.raises(DivergenceError, match=r"cluster 0 .* 3 of 3 clusters diverged"):
            call()


def test_a_sum_over_clusters_that_overflows_is_an_error():
    data = Clusters([[1e77], [1e77]], [0.0, 0.0], [0, 1])
    with pytest.raises(ValueError, match="the objective is not finite: inf"):
        value_and_grad(MLP(1, ()), np.array([1e77, 0.0]), data, alpha=1.0)
    theta = np.array([1e19, 0.0], np.float32)
    with pytest.raises((DivergenceError, ValueError), match=r"not finite|diverged"):
        value_and_grad(MLP(1, ()), theta, Clusters(np.array([[1e19]], np.float32), [0.0]), alpha=1.0)


def test_outputs_that_overflow_are_errors():
    net = MLP(1, ())
    with pytest.raises(ValueError, match="the network's output is not finite: inf at index 1"):
        net.predict(np.array([1e200, 0.0]), np.array([[1.0], [1e200]]))
    mean_field = MeanField(1, 1, activation="relu")
    theta = np.array([1e200, 0.0, 1e200])
    with pytest.raises(ValueError, match="a network's value is not finite: inf at index 0"):
        mean_field.values(theta, [[1.0]])
    with pytest.raises(ValueError, match="the gradient is not finite"):
        mean_field.gradient(theta, [[1e200]], [1e200])


@pytest.mark.parametrize("rate", [np.nan, 1.0, -1.0])
def test_masks_of_no_rate(rate):
    with pytest.raises(ValueError, match=r"every dropout rate must be in \[0, 1\)"):
        _rfpcore.dropout_mask((3,), (rate,), 0, 0)


@pytest.mark.parametrize("epsilon", [-1e-3, np.nan, np.inf])
def test_folding_with_no_epsilon(epsilon):
    net = MLP(1, (2,))
    numbers = np.ones(8)
    with pytest.raises(ValueError, match="batch norm epsilon must be finite and at least 0"):
        _rfpcore.fold_batch_norm(net._architecture, net.init(0), numbers, epsilon)
    numbers[6] = -1.0
    with pytest.raises(ValueError, match="every variance must be at least 0, got -1"):
        _rfpcore.fold_batch_norm(net._architecture, net.init(0), numbers, 1e-3)
    numbers[6] = 0.0
    with pytest.raises(ValueError, match="a folded parameter is not finite"):
        _rfpcore.fold_batch_norm(net._architecture, net.init(0), numbers, 0.0)


@pytest.mark.parametrize("change", ["rows", "X", "y", "row_weights", "theta"])
def test_what_a_callback_does_to_its_arrays_changes_nothing(change):
    rows = np.arange(20)
    x = np.random.default_rng(0).normal(size=(30, 2))
    given = {"X": x, "y": (x[:, :1] > 0) * 1.0, "rows": rows, "row_weights": np.ones(30)}
    net = Model((3,), loss="softmax").net(2, 2)
    given["theta"] = np.stack([net.init(seed) for seed in range(3)])
    models = [Model((3,), loss="softmax", n_epochs=5, batch_size=10, seed=seed) for seed in range(3)]
    expected = fit_many(**given, models=models, n_jobs=1).thetas
    found = fit_many(
        **given, models=models, n_jobs=1, on_finished=lambda i, result: given[change].fill(10**6)
    )
    assert_array_equal(found.thetas, expected)


def test_a_defect_would_be_an_exception():
    assert issubclass(InternalError, RuntimeError)


@pytest.mark.parametrize(("dtype", "lr"), [(np.float32, 1e-40), (np.float64, 1e-310)])
def test_inner_steps_of_no_size(dtype, lr):
    """They lead nowhere, in the dual form of wide networks too."""
    net = MLP(2, (200, 200))
    theta, data = net.init(0, dtype), Clusters(X, Y, GROUPS)
    value, grad = value_and_grad(net, theta, data, inner_steps=2, inner_lr=lr)
    expected = value_and_grad(net, theta, data, alpha=1.0)
    tolerance = 100 * np.finfo(dtype).eps
    assert_allclose(value, expected[0], rtol=tolerance)
    assert_allclose(grad, expected[1], atol=tolerance * np.abs(expected[1]).max())


@pytest.mark.parametrize(("dtype", "smoothing"), [(np.float32, 1e-40), (np.float64, 1e-310)])
@pytest.mark.parametrize("method", ["subgradient", "decoupled"])
def test_a_penalty_smoothed_over_nothing_is_the_sign(dtype, smoothing, method):
    """At 0, where biases and padding stand, its slope is 0: not infinity times 0."""
    found = []
    for delta in (0.0, smoothing):
        terms = L1(0.1, method=method, smoothing=delta)
        found.append(fit_many(X, Y, Model((3,), n_steps=20, regularization=terms), dtype=dtype)[0].theta)
    assert_array_equal(*found)


@pytest.mark.parametrize("alpha", [1e-310, 1e-300])
def test_mixing_by_a_share_that_is_certain(alpha):
    model = Model((3,), n_steps=20, regularization=Mixup(alpha))
    assert fit_many(X, Y, model)[0].status == "finished"
    kernel = model.kernel(model.net(2, 1))
    assert {_rfpcore.draws(kernel, 12, step)["mixup"][0] for step in range(50)} == {0.0, 1.0}
