"""What is recorded on the way."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .._arrays import shown
from .._options import MAX_STEPS, boolean, integer

__all__ = ["Record"]

_WHAT = ("losses", "metrics", "thetas", "gradients", "intervals", "norms")  # in the kernel's order


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
        Mean losses of the training rows, the held-out rows and the test rows: bare, that is, of the rows as
        they are, without dropout, label smoothing or penalties, and with the running statistics of batch
        normalization.
    metrics : bool, default=True
        The share of each whose class is right. With the losses "squared" and "cross_entropy" that is
        whether the largest output is that of the class, where y is one-hot: more than one column, and in
        each row a 1 among zeros. NaN where there are no classes.
    thetas : bool, default=False
        The parameters.
    gradients : bool, default=False
        Gradients of the bare training loss at the parameters. Not with batch normalization.
    intervals : bool, default=False
        Means over the optimizer steps since the step recorded before; for the first one, since the start. Of
        each batch's gradient as it is applied (`applied_gradients`): with masks, noise, mixed rows and
        smoothed labels, scaled down by `ClipNorm`, with every penalty that has a gradient (`L2`, and `L1`
        but for its proximal form, coupled or decoupled), before momentum or Adam's moments. And of the bare
        loss of the same batches at the same parameters (`bare_gradients`): the difference is what training
        adds to its loss. Zeros where no step was taken. Not with batch normalization. Every step takes a
        second pass with `Dropout`, `LabelSmoothing`, `InputNoise`, `Mixup` or `Shifts`; without them it is
        cheap, beside losses and metrics, which look at all rows and can be left out.
    norms : bool, default=False
        The Frobenius norm of each layer's weights, without biases, with batch normalization folded in, as
        `ModelResult.norms` has it. Those of hidden units and Jacobians, which depend on rows, it gives for
        recorded parameters.

    Examples
    --------
    >>> from rfpcore.many import Record
    >>> Record(steps=[100, 0, 10]).steps
    (0, 10, 100)
    >>> import numpy as np
    >>> from rfpcore.many import Model, fit_many
    >>> from rfpcore.regularize import L2
    >>> X = np.linspace(-2, 2, 40)[:, None]
    >>> model = Model((8,), n_steps=50, regularization=L2(0.1))
    >>> found = fit_many(X, np.sin(X), model, record=Record(every=1, thetas=True, intervals=True))[0]
    >>> added = found.applied_gradients[1:] - found.bare_gradients[1:]  # at the parameters before each step
    >>> bool(np.allclose(added, 0.1 * found.thetas[:-1]))
    True
    >>> norms = fit_many(X, np.sin(X), model, record=Record(every=25, norms=True))[0].weight_norms
    >>> norms.shape  # recorded steps, layers
    (3, 2)
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
    intervals: bool = False
    norms: bool = False

    def __post_init__(self) -> None:
        values: dict[str, Any] = {name: boolean(getattr(self, name), name) for name in _WHAT}
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
        return self.every, steps, [getattr(self, name) for name in _WHAT]
