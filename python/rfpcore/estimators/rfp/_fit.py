"""One fit, from arrays to what it has learnt."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..._arrays import Array, cast
from ..._options import boolean, fraction, random_source
from ..._progress import make_progress
from ..._warn import warn
from ...clusters import Clusters
from ...exceptions import DivergenceWarning
from ...network import MLP
from .._finite import require_finite_fit
from .._going_on import require_same
from ._inner_step import check_fit
from ._regularization import training_loss
from ._settings import Settings, check_settings
from ._splits import Rows, split
from ._training import Patience, Training

if TYPE_CHECKING:
    from ._base import RFPBase


@dataclass(frozen=True)
class Memory:
    """What the outer optimizer has to remember for `partial_fit` to go on."""

    n_steps: int
    first_moment: Array
    second_moment: Array
    batch_seed: int


@dataclass(frozen=True)
class Fit:
    """A finished fit."""

    training: Training
    patience: Patience
    batch_seed: int

    @property
    def theta(self) -> Array:
        """The parameters: the best on held-out clusters, or the last."""
        best = self.patience.best_theta
        return self.training.trainer.theta if best is None else best

    @property
    def inner_lr(self) -> float | Array | None:
        """The inner step that goes with the parameters: learned together, or reviewed for them."""
        learned_earlier = self.training.learned is not None and self.patience.best_theta is not None
        return self.patience.best_inner_lr if learned_earlier else self.training.inner_lr


def run(estimator: "RFPBase[Any]", rows: Rows, *, incremental: bool, goes_on: bool) -> Fit:
    """Train on these rows: `max_iter` outer steps or, `incremental`, one pass over the clusters.

    With `goes_on` the outer optimizer goes on where the last `partial_fit` left it.
    """
    early_stopping = boolean(estimator.early_stopping, "early_stopping")
    if incremental and early_stopping:
        raise ValueError("partial_fit takes one pass at a time; it has no use for early_stopping=True")
    if incremental and isinstance(estimator.inner_lr, str) and estimator.inner_lr == "learned":
        raise ValueError("partial_fit takes one pass at a time; inner_lr='learned' needs fit")
    net = _network(estimator, rows)
    if hasattr(estimator, "theta_"):
        require_same(estimator, net, "partial_fit" if goes_on else "warm_start")
    settings = check_settings(estimator, training_loss(estimator), net.n_parameters)
    random = random_source(estimator.random_state)
    init_seed, batch_seed = (int(seed) for seed in random.randint(2**31 - 1, size=2))
    share = fraction(estimator.validation_fraction, "validation_fraction") if early_stopping else None
    queried = estimator.query_fraction
    queried = None if queried is None else fraction(queried, "query_fraction")
    data, held_out = split(rows, share, queried, random)

    state, inner_lr = None, None
    if goes_on:
        memory, inner_lr = estimator._memory, estimator.inner_lr_
        state = (memory.n_steps, estimator.theta_, memory.first_moment, memory.second_moment)
        batch_seed = memory.batch_seed
    theta = _first_theta(estimator, net, data, rows.X.dtype, init_seed, goes_on)
    training = Training(net, theta, data, settings, batch_seed, state, inner_lr)
    patience = Patience(settings, held_out)
    n_steps = settings.max_iter if not incremental else _one_pass(data, settings)
    with make_progress(type(estimator).__name__, n_steps, "steps", settings.verbose) as progress:
        training.run(n_steps, patience, progress, lambda theta, step: estimator._view(net, theta, step))
    fit = Fit(training, patience, batch_seed)
    require_finite_fit(net, fit.theta, data.X, len(training.loss_curve), "outer steps")
    if not incremental:
        training.review_inner_lr(fit.theta)  # what `adapt` takes has to suit the parameters it starts from
    return fit


def _network(estimator: "RFPBase[Any]", rows: Rows) -> MLP:
    return MLP(
        rows.X.shape[1], estimator.hidden_layer_sizes, estimator._n_network_outputs, estimator.activation
    )


def _one_pass(data: Clusters, settings: Settings) -> int:
    """Outer steps that see every cluster once."""
    batch = settings.batch_size or data.n_clusters
    return -(-data.n_clusters // batch)


def _first_theta(
    estimator: "RFPBase[Any]", net: MLP, data: Clusters, dtype: np.dtype[Any], seed: int, goes_on: bool
) -> Array:
    """The parameters to start from: those learnt so far (warm start), or random ones."""
    if estimator.dtype != "auto":
        dtype = np.dtype(estimator.dtype)
    if not hasattr(estimator, "theta_"):
        given = estimator.random_state
        # An int seeds the network as it does in MLP.init, so that a fit can be redone with the functions.
        theta = net.init(given if isinstance(given, int | np.integer) else seed, dtype)
        net.unflatten(theta)[-1][1][:] = estimator._first_bias(data.y, data.sample_weight)
        return theta
    return estimator.theta_ if goes_on else cast(estimator.theta_, dtype, "theta_")


def store(estimator: "RFPBase[Any]", fit: Fit, goes_on: bool) -> None:
    """Set the learnt attributes."""
    training, patience = fit.training, fit.patience
    curve = np.asarray(training.loss_curve)
    estimator.net_, estimator.theta_ = training.net, fit.theta
    estimator.inner_lr_ = fit.inner_lr
    estimator.loss_curve_ = np.concatenate([estimator.loss_curve_, curve]) if goes_on else curve
    estimator.n_iter_ = len(estimator.loss_curve_)
    for name in ("validation_scores_", "best_iteration_"):
        estimator.__dict__.pop(name, None)  # of the fit before a warm start
    if patience.best_theta is not None:
        estimator.validation_scores_ = np.asarray(patience.scores)
        estimator.best_iteration_ = patience.best_iteration
    steps, _, first, second = training.trainer.state()
    estimator._memory = Memory(steps, first, second, fit.batch_seed)


def say(fit: Fit, look_at_inner_step: bool) -> None:
    """Say what is to be known about the fit, if anything; the look at the inner step costs an outer step."""
    training, patience = fit.training, fit.patience
    settings, n_steps = training.settings, len(training.loss_curve)
    if training.trainer.n_skipped:
        warn(
            f"diverging clusters were left out {training.trainer.n_skipped} times in {n_steps} outer steps; "
            "a smaller inner_lr helps",
            DivergenceWarning,
        )
    if patience.active and not patience.converged and n_steps >= settings.max_iter:
        warn(
            f"the fit has not converged: max_iter={settings.max_iter} outer steps came before "
            f"n_iter_no_change={settings.n_iter_no_change} of them without a gain of more than "
            f"tol={settings.tol or 0.0:g}",
            ConvergenceWarning,
        )
    if look_at_inner_step:
        check_fit(training.net, fit.theta, training.data, settings, fit.inner_lr)
