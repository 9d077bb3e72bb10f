"""The compiled part's optimizer, read from values, beside torch.optim; its patience beside a plain count."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from rfpcore import _rfpcore
from rfpcore.optimizers import SGD, Adam, AdamW, Cosine, PowerLaw, Schedule, Step
from rfpcore.regularize import L1, L2, ClipNorm, Dropout, MaxNorm, Term

GRADIENTS = np.random.default_rng(0).standard_normal((6, 21))
START = np.linspace(-1, 1, 21)
OWN = {
    "sgd": (SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "momentum": (SGD(0.1, 0.9), lambda p: torch.optim.SGD(p, 0.1, 0.9)),
    "nesterov": (SGD(0.1, 0.9, True), lambda p: torch.optim.SGD(p, 0.1, 0.9, nesterov=True)),
    "adam": (Adam(0.02, 0.8, 0.95, 1e-6), lambda p: torch.optim.Adam(p, 0.02, (0.8, 0.95), 1e-6)),
    "adamw": (AdamW(0.02, weight_decay=0.3), lambda p: torch.optim.AdamW(p, 0.02, weight_decay=0.3)),
}


def path(optimizer, dtype=np.float64):
    """Parameters after six steps."""
    theta, first, second = START.astype(dtype), np.zeros(21, dtype), np.zeros(21, dtype)
    for t, gradient in enumerate(GRADIENTS.astype(dtype)):
        theta, first, second = optimizer.step(t, gradient, theta, first, second)
    return theta


@pytest.mark.parametrize("rule", OWN)
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_steps_are_those_of_torch(rule, dtype):
    ours, theirs = OWN[rule]
    theta = torch.tensor(START.astype(dtype), requires_grad=True)
    optimizer = theirs([theta])
    for gradient in GRADIENTS.astype(dtype):
        theta.grad = torch.tensor(gradient)
        optimizer.step()
    found = path(_rfpcore.Optimizer(ours), dtype)
    assert found.dtype == dtype
    # Six steps, each rounded once or twice.
    assert_allclose(found, theta.detach().numpy(), atol=20 * np.finfo(dtype).eps)


def test_arguments_stay_as_they_are():
    vectors = GRADIENTS[0], START.copy(), np.zeros(21), np.zeros(21)
    before = [vector.copy() for vector in vectors]
    _rfpcore.Optimizer(Adam()).step(0, *vectors)
    for vector, kept in zip(vectors, before, strict=True):
        assert_array_equal(vector, kept)


def test_terms_act_on_a_step():
    gradient = np.array([3.0, 4.0])
    terms = [ClipNorm(1.0), L2(0.5), L1(0.2)]
    theta, *_ = _rfpcore.Optimizer(SGD(0.1), terms).step(0, gradient, np.ones(2), np.zeros(2), np.zeros(2))
    assert_allclose(theta, 1 - 0.1 * (gradient / 5 + 0.5 + 0.2), rtol=1e-15)


def test_a_subclass_is_its_parent():
    class Mine(AdamW):
        pass

    assert_array_equal(path(_rfpcore.Optimizer(Mine(0.02))), path(_rfpcore.Optimizer(AdamW(0.02))))


@pytest.mark.parametrize(
    ("schedule", "factor"),
    [(Cosine(10), (1 + np.cos(0.4 * np.pi)) / 2), (Step(2, 0.5), 0.25), (PowerLaw(2, 1), 1 / 3)],
    ids=["cosine", "step", "power"],
)
def test_schedules_scale_the_step(schedule, factor):
    optimizer = _rfpcore.Optimizer(SGD(0.1, schedule=schedule))
    theta, *_ = optimizer.step(4, np.ones(3), np.zeros(3), np.zeros(3), np.zeros(3))
    assert_allclose(theta, -0.1 * factor, rtol=1e-14)


@dataclass(frozen=True, repr=False)
class Foreign(Term):
    pass


@dataclass(frozen=True, repr=False)
class Never(Schedule):
    pass


ARCHITECTURE = _rfpcore.Architecture(2, (3,), 1, "tanh")


def test_steps_of_a_network_know_its_layers():
    """Clipping, decay of weights alone, and a bound on the weights into each unit, by hand."""
    rng = np.random.default_rng(0)
    theta, gradient = rng.normal(size=(2, 13))
    terms = [ClipNorm(1.0), L2(0.4, biases=False), MaxNorm(0.6)]
    optimizer, none = _rfpcore.Optimizer(SGD(0.1), terms), np.zeros(13)
    found, *_ = optimizer.step(0, gradient, theta, none, none, architecture=ARCHITECTURE)
    is_weight = np.r_[np.ones(6), np.zeros(3), np.ones(3), np.zeros(1)]
    applied = gradient / np.linalg.norm(gradient) + L2(0.4).strength * is_weight * theta
    expected = theta - 0.1 * applied
    for weights in (expected[:6].reshape(2, 3), expected[9:12].reshape(3, 1)):
        weights *= np.minimum(1, 0.6 / np.linalg.norm(weights, axis=0))
    assert (np.linalg.norm(theta[:6].reshape(2, 3), axis=0) > 0.6).any()
    assert_allclose(found, expected, rtol=1e-13)


def step(optimizer=None, **given):
    vectors = {name: np.zeros(2) for name in ("gradient", "theta", "first", "second")} | given
    return (optimizer or _rfpcore.Optimizer(SGD(0.1), [Dropout(0.5)])).step(0, **vectors)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: _rfpcore.Optimizer("sgd"),
            TypeError,
            "'sgd' is a str; SGD, Adam or AdamW is needed",
        ),
        (
            lambda: _rfpcore.Optimizer(SGD(0.1), [Foreign()]),
            TypeError,
            "a Foreign; a term of rfpcore",
        ),
        (
            lambda: _rfpcore.Optimizer(SGD(0.1, schedule=Never())),
            TypeError,
            "is a Never; Constant, Cosine, Step or PowerLaw is needed",
        ),
        (lambda: step(_rfpcore.Optimizer(SGD(0.1), [MaxNorm(1.0)])), ValueError, "MaxNorm needs layers"),
        (lambda: step(architecture=ARCHITECTURE), ValueError, "gradient"),
        (lambda: step(theta=np.zeros(3)), ValueError, "theta"),
        (lambda: step(first=np.zeros(1)), ValueError, "first"),
        (
            lambda: step(second=np.zeros(2, np.float32)),
            TypeError,
            "second must be one-dimensional",
        ),
    ],
)
def test_misuse(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_patience_is_a_plain_count():
    random = np.random.default_rng(1)
    for _ in range(50):
        patience, gain = int(random.integers(1, 5)), float(random.choice([0.0, 0.1]))
        values = np.where(random.random(12) < 0.1, np.nan, random.standard_normal(12))
        rule = _rfpcore.Patience(patience, gain)
        bar, since, least = np.inf, 0, np.inf
        for time, value in enumerate(values, 1):
            best, least = value < least, np.fmin(least, value)
            if value < bar - gain:
                bar, since = value, time
            assert rule.look(value, time) == (best, time - since >= patience)
