"""The outer loop over shards: the sum of their gradients, in their order, then one step."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._arrays import Array, shown
from ..._progress import make_progress
from ..._shards.passes import Passes
from ..._warn import warn
from ...exceptions import DivergenceError, InnerStepWarning
from ...network import MLP
from ...second_order import stable_step
from . import _shard_work as on_shard
from ._fit import Fit, StartingPoint, say
from ._inner_step import MANY
from ._settings import Settings
from ._shard_learn import Way, check_given, learn, require_both, travelling
from ._shard_work import Measured, Point, Reader
from ._training import Patience, State, Training

__all__ = ["Way", "check_given", "fit_shards"]


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


def total(parts: Any, dtype: np.dtype[Any]) -> Measured:
    """R_k of all clusters from that of each shard's, and the gradient in a dtype.

    Sums are taken in float64 and in the shards' order, so that no bit depends on who did which.
    """
    weight, value, gradient, n_skipped = 0.0, 0.0, None, 0
    for part in parts:
        n_skipped += part.n_skipped
        if part.weight == 0:
            continue
        weight += part.weight
        value += part.weight * part.value
        if part.gradient is not None:
            own = part.weight * part.gradient.astype(np.float64)
            gradient = own if gradient is None else gradient + own
    if weight == 0:
        return Measured(0.0, np.nan, None, n_skipped)
    whole = None if gradient is None else (gradient / weight).astype(dtype)
    return Measured(weight, value / weight, whole, n_skipped)


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

    def at(self, theta: Array, inner_lr: float | Array | None) -> Point:
        """Parameters as they travel."""
        return Point.of(self.net, theta, self.settings, inner_lr)

    def of_this_step(self) -> NDArray[np.intp]:
        """The shards that the next step is taken on."""
        return self.batches.of_step(self.n_steps)

    def advance(self, inner_lr: float | Array | None) -> float:
        """Take one outer step; the objective at its start."""
        parts = self.passes.map(on_shard.step, self.at(self.theta, inner_lr), self.of_this_step())
        found = total(parts, self.theta.dtype)
        self.n_skipped += found.n_skipped
        if found.gradient is None:
            raise DivergenceError(
                f"all clusters of outer step {self.n_steps + 1} diverged; a smaller inner_lr helps",
                n_diverged=max(1, found.n_skipped),
            )
        self.theta, self.first, self.second = self.settings.optimizer.step(
            self.n_steps, found.gradient, self.theta, self.first, self.second
        )
        self.n_steps += 1
        return found.value


class ShardTraining(Training):
    """The outer loop of `Training`, on shards."""

    trainer: Any

    def __init__(
        self,
        net: MLP,
        start: StartingPoint,
        passes: Passes,
        settings: Settings,
        batches: Batches,
        n_clusters: int,
    ) -> None:
        self.net, self.settings, self.n_clusters = net, settings, n_clusters
        self.passes, self.learned = passes, None
        self.chooses = settings.inner_lr is None and settings.adapts
        self.inner_lr = start.inner_lr if settings.inner_lr is None else settings.inner_lr
        self.loss_curve: list[float] = []
        self.trainer = ShardTrainer(net, start.theta, settings, passes, batches, start.state)

    def _steps(self, n_steps: int) -> None:
        for _ in range(n_steps):
            self.loss_curve.append(self.trainer.advance(self.inner_lr))

    def review_inner_lr(self, theta: Array) -> None:
        """With "auto", choose the inner step, as `Training` does; from the shards of the step to come."""
        if not self.chooses:
            return
        if self.inner_lr is None:
            self.inner_lr = self._allowed(theta)
        elif self.share_raised(theta) > MANY:
            try:
                allowed = self._allowed(theta)
            except ValueError:  # no curvature to go by at this theta
                return
            lower = np.minimum(self.inner_lr, allowed)
            self.inner_lr = lower if lower.ndim else lower.item()

    def _allowed(self, theta: Array) -> float:
        return stable_step(float(np.max(self._map(on_shard.steepest, theta))), self.n_clusters)

    def share_raised(self, theta: Array) -> float:
        """Share of the clusters' weight where adaptation raises the loss."""
        found = np.array(self._map(on_shard.raised, theta))
        return float(found[:, 0].sum() / max(found[:, 1].sum(), np.finfo(float).tiny))

    def _map(self, work: Any, theta: Array) -> list[Any]:
        return list(self.passes.map(work, self.trainer.at(theta, self.inner_lr), self.trainer.of_this_step()))

    def validate(self) -> float:
        """Minus R_k on the held-out clusters of all shards."""
        theta, every = self.trainer.theta, range(self.trainer.batches.n_shards)
        found = total(
            self.passes.map(on_shard.validate, self.trainer.at(theta, self.inner_lr), every), theta.dtype
        )
        return -found.value if np.isfinite(found.value) else -np.inf

    def last_look(self, theta: Array) -> Any:
        """The covariance of clusters' effects, or None; DivergenceError if the network overflows at theta."""
        (effects,) = self.passes.map(on_shard.last_look, self.trainer.at(theta, self.inner_lr), [0])
        return effects

    def warn_if_harmful(self, theta: Array) -> None:
        """`InnerStepWarning` if adaptation raises the loss of many clusters."""
        if self.settings.adapts and (share := self.share_raised(theta)) > MANY:
            warn(
                f"adaptation raises the loss of clusters that make up {share:.0%} of the weight: "
                f"inner_lr={shown(self.inner_lr)} is too large. A smaller inner_lr helps, or fewer "
                "inner_steps",
                InnerStepWarning,
            )


class ShardPatience(Patience):
    """`Patience` with held-out clusters in the shards."""

    def _validate(self, training: Any, held_out: Any) -> float:
        return float(training.validate())


def fit_shards(estimator: Any, way: Way, given: dict[str, Any]) -> Fit:
    """Learn from shards; the estimator gets what is learnt of features and outcomes, and `effects_`."""
    learnt = learn(estimator, way)
    n_inputs = estimator.n_features_in_
    net = MLP(n_inputs, estimator.hidden_layer_sizes, estimator._n_network_outputs, estimator.activation)
    estimator._require_same(net, "warm_start")
    settings = estimator._settings(net, given, given["max_iter"])
    settings = replace(settings, n_threads=way.n_threads(settings.n_threads, estimator.n_jobs))
    init_seed, batch_seed = (int(seed) for seed in settings.random_state.randint(2**31 - 1, size=2))
    share = settings.validation_fraction if settings.early_stopping else None
    if share is not None:
        require_both(learnt.keys, share, batch_seed)
    theta = estimator._first_theta(net, way.shards.dtype, learnt.y, learnt.weight, init_seed)
    batches = Batches(len(way.shards), learnt.n_clusters, settings.batch_size, batch_seed)
    passes = way.passes(Reader(travelling(estimator), share, batch_seed))
    try:
        training = ShardTraining(
            net, StartingPoint(theta, batch_seed), passes, settings, batches, learnt.n_clusters
        )
        return _run(estimator, training, np.array(way.shards.columns.X, object), batch_seed)
    finally:
        passes.close()


def _run(estimator: Any, training: ShardTraining, names: Array, batch_seed: int) -> Fit:
    """Train, and say what is to be known of the fit."""
    net, settings = training.net, training.settings
    held_out: Any = training.passes if settings.early_stopping else None
    patience = ShardPatience(settings, held_out)

    def view(theta: Array, inner_lr: Any) -> Any:
        own = estimator._view(net, theta, inner_lr)
        own.feature_names_in_ = names
        return own

    with make_progress(type(estimator).__name__, settings.max_iter, "steps", settings.verbose) as progress:
        training.run(settings.max_iter, patience, progress, view)
    fit = Fit(training, patience, batch_seed)
    effects = training.last_look(fit.theta)
    if estimator._adapts_exactly:
        estimator.effects_ = effects
    estimator.feature_names_in_ = names
    training.review_inner_lr(fit.theta)
    training.warn_if_harmful(fit.theta)
    say(fit, look_at_inner_step=False)
    return fit
