"""inner_lr="learned" against a joint Adam in torch, and what it has to leave alone."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from small_models import CLASSES, GROUPS, SMALL, X, Y, classifier, regressor

from rfpcore import Clusters, auto_inner_lr, torch_reference
from rfpcore.datasets import make_vee
from rfpcore.estimators import refit_clusters

N_STEPS = 8


@pytest.mark.parametrize(
    "params", [{}, {"inner_steps": 3}, {"adapt_layers": "last"}, {"inner_momentum": 0.5}]
)
def test_joint_adam(params):
    """The parameters and the logarithms of their steps, one Adam for both."""
    torch.set_num_threads(1)
    options = {"inner_steps": 1} | params
    model = regressor(inner_lr="learned", max_iter=N_STEPS, alpha=0.3, **options).fit(X, Y, GROUPS)
    net, data = model.net_, Clusters(X, Y, GROUPS)
    first = net.init(SMALL["random_state"], np.float64)
    net.unflatten(first)[-1][1][:] = Y.mean()
    theta = torch.tensor(first, requires_grad=True)
    start = np.log(auto_inner_lr(net, first, data))
    log = torch.full((net.n_parameters,), start, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([theta, log], lr=5e-3)
    objective = torch_reference.risk(net, data, **options)
    curve = []
    for _ in range(N_STEPS):
        adam.zero_grad()
        value = objective(theta, log.exp(), torch.tensor(0.3, dtype=torch.float64))
        value.backward()
        adam.step()
        curve.append(value.item())
    # Both are exact, but Adam divides by gradients, some of them tiny.
    assert_allclose(model.loss_curve_, curve, rtol=1e-9)
    assert_allclose(model.theta_, theta.detach(), atol=1e-7)
    assert_allclose(model.inner_lr_, log.exp().detach(), rtol=1e-6)
    assert np.ptp(model.inner_lr_) > 0


def test_it_lowers_the_objective():
    """After as many steps R_k is lower than with the step it began with."""
    data, params = make_vee(random_state=1), {"max_iter": 100, "alpha": 0.1}
    losses = [regressor(inner_lr=step, **params).fit(*data).loss_curve_[-1] for step in ("learned", "auto")]
    assert losses[0] < 0.9 * losses[1]


def test_classifier_in_batches_and_float32():
    model = classifier(inner_lr="learned", batch_size=2, dtype="float32").fit(X, CLASSES, GROUPS)
    assert model.inner_lr_.shape == model.theta_.shape
    assert (model.inner_lr_ > 0).all()
    assert model.adapt(X, CLASSES, GROUPS).predict(X, GROUPS).shape == Y.shape


def test_early_stopping_keeps_the_steps_of_its_parameters():
    params = {"early_stopping": True, "validation_fraction": 0.3, "inner_lr": "learned", "max_iter": 60}
    with pytest.warns(Warning, match="has not converged"):
        model = regressor(learning_rate_init=0.05, **params).fit(X, Y, GROUPS)
    assert 0 < model.best_iteration_ < 60
    with pytest.warns(Warning, match="has not converged"):
        shorter = regressor(learning_rate_init=0.05, **params | {"max_iter": model.best_iteration_}).fit(
            X, Y, GROUPS
        )
    assert_array_equal(model.theta_, shorter.theta_)
    assert_array_equal(model.inner_lr_, shorter.inner_lr_)


def test_nothing_to_learn_without_adaptation():
    learned, plain = (regressor(alpha=1.0, inner_lr=step).fit(X, Y, GROUPS) for step in ("learned", "auto"))
    assert learned.inner_lr_ is None
    assert_array_equal(learned.theta_, plain.theta_)


def test_where_it_cannot_be():
    model = regressor(inner_lr="learned", alpha=0.5)
    with pytest.raises(ValueError, match="inner_lr='learned' needs fit"):
        model.partial_fit(X, Y, GROUPS)
    with pytest.raises(ValueError, match="cannot be batched: inner_lr='learned' looks at each fit"):
        refit_clusters(model, X, Y, GROUPS, 1 - np.eye(6))
