"""An estimator's parameters, checked before any work and turned into what the kernel takes."""

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from ... import _rfpcore
from ..._arrays import Array, shown
from ..._limits import (
    Limits,
    not_negative,
    one_of,
    optional,
    randomness,
    shown_progress,
    threads,
    unchecked,
    whole,
)
from ..._options import (
    MAX_STEPS,
    Activation,
    DType,
    Layers,
    OnDivergence,
    Order,
    below_one,
    boolean,
    check_alpha,
    check_inner_lr,
    fraction,
    inner_loop,
    integer,
    items,
    positive,
)
from ...clusters import Clusters
from ...losses import Loss
from ...network import MLP
from ...optimizers import SGD, Adam, Constant, Cosine, PowerLaw, Schedule
from .._schedules import schedule_of
from ._regularization import outer_penalties

AUTO_STEPS = 500
"""Outer steps at most, unless `max_iter` says how many."""

Solver = Literal["adam", "adamw", "sgd"]
ScheduleName = Literal["constant", "cosine", "power"]


def _callables(callbacks: Any, name: str) -> tuple[Any, ...]:
    """None, one callable or several, as a tuple."""
    if callbacks is None:
        return ()
    needed = "a callable or a sequence of them"
    several = [callbacks] if callable(callbacks) else items(callbacks, name, needed)
    for callback in several:
        if not callable(callback):
            raise TypeError(
                f"{name} holds {shown(callback)} of type {type(callback).__name__}; callables are needed"
            )
    return tuple(several)


def _steps(value: Any, name: str) -> int | None:
    """A number of outer steps, or None for "auto"."""
    if isinstance(value, str):
        if value != "auto":
            raise ValueError(f"{name}={shown(value)}; 'auto' or an integer is needed")
        return None
    return integer(value, name, 1, MAX_STEPS)


LIMITS: Limits = {
    "standardize": boolean,
    "hidden_layer_sizes": unchecked,
    "activation": one_of(Activation),
    "alpha": check_alpha,
    "inner_steps": whole(0),
    "inner_lr": unchecked,
    "inner_momentum": below_one,
    "adapt_layers": one_of(Layers),
    "order": one_of(Order),
    "query_fraction": optional(fraction),
    "solver": one_of(Solver),
    "learning_rate_init": positive,
    "learning_rate": unchecked,
    "momentum": below_one,
    "weight_decay": not_negative,
    "clip_norm": optional(positive),
    "regularization": unchecked,
    "max_iter": _steps,
    "batch_size": optional(whole()),
    "early_stopping": boolean,
    "validation_fraction": fraction,
    "n_iter_no_change": whole(),
    "tol": optional(not_negative),
    "on_divergence": one_of(OnDivergence),
    "dtype": one_of(DType),
    "random_state": randomness,
    "n_jobs": threads,
    "verbose": shown_progress,
    "warm_start": boolean,
    "callbacks": _callables,
}
"""Of each parameter alone; what depends on others or on the network is checked in `check_settings`."""


@dataclass(frozen=True)
class Settings:
    """What the outer loop needs to know besides network, parameters and data."""

    loss: Loss
    alpha: float
    inner_steps: int
    inner_lr: float | Array | None
    """None: chosen from the curvature."""
    learned_rate: float | None
    """Not None: the step of each parameter is learned, at this rate."""
    inner_momentum: float
    adapt_layers: Layers
    order: Order
    optimizer: _rfpcore.Optimizer
    batch_size: int | None
    max_iter: int
    tol: float | None
    n_iter_no_change: int
    skip_diverged: bool
    n_threads: int
    n_jobs: int | None
    callbacks: tuple[Any, ...]
    verbose: bool
    early_stopping: bool
    validation_fraction: float
    query_fraction: float | None
    random_state: np.random.RandomState

    def inner(self, n_parameters: int, inner_lr: float | Array) -> _rfpcore.Inner:
        """The kernel's inner loop with this step."""
        return inner_loop(
            n_parameters, self.inner_steps, inner_lr, self.inner_momentum, self.adapt_layers, self.order
        )

    def objective(
        self,
        net: MLP,
        theta: Array,
        data: Clusters,
        inner_lr: float | Array,
        *,
        skip_diverged: bool = True,
        inner_lr_gradient: bool = False,
    ) -> _rfpcore.Objective:
        """R_k with everything that can be known of it.

        Raises
        ------
        _rfpcore.DivergenceError
            If a cluster diverges, or with `skip_diverged` all of them.
        """
        return _rfpcore.objective(
            net._architecture,
            theta,
            data.handle(net, self.loss, theta.dtype),
            self.alpha,
            self.inner(net.n_parameters, inner_lr),
            self.loss,
            skip_diverged,
            inner_lr_gradient,
            self.n_threads,
        )

    @property
    def adapts(self) -> bool:
        """Whether the objective depends on the inner loop at all."""
        return self.alpha < 1 and self.inner_steps > 0


def check_settings(
    estimator: Any, given: dict[str, Any], loss: Loss, n_parameters: int, *, endless: bool = False
) -> Settings:
    """All parameters that do not depend on the data, of which `given` are checked each by itself.

    Where nobody has chosen a number of steps it is `AUTO_STEPS`; an `endless` training has no use for it.
    ValueError or TypeError naming the one that does not suit the others.
    """
    inner_lr = estimator.inner_lr
    given = given | {"max_iter": given["max_iter"] or AUTO_STEPS}
    auto = isinstance(inner_lr, str) and inner_lr in ("auto", "learned")
    read = {
        "loss": loss,
        "inner_lr": None if auto else check_inner_lr(inner_lr, n_parameters),
        "learned_rate": given["learning_rate_init"] if auto and inner_lr == "learned" else None,
        "optimizer": _optimizer(estimator, given, endless),
        "skip_diverged": given["on_divergence"] == "skip",
        "n_threads": given["n_jobs"],
        "n_jobs": estimator.n_jobs,
    }
    as_given = {field.name: given[field.name] for field in fields(Settings) if field.name in given}
    return Settings(**as_given | read)


def _optimizer(estimator: Any, given: dict[str, Any], endless: bool) -> _rfpcore.Optimizer:
    """The outer optimizer."""
    lr = given["learning_rate_init"]
    schedule = named_schedule(estimator.learning_rate, given["max_iter"], endless)
    sgd = given["solver"] == "sgd"
    optimizer = SGD(lr, given["momentum"], schedule=schedule) if sgd else Adam(lr, schedule=schedule)
    return _rfpcore.Optimizer(optimizer, outer_penalties(estimator, given))


def named_schedule(given: Any, max_iter: int, endless: bool = False) -> Schedule:
    """The schedule of a name: "power" falls to 30 % of the first step at `max_iter`, "cosine" to 0.

    In an `endless` training "cosine" is constant: it would end all learning.
    """
    cosine = Constant() if endless else Cosine(max_iter)
    named = {"constant": Constant(), "cosine": cosine, "power": PowerLaw(max_iter / 10)}
    return schedule_of(given, named)
