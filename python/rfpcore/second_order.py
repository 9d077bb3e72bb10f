"""What the Hessian of the loss tells: products, the largest eigenvalue, and the inner step it allows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _options, _rfpcore
from ._arrays import Array, vector
from ._options import integer, n_threads
from .clusters import Clusters, kernel_inputs
from .exceptions import DivergenceError
from .losses import Loss, kernel_name
from .network import MLP

__all__ = ["auto_inner_lr", "curvature", "hvp"]


def hvp(
    net: MLP, theta: Any, v: Any, data: Clusters, loss: Loss = "squared", n_jobs: int | None = None
) -> Array:
    """Hessian of the mean loss (R_k with alpha = 1, of all rows) at theta, times a vector.

    Parameters
    ----------
    net, theta, data, loss, n_jobs
        As in `value_and_grad`.
    v : array (P,)

    Returns
    -------
    product : ndarray (P,)

    Raises
    ------
    DivergenceError
        If a cluster's product is not finite.

    Examples
    --------
    >>> import numpy as np, rfpcore
    >>> data = rfpcore.Clusters([[3.0]], [1.0])
    >>> rfpcore.hvp(rfpcore.MLP(1, ()), np.zeros(2), np.array([1.0, 0.0]), data)
    array([18.,  6.])
    """
    theta, _ = kernel_inputs(net, theta, data, loss)
    v = vector(v, "v", net.n_parameters, theta.dtype)
    handle = data.handle(net, loss, theta.dtype, split=False)
    try:
        product: Array = _rfpcore.hvp(
            net._architecture, theta, v, handle, kernel_name(loss), n_threads(n_jobs)
        )
    except _rfpcore.DivergenceError as error:
        raise DivergenceError.of(error, data.labels) from None
    return product


def curvature(
    net: MLP,
    theta: Any,
    data: Clusters,
    loss: Loss = "squared",
    n_iterations: int = 20,
    n_jobs: int | None = None,
) -> NDArray[np.float64]:
    """Largest eigenvalue of the Hessian of each cluster's mean loss at theta, by power iteration.

    With a query split it is the mean loss of the support rows, which the inner steps descend.

    Parameters
    ----------
    net, theta, data, loss, n_jobs
        As in `value_and_grad`.
    n_iterations : int
        Hessian-vector products for each cluster; more of them, more digits.

    Returns
    -------
    lam : ndarray (C,) of float64
        In the order of `data.labels`. Gradient descent on a cluster is stable for steps below 2 / lam.

    Raises
    ------
    DivergenceError
        If a cluster's curvature is not finite.

    Examples
    --------
    >>> import numpy as np, rfpcore
    >>> data = rfpcore.Clusters([[3.0]], [1.0])
    >>> rfpcore.curvature(rfpcore.MLP(1, ()), np.zeros(2), data).round(6)
    array([20.])
    """
    theta, handle = kernel_inputs(net, theta, data, loss)
    count = integer(n_iterations, "n_iterations", 1, _options.MAX_STEPS)
    try:
        return _rfpcore.curvature(
            net._architecture, theta, handle, kernel_name(loss), count, n_threads(n_jobs)
        )
    except _rfpcore.DivergenceError as error:
        raise DivergenceError.of(error, data.labels) from None


def auto_inner_lr(
    net: MLP,
    theta: Any,
    data: Clusters,
    loss: Loss = "squared",
    fraction: float = 0.5,
    n_jobs: int | None = None,
) -> float:
    """An inner step that is stable for every cluster: `fraction` of 2 / (largest curvature of any cluster).

    Parameters
    ----------
    net, theta, data, loss, n_jobs
        As in `value_and_grad`.
    fraction : float in (0, 1)
        Share of the stability limit at theta.

    Returns
    -------
    inner_lr : float

    Examples
    --------
    >>> import numpy as np, rfpcore
    >>> data = rfpcore.Clusters([[3.0]], [1.0])
    >>> round(rfpcore.auto_inner_lr(rfpcore.MLP(1, ()), np.zeros(2), data), 6)
    0.05
    """
    share = _options.fraction(fraction, "fraction")
    try:
        largest = float(curvature(net, theta, data, loss, n_jobs=n_jobs).max())
    except DivergenceError:
        largest = float("nan")
    return stable_step(largest, data.n_clusters, share)


def stable_step(largest: float, n_clusters: int, share: float = 0.5) -> float:
    """A share of 2 / (largest curvature of any of so many clusters); ValueError where there is none."""
    if not largest > 0 or not np.isfinite(largest):
        raise ValueError(
            "inner_lr='auto' needs a cluster whose loss curves upwards at theta, but the largest curvature "
            f"of the {n_clusters} clusters is {largest:.3g}; give inner_lr as a number"
        )
    return share * 2 / largest


def resolve_auto(
    inner_lr: str, net: MLP, theta: Array, data: Clusters, loss: Loss, n_jobs: int | None
) -> float | str:
    """The step that "auto" stands for; any other string is left to fail its check."""
    return auto_inner_lr(net, theta, data, loss, n_jobs=n_jobs) if inner_lr == "auto" else inner_lr
