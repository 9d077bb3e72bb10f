"""Second and third derivatives of row losses in the outputs."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import expit, softmax

from ._checks import Floats

__all__ = ["OutputLoss", "output_loss"]


class OutputLoss(NamedTuple):
    """Of outputs f and a direction ḟ, both (N, m)."""

    product: Callable[[Floats, Floats], Floats]
    """H(f) ḟ."""
    bend: Callable[[Floats, Floats], Floats]
    """The gradient of ½ ḟ′H(f)ḟ in f."""


def output_loss(loss: str) -> OutputLoss:
    """Of a loss by its name; ValueError for losses without a smooth Hessian."""
    if loss not in _LOSSES:
        raise ValueError(
            f"loss={loss!r} has no smooth Hessian in the outputs; one of {', '.join(_LOSSES)} is needed"
        )
    return _LOSSES[loss]


def _logistic_product(f: Floats, along: Floats) -> Floats:
    p = expit(f)
    return np.asarray(p * (1 - p) * along)


def _logistic_bend(f: Floats, along: Floats) -> Floats:
    p = expit(f)
    return np.asarray(p * (1 - p) * (1 - 2 * p) * along**2 / 2)


def _centred(p: Floats, values: Floats) -> Floats:
    """(diag π − ππ′) times values, row by row."""
    return np.asarray(p * (values - np.sum(p * values, axis=1, keepdims=True)))


def _softmax_product(f: Floats, along: Floats) -> Floats:
    return _centred(softmax(f, axis=1), along)


def _softmax_bend(f: Floats, along: Floats) -> Floats:
    p = softmax(f, axis=1)
    # ½ ḟ′Hḟ = ½ (Σ π ḟ² − (Σ π ḟ)²), and ∂π = (diag π − ππ′) ∂f.
    return _centred(p, along**2 / 2 - np.sum(p * along, axis=1, keepdims=True) * along)


_LOSSES = {
    "squared": OutputLoss(lambda f, along: 2 * along, lambda f, along: np.zeros_like(f)),
    "logistic": OutputLoss(_logistic_product, _logistic_bend),
    "softmax": OutputLoss(_softmax_product, _softmax_bend),
    "cross_entropy": OutputLoss(_softmax_product, _softmax_bend),
    "poisson": OutputLoss(lambda f, along: np.exp(f) * along, lambda f, along: np.exp(f) * along**2 / 2),
}
