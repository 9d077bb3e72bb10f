"""How far few labelled rows of a cluster should move its parameters from the population's.

Gradient steps follow one row as far as a hundred: the mean loss of a cluster does not know how many rows it
is of, so that after a few of them a network has learnt their noise. Of the way the steps go, n rows therefore
go n / (n + kappa), as the best linear predictor of a cluster's level does with kappa = noise's variance over
levels' variance (Robinson, 1991, "That BLUP is a good thing"). kappa is what predicts the other rows of
clusters best that were left out of training.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import functional
from ..._arrays import Array
from ...clusters import Clusters
from ...exceptions import DivergenceError
from ...network import MLP
from ._settings import Settings

STEPS = 10
"""Inner steps of `adapt`, at the step that the curvature of the clusters allows."""
NEVER = 1e6
KAPPAS = (NEVER, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.0)  # of equally good ones the first, which moves least
MOST, NUMBERS = 50, 10**7  # clusters looked at, which tell these kappas apart, and their parameters


def moved(theta: Array, thetas: Array, rows: Array, kappa: float) -> Array:
    """(C, P) parameters a share rows / (rows + kappa) of the way from theta to thetas."""
    share = rows / (rows + kappa)
    return np.asarray(theta + share[:, None].astype(theta.dtype) * (thetas - theta))


def choose_kappa(
    net: MLP, thetas: Array, data: Clusters, folds: NDArray[np.intp], settings: Settings
) -> float:
    """The kappa by which clusters left out are predicted best from one row of theirs, and from half of them.

    Parameters
    ----------
    thetas : ndarray (folds, P)
        Parameters trained without the clusters of each fold.
    folds : ndarray (C,)
        The fold of each cluster.
    """
    random = np.random.default_rng(0)
    losses = np.zeros(len(KAPPAS))
    chosen = random.permutation(data.n_clusters)[: min(MOST, max(2, NUMBERS // net.n_parameters))]
    codes = np.repeat(np.arange(data.n_clusters), data.sizes)
    counts = np.ones(data.n_rows, bool) if data.sample_weight is None else data.sample_weight > 0
    for fold, theta in enumerate(thetas):
        rows = [np.flatnonzero((codes == c) & counts) for c in chosen if folds[c] == fold]
        rows = [random.permutation(own) for own in rows if len(own) > 1]
        for share in (0.0, 0.5) if rows else ():
            losses += _losses(net, theta, data, rows, share, settings)
    return KAPPAS[int(np.argmin(losses))]


def _losses(
    net: MLP,
    theta: Array,
    data: Clusters,
    rows: list[NDArray[np.intp]],
    share: float,
    settings: Settings,
) -> NDArray[np.float64]:
    """For each kappa the sum over clusters of the loss of those rows that a share (or one) leaves over."""
    counts = [max(1, int(share * len(own))) for own in rows]
    few = _part(data, [own[:count] for own, count in zip(rows, counts, strict=True)])
    inner: Any = {"inner_momentum": settings.inner_momentum, "adapt_layers": settings.adapt_layers}
    try:
        thetas = functional.adapt(net, theta, few, STEPS, "auto", settings.loss, settings.n_jobs, **inner)[0]
    except (DivergenceError, ValueError):  # or no curvature to go by
        return np.zeros(len(KAPPAS))
    losses, weight = np.zeros(len(KAPPAS)), rows_of(few)
    for i, (own, count) in enumerate(zip(rows, counts, strict=True)):
        others, at = _part(data, [own[count:]]), slice(i, i + 1)
        losses += [_loss(net, moved(theta, thetas[at], weight[at], k)[0], others, settings) for k in KAPPAS]
    return losses


def rows_of(data: Clusters) -> NDArray[np.float64]:
    """(C,) how many rows each cluster has; one of weight 2 is two."""
    weight = data.sizes if data.cluster_weight is None else data.cluster_weight
    return np.asarray(weight, np.float64)


def _part(data: Clusters, rows: list[NDArray[np.intp]]) -> Clusters:
    """Some rows of some clusters, in this order."""
    groups, at = np.repeat(np.arange(len(rows)), [len(own) for own in rows]), np.concatenate(rows)
    weights = None if data.sample_weight is None else data.sample_weight[at]
    return Clusters(data.X[at], data.y[at], groups, weights, cluster_weight="weight")


def _loss(net: MLP, theta: Array, data: Clusters, settings: Settings) -> float:
    """Mean loss at theta; infinite where it is not finite."""
    loss = float(losses_at(net, theta, data, settings)[0])
    return loss if np.isfinite(loss) else np.inf


def losses_at(net: MLP, theta: Array, data: Clusters, settings: Settings) -> NDArray[np.float64]:
    """(C,) the clusters' mean losses at theta."""
    status = functional.adapt(net, theta, data, 0, 1.0, settings.loss, 1, on_divergence="skip")[1]
    return status.loss_before
