"""R_k and its gradients in torch.func, on any device: the oracle, to be read beside the paper.

Power and Ghosh (2025), "Regularizing the Forward Pass", equations 1 to 3. Clusters are padded to one size
with rows of weight zero: simple, and wasteful. Needs `pip install 'rfpcore[torch]'`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

try:
    import torch
except ImportError as error:
    raise ImportError("rfpcore.torch_reference needs torch: pip install 'rfpcore[torch]'") from error
from torch import Tensor
from torch.func import grad, grad_and_value, vmap
from torch.nn import functional as F

from ._arrays import as_floats, vector
from ._options import MAX_STEPS, Layers, Order, choice, integer, real
from .clusters import Clusters, require_no_precision
from .losses import read
from .network import MLP

__all__ = ["Reference", "forward", "risk", "value_and_grad"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda z: z,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softplus": lambda z: F.softplus(z, threshold=40.0),  # torch's default, 20, is off by 2e-9
    "silu": F.silu,
    "gelu": F.gelu,
    "elu": F.elu,
}
# Equation 2 and its likes, outputs f and outcomes y (n, m), and parameters, to losses (n,).
ROW_LOSSES: dict[str, Callable[..., Tensor]] = {
    "squared": lambda f, y: ((y - f) ** 2).sum(-1),
    "logistic": lambda f, y: (F.softplus(f, threshold=40.0) - y * f).sum(-1),
    "softmax": lambda f, y: f.logsumexp(-1) - f.gather(-1, y.long()).squeeze(-1),
    "cross_entropy": lambda f, y: f.logsumexp(-1) - (y * f).sum(-1),
    "poisson": lambda f, y: (f.exp() - y * f).sum(-1),
    "huber": lambda f, y, d=1.345: 2 * F.huber_loss(f, y, reduction="none", delta=d).sum(-1),
    "quantile": lambda f, y, t=0.5, s=0.1: (t * (y - f) + s * F.softplus((f - y) / s, threshold=40.0)).sum(
        -1
    ),
}


class Reference(NamedTuple):
    """R_k (0-dim) and its gradients in theta (P,), in alpha (0-dim) and in inner_lr (its shape)."""

    value: Tensor
    gradient: Tensor
    alpha_gradient: Tensor
    inner_lr_gradient: Tensor


def forward(net: MLP, theta: Tensor, x: Tensor) -> Tensor:
    """f(theta, x), (n, n_outputs)."""
    at = 0
    for layer, (n_in, n_out) in enumerate(net.layer_shapes):
        x = x if layer == 0 else ACTIVATIONS[net.activation](x)
        W, at = theta[at : at + n_in * n_out].reshape(n_in, n_out), at + n_in * n_out
        x = x @ W
        if net.bias:
            x, at = x + theta[at : at + n_out], at + n_out
    return x


def risk(
    net: MLP,
    data: Clusters,
    inner_steps: int = 5,
    loss: str = "squared",
    order: str = "exact",
    *,
    inner_momentum: float = 0.0,
    adapt_layers: str = "all",
    device: Any = "cpu",
    dtype: torch.dtype = torch.float64,
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """R_k as a function of (theta, inner_lr, alpha), to be differentiated by torch.func at will."""
    if not isinstance(net, MLP) or not isinstance(data, Clusters):
        raise TypeError(
            f"net is a {type(net).__name__} and data a {type(data).__name__}; MLP and Clusters are needed"
        )
    require_no_precision(data, "the reference")
    known = read(loss)
    row_loss = ROW_LOSSES[known.name]
    n_steps = integer(inner_steps, "inner_steps", 0, MAX_STEPS)
    choice(order, "order", Order)
    choice(adapt_layers, "adapt_layers", Layers)
    x, y, weight, support, query, n_c = (torch.as_tensor(a, device=device, dtype=dtype) for a in _pad(data))
    steps = torch.ones(net.n_parameters, device=device, dtype=dtype)
    if adapt_layers == "last":
        n_in, n_out = net.layer_shapes[-1]
        steps[: -(n_in + net.bias) * n_out] = 0

    def cluster_loss(theta: Tensor, x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        return (w * row_loss(forward(net, theta, x), y, *known.parameters)).sum() / w.sum()

    def adapted(theta: Tensor, inner_lr: Tensor, x: Tensor, y: Tensor, w: Tensor) -> Tensor:  # equation 3
        momentum = torch.zeros_like(theta)
        for _ in range(n_steps):
            gradient = grad(cluster_loss)(theta, x, y, w)
            momentum = inner_momentum * momentum + (gradient.detach() if order == "first" else gradient)
            theta = theta - inner_lr * steps * momentum
        return theta

    def objective(theta: Tensor, inner_lr: Tensor, alpha: Tensor) -> Tensor:  # equation 1
        before = vmap(cluster_loss, (None, 0, 0, 0))(theta, x, y, weight)
        thetas = vmap(adapted, (None, None, 0, 0, 0))(theta, inner_lr, x, y, support)
        after = vmap(cluster_loss)(thetas, x, y, query)
        return (n_c * (alpha * before + (1 - alpha) * after)).sum() / n_c.sum()

    return objective


def value_and_grad(
    net: MLP,
    theta: Any,
    data: Clusters,
    alpha: float = 0.5,
    inner_steps: int = 5,
    inner_lr: Any = 0.01,
    **options: Any,
) -> Reference:
    """R_k and its gradients; parameters as in `rfpcore.value_and_grad`, the last ones by name, as for `risk`.

    Examples
    --------
    >>> import rfpcore, rfpcore.torch_reference
    >>> net, data = rfpcore.MLP(1, ()), rfpcore.Clusters([[1.0]], [1.0])
    >>> found = rfpcore.torch_reference.value_and_grad(net, [0.0, 0.0], data, inner_steps=1, inner_lr=0.1)
    >>> round(found.value.item(), 12), found.gradient.numpy().round(12)
    (0.68, array([-1.36, -1.36]))
    """
    function = risk(net, data, inner_steps, **options)
    kind = {"device": options.get("device", "cpu"), "dtype": options.get("dtype", torch.float64)}
    theta = theta if isinstance(theta, Tensor) else vector(theta, "theta", net.n_parameters)
    inner_lr = inner_lr if isinstance(inner_lr, Tensor) else as_floats(inner_lr, "inner_lr")
    if tuple(inner_lr.shape) not in ((), (net.n_parameters,)):
        raise ValueError(
            f"inner_lr has shape {tuple(inner_lr.shape)}; the network has {net.n_parameters} parameters, so "
            f"a number or shape ({net.n_parameters},) is needed"
        )
    alpha = alpha if isinstance(alpha, Tensor) else real(alpha, "alpha")
    at = [
        torch.as_tensor(a if isinstance(a, Tensor) else np.array(a), **kind) for a in (theta, inner_lr, alpha)
    ]
    (by_theta, by_lr, by_alpha), value = grad_and_value(function, argnums=(0, 1, 2))(*at)
    return Reference(value, by_theta, by_alpha, by_lr)


def _pad(data: Clusters) -> list[np.ndarray[Any, Any]]:
    """X, y, row weights of all, of support and of query rows, each (C, n_max, ...), and n_c (C,)."""
    cluster = np.repeat(np.arange(data.n_clusters), data.sizes)
    within = np.arange(data.n_rows) - data.offsets[cluster]
    w = np.ones(data.n_rows) if data.sample_weight is None else data.sample_weight
    support = within < (data.sizes if data.n_support is None else data.n_support)[cluster]
    query = support if data.n_support is None else ~support
    padded = []
    for rows in (data.X, data.y, w, w * support, w * query):
        padded.append(np.zeros((data.n_clusters, data.sizes.max(), *rows.shape[1:])))
        padded[-1][cluster, within] = rows
    return [*padded, np.array(data.sizes if data.cluster_weight is None else data.cluster_weight, float)]
