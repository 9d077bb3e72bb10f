"""Whether the inner step does what it is for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _rfpcore
from ..._arrays import Array
from ..._warn import warn
from ...clusters import Clusters
from ...exceptions import DivergenceError, InnerStepWarning
from ...losses import Loss
from ...network import MLP
from ...second_order import auto_inner_lr, curvature
from ._settings import Settings

LOOKS = 5  # power iterations: they find less than the largest curvature, so that no alarm is false
MANY = 0.1  # share of the clusters' weight above which a raised loss is worth a word


def share_raised(net: MLP, theta: Array, own: Clusters, settings: Settings, inner_lr: Any) -> float:
    """Share of the clusters' weight where adaptation raises the loss of the rows that adapt."""
    before, after = _losses(net, theta, own, settings, inner_lr)
    return _share(own, _raised(before, after))


def check_fit(net: MLP, theta: Array, data: Clusters, settings: Settings, inner_lr: Any) -> None:
    """`InnerStepWarning` if adaptation raises the training loss of many clusters, or is unstable in any."""
    if not settings.adapts:
        return
    own = data.support()  # on query rows adaptation may fail to generalize, which is no fault of the step
    before, after = _losses(net, theta, own, settings, inner_lr)
    if not warn_if_harmful(net, theta, own, settings.loss, inner_lr, before, after):
        _warn_if_unstable(net, theta, own, settings, inner_lr)


def _warn_if_unstable(net: MLP, theta: Array, own: Clusters, settings: Settings, inner_lr: Any) -> None:
    """`InnerStepWarning` if steps of a size that was given diverge in a single cluster.

    Its loss need not show it: where training has removed the residual along the steep direction, nothing
    grows, until something does. "auto" begins at half of the limit and is reviewed.
    """
    given = settings.inner_lr
    if given is None or np.ndim(given) > 0 or settings.adapt_layers != "all":
        return  # lambda is that of all layers, and of one step for all
    try:
        lam = curvature(net, theta, own, settings.loss, LOOKS, settings.n_jobs)
    except DivergenceError:
        return
    limit = 2 * (1 + settings.inner_momentum)
    size = inner_lr * lam
    beyond = int((size > limit).sum())
    if beyond:
        worst = int(np.argmax(size))
        warn(
            f"inner_lr={inner_lr:.3g} is beyond the limit of stability of {beyond} of {own.n_clusters} "
            f"clusters: inner_lr * lambda is {size[worst]:.3g} in cluster {own.labels[worst]!s}, where inner "
            f"steps diverge above {limit:g}. Training may drift there; a smaller inner_lr, fewer outer steps "
            "(max_iter='auto') or learning_rate='cosine' help",
            InnerStepWarning,
        )


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
) -> bool:
    """`InnerStepWarning` if the loss after adaptation is above that before in clusters of much weight.

    Whether it warned.
    """
    raised = _raised(before, after)
    if _share(data, raised) <= MANY:
        return False
    try:
        limit = f"2 / lambda_max = {2 * auto_inner_lr(net, theta, data, loss):.3g}"
    except ValueError:
        limit = "2 / lambda_max, which cannot be found here"
    warn(
        f"adaptation raises the loss of {raised.sum()} of {len(raised)} clusters: {named(inner_lr)} is too "
        f"large. Gradient descent is stable in every cluster for steps below {limit}. A smaller inner_lr "
        "helps (inner_lr='auto' chooses half that limit), or fewer inner_steps",
        InnerStepWarning,
    )
    return True


def named(inner_lr: Any) -> str:
    """The inner step, as a warning says it."""
    return (
        f"inner_lr={inner_lr:.3g}" if np.ndim(inner_lr) == 0 else f"inner_lr (up to {np.max(inner_lr):.3g})"
    )
