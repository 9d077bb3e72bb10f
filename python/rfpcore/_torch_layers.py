"""What `torch.nn` has no layer for: units of columns, two classes of one logit, means of networks."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn, stack, tensor

from ._scaling import Scaling

__all__ = ["Exponential", "MeanOfNetworks", "Standardised", "TwoClasses", "Undone"]


class _Scaled(nn.Module):
    """Levels and spreads as buffers: they move with the module, and are not trained.

    In float64, as in the estimators: the digits of a high level must not be lost.
    """

    level: Tensor
    spread: Tensor

    def __init__(self, scaling: Scaling) -> None:
        super().__init__()
        self.register_buffer("level", tensor(np.asarray(scaling.level, np.float64)))
        self.register_buffer("spread", tensor(np.asarray(scaling.spread, np.float64)))


class Standardised(_Scaled):
    """Columns in spreads from their levels."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, d) to (N, d)."""
        return ((x.to(self.level.dtype) - self.level) / self.spread).to(x.dtype)


class Undone(_Scaled):
    """The columns again."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, d) to (N, d)."""
        return x.to(self.level.dtype) * self.spread + self.level


class TwoClasses(nn.Module):
    """Probabilities of two classes from the logit of the second."""

    def forward(self, f: Tensor) -> Tensor:
        """(N, 1) to (N, 2)."""
        return stack([-f[:, 0], f[:, 0]], dim=1).sigmoid()


class Exponential(nn.Module):
    """Rates from their logarithms."""

    def forward(self, f: Tensor) -> Tensor:
        """(N, m) to (N, m)."""
        return f.exp()


class MeanOfNetworks(nn.Module):
    """The mean of several networks' predictions."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> Tensor:
        """(N, d) to (N, m)."""
        return stack([network(x) for network in self.networks]).mean(dim=0)
