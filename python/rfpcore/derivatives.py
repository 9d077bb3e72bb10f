"""Derivatives of a network's outputs: along a direction, and of a weighted sum of them."""

from typing import Any

import numpy as np

from . import _rfpcore
from ._arrays import Array, as_floats, cast, matrix, require_finite, vector
from ._options import n_threads
from .network import MLP, require_net

__all__ = ["jvp", "output_hvp", "vjp"]


def jvp(net: MLP, theta: Any, v: Any, X: Any, n_jobs: int | None = None) -> Array:
    """Derivative of the outputs f(theta, x) along v: the Jacobian in theta times v, row by row.

    For relu, whose slope jumps at 0, the slope there is taken as 0.

    Parameters
    ----------
    net : MLP
    theta : array (P,), float32 or float64
        Its dtype is the result's.
    v : array (P,)
    X : array or frame (N, n_inputs)
    n_jobs : int, optional
        Threads; None for the default pool, -1 for all cores. The result does not depend on it.

    Returns
    -------
    derivative : ndarray (N, n_outputs)

    Raises
    ------
    ValueError, TypeError
        On misuse, or where a derivative is not finite; the message says what was given.

    References
    ----------
    Pearlmutter (1994), "Fast exact multiplication by the Hessian": R{f}.

    Examples
    --------
    >>> import numpy as np, rfpcore
    >>> rfpcore.jvp(rfpcore.MLP(2, ()), np.zeros(3), [1.0, 0.0, 1.0], [[2.0, 5.0], [3.0, 5.0]])
    array([[3.],
           [4.]])
    """
    theta, X, threads = _inputs(net, theta, X, n_jobs)
    v = vector(v, "v", net.n_parameters, theta.dtype)
    derivative: Array = _rfpcore.jvp(net._architecture, theta, v, X, threads)
    return derivative


def vjp(net: MLP, theta: Any, w: Any, X: Any, n_jobs: int | None = None) -> Array:
    """Gradient in theta of sum(w * f(theta, X)): the transposed Jacobian of the outputs times w.

    Parameters
    ----------
    net, theta, X, n_jobs
        As in `jvp`.
    w : array (N, n_outputs), or (N,) with one output

    Returns
    -------
    gradient : ndarray (P,)

    Raises
    ------
    ValueError, TypeError
        As `jvp`.

    Examples
    --------
    >>> import numpy as np, rfpcore
    >>> rfpcore.vjp(rfpcore.MLP(2, ()), np.zeros(3), [1.0, 10.0], [[2.0, 5.0], [3.0, 5.0]])
    array([32., 55., 11.])
    """
    theta, X, threads = _inputs(net, theta, X, n_jobs)
    w = _output_weights(net, w, X)
    gradient: Array = _rfpcore.vjp(net._architecture, theta, w, X, threads)
    return gradient


def output_hvp(net: MLP, theta: Any, v: Any, w: Any, X: Any, n_jobs: int | None = None) -> Array:
    """Hessian in theta of sum(w * f(theta, X)), times v.

    For relu it is the Hessian almost everywhere: what the jumps of the slope would add is left out.

    Parameters
    ----------
    net, theta, v, X, n_jobs
        As in `jvp`.
    w : array (N, n_outputs), or (N,) with one output

    Returns
    -------
    product : ndarray (P,)

    Raises
    ------
    ValueError, TypeError
        As `jvp`.

    References
    ----------
    Pearlmutter (1994), "Fast exact multiplication by the Hessian".

    Examples
    --------
    f = w2 (w1 x + b1) + b2: the second derivatives couple the two layers.

    >>> import rfpcore
    >>> net = rfpcore.MLP(1, (1,), activation="identity")
    >>> rfpcore.output_hvp(net, [1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0], [2.0], [[3.0]])
    array([6., 2., 0., 0.])
    """
    theta, X, threads = _inputs(net, theta, X, n_jobs)
    v = vector(v, "v", net.n_parameters, theta.dtype)
    w = _output_weights(net, w, X)
    product: Array = _rfpcore.output_hvp(net._architecture, theta, v, w, X, threads)
    return product


def _inputs(net: Any, theta: Any, X: Any, n_jobs: Any) -> tuple[Array, Array, int]:
    theta = vector(theta, "theta", require_net(net).n_parameters)
    return theta, cast(matrix(X, "X", net.n_inputs), theta.dtype, "X"), n_threads(n_jobs)


def _output_weights(net: MLP, w: Any, X: Array) -> Array:
    """Finite weights of the outputs, of X's rows and dtype."""
    array = as_floats(w, "w")
    shape = len(X), net.n_outputs
    if array.shape != shape and not (net.n_outputs == 1 and array.shape == shape[:1]):
        raise ValueError(f"w has shape {array.shape}; X has {shape[0]} rows, so {shape} is needed")
    require_finite(array, "w")
    return cast(np.ascontiguousarray(array.reshape(shape)), X.dtype, "w")
