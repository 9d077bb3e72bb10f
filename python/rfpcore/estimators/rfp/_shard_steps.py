"""Outer steps on shards: which of them a step takes, and where the optimizer stands."""

import numpy as np
from numpy.typing import NDArray

from ..._arrays import Array
from ..._shards.passes import Passes
from ..._shards.sums import Measured, total
from ...exceptions import DivergenceError
from ...network import MLP
from . import _shard_work as on_shard
from ._settings import Settings
from ._shard_work import Point
from ._training import State


class Batches:
    """Which shards a step takes: all, or whole ones in a new order each epoch.

    A function of the seed and the step alone. As many shards as have `batch_size` clusters on average.
    """

    def __init__(self, n_shards: int, n_clusters: int, batch_size: int | None, seed: int) -> None:
        share = 1.0 if batch_size is None else batch_size / n_clusters
        self.n_shards, self.seed = n_shards, seed
        self.size = min(n_shards, max(1, int(np.ceil(share * n_shards))))
        self.an_epoch = -(-n_shards // self.size)

    def of_step(self, step: int) -> NDArray[np.intp]:
        """Sorted."""
        epoch, index = divmod(step, self.an_epoch)
        if self.size == self.n_shards:
            return np.arange(self.n_shards)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.n_shards)
        return np.asarray(np.sort(order[index * self.size : (index + 1) * self.size]))


class ShardTrainer:
    """Where the outer optimizer stands: what `_rfpcore.Trainer` is for data in memory."""

    def __init__(
        self,
        net: MLP,
        theta: Array,
        settings: Settings,
        passes: Passes,
        batches: Batches,
        state: State | None,
    ) -> None:
        self.net, self.settings, self.passes, self.batches = net, settings, passes, batches
        zeros = np.zeros_like(theta)
        self.n_steps, self.theta, self.first, self.second = state or (0, theta, zeros, zeros)
        self.n_skipped = 0

    def state(self) -> State:
        """(steps taken, theta, first moment or velocity, second moment)."""
        return self.n_steps, self.theta, self.first, self.second

    def at(self, theta: Array, inner_lr: float | Array | None, learns: bool = False) -> Point:
        """Parameters as they travel."""
        return Point.of(self.net, theta, self.settings, inner_lr, learns)

    def of_this_step(self) -> NDArray[np.intp]:
        """The shards that the next step is taken on."""
        return self.batches.of_step(self.n_steps)

    def advance(self, inner_lr: float | Array | None, learns: bool) -> Measured:
        """Take one outer step; what was found at its start."""
        at = self.at(self.theta, inner_lr, learns)
        found = total(self.passes.map(on_shard.step, at, self.of_this_step()), self.theta.dtype)
        self.take(found)
        return found

    def nobody(self) -> ValueError:
        """Where all clusters of the step's shards are held out."""
        return ValueError(
            f"the shards of outer step {self.n_steps + 1} have no clusters to train on, but "
            "such as are held out; a larger batch_size helps, or larger shards"
        )

    def take(self, found: Measured) -> None:
        """Take a step by what was found."""
        self.n_skipped += found.n_skipped
        if found.weight == 0 and found.n_skipped == 0:
            raise self.nobody()
        if found.gradient is None:
            raise DivergenceError(
                f"all clusters of outer step {self.n_steps + 1} diverged; a smaller inner_lr helps",
                n_diverged=max(1, found.n_skipped),
            )
        state = found.gradient, self.theta, self.first, self.second
        step = self.settings.optimizer.step
        self.theta, self.first, self.second = step(self.n_steps, *state, architecture=self.net._architecture)
        self.n_steps += 1
