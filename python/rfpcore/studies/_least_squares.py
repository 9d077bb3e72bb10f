"""Least squares of many data sets at once, and what random features take."""

from collections.abc import Callable

import numpy as np

from .._arrays import Array

__all__ = ["activation_of", "least_squares", "spread"]


def least_squares(X: Array, y: Array, level: float) -> Array:
    """The argmin |y − Xb|² + level·|b|² of each data set (S, n, p), (S, n), by QR; at 0 the least norm."""
    size, n, p = X.shape
    tall = X if n >= p else X.swapaxes(1, 2)
    small = min(n, p)
    if level > 0:
        eye = np.broadcast_to(np.sqrt(level) * np.eye(small), (size, small, small))
        q, r = np.linalg.qr(np.concatenate([tall, eye], axis=1))
    else:
        q, r = np.linalg.qr(tall)
    diagonal = np.abs(np.diagonal(r, axis1=1, axis2=2))
    if (diagonal.min(axis=1) <= max(n, p) * np.finfo(float).eps * diagonal.max(axis=1)).any():
        # Features that are 0 in all rows, or one another, without a penalty that counts.
        return np.asarray((np.linalg.pinv(X) @ y[..., None])[..., 0])
    if n >= p:
        return np.asarray(np.linalg.solve(r, q[:, :n].swapaxes(1, 2) @ y[..., None])[..., 0])
    # b = X'a with (XX' + level)a = y, and XX' + level = R'R.
    a = np.linalg.solve(r, np.linalg.solve(r.swapaxes(1, 2), y[..., None]))
    return np.asarray((tall @ a)[..., 0])


def spread(vectors: Array, energy: float) -> Array:
    """Vectors of the same directions and of squared length `energy`."""
    return np.asarray(vectors * np.sqrt(energy / np.square(vectors).sum(axis=-1, keepdims=True)))


def activation_of(name: str) -> Callable[[Array], Array]:
    """The function of a name of `Feature`."""
    from scipy.special import erf

    known: dict[str, Callable[[Array], Array]] = {"relu": lambda z: np.maximum(z, 0), "erf": erf}
    return known[name]
