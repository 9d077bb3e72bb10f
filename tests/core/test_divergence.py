"""A cluster whose loss stops being finite: an error with the numbers, or left out with a warning."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import rfpcore


@pytest.fixture
def diverging():
    """Three clusters, the middle one of features so large that the inner steps explode."""
    random = np.random.default_rng(0)
    X, y = random.standard_normal((30, 2)), random.standard_normal(30)
    X[10:20] *= 1e3
    net = rfpcore.MLP(2, ())
    groups = np.repeat(["a", "b", "c"], 10)
    return net, net.init(0), X, y, groups


def test_divergence_is_an_error_with_the_numbers(diverging):
    net, theta, X, y, groups = diverging
    data = rfpcore.Clusters(X, y, groups)
    call = {"inner_steps": 100, "inner_lr": 0.1}
    with pytest.raises(
        rfpcore.DivergenceError, match=r"cluster b .* 1 of 3 .* inner_lr=0.1 is too large"
    ) as info:
        rfpcore.value_and_grad(net, theta, data, **call)
    error = pickle.loads(pickle.dumps(info.value))
    assert (error.label, error.n_diverged, str(error)) == ("b", 1, str(info.value))
    assert 1 <= error.step <= 100
    assert not np.isfinite(error.loss)
    suggested = float(str(error).split("'auto' would be ")[1].split(";")[0])
    assert_allclose(suggested, rfpcore.auto_inner_lr(net, theta, data), rtol=0.01)
    for function in (rfpcore.objective, rfpcore.adapt):
        with pytest.raises(rfpcore.DivergenceError, match="cluster b"):
            function(net, theta, data, **call)


def test_skipping_renormalises_over_the_rest(diverging):
    net, theta, X, y, groups = diverging
    data = rfpcore.Clusters(X, y, groups)
    call = {"inner_steps": 100, "inner_lr": 0.1, "on_divergence": "skip"}
    kept = groups != "b"
    rest = rfpcore.value_and_grad(net, theta, rfpcore.Clusters(X[kept], y[kept], groups[kept]), 0.5, 100, 0.1)
    with pytest.warns(rfpcore.DivergenceWarning, match=r"1 of 3 clusters .* b, at inner step") as warned:
        value, grad = rfpcore.value_and_grad(net, theta, data, **call)
    assert warned[0].filename == __file__
    assert_allclose(value, rest[0], rtol=1e-13)
    assert_allclose(grad, rest[1], rtol=1e-12)
    with pytest.warns(rfpcore.DivergenceWarning):
        result = rfpcore.objective(net, theta, data, **call)
    assert_array_equal(result.status.ok, [True, False, True])
    with pytest.warns(rfpcore.DivergenceWarning):
        thetas, status = rfpcore.adapt(net, theta, data, **call)
    assert_array_equal(status.converged, [True, False, True])
    assert_array_equal(thetas[1], theta)
    assert repr(status) == f"ClusterStatus(3 clusters, 1 diverged, first b at step {status.diverged_step[1]})"


def test_skipping_says_nothing_when_all_is_well(problem):
    net, theta, data = problem
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        skip = rfpcore.value_and_grad(net, theta, data, on_divergence="skip")
    assert skip[0] == rfpcore.value_and_grad(net, theta, data)[0]


def test_a_theta_out_of_range_is_named_as_such(problem):
    net, theta, data = problem
    with pytest.raises(
        rfpcore.DivergenceError, match=r"at inner step 0; 3 of 3 .* theta itself is out of range"
    ):
        rfpcore.value_and_grad(net, theta * 1e200, data)


def test_skipping_all_clusters_is_an_error(diverging):
    net, theta, X, y, _ = diverging
    data = rfpcore.Clusters(X[10:20], y[10:20])
    for function in (rfpcore.value_and_grad, rfpcore.objective):
        with pytest.raises(rfpcore.DivergenceError, match="1 of 1 clusters diverged"):
            function(net, theta, data, inner_steps=100, inner_lr=0.1, on_divergence="skip")


def test_errors_of_the_kernel_cross_processes():
    """Packages that make tracebacks picklable, as distributed does, send causes of errors along."""
    from rfpcore import _rfpcore

    for kind in (_rfpcore.DivergenceError, _rfpcore.InternalError):
        error = pickle.loads(pickle.dumps(kind("told", 1)))
        assert type(error) is kind
        assert error.args == ("told", 1)
