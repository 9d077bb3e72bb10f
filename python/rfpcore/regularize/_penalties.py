"""Penalties on the size of parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import ClassVar, Literal

from .._options import at_least, boolean, choice
from ._terms import Term

__all__ = ["L1", "L2"]

L1Method = Literal["subgradient", "decoupled", "proximal"]


@dataclass(frozen=True, repr=False)
class L2(Term):
    """Weight decay: the penalty strength/2 · |θ|² on all weights and biases.

    Coupled, strength · θ is added to the gradient of the loss, before an adaptive optimizer scales it, as in
    the displayed gradient and the code of [1]_ (its formula for the loss lacks the factor ½). Decoupled,
    θ ← θ − lr · strength · θ beside the optimizer's step [2]_: with `AdamW`, PyTorch's AdamW. With plain SGD
    the two are the same. Scale and shift of `BatchNorm` are never penalised.

    Parameters
    ----------
    strength : float
        At least 0.
    decoupled : bool, default=False
    biases : bool, default=True
        False leaves biases alone.

    References
    ----------
    .. [1] Praturu (2026), "Regularization", section 2.
    .. [2] Loshchilov and Hutter (2019), "Decoupled weight decay regularization", algorithm 2.

    Examples
    --------
    >>> from rfpcore.regularize import L2
    >>> L2(0.0025)
    L2(strength=0.0025)
    >>> L2(-1)
    Traceback (most recent call last):
    ...
    ValueError: strength=-1.0; a number of at least 0 is needed
    """

    _strengths: ClassVar[Mapping[str, float]] = {"strength": inf}

    strength: float
    decoupled: bool = False
    biases: bool = True

    def __post_init__(self) -> None:
        self._store(
            strength=at_least(self.strength, "strength", 0.0),
            decoupled=boolean(self.decoupled, "decoupled"),
            biases=boolean(self.biases, "biases"),
        )


@dataclass(frozen=True, repr=False)
class L1(Term):
    """Sparsity: the penalty strength · Σ|θ| on all weights and biases.

    Parameters
    ----------
    strength : float
        At least 0.
    method : {"subgradient", "decoupled", "proximal"}, default="subgradient"
        "subgradient" adds strength · sign θ to the gradient, as [1]_; "decoupled" takes θ ← θ − lr ·
        strength · sign θ beside the optimizer's step. Both leave parameters that flicker about zero.
        "proximal" moves every parameter towards zero by lr · strength after the step and stops it there [2]_,
        so that zeros are exact.
    smoothing : float, default=0.0
        δ of the smoothed penalty θ²/2δ for |θ| ≤ δ and |θ| − δ/2 beyond, whose gradient is θ/δ within δ.
        Not with "proximal".
    biases : bool, default=True
        False leaves biases alone.

    References
    ----------
    .. [1] Praturu (2026), "Regularization", section 2.
    .. [2] Parikh and Boyd (2014), "Proximal algorithms", section 6.5.2.

    Examples
    --------
    >>> from rfpcore.regularize import L1
    >>> L1(0.002, method="proximal")
    L1(strength=0.002, method='proximal')
    >>> L1(0.002, method="proximal", smoothing=0.1)
    Traceback (most recent call last):
    ...
    ValueError: smoothing=0.1 has no meaning with method='proximal', which needs smoothing=0
    """

    _strengths: ClassVar[Mapping[str, float]] = {"strength": inf}

    strength: float
    method: L1Method = "subgradient"
    smoothing: float = 0.0
    biases: bool = True

    def __post_init__(self) -> None:
        self._store(
            strength=at_least(self.strength, "strength", 0.0),
            method=choice(self.method, "method", L1Method),
            smoothing=at_least(self.smoothing, "smoothing", 0.0),
            biases=boolean(self.biases, "biases"),
        )
        if self.method == "proximal" and self.smoothing > 0:
            raise ValueError(
                f"smoothing={self.smoothing} has no meaning with method='proximal', which needs smoothing=0"
            )
