"""Whether what a fit has led to can be used."""

import numpy as np

from .._arrays import Array
from ..exceptions import DivergenceError
from ..network import MLP

__all__ = ["overflow", "require_finite_fit"]

ROWS = 1000
"""Rows looked at: enough to meet an overflow, and cheap beside any fit."""


def require_finite_fit(net: MLP, theta: Array, X: Array, n_steps: int, unit: str) -> None:
    """DivergenceError where the parameters or their outputs overflow.

    The losses of a fit are those before each step, so nobody has looked at where the last one led to.
    """
    if not np.isfinite(theta).all():
        raise overflow(n_steps, unit)
    try:
        net.predict(theta, X[:ROWS], n_jobs=1)
    except ValueError:  # outputs that are not finite
        raise overflow(n_steps, unit) from None


def overflow(n_steps: int, unit: str, index: int | None = None) -> DivergenceError:
    """The error for a network that is out of range after so many steps."""
    return DivergenceError(
        f"the network overflows after {n_steps} {unit}; a smaller learning_rate_init or limits on the "
        "gradient's norm help",
        label=index,
        step=n_steps,
    )
