"""The rule of fuzzing finds what breaks it, and lets pass what does not."""

import warnings

import fuzz_rule
import numpy as np
import pytest
from fuzz_rule import find_problem

import rfpcore
from rfpcore.exceptions import DesignWarning


class Panic(BaseException):
    """As that of the kernel's bindings, which `except Exception` does not see."""


def raising(error):
    def call():
        raise error

    return call


def warning(category):
    def call():
        warnings.warn("a word", category, stacklevel=1)
        return np.nan

    return call


def endless():
    while True:
        pass


@pytest.mark.parametrize(
    ("call", "key"),
    [
        (raising(Panic()), "Panic in"),
        (raising(KeyError("x")), "KeyError in"),
        (raising(ValueError("of somebody else")), "foreign ValueError in"),
        (lambda: np.ones(2) + np.ones(3), "foreign ValueError in"),
        (lambda: rfpcore._rfpcore.Inner("a", 1, 1, 1, 1), "foreign TypeError in"),
        (lambda: [1.0, {"a": np.array([1.0, np.nan])}], "returns NaN"),
        (lambda: np.inf, "returns inf"),
        (warning(RuntimeWarning), "warns RuntimeWarning in"),
    ],
)
def test_what_breaks_the_rule(call, key):
    assert find_problem(call, {})[0].startswith(key)


@pytest.mark.parametrize(
    "call",
    [
        lambda: rfpcore.MLP(0),  # our own ValueError
        lambda: rfpcore.MLP(2.5),  # our own TypeError
        raising(MemoryError("no more")),
        warning(DesignWarning),  # NaN, with a word of ours
        lambda: np.zeros(3),
    ],
)
def test_what_does_not(call):
    assert find_problem(call, {}) is None


def test_calls_that_do_not_end_are_stopped(monkeypatch):
    monkeypatch.setattr(fuzz_rule, "SECONDS", 0.05)
    monkeypatch.setattr(fuzz_rule, "WORK_SECONDS", 0.05)
    assert find_problem(endless, {})[0] == "does not end"
    assert find_problem(endless, {}, work=True) is None
