"""An estimator's parameters, checked before any work and turned into what the kernel takes."""

from dataclasses import dataclass
from typing import Any, Literal

from ... import _rfpcore
from ..._arrays import Array, shown
from ..._options import (
    MAX_STEPS,
    DType,
    Layers,
    OnDivergence,
    Order,
    at_least,
    below_one,
    boolean,
    check_alpha,
    check_inner_lr,
    choice,
    fraction,
    inner_loop,
    integer,
    items,
    n_threads,
    positive,
    real,
    shows,
)
from ...losses import Loss
from ...optimizers import SGD, Adam, Constant, Cosine, PowerLaw, Schedule
from ._regularization import outer_penalties

Solver = Literal["adam", "adamw", "sgd"]
ScheduleName = Literal["constant", "cosine", "power"]


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

    def inner(self, n_parameters: int, inner_lr: float | Array) -> _rfpcore.Inner:
        """The kernel's inner loop with this step."""
        return inner_loop(
            n_parameters, self.inner_steps, inner_lr, self.inner_momentum, self.adapt_layers, self.order
        )

    @property
    def adapts(self) -> bool:
        """Whether the objective depends on the inner loop at all."""
        return self.alpha < 1 and self.inner_steps > 0


def check_settings(estimator: Any, loss: Loss, n_parameters: int) -> Settings:
    """All parameters that do not depend on the data; ValueError or TypeError naming the wrong one."""
    p = estimator
    choice(p.dtype, "dtype", DType)
    boolean(p.early_stopping, "early_stopping")
    boolean(p.warm_start, "warm_start")
    fraction(p.validation_fraction, "validation_fraction")
    if p.query_fraction is not None:
        fraction(p.query_fraction, "query_fraction")
    auto = isinstance(p.inner_lr, str) and p.inner_lr in ("auto", "learned")
    learned = auto and p.inner_lr == "learned"
    settings = Settings(
        loss=loss,
        alpha=check_alpha(p.alpha),
        inner_steps=integer(p.inner_steps, "inner_steps", 0, MAX_STEPS),
        inner_lr=None if auto else check_inner_lr(p.inner_lr, n_parameters),
        learned_rate=positive(p.learning_rate_init, "learning_rate_init") if learned else None,
        inner_momentum=real(p.inner_momentum, "inner_momentum", "a number in [0, 1)"),
        adapt_layers=p.adapt_layers,
        order=p.order,
        optimizer=_optimizer(p),
        batch_size=None if p.batch_size is None else integer(p.batch_size, "batch_size", 1, MAX_STEPS),
        max_iter=integer(p.max_iter, "max_iter", 1, MAX_STEPS),
        tol=None if p.tol is None else at_least(p.tol, "tol", 0.0),
        n_iter_no_change=integer(p.n_iter_no_change, "n_iter_no_change", 1, MAX_STEPS),
        skip_diverged=choice(p.on_divergence, "on_divergence", OnDivergence) == "skip",
        n_threads=n_threads(p.n_jobs),
        n_jobs=p.n_jobs,
        callbacks=_callbacks(p.callbacks),
        verbose=shows(p.verbose),
    )
    settings.inner(n_parameters, 1.0 if settings.inner_lr is None else settings.inner_lr)  # checks the rest
    return settings


def _optimizer(p: Any) -> _rfpcore.Optimizer:
    """The outer optimizer; "power" falls to 30 % of the first step at `max_iter`, "cosine" to 0."""
    solver = choice(p.solver, "solver", Solver)
    max_iter = integer(p.max_iter, "max_iter", 1, MAX_STEPS)
    momentum = below_one(p.momentum, "momentum")
    lr = positive(p.learning_rate_init, "learning_rate_init")
    schedule = _schedule(p.learning_rate, max_iter)
    optimizer = SGD(lr, momentum, schedule=schedule) if solver == "sgd" else Adam(lr, schedule=schedule)
    return _rfpcore.Optimizer(optimizer, outer_penalties(p))


def _schedule(given: Any, max_iter: int) -> Schedule:
    if isinstance(given, Schedule):
        return given
    named = {"constant": Constant(), "cosine": Cosine(max_iter), "power": PowerLaw(max_iter / 10)}
    return named[choice(given, "learning_rate", ScheduleName)]


def _callbacks(callbacks: Any) -> tuple[Any, ...]:
    """None, one callable or several, as a tuple."""
    if callbacks is None:
        return ()
    several = (
        [callbacks]
        if callable(callbacks)
        else items(callbacks, "callbacks", "a callable or a sequence of them")
    )
    for callback in several:
        if not callable(callback):
            raise TypeError(
                f"callbacks holds {shown(callback)} of type {type(callback).__name__}; callables are needed"
            )
    return tuple(several)
