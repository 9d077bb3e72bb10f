"""What changes the hidden layers of the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from .._options import below_one, choice, positive, real
from .._value import LATER
from ._terms import LARGEST_RATE, Term

__all__ = ["BatchNorm", "Dropout"]

Mask = Literal["batch", "row"]


@dataclass(frozen=True, repr=False)
class Dropout(Term):
    """Set hidden units, or inputs, to zero at random while training; scale the others up to keep the mean.

    A unit is kept with probability 1 − rate and multiplied by 1/(1 − rate) (inverted dropout), after its
    activation. Nothing is dropped at prediction, except where draws are asked for (Monte-Carlo dropout).

    Parameters
    ----------
    rate : float or sequence of float
        Probability of dropping a unit, in [0, 1): one for all hidden layers, or one for each.
    mask : {"batch", "row"}, default="batch"
        "batch" draws one mask of units for a whole batch, as the code of [1]_; "row" one for each row, as
        PyTorch and [2]_.
    inputs : float, default=0.0
        Probability of dropping an input, in [0, 1); a linear model has no other dropout. Inputs are dropped
        last, after noise, mixup and shifts.

    References
    ----------
    .. [1] Praturu (2026), "Regularization", section 3.
    .. [2] Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014), "Dropout".

    Examples
    --------
    >>> from rfpcore.regularize import Dropout
    >>> Dropout(0.4).rates(2)
    (0.4, 0.4)
    >>> Dropout(0.5, inputs=0.2)
    Dropout(rate=0.5, inputs=0.2)
    >>> Dropout((0.2, 0.5)).rates(3)
    Traceback (most recent call last):
    ...
    ValueError: Dropout has 2 rates; the network has 3 hidden layers, so one rate or 3 are needed
    """

    _strengths: ClassVar[Mapping[str, float]] = {"rate": LARGEST_RATE, "inputs": LARGEST_RATE}

    rate: float | tuple[float, ...]
    mask: Mask = "batch"
    inputs: float = field(default=0.0, metadata=LATER)

    def __post_init__(self) -> None:
        choice(self.mask, "mask", Mask)
        self._store(inputs=below_one(self.inputs, "inputs"))
        several = isinstance(self.rate, Sequence | np.ndarray) and not isinstance(self.rate, str | bytes)
        if not several or (isinstance(self.rate, np.ndarray) and self.rate.ndim == 0):
            self._store(rate=below_one(self.rate, "rate"))
        else:
            rates = enumerate(self.rate)  # type: ignore[arg-type]  # mypy does not follow `several`
            self._store(rate=tuple(below_one(rate, f"rate[{layer}]") for layer, rate in rates))

    def rates(self, n_hidden: int) -> tuple[float, ...]:
        """The rate of each of a network's hidden layers.

        Raises
        ------
        ValueError
            If there are several rates, and not as many as hidden layers.
        """
        if isinstance(self.rate, float):
            return (self.rate,) * n_hidden
        if len(self.rate) != n_hidden:
            raise ValueError(
                f"Dropout has {len(self.rate)} rates; the network has {n_hidden} hidden layers, "
                f"so one rate or {n_hidden} are needed"
            )
        return self.rate


@dataclass(frozen=True, repr=False)
class BatchNorm(Term):
    """Normalize each hidden unit over the batch before its activation, then scale and shift it.

    The conventions are PyTorch's BatchNorm1d: a batch is normalized with its biased variance; the running
    statistics, which predictions use, take up the unbiased one. Scale starts at 1 and shift at 0, and both
    are trained.

    Parameters
    ----------
    momentum : float, default=0.1
        In (0, 1]: running ← (1 − momentum) · running + momentum · batch.
    epsilon : float, default=1e-5
        Added to the variance; above 0.

    References
    ----------
    Ioffe and Szegedy (2015), "Batch normalization", algorithms 1 and 2.

    Examples
    --------
    >>> from rfpcore.regularize import BatchNorm
    >>> BatchNorm()
    BatchNorm()
    """

    momentum: float = 0.1
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        momentum = real(self.momentum, "momentum", "a number in (0, 1]")
        if not 0 < momentum <= 1:
            raise ValueError(f"momentum={momentum}; a number in (0, 1] is needed")
        self._store(momentum=momentum, epsilon=positive(self.epsilon, "epsilon"))
