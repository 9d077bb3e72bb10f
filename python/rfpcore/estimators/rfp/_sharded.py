"""The outer loop over shards: the sum of their gradients, in their order, then one step."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from ..._arrays import Array
from ..._progress import make_progress
from ..._shards.keys import fold_edges
from ..._shards.passes import Passes
from ..._shards.sums import total
from ..._shards.way import Way, travelling
from ..._warn import warn
from ...exceptions import InnerStepWarning
from ...network import MLP
from ...second_order import stable_step
from . import _shard_left_out
from . import _shard_work as on_shard
from ._fit import Fit, StartingPoint, say
from ._folds import number_of_folds, require_several
from ._inner_step import MANY, named
from ._learned_step import LearnedStep
from ._settings import AUTO_STEPS, Settings
from ._shard_folds import choose_steps
from ._shard_learn import ShardFacts, learn, require_both
from ._shard_left_out import FoldsLeftOut
from ._shard_steps import Batches, ShardTrainer
from ._shard_work import Reader
from ._training import Patience, Training

__all__ = ["Way", "fit_shards"]


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
        self.passes = passes
        self.learned: LearnedStep | None = None
        self.chooses = settings.inner_lr is None and settings.adapts
        self.inner_lr = start.inner_lr if settings.inner_lr is None else settings.inner_lr
        self.loss_curve: list[float] = []
        self.trainer = ShardTrainer(net, start.theta, settings, passes, batches, start.state)

    def _steps(self, n_steps: int) -> None:
        for _ in range(n_steps):
            found = self.trainer.advance(self.inner_lr, self.learned is not None)
            self.loss_curve.append(found.value)
            if self.learned is not None:
                self.learned.update(found.step_gradient)
                self.inner_lr = self.learned.inner_lr

    def review_inner_lr(self, theta: Array) -> None:
        """Choose the inner step, as `Training` does; from the shards of the step to come."""
        if not self.chooses or self.learned is not None:
            return
        if self.inner_lr is None:
            self.inner_lr = first = self._allowed(theta)
            if self.settings.learned_rate is not None:
                self.learned = LearnedStep(first, self.net.n_parameters, self.settings.learned_rate)
        elif self.share_raised(theta, self.inner_lr) > MANY:
            try:
                allowed = self._allowed(theta)
            except ValueError:  # no curvature to go by at this theta
                return
            lower = np.minimum(self.inner_lr, allowed)
            self.inner_lr = lower if lower.ndim else lower.item()

    def _allowed(self, theta: Array) -> float:
        largest = float(np.max(self._map(on_shard.steepest, theta, None)))
        if largest == -np.inf:
            raise self.trainer.nobody()
        return stable_step(largest, self.n_clusters)

    def share_raised(self, theta: Array, inner_lr: float | Array | None) -> float:
        """Share of the clusters' weight where adaptation raises the loss."""
        found = np.array(self._map(on_shard.raised, theta, inner_lr))
        return float(found[:, 0].sum() / max(found[:, 1].sum(), np.finfo(float).tiny))

    def _map(self, work: Any, theta: Array, inner_lr: float | Array | None) -> list[Any]:
        return list(self.passes.map(work, self.trainer.at(theta, inner_lr), self.trainer.of_this_step()))

    def validate(self) -> float:
        """Minus R_k on the held-out clusters of all shards."""
        theta, every = self.trainer.theta, range(self.trainer.batches.n_shards)
        found = total(
            self.passes.map(on_shard.validate, self.trainer.at(theta, self.inner_lr), every), theta.dtype
        )
        return -found.value if np.isfinite(found.value) else -np.inf

    def last_look(self, theta: Array, left_out: FoldsLeftOut | None) -> Any:
        """The covariance of clusters' effects, or None; DivergenceError if the network overflows at theta."""
        shared = self.trainer.at(theta, self.inner_lr), left_out
        (effects,) = self.passes.map(_shard_left_out.last_look, shared, [0])
        return effects

    def shrinkage(self, left_out: FoldsLeftOut) -> float | None:
        """As `choose_kappa` has it for clusters of the first shard."""
        shared = self.trainer.at(self.trainer.theta, self.inner_lr), left_out
        (kappa,) = self.passes.map(_shard_left_out.shrinkage, shared, [0])
        return None if kappa is None else float(kappa)

    def warn_if_harmful(self, theta: Array, inner_lr: Any) -> None:
        """`InnerStepWarning` if adaptation raises the loss of many clusters."""
        if self.settings.adapts and (share := self.share_raised(theta, inner_lr)) > MANY:
            warn(
                f"adaptation raises the loss of clusters that make up {share:.0%} of the weight: "
                f"{named(inner_lr)} is too large. A smaller inner_lr helps, or fewer "
                "inner_steps",
                InnerStepWarning,
            )


class ShardPatience(Patience):
    """`Patience` with held-out clusters in the shards."""

    def _validate(self, training: Any, held_out: Any) -> float:
        return float(training.validate())


def fit_shards(estimator: Any, way: Way, given: dict[str, Any]) -> Fit:
    """Learn from shards; the estimator gets what is learnt of features and outcomes, and `effects_`."""
    check_before(estimator, way, given)
    learnt = learn(estimator, way)
    n_inputs = estimator.n_features_in_
    net = MLP(n_inputs, estimator.hidden_layer_sizes, estimator._n_network_outputs, estimator.activation)
    estimator._require_same(net, "warm_start")
    settings = settings_of(estimator, way, net, given, given["max_iter"])
    init_seed, batch_seed = (int(seed) for seed in settings.random_state.randint(2**31 - 1, size=2))
    share = settings.validation_fraction if settings.early_stopping else None
    if share is not None:
        require_both(learnt.keys, share, batch_seed)
    theta = estimator._first_theta(net, way.shards.dtype, learnt.y, learnt.weight, init_seed)
    batches = Batches(len(way.shards), learnt.n_clusters, settings.batch_size, batch_seed)
    reader = Reader(travelling(estimator), share, settings.query_fraction, batch_seed)
    left_out = None
    if given["max_iter"] is None and share is None:
        n_steps, left_out = _auto_steps(estimator, way, reader, net, theta, learnt, batches, given)
        chosen = settings_of(estimator, way, net, given, n_steps)
        settings = replace(settings, max_iter=n_steps, optimizer=chosen.optimizer)
    passes = way.passes(reader)
    try:
        start = StartingPoint(theta, batch_seed)
        training = ShardTraining(net, start, passes, settings, batches, learnt.n_clusters)
        if left_out is not None and (kappa := training.shrinkage(left_out)) is not None:
            estimator.shrinkage_ = kappa
        return _run(estimator, training, np.array(way.shards.columns.X, object), batch_seed, left_out)
    finally:
        passes.close()


def check_before(estimator: Any, way: Way, given: dict[str, Any]) -> None:
    """Refuse what no rows could mend, before all of them are gone through."""
    trial, columns = copy.copy(estimator), way.shards.columns
    if is_classifier(trial):
        trial.classes_ = np.arange(2)
        if np.ndim(trial.inner_lr):  # as many numbers as parameters: known when classes are
            trial.inner_lr = "auto"
    else:
        m = len(columns.y)
        trial._learn_targets(np.zeros((1, m) if columns.several else 1))
    net = MLP(len(columns.X), trial.hidden_layer_sizes, trial._n_network_outputs, trial.activation)
    settings_of(trial, way, net, given, given["max_iter"])


def settings_of(estimator: Any, way: Way, net: MLP, given: dict[str, Any], n_steps: int | None) -> Settings:
    """The estimator's for so many steps, with its workers' threads."""
    own: Settings = estimator._settings(net, given, n_steps)
    return replace(own, n_threads=way.n_threads(own.n_threads, estimator.n_jobs))


def _auto_steps(
    estimator: Any,
    way: Way,
    reader: Reader,
    net: MLP,
    theta: Array,
    learnt: ShardFacts,
    batches: Batches,
    given: dict[str, Any],
) -> tuple[int, FoldsLeftOut | None]:
    """How many outer steps "auto" is: as clusters left out say, or after a warm start as before."""
    if hasattr(estimator, "theta_"):  # which has seen all clusters, so that none can be left out
        return min(estimator.n_iter_, AUTO_STEPS), None
    require_several(learnt.n_clusters)
    edges = fold_edges(np.concatenate(learnt.keys), number_of_folds(learnt.n_clusters))

    passes = way.passes(replace(reader, edges=edges))
    try:
        n_steps, thetas = choose_steps(
            estimator,
            net,
            theta,
            passes,
            batches,
            learnt.n_clusters,
            lambda steps: settings_of(estimator, way, net, given, steps),
        )
    finally:
        passes.close()
    return n_steps, FoldsLeftOut(edges, thetas)


def _run(
    estimator: Any, training: ShardTraining, names: Array, batch_seed: int, left_out: FoldsLeftOut | None
) -> Fit:
    """Train, and say what is to be known of the fit."""
    net, settings = training.net, training.settings
    held_out: Any = training.passes if settings.early_stopping else None
    patience = ShardPatience(settings, held_out)

    def view(theta: Array, inner_lr: Any) -> Any:
        own = estimator._moment(net, theta, inner_lr)
        own.feature_names_in_ = names
        return own

    with make_progress(type(estimator).__name__, settings.max_iter, "steps", settings.verbose) as progress:
        training.run(settings.max_iter, patience, progress, view)
    fit = Fit(training, patience, batch_seed)
    effects = training.last_look(fit.theta, left_out)
    if estimator._adapts_exactly:
        estimator.effects_ = effects
    estimator.feature_names_in_ = names
    training.review_inner_lr(fit.theta)
    training.warn_if_harmful(fit.theta, fit.inner_lr)
    say(fit, look_at_inner_step=False)
    return fit
