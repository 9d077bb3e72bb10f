"""Optimizers and learning-rate schedules as small values: `SGD(0.15, schedule=PowerLaw(tau=5000, power=1))`.

They are frozen, hashable and printable. The conventions are PyTorch's: `SGD`, `Adam` and `AdamW` take the
steps of its optimizers of the same names.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from . import _rfpcore
from ._options import MAX_ROWS, MAX_STEPS, at_least, below_one, boolean, integer, positive
from ._value import Value

__all__ = ["SGD", "Adam", "AdamW", "Constant", "Cosine", "Optimizer", "PowerLaw", "Schedule", "Step"]


class Schedule(Value):
    """How the learning rate changes: lr · factor(t) after t steps."""


@dataclass(frozen=True, repr=False)
class Constant(Schedule):
    """The learning rate stays as it is.

    Examples
    --------
    >>> from rfpcore.optimizers import Constant
    >>> Constant()
    Constant()
    """


@dataclass(frozen=True, repr=False)
class Cosine(Schedule):
    """Half a cosine down to zero: (1 + cos(π · min(t/steps, 1))) / 2.

    Parameters
    ----------
    steps : float
        Steps until the learning rate is zero; above 0.

    References
    ----------
    Loshchilov and Hutter (2017), "SGDR: stochastic gradient descent with warm restarts", equation 5.

    Examples
    --------
    >>> from rfpcore.optimizers import Cosine
    >>> Cosine(1000)
    Cosine(steps=1000.0)
    """

    steps: float

    def __post_init__(self) -> None:
        self._store(steps=positive(self.steps, "steps"))


@dataclass(frozen=True, repr=False)
class Step(Schedule):
    """A factor after each so many steps: factor^⌊t/every⌋.

    Parameters
    ----------
    every : float
        Steps between two changes; above 0.
    factor : float, default=0.1
        Above 0.

    Examples
    --------
    >>> from rfpcore.optimizers import Step
    >>> Step(500, factor=0.5)
    Step(every=500.0, factor=0.5)
    """

    every: float
    factor: float = 0.1

    def __post_init__(self) -> None:
        self._store(every=positive(self.every, "every"), factor=positive(self.factor, "factor"))


@dataclass(frozen=True, repr=False)
class PowerLaw(Schedule):
    """A power law: 1 / (1 + t/tau)^power.

    Parameters
    ----------
    tau : float
        Steps after which the fall sets in; above 0.
    power : float, default=0.5
        At least 0.

    References
    ----------
    Praturu (2026), "Regularization", section 7: its (η₀, α, τ) are lr, power and tau.

    Examples
    --------
    >>> from rfpcore.optimizers import PowerLaw
    >>> PowerLaw(tau=5e4, power=1)
    PowerLaw(tau=50000.0, power=1.0)
    """

    tau: float
    power: float = 0.5

    def __post_init__(self) -> None:
        self._store(tau=positive(self.tau, "tau"), power=at_least(self.power, "power", 0.0))


class Optimizer(Value):
    """How a gradient becomes a step."""

    lr: float
    schedule: Schedule

    def learning_rates(self, start: int, stop: int) -> NDArray[np.float64]:
        """The learning rates of steps, lr · factor(t) for t = start, …, stop − 1, as training takes them.

        Their sum is how far the steps go together: plain `SGD` moves by minus the sum over the steps of
        learning rate times gradient.

        Parameters
        ----------
        start, stop : int
            Steps count from 0; `stop` is not below `start`, and is not among them.

        Returns
        -------
        rates : ndarray (stop - start,) of float64

        Raises
        ------
        ValueError, TypeError
            If they are no integers, negative, or in the wrong order, or too many steps lie between them.

        Examples
        --------
        >>> from rfpcore.optimizers import SGD, Cosine
        >>> optimizer = SGD(0.1, schedule=Cosine(4))
        >>> optimizer.learning_rates(0, 5).round(4).tolist()
        [0.1, 0.0854, 0.05, 0.0146, 0.0]
        >>> float(optimizer.learning_rates(0, 5).sum())  # lr · (T + 1) / 2
        0.25
        """
        first = integer(start, "start", 0, MAX_STEPS)
        after = integer(stop, "stop", 0, MAX_STEPS)
        integer(after - first, "stop - start", 0, MAX_ROWS)
        return _rfpcore.Optimizer(self).learning_rates(first, after)

    def _check(self) -> None:
        self._store(lr=positive(self.lr, "lr"))
        if not isinstance(self.schedule, Schedule):
            kind = type(self.schedule).__name__
            raise TypeError(
                f"schedule={self.schedule!r} is a {kind}; Constant(), Cosine, Step or PowerLaw is needed"
            )


@dataclass(frozen=True, repr=False)
class SGD(Optimizer):
    """Stochastic gradient descent: b ← momentum · b + g, θ ← θ − lr · b.

    Parameters
    ----------
    lr : float
        Learning rate; above 0.
    momentum : float, default=0.0
        In [0, 1).
    nesterov : bool, default=False
        Step by g + momentum · b instead; needs a momentum.
    schedule : Schedule, default=Constant()

    Examples
    --------
    >>> from rfpcore.optimizers import SGD
    >>> SGD(0.1, momentum=0.9)
    SGD(lr=0.1, momentum=0.9)
    >>> SGD(0.1, nesterov=True)
    Traceback (most recent call last):
    ...
    ValueError: nesterov=True needs a momentum above 0, got momentum=0.0
    """

    lr: float
    momentum: float = 0.0
    nesterov: bool = False
    schedule: Schedule = field(default=Constant())

    def __post_init__(self) -> None:
        self._check()
        self._store(
            momentum=below_one(self.momentum, "momentum"), nesterov=boolean(self.nesterov, "nesterov")
        )
        if self.nesterov and self.momentum == 0:
            raise ValueError(f"nesterov=True needs a momentum above 0, got momentum={self.momentum}")


@dataclass(frozen=True, repr=False)
class Adam(Optimizer):
    """Adaptive moments.

    Parameters
    ----------
    lr : float, default=1e-3
    beta1, beta2 : float, default=0.9, 0.999
        Decay of the first and the second moment, in [0, 1).
    epsilon : float, default=1e-8
        Added to the root of the second moment; above 0.
    schedule : Schedule, default=Constant()

    References
    ----------
    Kingma and Ba (2015), "Adam: a method for stochastic optimization", algorithm 1.

    Examples
    --------
    >>> from rfpcore.optimizers import Adam, PowerLaw
    >>> Adam(0.01, schedule=PowerLaw(5e4))
    Adam(lr=0.01, schedule=PowerLaw(tau=50000.0))
    """

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    schedule: Schedule = field(default=Constant())

    def __post_init__(self) -> None:
        self._check()
        self._store(
            beta1=below_one(self.beta1, "beta1"),
            beta2=below_one(self.beta2, "beta2"),
            epsilon=positive(self.epsilon, "epsilon"),
        )


@dataclass(frozen=True, repr=False)
class AdamW(Adam):
    """Adam with decoupled weight decay: θ ← θ − lr · weight_decay · θ beside the step.

    It is `Adam` with `L2(weight_decay, decoupled=True)`.

    Parameters
    ----------
    lr, beta1, beta2, epsilon, schedule
        As in `Adam`.
    weight_decay : float, default=0.01
        At least 0; it acts on weights and biases alike.

    References
    ----------
    Loshchilov and Hutter (2019), "Decoupled weight decay regularization", algorithm 2.

    Examples
    --------
    >>> from rfpcore.optimizers import AdamW
    >>> AdamW(weight_decay=0.1)
    AdamW(weight_decay=0.1)
    """

    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        self._store(weight_decay=at_least(self.weight_decay, "weight_decay", 0.0))
