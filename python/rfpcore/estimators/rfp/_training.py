"""The outer loop as estimators need it: in pieces, watched, stopped early.

Everything that can change the result happens after fixed numbers of outer steps, never after a time, so that
a fit depends neither on how fast the machine is nor on whether somebody watches.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import _rfpcore
from ..._arrays import Array
from ..._progress import NoProgress
from ...clusters import Clusters
from ...functional import divergence
from ...network import MLP
from ...second_order import auto_inner_lr
from ._inner_step import MANY, share_raised
from ._learned_step import LearnedStep, step_gradient
from ._settings import Settings
from .callbacks import FitState

CHECK_EVERY = 10  # outer steps between two looks at the validation score, the tolerance and the callbacks
REVIEW_EVERY = 50  # outer steps between two looks at whether inner_lr="auto" still suits
SHOW_SECONDS = 0.05  # about how long a piece lasts when progress is shown

State = tuple[int, Array, Array, Array]  # of `Trainer`: steps, theta, first and second moment
View = Callable[[Array, "float | Array | None"], Any]


class Training:
    """The outer loop on one data set.

    Parameters
    ----------
    net, data, settings
        What to train, on what, and how.
    theta : ndarray (P,)
        Where to start.
    seed : int
        Of the mini-batches.
    state : tuple, optional
        The outer optimizer's state, to go on from.
    inner_lr : float or ndarray (P,), optional
        Upper bound of the inner step "auto" chooses, from the run to go on from.
    """

    def __init__(
        self,
        net: MLP,
        theta: Array,
        data: Clusters,
        settings: Settings,
        seed: int,
        state: State | None = None,
        inner_lr: float | Array | None = None,
    ) -> None:
        self.net, self.data, self.settings = net, data, settings
        self.handle = data.handle(net, settings.loss, theta.dtype)
        self.chooses = settings.inner_lr is None and settings.adapts
        self.inner_lr = inner_lr if settings.inner_lr is None else settings.inner_lr
        self.learned: LearnedStep | None = None
        self.own = data.support() if self.chooses else data
        self.loss_curve: list[float] = []
        batch = settings.batch_size
        self.trainer = _rfpcore.Trainer(
            net._architecture,
            theta,
            settings.alpha,
            settings.inner(net.n_parameters, 1.0 if self.inner_lr is None else self.inner_lr),
            settings.loss,
            settings.optimizer,
            None if batch is None or batch >= data.n_clusters else batch,
            seed,
            settings.skip_diverged,
            settings.n_threads,
        )
        if state is not None:
            self.trainer.restore(state)

    def run(self, n_steps: int, patience: "Patience", progress: NoProgress, view: View) -> None:
        """Take at most `n_steps` outer steps; what they led to is in the attributes afterwards."""
        end = self.trainer.n_steps + n_steps
        watched = patience.active or bool(self.settings.callbacks)
        size, stop = n_steps, False
        while (step := self.trainer.n_steps) < end and not stop:
            if self.chooses and (step % REVIEW_EVERY == 0 or self.inner_lr is None):
                self.review_inner_lr(self.trainer.theta)
            size = min(size, end - step)
            if watched:
                size = min(size, CHECK_EVERY - step % CHECK_EVERY)
            if self.chooses:
                size = min(size, REVIEW_EVERY - step % REVIEW_EVERY)
            seconds = self._advance(size)
            step += size
            if watched and (step % CHECK_EVERY == 0 or step == end):
                stop = patience.look(self) | self._call_back(n_steps, patience, view)
            progress.update(len(self.loss_curve), self._describe(patience.score))
            # Only how often progress is shown depends on time; the steps taken do not.
            size = (
                max(1, min(n_steps, int(size * SHOW_SECONDS / seconds))) if self.settings.verbose else n_steps
            )

    def _describe(self, score: float | None) -> str:
        """The numbers beside the progress bar."""
        loss = f"loss {self.loss_curve[-1]:.4g}"
        return loss if score is None else f"{loss}, validation {score:.4g}"

    def _advance(self, n_steps: int) -> float:
        """Take steps; the seconds they took."""
        began = time.perf_counter()
        try:
            self._steps(n_steps)
        except _rfpcore.DivergenceError as error:
            theta, step = self.trainer.theta, self.inner_lr
            raise divergence(error, self.net, theta, self.data, self.settings.loss, step) from None
        return max(time.perf_counter() - began, 1e-6)

    def _steps(self, n_steps: int) -> None:
        if self.learned is None:
            self.loss_curve += self.trainer.advance(self.handle, n_steps).tolist()
        else:
            self._advance_both(self.learned, n_steps)

    def _advance_both(self, learned: LearnedStep, n_steps: int) -> None:
        """Steps of the parameters and of their inner steps, each from where both are."""
        for _ in range(n_steps):
            gradient = step_gradient(self.net, self.trainer.theta, self.data, self.settings, learned.inner_lr)
            self.loss_curve += self.trainer.advance(self.handle, 1).tolist()
            learned.update(gradient)
            self.inner_lr = learned.inner_lr
            self.trainer.set_inner(self.settings.inner(self.net.n_parameters, self.inner_lr))

    def review_inner_lr(self, theta: Array) -> None:
        """With "auto", choose the inner step; with "learned", where it begins.

        At first it is half of what the clusters' curvature allows; later it shrinks only if it does harm. To
        follow the curvature all the time would be a race: with a fixed step the objective itself keeps the
        curvature within the limit, because adaptation beyond it raises the loss; with a step that yields to
        it, the network grows ever steeper and the step shrinks to nothing.
        """
        loss, n_jobs = self.settings.loss, self.settings.n_jobs
        if not self.chooses or self.learned is not None:
            return
        if self.inner_lr is None:
            self.inner_lr = auto_inner_lr(self.net, theta, self.data, loss, n_jobs=n_jobs)
            if self.settings.learned_rate is not None:
                self.learned = LearnedStep(self.inner_lr, self.net.n_parameters, self.settings.learned_rate)
        elif share_raised(self.net, theta, self.own, self.settings, self.inner_lr) > MANY:
            try:
                allowed = auto_inner_lr(self.net, theta, self.data, loss, n_jobs=n_jobs)
            except ValueError:  # no curvature to go by at this theta
                return
            lower = np.minimum(self.inner_lr, allowed)  # steps learned before are an array
            self.inner_lr = lower if lower.ndim else lower.item()
        self.trainer.set_inner(self.settings.inner(self.net.n_parameters, self.inner_lr))

    def _call_back(self, n_steps: int, patience: "Patience", view: View) -> bool:
        """Tell the callbacks; whether one of them wants to stop."""
        if not self.settings.callbacks:
            return False
        done, loss = len(self.loss_curve), self.loss_curve[-1]
        state = FitState(done, n_steps, loss, patience.score, self.trainer.theta, self.inner_lr, view)
        answers = [callback(state) for callback in self.settings.callbacks]
        return any(isinstance(answer, bool | np.bool_) and bool(answer) for answer in answers)


class Patience:
    """Decides when a fit has stopped improving, and keeps the best parameters of held-out clusters.

    The score is minus R_k on the held-out clusters; without them, minus the mean training objective of the
    steps since the last look. It has to rise by more than `tol` within `n_iter_no_change` outer steps.

    Parameters
    ----------
    settings : Settings
    held_out : Clusters or None
        None: no early stopping, and no stopping at all unless `tol` is given.
    """

    def __init__(self, settings: Settings, held_out: Clusters | None) -> None:
        self.settings, self.held_out = settings, held_out
        self.active = held_out is not None or settings.tol is not None
        self.scores: list[float] = []
        self.converged = False
        self.best_iteration = 0
        self.best_theta: Array | None = None
        self.best_inner_lr: float | Array | None = None
        self._patience = _rfpcore.Patience(settings.n_iter_no_change, settings.tol or 0.0)

    @property
    def score(self) -> float | None:
        """The last validation score."""
        return self.scores[-1] if self.scores else None

    def look(self, training: Training) -> bool:
        """Score the parameters of this moment; whether to stop."""
        if not self.active:
            return False
        iteration = len(training.loss_curve)
        if self.held_out is None:
            score = -float(np.mean(training.loss_curve[-CHECK_EVERY:]))
        else:
            score = self._validate(training, self.held_out)
            self.scores.append(score)
        is_best, self.converged = self._patience.look(-score, iteration)
        if self.held_out is not None and (is_best or self.best_theta is None):
            self.best_iteration = iteration
            self.best_theta, self.best_inner_lr = training.trainer.theta, training.inner_lr
        return self.converged

    def _validate(self, training: Training, held_out: Clusters) -> float:
        """Minus R_k on the held-out clusters; -inf if any of them diverges."""
        inner_lr = 1.0 if training.inner_lr is None else training.inner_lr
        try:
            found = training.settings.objective(training.net, training.trainer.theta, held_out, inner_lr)
        except _rfpcore.DivergenceError:  # all of them
            return -np.inf
        return -np.inf if (found.diverged_step >= 0).any() else -found.value
