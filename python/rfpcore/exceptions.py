"""What can go wrong besides misuse (misuse is a ValueError or TypeError with the numbers in it)."""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from ._rfpcore import InternalError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "DesignWarning",
    "DivergenceError",
    "DivergenceWarning",
    "GroupsWarning",
    "InnerStepWarning",
    "InstrumentWarning",
    "InternalError",
    "InterruptedWarning",
    "ScaleWarning",
]


class DivergenceError(ArithmeticError):
    """The loss of at least one cluster stopped being finite.

    Parameters
    ----------
    message : str
        What happened and what to do about it.
    label : hashable, optional
        Label of the first cluster that diverged, as in `Clusters.labels`.
    step : int
        Inner step at which its loss stopped being finite; 0 means at `theta` itself.
    loss : float
        That loss, infinite or NaN.
    n_diverged : int
        How many clusters diverged.

    Examples
    --------
    >>> error = DivergenceError("cluster 'A' diverged", label="A", step=3, loss=float("inf"), n_diverged=1)
    >>> error.label, error.step, str(error)
    ('A', 3, "cluster 'A' diverged")
    """

    def __init__(
        self,
        message: str,
        label: Hashable = None,
        step: int = 0,
        loss: float = float("nan"),
        n_diverged: int = 1,
    ) -> None:
        # All of it goes to `args`, so that the exception survives pickling between processes.
        super().__init__(message, label, step, loss, n_diverged)
        self.label = label
        self.step = step
        self.loss = loss
        self.n_diverged = n_diverged

    @classmethod
    def of(
        cls, error: Exception, labels: Any, advice: Callable[[], str] | None = None, where: str = ""
    ) -> "Self":
        """The kernel's error, with the cluster's label and what to do: the one reader of its `args`."""
        _, cluster, step, loss, n_diverged, *point = error.args
        label = labels[cluster]
        where = f"theta[{point[0]}]: " if point else where
        help_ = "theta itself is out of range" if step <= 0 or advice is None else advice()
        return cls(
            f"{where}the loss of cluster {label!s} is {loss} at inner step {step}; "
            f"{n_diverged} of {len(labels)} clusters diverged. {help_}",
            label,
            step,
            loss,
            n_diverged,
        )

    def __str__(self) -> str:
        return str(self.args[0])


class DivergenceWarning(RuntimeWarning):
    """Clusters whose loss stopped being finite were left out, or models whose loss did stopped there."""


class InnerStepWarning(RuntimeWarning):
    """The inner step raises the loss of many clusters instead of lowering it: it is too large for them."""


class InterruptedWarning(RuntimeWarning):
    """Ctrl-C ended something of which a part was done, and that part is returned."""


class GroupsWarning(UserWarning):
    """All rows were taken for one cluster, because no groups were given."""


class ScaleWarning(UserWarning):
    """A feature or the outcome is orders of magnitude away from what a network learns from."""


class DesignWarning(UserWarning):
    """The clusters, as they are, allow less than an estimate of an effect pretends."""


class InstrumentWarning(UserWarning):
    """The instruments say little about the endogenous variables, or are the variables themselves."""
