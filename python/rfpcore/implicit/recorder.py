"""Windows of a PyTorch user's own training."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .._options import MAX_STEPS, integer
from ._windows import cut, displacements
from .equations import Equations

__all__ = ["torch_recorder"]


class TorchRecorder:
    """Flat parameters and gradients of a torch model, taken during its own training; see `torch_recorder`."""

    def __init__(self, model: Any, loss: Any, X: Any, y: Any, every: int) -> None:
        self.model, self.loss, self.X, self.y, self.every = model, loss, X, y, every
        self._steps: list[int] = []
        self._thetas: list[Any] = []
        self._gradients: list[Any] = []
        self._rates: list[float] = []
        self._step = 0

    def before_step(self, lr: float) -> None:
        """Call it before each step of the optimizer, with the step's learning rate."""
        if self._step % self.every == 0:
            self._take()
        self._rates.append(float(lr))
        self._step += 1

    def _take(self) -> None:
        import torch

        parameters = [p for p in self.model.parameters() if p.requires_grad]
        with _evaluating(self.model), torch.enable_grad():
            value = self.loss(self.model(self.X), self.y)
        found = torch.autograd.grad(value, parameters)
        self._steps.append(self._step)
        self._thetas.append(_flat(parameters))
        self._gradients.append(_flat(found))

    def equations(self, windows: int = 10) -> Equations:
        """The equations of plain SGD's displacements, as `Equations.trajectory` makes them.

        Parameters
        ----------
        windows : int, default=10

        Returns
        -------
        Equations
        """
        count = integer(windows, "windows", 1, MAX_STEPS)
        if len(self._steps) - 1 < 2 * count:
            raise ValueError(
                f"windows={count} of {len(self._steps)} recorded steps; {2 * count + 1} are needed, "
                "from longer training or a smaller `every`"
            )
        thetas, gradients = np.array(self._thetas), np.array(self._gradients)
        sums = np.concatenate([[0.0], np.cumsum(self._rates)])[self._steps]
        weights = np.diff(sums)
        found = cut(self._steps, thetas, weights, displacements(thetas, weights), (None, gradients), count)
        return Equations(found.points, found.targets, shares=found.shares, times=found.times)


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """The bare loss has no masks; measuring it changes neither running statistics nor random draws."""
    training = [part for part in model.modules() if part.training]
    try:
        for part in training:
            part.training = False
        yield
    finally:
        for part in training:
            part.training = True


def _flat(tensors: Any) -> Any:
    parts = [t.detach().reshape(-1).double().cpu().numpy() for t in tensors]
    return np.concatenate(parts)


def torch_recorder(model: Any, loss: Any, X: Any, y: Any, every: int = 5) -> TorchRecorder:
    """Record what `GradientMatching` needs from a torch model that its owner trains by SGD.

    Call `before_step(lr)` before each step, and `equations(windows)` at the end.

    Parameters
    ----------
    model : torch.nn.Module
        It is measured as in evaluation: without masks of dropout, and with running statistics, which stay as
        they are.
    loss : callable(outputs, y) -> scalar tensor
        The bare loss.
    X, y : tensors
        All rows: the mean gradient is taken of them.
    every : int, default=5
        Steps from one record to the next.

    Returns
    -------
    recorder

    Examples
    --------
    Weight decay, found in ten lines:

    >>> import torch
    >>> from rfpcore.implicit import GradientMatching, torch_recorder
    >>> from rfpcore.regularize import L2
    >>> _ = torch.manual_seed(0)
    >>> X = torch.linspace(-1, 1, 64, dtype=torch.float64)[:, None]
    >>> y = torch.sin(3 * X)
    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).double()
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.02, weight_decay=0.05)
    >>> recorder = torch_recorder(model, torch.nn.functional.mse_loss, X, y)
    >>> for step in range(500):
    ...     recorder.before_step(lr=0.02)
    ...     optimizer.zero_grad()
    ...     torch.nn.functional.mse_loss(model(X), y).backward()
    ...     optimizer.step()
    >>> found = GradientMatching([L2(1)]).fit(recorder.equations(windows=10))
    >>> bool(abs(found.coef_[0] / 0.05 - 1) < 0.02)
    True
    """
    if not callable(loss) or not hasattr(model, "parameters") or not hasattr(model, "modules"):
        raise TypeError("a torch module and a callable loss(outputs, y) are needed")
    return TorchRecorder(model, loss, X, y, integer(every, "every", 1, MAX_STEPS))
