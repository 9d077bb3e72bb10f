"""Sums over shards of losses and gradients: in float64, in the order in which parts come."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._arrays import Array

__all__ = ["NOTHING", "Measured", "WeightedSum", "total", "totals"]


class Measured(NamedTuple):
    """R_k of some clusters, their weight, and the gradient; clusters left out because they diverged.

    `step_gradient` is the derivative in the inner step of each parameter, where it is wanted.
    """

    weight: float
    value: float
    gradient: Array | None
    n_skipped: int
    step_gradient: Array | None = None


NOTHING = Measured(0.0, 0.0, None, 0)


class WeightedSum:
    """R_k of all clusters from that of their parts, in float64 and in the order in which they are added."""

    def __init__(self) -> None:
        self.weight, self.value, self.n_skipped = 0.0, 0.0, 0
        self.gradient: Array | None = None
        self.step_gradient: Array | None = None

    def add(self, part: Measured) -> None:
        """One part more."""
        self.n_skipped += part.n_skipped
        if part.weight == 0:
            return
        self.weight += part.weight
        self.value += part.weight * part.value
        self.gradient = _added(self.gradient, part.weight, part.gradient)
        self.step_gradient = _added(self.step_gradient, part.weight, part.step_gradient)

    def mean(self, dtype: np.dtype[Any]) -> Measured:
        """Of all, the gradient in a dtype."""
        if self.weight == 0:
            return Measured(0.0, np.nan, None, self.n_skipped)
        gradient = None if self.gradient is None else (self.gradient / self.weight).astype(dtype)
        slope = None if self.step_gradient is None else self.step_gradient / self.weight
        return Measured(self.weight, self.value / self.weight, gradient, self.n_skipped, slope)


def _added(whole: Array | None, weight: float, part: Array | None) -> Array | None:
    if part is None:
        return whole
    own = weight * part.astype(np.float64)
    return own if whole is None else np.asarray(whole + own)


def total(parts: Iterable[Measured], dtype: np.dtype[Any]) -> Measured:
    """R_k of all clusters from that of each part's, and the gradient in a dtype."""
    found = WeightedSum()
    for part in parts:
        found.add(part)
    return found.mean(dtype)


def totals(parts: Iterable[Sequence[Measured]], count: int) -> list[WeightedSum]:
    """Sums of several runs at once: each part has one of each."""
    sums = [WeightedSum() for _ in range(count)]
    for part in parts:
        for own, measured in zip(sums, part, strict=True):
            own.add(measured)
    return sums
