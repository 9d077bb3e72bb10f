"""Norms of a network: of its weights, its hidden units, and its Jacobian."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _rfpcore
from .._arrays import F64, Array
from .._options import Activation
from ..derivatives import jvp
from ..network import MLP

__all__ = ["Norms", "norms"]


class Norms(NamedTuple):
    """What `ModelResult.norms` returns, of a network with L hidden layers.

    Attributes
    ----------
    weights : ndarray (L + 1,)
        Frobenius norm of each layer's weights, without biases.
    hidden : ndarray (L,)
        Mean over rows of the Euclidean norm of each hidden layer's units.
    jacobian : float
        Mean over rows of the Frobenius norm of the outputs' derivatives by the inputs.
    """

    weights: NDArray[np.float64]
    hidden: NDArray[np.float64]
    jacobian: float


def norms(net: MLP, theta: Array, X: Array) -> Norms:
    """Norms at parameters (P,), for rows (N, d)."""
    *hidden_layers, (head, _) = [(W.astype(F64), b.astype(F64)) for W, b in net.unflatten(theta)]
    h, hidden, slopes = X.astype(F64), [], []
    for W, b in hidden_layers:
        h, slope = _activated(net.activation, h @ W + (b if net.bias else 0.0))
        hidden.append(np.linalg.norm(h, axis=1).mean())
        slopes.append(slope)
    pulled = np.broadcast_to(head.T, (len(X), *head.T.shape))  # rows, outputs, units
    for (W, _), slope in zip(hidden_layers[::-1], slopes[::-1], strict=True):
        pulled = (pulled * slope[:, None, :]) @ W.T
    weights = [np.linalg.norm(W) for W in (*(W for W, _ in hidden_layers), head)]
    return Norms(np.array(weights), np.array(hidden, F64), float(np.linalg.norm(pulled, axis=(1, 2)).mean()))


def _activated(activation: Activation, z: Array) -> tuple[Array, Array]:
    """φ(z) and φ′(z): of a network of one unit, f = φ(x + b), and its derivative by b."""
    unit, x = MLP(1, (1,), 1, activation), z.reshape(-1, 1)
    theta, by_bias = np.array([1.0, 0, 1, 0]), np.array([0.0, 1, 0, 0])
    phi = _rfpcore.predict(unit._architecture, theta, x, 1).reshape(z.shape)
    return phi, jvp(unit, theta, by_bias, x, n_jobs=1).reshape(z.shape)
