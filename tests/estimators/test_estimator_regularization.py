"""Regularizers in RFP's outer loop, specified as for many models; steps by hand are the oracle."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from small_models import CLASSES, GROUPS, X, Y, classifier, regressor

import rfpcore
from rfpcore.optimizers import PowerLaw, Step
from rfpcore.regularize import L1, L2, BatchNorm, ClipNorm, Dropout, LabelSmoothing, MaxNorm

STEPS, RATE = 6, 0.05
DESCENT = {"solver": "sgd", "momentum": 0.0, "learning_rate_init": RATE, "inner_lr": 0.02, "max_iter": STEPS}


def by_hand(model, y, loss, change_gradient=None, change_theta=None, rate=lambda t: RATE):
    """Gradient descent on R_k, written out."""
    data = rfpcore.Clusters(X, y, GROUPS)
    theta = model.net_.init(0)
    theta[-model.net_.n_outputs :] = start_bias(model, y)
    for t in range(STEPS):
        g = rfpcore.value_and_grad(model.net_, theta, data, 0.5, 1, 0.02, loss=loss)[1]
        g = g if change_gradient is None else change_gradient(g, theta)
        theta = theta - rate(t) * g
        theta = theta if change_theta is None else change_theta(model.net_, theta)
    return theta


def start_bias(model, y):
    return y.mean(0) if isinstance(model, rfpcore.RFPRegressor) else 0.0


def soft_threshold(net, theta):
    return np.sign(theta) * np.maximum(np.abs(theta) - RATE * 0.3, 0)


def bounded(net, theta):
    theta = theta.copy()
    for W, _ in net.unflatten(theta):
        W *= np.minimum(1, 0.5 / np.linalg.norm(W, axis=0))
    return theta


def weights(net, theta):
    """Theta with zeros for biases."""
    kept = theta.copy()
    for _, b in net.unflatten(kept):
        b[:] = 0
    return kept


NET = rfpcore.MLP(1, (5,), 1)


@pytest.mark.parametrize(
    ("term", "change_gradient", "change_theta"),
    [
        (L2(0.3), lambda g, theta: g + 0.3 * theta, None),
        (
            L2(0.3, decoupled=True),
            lambda g, theta: g + 0.3 * theta,
            None,
        ),  # one and the same with plain descent
        (L2(0.3, biases=False), lambda g, theta: g + 0.3 * weights(NET, theta), None),
        (L1(0.3), lambda g, theta: g + 0.3 * np.sign(theta), None),
        (L1(0.3, smoothing=0.5), lambda g, theta: g + 0.3 * np.clip(theta / 0.5, -1, 1), None),
        (L1(0.3, method="proximal"), None, soft_threshold),
        (ClipNorm(0.1), lambda g, theta: g * min(1, 0.1 / np.linalg.norm(g)), None),
        (MaxNorm(0.5), None, bounded),
    ],
    ids=lambda value: "" if callable(value) else str(value),
)
def test_penalties_and_bounds(term, change_gradient, change_theta):
    model = regressor(regularization=term, **DESCENT).fit(X, Y, GROUPS)
    expected = by_hand(model, Y, "squared", change_gradient, change_theta)
    assert_allclose(model.theta_, expected, rtol=1e-12, atol=1e-14)
    assert not np.allclose(model.theta_, regressor(**DESCENT).fit(X, Y, GROUPS).theta_)


def test_weight_decay_and_clip_norm_are_terms():
    for solver in ("adam", "sgd"):
        old = regressor(solver=solver, weight_decay=0.2, clip_norm=0.3).fit(X, Y, GROUPS)
        new = regressor(solver=solver, regularization=L2(0.2) + ClipNorm(0.3)).fit(X, Y, GROUPS)
        assert_array_equal(old.theta_, new.theta_)
    old = regressor(solver="adamw", weight_decay=0.2).fit(X, Y, GROUPS)
    new = regressor(solver="adamw", regularization=L2(0.2, decoupled=True)).fit(X, Y, GROUPS)
    assert_array_equal(old.theta_, new.theta_)


@pytest.mark.parametrize(
    ("schedule", "rate"),
    [(PowerLaw(3, 1.0), lambda t: RATE / (1 + t / 3)), (Step(2, 0.5), lambda t: RATE * 0.5 ** (t // 2))],
    ids=lambda value: "" if callable(value) else str(value),
)
def test_schedules(schedule, rate):
    model = regressor(learning_rate=schedule, **DESCENT).fit(X, Y, GROUPS)
    assert_allclose(model.theta_, by_hand(model, Y, "squared", rate=rate), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("form", ["others", "uniform"])
def test_smoothed_labels(form):
    term = LabelSmoothing(0.3, form=form)
    model = classifier(regularization=term, **DESCENT).fit(X, CLASSES, GROUPS)
    codes = np.searchsorted(model.classes_, CLASSES)
    off = 0.3 / (3 if form == "uniform" else 2)
    soft = np.full((len(codes), 3), off)
    soft[np.arange(len(codes)), codes] = 1 - 2 * off
    assert_allclose(model.theta_, by_hand(model, soft, "cross_entropy"), rtol=1e-12, atol=1e-14)
    two = classifier(regularization=term, **DESCENT).fit(X, CLASSES == "mid", GROUPS)
    off = 0.3 / (2 if form == "uniform" else 1)
    soft = off + (1 - 2 * off) * (CLASSES == "mid")
    assert_allclose(two.theta_, by_hand(two, soft[:, None], "logistic"), rtol=1e-12, atol=1e-14)
    # Adaptation is to the labels that training has seen.
    adapted = model.adapt(X, CLASSES, GROUPS, inner_steps=None, inner_lr=None)
    thetas, _ = rfpcore.adapt(
        model.net_,
        model.theta_,
        rfpcore.Clusters(X, np.eye(3)[codes] * (1 - 3 * off_of(form)) + off_of(form), GROUPS),
        1,
        0.02,
        loss="cross_entropy",
    )
    assert_allclose(adapted.thetas_, thetas, rtol=1e-12)


def off_of(form):
    return 0.3 / (3 if form == "uniform" else 2)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"regularization": Dropout(0.1)}, r"Dropout\(rate=0\.1\), which has no meaning in the outer loop"),
        ({"regularization": L2(0.1) + BatchNorm()}, r"BatchNorm\(\), which has no meaning"),
        (
            {"regularization": L2(0.1), "weight_decay": 0.1},
            r"weight_decay=0\.1 and L2\(strength=0\.1\) are two",
        ),
        ({"regularization": ClipNorm(1), "clip_norm": 2}, r"clip_norm=2 and ClipNorm\(limit=1\.0\) are two"),
        ({"regularization": LabelSmoothing(0.1)}, r"with loss='squared'; it needs class labels"),
        ({"learning_rate": "linear"}, r"learning_rate='linear' is unknown; one of 'constant'"),
    ],
)
def test_misuse(params, message):
    with pytest.raises(ValueError, match=message):
        regressor(**params).fit(X, Y, GROUPS)


def test_shares_of_classes_are_checked():
    net = rfpcore.MLP(1, (), 2)
    data = rfpcore.Clusters(X[:2], [[0.5, 0.5], [0.5, 0.6]])
    with pytest.raises(ValueError, match=r"needs shares of the classes that add up to 1 in y, but 1 of 2"):
        rfpcore.value_and_grad(net, net.init(0), data, loss="cross_entropy")
