"""What a penalty is to the estimator: columns of gradients with names."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import shown
from ..network import MLP
from ..regularize import L1, L2, Regularization, Term
from ._checks import Floats

__all__ = ["Penalty", "TermPenalty", "as_penalties", "columns_of", "term_gradient"]


class Penalty(ABC):
    """A penalty R, or several that belong together, whose coefficients are estimated.

    A subclass gives the gradients. `names` and `gradients` go together: one column each.
    """

    @abstractmethod
    def names(self, n_parameters: int) -> list[str]:
        """What the J coefficients are called."""

    @abstractmethod
    def gradients(self, thetas: Floats) -> Floats:
        """∇Rⱼ at each of W parameter vectors (W, P), as (W, P, J)."""


class TermPenalty(Penalty):
    """A term of `rfpcore.regularize`, its strength the unit of the coefficient."""

    def __init__(self, term: L1 | L2, net: MLP | None) -> None:
        self.term = term
        self._counted = None if term.biases else _weights_of(term, net)

    def names(self, n_parameters: int) -> list[str]:
        return [type(self.term).__name__]

    def gradients(self, thetas: Floats) -> Floats:
        found = term_gradient(self.term, thetas)
        if self._counted is not None:
            found = found * self._counted
        return found[:, :, None]

    def scaled(self, coefficient: float) -> Term:
        """The term with the strength that was estimated."""
        return replace(self.term, strength=self.term.strength * coefficient)


def term_gradient(term: L1 | L2, thetas: Floats) -> Floats:
    """∇R of one term, at all parameters alike."""
    if isinstance(term, L2):
        return term.strength * thetas
    if term.smoothing > 0:
        return term.strength * np.clip(thetas / term.smoothing, -1, 1)
    return term.strength * np.sign(thetas)


def _weights_of(term: L1 | L2, net: MLP | None) -> NDArray[np.bool_]:
    """Which parameters are weights."""
    if net is None:
        raise ValueError(f"{term!r} leaves biases alone, which needs the network: Equations(..., net=net)")
    counted = np.zeros(net.n_parameters)
    for W, _ in net.unflatten(counted):
        W[:] = 1
    return counted > 0


class _CallablePenalty(Penalty):
    """A function θ (P,) → ∇R (P,) of the caller's."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def names(self, n_parameters: int) -> list[str]:
        return [getattr(self.function, "__name__", type(self.function).__name__)]

    def gradients(self, thetas: Floats) -> Floats:
        found = np.array([self._one(theta) for theta in thetas])
        return found[:, :, None]

    def _one(self, theta: Floats) -> Floats:
        given = np.asarray(self.function(theta.copy()), np.float64)
        if given.shape != theta.shape:
            raise ValueError(
                f"the penalty {self.names(0)[0]!r} gave a gradient of shape {given.shape}; "
                f"{theta.shape} is needed"
            )
        return given


def as_penalties(given: Any, net: MLP | None) -> list[Penalty]:
    """Penalties from whatever stands for them: a list of terms, penalties and functions, or a single one."""
    if isinstance(given, Regularization):
        given = list(given)
    if isinstance(given, Term | Penalty) or callable(given):
        given = [given]
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(
            f"penalties={shown(given)} is a {type(given).__name__}; a list of penalties is needed, "
            "such as [L2(1)]"
        )
    found = [_as_penalty(one, net, i) for i, one in enumerate(given)]
    if not found:
        raise ValueError("penalties is empty; at least one is needed, such as L2(1)")
    return found


def _as_penalty(given: Any, net: MLP | None, index: int) -> Penalty:
    if isinstance(given, L1 | L2):
        if given.strength == 0:
            raise ValueError(
                f"penalties[{index}]={given!r} has the gradient 0; a strength such as 1 is needed"
            )
        return TermPenalty(given, net)
    if isinstance(given, Term):
        raise TypeError(
            f"penalties[{index}]={given!r} has no gradient of the parameters; L1, L2, or a Penalty is needed"
        )
    if isinstance(given, Penalty):
        return given
    if callable(given):
        return _CallablePenalty(given)
    raise TypeError(
        f"penalties[{index}]={shown(given)} is a {type(given).__name__}; a term, a Penalty, or a function "
        "θ → gradient is needed"
    )


def columns_of(penalty: Penalty, thetas: Floats) -> Floats:
    """The penalty's gradients (W, P, J); ValueError where they do not fit or are not finite."""
    names = penalty.names(thetas.shape[1])
    found = np.asarray(penalty.gradients(thetas), np.float64)
    needed = (*thetas.shape, len(names))
    if found.shape != needed:
        raise ValueError(
            f"{type(penalty).__name__} gave gradients of shape {found.shape}; {needed} is needed"
        )
    if not np.isfinite(found).all():
        bad = np.argwhere(~np.isfinite(found))[0]
        raise ValueError(
            f"the gradient of the penalty {names[bad[2]]!r} is {found[tuple(bad)]} at parameter {bad[1]}; "
            "finite numbers are needed"
        )
    return found
