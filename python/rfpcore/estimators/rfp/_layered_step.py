"""Outer steps of bare vectors by terms that tell layers, or biases from weights."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import _rfpcore
from ..._arrays import Array
from ...network import MLP
from ...regularize import L1, L2, ClipNorm, MaxNorm, Regularization


class LayeredOptimizer:
    """What the kernel's own loop makes of such terms, around its steps of bare vectors.

    The whole gradient is clipped, weights and biases are stepped each with their penalties, and the weights
    into each unit are bounded at last.

    Parameters
    ----------
    net : MLP
        Whose parameters they are.
    optimizer_of : callable
        The kernel's optimizer with these terms.
    terms : Regularization
    """

    def __init__(
        self, net: MLP, optimizer_of: Callable[[Regularization], _rfpcore.Optimizer], terms: Regularization
    ) -> None:
        own = [term for term in terms if not isinstance(term, ClipNorm | MaxNorm)]
        everywhere = [term for term in own if not _spares_biases(term)]
        self.net = net
        for _, bias in net.unflatten(is_bias := np.zeros(net.n_parameters)):
            bias[:] = 1
        self.parts = (
            (is_bias == 0, optimizer_of(Regularization.of(own))),
            (is_bias == 1, optimizer_of(Regularization.of(everywhere))),
        )
        clip, bound = terms.get(ClipNorm), terms.get(MaxNorm)
        self.clip = np.inf if clip is None else clip.limit
        self.bound = np.inf if bound is None else bound.limit

    def step(
        self, t: int, gradient: Array, theta: Array, first: Array, second: Array
    ) -> tuple[Array, Array, Array]:
        """As of `_rfpcore.Optimizer`: theta and moments (P,) after step t, counted from 0."""
        norm = float(np.linalg.norm(gradient.astype(np.float64)))
        if norm > self.clip:
            gradient = (gradient * (self.clip / norm)).astype(gradient.dtype)
        after = np.empty_like(theta), np.empty_like(first), np.empty_like(second)
        for own, optimizer in self.parts:
            found = optimizer.step(t, gradient[own], theta[own], first[own], second[own])
            for whole, part in zip(after, found, strict=True):
                whole[own] = part
        for weights, _ in self.net.unflatten(after[0]) if np.isfinite(self.bound) else ():
            norms = np.linalg.norm(weights.astype(np.float64), axis=0)
            weights[:] = weights * np.where(norms > self.bound, self.bound / np.maximum(norms, self.bound), 1)
        return after


def optimizer_on_vectors(
    net: MLP, optimizer_of: Callable[[Regularization], _rfpcore.Optimizer], terms: Regularization
) -> Any:
    """What steps bare vectors of parameters: the kernel's optimizer where the terms treat all alike."""
    if any(isinstance(term, MaxNorm) or _spares_biases(term) for term in terms):
        return LayeredOptimizer(net, optimizer_of, terms)
    return optimizer_of(terms)


def _spares_biases(term: Any) -> bool:
    return isinstance(term, L1 | L2) and not term.biases
