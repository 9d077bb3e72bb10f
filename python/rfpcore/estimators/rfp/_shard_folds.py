"""`max_iter="auto"` on shards: how long to train, from clusters left out by their labels."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._arrays import Array
from ..._shards.passes import Passes
from ..._shards.sums import WeightedSum, totals
from ...network import MLP
from ...second_order import stable_step
from . import _shard_left_out
from . import _shard_work as on_shard
from ._folds import best_steps, searched
from ._settings import AUTO_STEPS, Settings
from ._shard_steps import Batches, ShardTrainer
from ._shard_work import Point


class FoldFits:
    """Fits that leave out a fold each: in every pass each shard does a step's work for all of them.

    Parameters
    ----------
    net, passes, batches
        What to train, and the shards by folds.
    starts : ndarray (folds, P)
        Where the fits begin.
    inner_lr : float, ndarray or None
        Of all of them.
    """

    def __init__(
        self, net: MLP, passes: Passes, batches: Batches, starts: Array, inner_lr: float | Array | None
    ) -> None:
        self.net, self.passes, self.batches = net, passes, batches
        self.starts, self.inner_lr = starts, inner_lr

    def attempt(self, settings: Settings) -> tuple[Array, NDArray[np.float64]]:
        """Parameters (folds, P) after so many steps, and the folds' losses; infinite where a fit diverges."""
        trainers = [
            ShardTrainer(self.net, start, settings, self.passes, self.batches, None) for start in self.starts
        ]
        well = np.ones(len(trainers), bool)
        for step in range(settings.max_iter):
            if not well.any():
                break
            points = self._points(trainers, well, settings)
            sums = self._sums(_shard_left_out.step_of_folds, points, self.batches.of_step(step))
            for fold in np.flatnonzero(well):
                found = sums[fold].mean(self.starts.dtype)
                if found.weight == 0 and found.n_skipped == 0:  # a batch of this fold's clusters alone
                    continue
                if found.gradient is None or not np.isfinite(found.value):
                    well[fold] = False
                else:
                    trainers[fold].take(found)
        points = self._points(trainers, well, replace(settings, alpha=1.0))
        sums = self._sums(_shard_left_out.losses_left_out, points, range(self.batches.n_shards))
        losses = np.array([each.mean(self.starts.dtype).value for each in sums])
        losses = np.where(well, np.nan_to_num(losses, nan=np.inf, posinf=np.inf), np.inf)
        return np.stack([trainer.theta for trainer in trainers]), losses

    def _points(
        self, trainers: list[ShardTrainer], well: NDArray[np.bool_], settings: Settings
    ) -> list[Point | None]:
        """Where each fit stands; None for one that is over."""
        return [
            Point.of(self.net, trainer.theta, settings, self.inner_lr) if fine else None
            for trainer, fine in zip(trainers, well, strict=True)
        ]

    def _sums(self, work: Any, points: list[Point | None], shards: Any) -> list[WeightedSum]:
        """What the shards have for each fold, added in their order."""
        return totals(self.passes.map(work, points, shards), len(points))


def choose_steps(
    estimator: Any,
    net: MLP,
    theta: Array,
    passes: Passes,
    batches: Batches,
    n_clusters: int,
    settings_of: Callable[[int], Settings],
) -> tuple[int, Array]:
    """The number of outer steps, and the fits (folds, P) of so many: `_folds.choose_steps` on shards.

    `passes` go through shards by folds, `batches` say which shards a step takes.
    """
    first, theta = settings_of(AUTO_STEPS), searched(estimator, theta)
    inner_lr = first.inner_lr
    if inner_lr is None and first.adapts:
        found = passes.map(on_shard.steepest, Point.of(net, theta, first, None), batches.of_step(0))
        inner_lr = stable_step(float(np.max(list(found))), n_clusters)
    starts, share = _outset(estimator, net, theta, passes, batches)
    fits = FoldFits(net, passes, batches, starts, inner_lr)
    return best_steps(lambda steps: fits.attempt(settings_of(steps)), starts, share, first.verbose)


def _outset(
    estimator: Any, net: MLP, theta: Array, passes: Passes, batches: Batches
) -> tuple[Array, NDArray[np.float64]]:
    """(folds, P) where fits without a fold begin, at the level of the others' outcomes; the folds' shares."""
    shards = list(passes.map(_shard_left_out.levels, None, range(batches.n_shards)))
    weight, rows, outcomes = (np.sum([each[i] for each in shards], axis=0) for i in range(3))
    starts = np.tile(theta, (len(weight), 1))
    for fold, own in enumerate(starts):
        others = np.arange(len(weight)) != fold
        known = rows[others].sum()
        mean = outcomes[others].sum(axis=0) / known
        net.unflatten(own)[-1][1][:] = estimator._first_bias(mean[None], np.array([known]))
    return starts, np.asarray(weight / weight.sum())
