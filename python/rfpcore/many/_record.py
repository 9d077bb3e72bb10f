"""What is recorded on the way."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .._arrays import shown
from .._options import MAX_STEPS, boolean, integer

__all__ = ["Record"]


@dataclass(frozen=True)
class Record:
    """What to record of every model, and after which steps. A run without a record pays nothing.

    Parameters
    ----------
    every : int, optional
        Before the first step, after each so many, and after the last.
    steps : sequence of int, optional
        After these numbers of steps instead; 0 is before the first. Steps that a model does not reach are
        left out. Exactly one of `every` and `steps` is needed.
    losses : bool, default=True
        Mean losses of the training rows and of the held-out rows: bare, that is, of the rows as they are,
        without dropout, label smoothing or penalties, and with the running statistics of batch normalization.
    metrics : bool, default=True
        The share of both whose class is right; NaN for losses without classes.
    thetas : bool, default=False
        The parameters.
    gradients : bool, default=False
        Gradients of the bare training loss at the parameters. Not with batch normalization.

    Examples
    --------
    >>> from rfpcore.many import Record
    >>> Record(steps=[100, 0, 10]).steps
    (0, 10, 100)
    >>> Record()
    Traceback (most recent call last):
    ...
    ValueError: Record needs every or steps
    """

    every: int | None = None
    steps: tuple[int, ...] | None = None
    losses: bool = True
    metrics: bool = True
    thetas: bool = False
    gradients: bool = False

    def __post_init__(self) -> None:
        values: dict[str, Any] = {
            name: boolean(getattr(self, name), name) for name in ("losses", "metrics", "thetas", "gradients")
        }
        if (self.every is None) == (self.steps is None):
            raise ValueError(
                "Record needs " + ("every or steps" if self.every is None else "one of every and steps")
            )
        if self.every is not None:
            values["every"] = integer(self.every, "every", 1, MAX_STEPS)
        if self.steps is not None:
            if not isinstance(self.steps, Iterable) or getattr(self.steps, "ndim", 1) == 0:
                raise TypeError(
                    f"steps={shown(self.steps)} is a {type(self.steps).__name__}; integers are needed"
                )
            found = {integer(step, f"steps[{i}]", 0, MAX_STEPS) for i, step in enumerate(self.steps)}
            values["steps"] = tuple(sorted(found))
        for name, value in values.items():
            object.__setattr__(self, name, value)  # frozen: the one place that writes

    def options(self) -> tuple[int | None, list[int] | None, list[bool]]:
        """What the kernel takes."""
        steps = None if self.steps is None else list(self.steps)
        return self.every, steps, [self.losses, self.metrics, self.thetas, self.gradients]
