"""What a call found besides its main result."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._arrays import Array
from ._warn import warn
from .exceptions import DivergenceWarning

__all__ = ["ClusterStatus", "Objective"]


@dataclass(frozen=True, eq=False, repr=False)
class ClusterStatus:
    """What happened to each cluster.

    Attributes
    ----------
    labels : ndarray (C,)
        The clusters, as in `Clusters.labels`.
    diverged_step : ndarray (C,) of int32
        The inner step at which the loss stopped being finite; -1 where it did not.
    loss_before, loss_after : ndarray (C,) of float64
        Mean loss before and after adaptation.
    ok : ndarray (C,) of bool
        Where the loss stayed finite; also called `converged`.
    """

    labels: Array
    diverged_step: NDArray[np.int32]
    loss_before: NDArray[np.float64]
    loss_after: NDArray[np.float64]

    @property
    def ok(self) -> NDArray[np.bool_]:
        """(C,) True where the loss stayed finite."""
        return self.diverged_step < 0

    converged = ok

    @property
    def n_diverged(self) -> int:
        """How many clusters diverged."""
        return int(np.count_nonzero(self.diverged_step >= 0))

    def __len__(self) -> int:
        return len(self.diverged_step)

    def __repr__(self) -> str:
        text = f"ClusterStatus({len(self)} clusters, {self.n_diverged} diverged"
        if self.n_diverged:
            first = int(np.argmax(self.diverged_step >= 0))
            return f"{text}, first {self.labels[first]!s} at step {self.diverged_step[first]})"
        return f"{text}, mean loss {self.loss_before.mean():.4g} -> {self.loss_after.mean():.4g})"


@dataclass(frozen=True, eq=False)
class Objective:
    """R_k and all its derivatives.

    Attributes
    ----------
    value : float
        R_k(theta).
    gradient : ndarray (P,)
        In theta, of theta's dtype.
    alpha_gradient : float
        In alpha.
    inner_lr_gradient : float or ndarray (P,)
        In inner_lr, of its shape.
    status : ClusterStatus
        What happened to each cluster.
    """

    value: float
    gradient: Array
    alpha_gradient: float
    inner_lr_gradient: float | Array
    status: ClusterStatus


def warn_of_skipped(status: ClusterStatus) -> None:
    """`DivergenceWarning` if clusters were left out."""
    if not status.n_diverged:
        return
    first = int(np.argmax(~status.ok))
    warn(
        f"{status.n_diverged} of {len(status)} clusters diverged and were left out; the first is "
        f"{status.labels[first]!s}, at inner step {status.diverged_step[first]}. A smaller inner_lr helps",
        DivergenceWarning,
    )
