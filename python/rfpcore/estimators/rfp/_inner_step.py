"""Whether the inner step does what it is for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _rfpcore
from ..._arrays import Array
from ..._warn import warn
from ...clusters import Clusters
from ...exceptions import InnerStepWarning
from ...losses import Loss
from ...network import MLP
from ...second_order import auto_inner_lr
from ._settings import Settings

MANY = 0.1  # share of the clusters' weight above which a raised loss is worth a word


def share_raised(net: MLP, theta: Array, own: Clusters, settings: Settings, inner_lr: Any) -> float:
    """Share of the clusters' weight where adaptation raises the loss of the rows that adapt."""
    before, after = _losses(net, theta, own, settings, inner_lr)
    return _share(own, _raised(before, after))


def check_fit(net: MLP, theta: Array, data: Clusters, settings: Settings, inner_lr: Any) -> None:
    """`InnerStepWarning` if adaptation raises the training loss of many clusters at the fitted theta."""
    if settings.adapts:
        own = data.support()  # on query rows adaptation may fail to generalize, which is no fault of the step
        before, after = _losses(net, theta, own, settings, inner_lr)
        warn_if_harmful(net, theta, own, settings.loss, inner_lr, before, after)


def _losses(
    net: MLP, theta: Array, own: Clusters, settings: Settings, inner_lr: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The clusters' losses before and after adaptation."""
    try:
        found = settings.objective(net, theta, own, inner_lr)
    except _rfpcore.DivergenceError:  # all of them
        return np.zeros(own.n_clusters), np.full(own.n_clusters, np.inf)
    return found.loss_before, found.loss_after


def _raised(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where a finite loss rose by more than rounding; to infinity and to NaN too."""
    with np.errstate(invalid="ignore"):
        raised: NDArray[np.bool_] = np.isfinite(before) & ~(after <= before + 1e-6 * np.abs(before))
    return raised


def _share(data: Clusters, chosen: NDArray[np.bool_]) -> float:
    """Share of the clusters' weight."""
    weight = data.sizes if data.cluster_weight is None else data.cluster_weight
    weight = weight / weight.max()  # so that extreme ones have a sum
    return float(weight[chosen].sum() / weight.sum())


def warn_if_harmful(
    net: MLP,
    theta: Array,
    data: Clusters,
    loss: Loss,
    inner_lr: Any,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
) -> None:
    """`InnerStepWarning` if the loss after adaptation is above that before in clusters of much weight."""
    raised = _raised(before, after)
    if _share(data, raised) <= MANY:
        return
    step = (
        f"inner_lr={inner_lr:.3g}" if np.ndim(inner_lr) == 0 else f"inner_lr (up to {np.max(inner_lr):.3g})"
    )
    try:
        limit = f"2 / lambda_max = {2 * auto_inner_lr(net, theta, data, loss):.3g}"
    except ValueError:
        limit = "2 / lambda_max, which cannot be found here"
    warn(
        f"adaptation raises the loss of {raised.sum()} of {len(raised)} clusters: {step} is too large. "
        f"Gradient descent is stable in every cluster for steps below {limit}. A smaller inner_lr helps "
        "(inner_lr='auto' chooses half that limit), or fewer inner_steps",
        InnerStepWarning,
    )
