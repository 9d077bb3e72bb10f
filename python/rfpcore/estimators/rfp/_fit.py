"""One fit, from arrays to what it has learnt."""

from dataclasses import dataclass

from sklearn.exceptions import ConvergenceWarning

from ..._arrays import Array
from ..._progress import make_progress
from ..._warn import warn
from ...clusters import Clusters
from ...exceptions import DivergenceWarning
from ...network import MLP
from .._finite import require_finite_fit
from ._inner_step import check_fit
from ._settings import Settings
from ._training import Patience, State, Training, View


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

    @property
    def memory(self) -> Memory:
        """What the outer optimizer goes on from."""
        steps, _, first, second = self.training.trainer.state()
        return Memory(steps, first, second, self.batch_seed)


@dataclass(frozen=True)
class StartingPoint:
    """Where a fit begins: parameters, the seed of the batches, and what an earlier fit left to go on from."""

    theta: Array
    batch_seed: int
    state: State | None = None
    inner_lr: float | Array | None = None


def run(
    net: MLP,
    data: Clusters,
    held_out: Clusters | None,
    settings: Settings,
    start: StartingPoint,
    *,
    passes: int | None,
    view: View,
    name: str,
) -> Fit:
    """Train: `max_iter` outer steps or so many `passes` over the clusters; `name` stands at the progress."""
    training = Training(net, start.theta, data, settings, start.batch_seed, start.state, start.inner_lr)
    patience = Patience(settings, held_out)
    n_steps = settings.max_iter if passes is None else passes * _one_pass(data, settings)
    with make_progress(name, n_steps, "steps", settings.verbose) as progress:
        training.run(n_steps, patience, progress, view)
    fit = Fit(training, patience, start.batch_seed)
    require_finite_fit(net, fit.theta, data.X, len(training.loss_curve), "outer steps")
    if passes is None:
        training.review_inner_lr(fit.theta)  # what `adapt` takes has to suit the parameters it starts from
    return fit


def _one_pass(data: Clusters, settings: Settings) -> int:
    """Outer steps that see every cluster once."""
    batch = settings.batch_size or data.n_clusters
    return -(-data.n_clusters // batch)


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
