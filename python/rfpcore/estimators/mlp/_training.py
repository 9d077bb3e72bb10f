"""Ordinary training of one network or of several on the same rows, through the trainer of many models."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from ..._arrays import Array, group_codes, row_weights, shown
from ..._limits import Limits, not_negative, one_of, randomness, threads, unchecked, whole
from ..._options import MAX_STEPS, Activation, DType, below_one, boolean, fraction, integer, positive
from ..._warn import warn
from ...exceptions import DivergenceError
from ...many import Model, ModelResult, fit_many
from ...optimizers import SGD, Adam, Constant, Cosine, Optimizer
from ...regularize import EarlyStopping, Regularization
from .._dealt import held_out_clusters
from .._finite import overflow, require_finite_fit
from .._schedules import schedule_of

PlainSolver = Literal["adam", "sgd"]
AUTO_BATCH = 200  # scikit-learn's largest "auto" batch

LIMITS: Limits = {
    "hidden_layer_sizes": unchecked,
    "activation": one_of(Activation),
    "solver": one_of(PlainSolver),
    "regularization": unchecked,
    "batch_size": unchecked,
    "learning_rate": unchecked,
    "learning_rate_init": positive,
    "max_iter": whole(),
    "momentum": below_one,
    "nesterovs_momentum": boolean,
    "beta_1": below_one,
    "beta_2": below_one,
    "epsilon": positive,
    "early_stopping": boolean,
    "validation_fraction": fraction,
    "n_iter_no_change": whole(),
    "tol": not_negative,
    "dtype": one_of(DType),
    "random_state": randomness,
    "n_jobs": threads,
    "warm_start": boolean,
    "standardize": boolean,
}
"""Of each parameter alone; what the model, the number of rows and the schedule say is checked in `plan`."""


@dataclass(frozen=True)
class Data:
    """Checked rows of one dtype, and rows held out from them."""

    X: Array
    y: Array
    weights: Array | None
    codes: NDArray[np.intp] | None
    """The number of each row's cluster, where there are clusters."""
    held_out: tuple[Array, Array] | None = None

    def hold_out(self, share: float, stratify: bool, random: np.random.RandomState) -> "Data":
        """A share of the clusters held out, or of the rows; with `stratify` of each class alike."""
        from sklearn.model_selection import train_test_split

        if self.codes is not None:
            present, codes = np.unique(self.codes, return_inverse=True)
            out = np.isin(codes, held_out_clusters(len(present), share, random))
            return self._part(np.flatnonzero(~out), np.flatnonzero(out))
        if len(self.y) < 2:
            raise ValueError(f"early_stopping holds out rows, so it needs at least 2; got {len(self.y)}")
        classes = self.y[:, 0] if stratify else None
        if classes is not None:
            _require_each_class(classes, share)
        train, test = train_test_split(
            np.arange(len(self.y)), test_size=share, random_state=random, stratify=classes
        )
        return self._part(train, test)

    def _part(self, train: NDArray[np.intp], test: NDArray[np.intp]) -> "Data":
        """Some rows, and others held out."""
        weights = None if self.weights is None else self.weights[train]
        codes = None if self.codes is None else self.codes[train]
        return Data(self.X[train], self.y[train], weights, codes, (self.X[test], self.y[test]))

    def resampled(self, count: int, random: np.random.RandomState) -> list[NDArray[np.intp]]:
        """So many samples of as many rows, or of as many clusters, as there are, drawn with replacement."""
        if self.codes is None:
            return list(random.randint(len(self.X), size=(count, len(self.X))))
        order = np.argsort(self.codes, kind="stable")
        clusters = np.split(order, np.flatnonzero(np.diff(self.codes[order])) + 1)
        drawn = random.randint(len(clusters), size=(count, len(clusters)))
        return [np.concatenate([clusters[cluster] for cluster in own]) for own in drawn]


def used_rows(X: Array, y: Array, sample_weight: Any, groups: Any) -> Data:
    """The rows that count: one of weight 0 is to be as if it were not there."""
    codes = None if groups is None else group_codes(groups, len(X))[1]
    if sample_weight is None:
        return Data(X, y, None, codes)
    weights = row_weights(sample_weight, len(X))
    used = weights > 0
    if not used.any():
        raise ValueError(f"sample_weight is zero in all {len(used)} rows; at least one must be positive")
    with np.errstate(over="ignore"):
        if not np.isfinite(weights.sum()):
            raise ValueError(f"sample_weight sums to inf over {len(used)} rows; a finite sum is needed")
    return Data(X[used], y[used], weights[used], None if codes is None else codes[used])


def _require_each_class(codes: Array, share: float) -> None:
    """Each class has to have a row on both sides of the split."""
    sizes = np.unique(codes, return_counts=True)[1]
    held_out = math.ceil(share * len(codes))
    room = min(held_out, len(codes) - held_out)
    if sizes.min() < 2 or room < len(sizes):
        raise ValueError(
            f"early_stopping holds out {held_out} of {len(codes)} rows (validation_fraction={share:g}), with "
            f"rows of each class on both sides; there are {len(sizes)} classes, the smallest of "
            f"{sizes.min()} rows. More rows, another validation_fraction or early_stopping=False is needed"
        )


@dataclass(frozen=True)
class Plan:
    """A model but for its seed, and how many steps an epoch has."""

    model: Model
    epoch: int

    def with_seed(self, seed: int) -> Model:
        """The model with this seed."""
        return replace(self.model, seed=seed)


def plan(p: Any, given: dict[str, Any], n_rows: int) -> Plan:
    """What an estimator's parameters say; `given` are those that are checked."""
    size = _batch_size(p.batch_size, n_rows)
    epoch = -(-n_rows // size)
    terms = Regularization.of(p.regularization)
    if terms.get(EarlyStopping) is not None:
        raise ValueError(
            f"regularization holds {terms.get(EarlyStopping)!r}; the estimator holds rows out itself, with "
            "early_stopping=True and n_iter_no_change"
        )
    if given["early_stopping"]:
        terms += EarlyStopping(given["n_iter_no_change"], every=epoch, min_delta=given["tol"])
    model = Model(
        hidden_layer_sizes=p.hidden_layer_sizes,
        activation=p.activation,
        loss=p._loss,
        optimizer=_optimizer(p, given, given["max_iter"] * epoch),
        regularization=terms,
        batch_size=size,
        n_epochs=given["max_iter"],
    )
    return Plan(model, epoch)


def _batch_size(given: Any, n_rows: int) -> int:
    if isinstance(given, str):
        if given != "auto":
            raise ValueError(f"batch_size={shown(given)} is unknown; an integer, 'auto' or None is needed")
        return min(AUTO_BATCH, n_rows)
    return n_rows if given is None else min(integer(given, "batch_size", 1, MAX_STEPS), n_rows)


def _optimizer(p: Any, given: dict[str, Any], n_steps: int) -> Optimizer:
    lr, momentum = given["learning_rate_init"], given["momentum"]
    schedule = schedule_of(p.learning_rate, {"constant": Constant(), "cosine": Cosine(n_steps)})
    if given["solver"] == "adam":
        return Adam(lr, given["beta_1"], given["beta_2"], given["epsilon"], schedule)
    return SGD(lr, momentum, given["nesterovs_momentum"] and momentum > 0, schedule)


def train(
    data: Data,
    models: Sequence[Model],
    theta: Sequence[Array],
    n_outputs: int,
    n_jobs: int | None,
    rows: Sequence[NDArray[np.intp]] | None = None,
    on_finished: Callable[[int, ModelResult], Any] | None = None,
    scheduler: Any = None,
) -> list[ModelResult]:
    """Fit the models; DivergenceError as soon as the loss of one stops being finite."""

    def finished(index: int, result: ModelResult) -> None:
        if result.status == "diverged":
            raise _divergence(index, result)
        require_finite_fit(result.net, result.parameters(), data.X, result.n_steps, "steps")
        if on_finished is not None:
            on_finished(index, result)

    results = fit_many(
        data.X,
        data.y,
        models,
        rows=rows,
        row_weights=data.weights,
        theta=theta,
        held_out=data.held_out,
        n_outputs=n_outputs,
        n_jobs=n_jobs,
        on_finished=finished,
        scheduler=scheduler,
    )
    return list(results)


def _divergence(index: int, result: ModelResult) -> DivergenceError:
    loss = float("nan") if result.diverged_loss is None else result.diverged_loss
    if np.isfinite(loss):
        return overflow(result.n_steps, "steps", index)
    return DivergenceError(
        f"the loss of network {index} is {loss} at step {result.n_steps}; a smaller learning_rate_init or "
        "ClipNorm helps",
        label=index,
        step=result.n_steps,
        loss=loss,
    )


def warn_unless_converged(plan: Plan, results: Sequence[ModelResult]) -> None:
    """Where early stopping was asked for, and the epochs ended first."""
    stopping = plan.model.terms.get(EarlyStopping)
    late = sum(result.status != "stopped" for result in results)
    if stopping is not None and late:
        which = "the fit has" if len(results) == 1 else f"{late} of {len(results)} networks have"
        warn(
            f"{which} not converged: max_iter={plan.model.n_epochs} epochs came before "
            f"n_iter_no_change={stopping.patience} of them without a gain of more than "
            f"tol={stopping.min_delta:g}",
            ConvergenceWarning,
        )
