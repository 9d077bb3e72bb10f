"""The objective R_k, its gradients, and adaptation, as functions of NumPy arrays."""

from typing import Any

import numpy as np

from . import _rfpcore
from ._arrays import Array, as_floats, vector, vectors
from ._options import Layers, OnDivergence, Order, check_alpha, choice, inner_loop, n_threads
from .clusters import Clusters, kernel_inputs, require_kinds
from .exceptions import DivergenceError
from .losses import Loss, kernel_name
from .network import MLP
from .second_order import auto_inner_lr, curvature, hvp, resolve_auto
from .status import ClusterStatus, Objective, warn_of_skipped

__all__ = ["adapt", "auto_inner_lr", "curvature", "gradient", "hvp", "objective", "value_and_grad"]


def value_and_grad(
    net: MLP,
    theta: Any,
    data: Clusters,
    alpha: float = 0.5,
    inner_steps: int = 5,
    inner_lr: Any = 0.01,
    loss: Loss = "squared",
    order: Order = "exact",
    n_jobs: int | None = None,
    *,
    inner_momentum: float = 0.0,
    adapt_layers: Layers = "all",
    on_divergence: OnDivergence = "raise",
) -> tuple[float, Array]:
    """The objective R_k and its gradient [1]_.

    R_k(theta) = 1/N sum_c n_c [alpha L_c(theta) + (1 - alpha) L_c(theta_c^k(theta))], where L_c is the mean
    loss of cluster c, n_c its weight (by default its number of rows), N = sum_c n_c, and theta_c^k is theta
    after k = `inner_steps` steps of gradient descent on L_c. With a query split (see `Clusters`) the steps
    descend the mean loss of the support rows, and the last term is the mean loss of the query rows.

    Parameters
    ----------
    net : MLP
    theta : array (P,), float32 or float64
        Parameters; their dtype is that of the computation and of the gradient.
    data : Clusters
    alpha : float in [0, 1]
        Weight of the loss before adaptation: 1 is ordinary training, 0 is MAML.
    inner_steps : int
        k, at least 0.
    inner_lr : float, array (P,) or "auto"
        Step of the inner descent, positive, common or one for each parameter. "auto" is `auto_inner_lr`
        at theta, taken as a constant; as it costs 20 Hessian-vector products, call it once before a loop.
    loss : str
        Row loss of `rfpcore.losses`, summed over outputs: "squared", (y - f)^2; "logistic", log(1 + e^f) -
        y f; "softmax", log sum e^f - f_y; "cross_entropy", with shares y (N, n_outputs) of the classes
        instead of codes, log sum e^f - y f; "poisson", e^f - y f; and those that have parameters, such as
        `losses.huber(2.0)`.
    order : {"exact", "first"}
        "first" treats theta_c^k as theta plus a constant (first-order MAML): a cheaper, biased gradient.
    n_jobs : int, optional
        Threads; None for the default pool, -1 for all cores. The result does not depend on it.
    inner_momentum : float in [0, 1)
        Heavy-ball momentum mu of the inner descent: m <- mu m + g, theta <- theta - inner_lr m.
    adapt_layers : {"all", "last"}
        "last" adapts the output layer only.
    on_divergence : {"raise", "skip"}
        Of clusters whose loss stops being finite: raise, or warn and take R_k over the others.

    Returns
    -------
    value : float
    gradient : ndarray (P,)

    Raises
    ------
    DivergenceError
        If a cluster's loss stops being finite, unless told to skip such clusters.
    ValueError, TypeError
        On misuse; the message says what was given and what is needed.

    References
    ----------
    .. [1] Power and Ghosh (2025), "Regularizing the Forward Pass", equations 1 to 3.

    Examples
    --------
    One cluster, a linear model f = w x + b with squared loss, one step:

    >>> import numpy as np, rfpcore
    >>> net = rfpcore.MLP(1, ())
    >>> data = rfpcore.Clusters([[1.0]], [1.0])
    >>> value, grad = rfpcore.value_and_grad(net, np.zeros(2), data, alpha=0.5, inner_steps=1, inner_lr=0.1)
    >>> round(value, 12), grad.round(12)
    (0.68, array([-1.36, -1.36]))
    """
    theta, handle = kernel_inputs(net, theta, data, loss)
    loss = kernel_name(loss)
    if type(inner_lr) is str:
        inner_lr = resolve_auto(inner_lr, net, theta, data, loss, n_jobs)
    inner = inner_loop(net.n_parameters, inner_steps, inner_lr, inner_momentum, adapt_layers, order)
    alpha, threads = check_alpha(alpha), n_threads(n_jobs)
    skip = choice(on_divergence, "on_divergence", OnDivergence) == "skip"
    try:
        if not skip:
            return _rfpcore.value_and_grad(
                net._architecture, theta, handle, alpha, inner, loss, False, threads
            )
        found = _rfpcore.objective(net._architecture, theta, handle, alpha, inner, loss, True, False, threads)
    except _rfpcore.DivergenceError as error:
        raise divergence(error, net, theta, data, loss, inner_lr) from None
    warn_of_skipped(_status(data, found))
    return found.value, found.gradient


def gradient(
    net: MLP, theta: Any, data: Clusters, loss: Loss = "squared", n_jobs: int | None = None
) -> Array:
    """Gradient of the mean loss (R_k with alpha = 1, of all rows), at one theta or at many.

    Clusters count as in `value_and_grad`: by `cluster_weight`, rows within them by `sample_weight`.

    Parameters
    ----------
    net, data, loss, n_jobs
        As in `value_and_grad`.
    theta : array (P,) or (T, P), float32 or float64
        One parameter vector, or many in one call, which the threads share.

    Returns
    -------
    gradient : ndarray (P,) or (T, P)
        Of theta's dtype; each row has the same bits as a call of its own, on any number of threads.

    Raises
    ------
    DivergenceError
        If a cluster's loss or gradient is not finite.

    Examples
    --------
    >>> import numpy as np, rfpcore
    >>> net = rfpcore.MLP(1, ())
    >>> data = rfpcore.Clusters([[1.0]], [1.0])
    >>> rfpcore.gradient(net, np.zeros(2), data)
    array([-2., -2.])
    >>> rfpcore.gradient(net, [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], data)
    array([[-2., -2.],
           [ 0.,  0.],
           [ 2.,  2.]])
    """
    require_kinds(net, data)
    points = as_floats(theta, "theta")
    single = points.ndim == 1
    points = (
        vector(points, "theta", net.n_parameters)[None]
        if single
        else vectors(points, "theta", net.n_parameters)
    )
    handle = data.handle(net, loss, points.dtype)
    try:
        found: Array = _rfpcore.gradients(
            net._architecture, points, handle, kernel_name(loss), n_threads(n_jobs)
        )
    except _rfpcore.DivergenceError as error:
        raise DivergenceError.of(error, data.labels) from None
    return found[0] if single else found


def objective(
    net: MLP,
    theta: Any,
    data: Clusters,
    alpha: float = 0.5,
    inner_steps: int = 5,
    inner_lr: Any = 0.01,
    loss: Loss = "squared",
    order: Order = "exact",
    n_jobs: int | None = None,
    *,
    inner_momentum: float = 0.0,
    adapt_layers: Layers = "all",
    on_divergence: OnDivergence = "raise",
) -> Objective:
    """R_k with its derivatives in theta, alpha and inner_lr, and each cluster's losses.

    The parameters are those of `value_and_grad`. The derivative in `inner_lr` has its shape: one number, or
    one for each parameter, so that the inner steps can be learned (Meta-SGD).

    Returns
    -------
    result : Objective

    Examples
    --------
    >>> import numpy as np, rfpcore
    >>> net = rfpcore.MLP(1, ())
    >>> data = rfpcore.Clusters([[1.0]], [1.0])
    >>> result = rfpcore.objective(net, np.zeros(2), data, alpha=0.0, inner_steps=1, inner_lr=0.1)
    >>> round(result.value, 12), round(result.inner_lr_gradient, 12), round(result.alpha_gradient, 12)
    (0.36, -4.8, 0.64)
    """
    theta, handle = kernel_inputs(net, theta, data, loss)
    loss = kernel_name(loss)
    if type(inner_lr) is str:
        inner_lr = resolve_auto(inner_lr, net, theta, data, loss, n_jobs)
    inner = inner_loop(net.n_parameters, inner_steps, inner_lr, inner_momentum, adapt_layers, order)
    skip = choice(on_divergence, "on_divergence", OnDivergence) == "skip"
    try:
        found = _rfpcore.objective(
            net._architecture, theta, handle, check_alpha(alpha), inner, loss, skip, True, n_threads(n_jobs)
        )
    except _rfpcore.DivergenceError as error:
        raise divergence(error, net, theta, data, loss, inner_lr) from None
    status = _status(data, found)
    warn_of_skipped(status)
    by_parameter = found.inner_lr_gradient
    assert by_parameter is not None  # asked for above
    lr_gradient = by_parameter if np.ndim(inner_lr) else float(by_parameter.sum(dtype=np.float64))
    return Objective(found.value, found.gradient, found.alpha_gradient, lr_gradient, status)


def adapt(
    net: MLP,
    theta: Any,
    data: Clusters,
    inner_steps: int = 5,
    inner_lr: Any = 0.01,
    loss: Loss = "squared",
    n_jobs: int | None = None,
    *,
    inner_momentum: float = 0.0,
    adapt_layers: Layers = "all",
    on_divergence: OnDivergence = "raise",
) -> tuple[Array, ClusterStatus]:
    """Each cluster's parameters theta_c^k, `inner_steps` steps from theta [1]_.

    The parameters are those of `value_and_grad`. With a query split only the support rows adapt.

    Returns
    -------
    thetas : ndarray (C, P)
        In the order of `data.labels`, of theta's dtype. A cluster skipped because it diverged keeps theta.
    status : ClusterStatus

    References
    ----------
    .. [1] Power and Ghosh (2025), "Regularizing the Forward Pass", equation 3.

    Examples
    --------
    >>> import numpy as np, rfpcore
    >>> net = rfpcore.MLP(1, ())
    >>> data = rfpcore.Clusters([[1.0], [1.0]], [1.0, 2.0], groups=["a", "b"])
    >>> thetas, status = rfpcore.adapt(net, np.zeros(2), data, inner_steps=1, inner_lr=0.1)
    >>> thetas
    array([[0.2, 0.2],
           [0.4, 0.4]])
    >>> status
    ClusterStatus(2 clusters, 0 diverged, mean loss 2.5 -> 0.9)
    """
    theta, handle = kernel_inputs(net, theta, data, loss)
    loss = kernel_name(loss)
    if type(inner_lr) is str:
        inner_lr = resolve_auto(inner_lr, net, theta, data, loss, n_jobs)
    inner = inner_loop(net.n_parameters, inner_steps, inner_lr, inner_momentum, adapt_layers, "exact")
    skip = choice(on_divergence, "on_divergence", OnDivergence) == "skip"
    thetas, steps, before, after = _rfpcore.adapt(
        net._architecture, theta, handle, inner, loss, n_threads(n_jobs)
    )
    status = ClusterStatus(data.labels, steps, before, after)
    if status.n_diverged and not skip:
        first = int(np.argmax(steps >= 0))
        error = ("", first, int(steps[first]), float(after[first]), status.n_diverged)
        raise divergence(_rfpcore.DivergenceError(*error), net, theta, data, loss, inner_lr)
    warn_of_skipped(status)
    thetas[~status.ok] = theta
    return thetas, status


def _status(data: Clusters, found: _rfpcore.Objective) -> ClusterStatus:
    return ClusterStatus(data.labels, found.diverged_step, found.loss_before, found.loss_after)


def divergence(
    error: Exception, net: MLP, theta: Array, data: Clusters, loss: Loss, inner_lr: Any
) -> DivergenceError:
    """The kernel's error with the cluster's label, and what the inner step might be."""
    return DivergenceError.of(error, data.labels, lambda: _lr_hint(net, theta, data, loss, inner_lr))


def _lr_hint(net: MLP, theta: Array, data: Clusters, loss: Loss, inner_lr: Any) -> str:
    given = f"inner_lr={inner_lr}" if np.ndim(inner_lr) == 0 else f"inner_lr (up to {np.max(inner_lr):.3g})"
    try:
        step = auto_inner_lr(net, theta, data, loss)
    except (ValueError, DivergenceError):  # no curvature to go by
        return f"{given} is too large; a smaller one helps, or on_divergence='skip'"
    return f"{given} is too large; inner_lr='auto' would be {step:.3g}; or on_divergence='skip'"
