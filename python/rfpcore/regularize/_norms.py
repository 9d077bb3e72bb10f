"""Bounds on norms: of the gradient before a step, of a unit's weights after it."""

from dataclasses import dataclass

from .._options import positive
from ._terms import Term

__all__ = ["ClipNorm", "MaxNorm"]


@dataclass(frozen=True, repr=False)
class ClipNorm(Term):
    """Scale the gradient of all parameters down to a Euclidean norm of `limit` where it is above.

    Parameters
    ----------
    limit : float
        Above 0.

    References
    ----------
    Pascanu, Mikolov and Bengio (2013), "On the difficulty of training recurrent neural networks",
    algorithm 1.

    Examples
    --------
    >>> from rfpcore.regularize import ClipNorm
    >>> ClipNorm(1)
    ClipNorm(limit=1.0)
    """

    limit: float

    def __post_init__(self) -> None:
        self._store(limit=positive(self.limit, "limit"))


@dataclass(frozen=True, repr=False)
class MaxNorm(Term):
    """After a step, scale the weights into each unit down to a Euclidean norm of `limit` where it is above.

    It holds for the units of every layer, the outputs included; biases stay as they are.

    Parameters
    ----------
    limit : float
        Above 0.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014), "Dropout", section 5.1.

    Examples
    --------
    >>> from rfpcore.regularize import Dropout, MaxNorm
    >>> Dropout(0.5) + MaxNorm(3)
    Regularization([Dropout(rate=0.5), MaxNorm(limit=3.0)])
    """

    limit: float

    def __post_init__(self) -> None:
        self._store(limit=positive(self.limit, "limit"))
