"""Retraining with the estimate, beside the procedure itself."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import log_expit, log_softmax

from .._arrays import matrix, shown, targets
from .._frames import pandas_for
from ..clusters import Clusters
from ..exceptions import DivergenceError
from ..functional import objective
from ..losses import read
from ..many import Model, coded, coded_pair, fit_many, require_pair, text_classes
from ..network import MLP
from ..regularize import Regularization, Term
from ._checks import Floats
from ._retrain import retrain
from .matching import GradientMatching

__all__ = ["Retraining", "Validation", "validate"]

Slope = Callable[[Any, Clusters], Any]


@dataclass(frozen=True)
class Retraining:
    """One way of training beside the procedure itself.

    Parameters
    ----------
    distance : float
        |θ − θ*| / |θ* − θ₀|, with θ* what the procedure gives and θ₀ where both start.
    divergence : float
        Of the predictions on the rows held out: the mean Kullback–Leibler divergence from the procedure's,
        or for losses of numbers the mean squared difference of the outputs.
    held_out_loss : float
    accuracy : float
        NaN for losses without classes.
    theta : ndarray (P,)
        Of the network that predicts: with batch normalization folded in.
    """

    distance: float
    divergence: float
    held_out_loss: float
    accuracy: float
    theta: Any


@dataclass(frozen=True)
class Validation:
    """What retraining gave.

    Parameters
    ----------
    runs : dict of str to Retraining
        "true" is the procedure, "none" the ablated model, "estimated" the ablated model with the penalty,
        and "other seed" the procedure from the same start with other batches and masks: no penalty can be
        asked to come nearer than that.
    """

    runs: dict[str, Retraining]

    def to_frame(self) -> Any:
        """A pandas DataFrame, one way of training a line."""
        pandas = pandas_for("to_frame")
        columns = ("distance", "divergence", "held_out_loss", "accuracy")
        rows = [[getattr(run, name) for name in columns] for run in self.runs.values()]
        return pandas.DataFrame(rows, index=list(self.runs), columns=columns)

    def summary(self) -> str:
        """A table."""
        head = f"{'':14}{'distance':>12}{'divergence':>12}{'held-out loss':>15}{'accuracy':>10}"
        lines = [head, "-" * len(head)]
        for name, run in self.runs.items():
            accuracy = "" if np.isnan(run.accuracy) else f"{run.accuracy:.3f}"
            lines.append(
                f"{name:14}{run.distance:>12.3g}{run.divergence:>12.3g}{run.held_out_loss:>15.4g}{accuracy:>10}"
            )
        return "\n".join(lines)


def validate(
    model: Model,
    X: Any,
    y: Any,
    estimate: "GradientMatching | Regularization | Slope",
    *,
    ablated: Model,
    held_out: tuple[Any, Any],
    n_jobs: int | None = None,
    scheduler: Any = None,
) -> Validation:
    """Train with the procedure, without it, and without it but with the estimated penalty [1]_.

    All start at the same parameters and see the same batches.

    Parameters
    ----------
    model : Model
        With the procedure whose penalty was estimated.
    X, y : arrays
        As in `fit_many`.
    estimate : fitted GradientMatching, Regularization, or callable(theta (P,), batch: Clusters) -> ∇R (P,)
        Terms train in the kernel. Other penalties are added to the gradient of each batch from Python, at a
        thousand steps a second; then `ablated` may have L1 and L2, and nothing else. Penalties of data are
        taken on the batch.
    ablated : Model
        Without the procedure; of the same layers and seed.
    held_out : (X, y)
        Rows that only measure.
    n_jobs, scheduler
        As in `fit_many`; penalties that are added from Python are here.

    Returns
    -------
    Validation

    Raises
    ------
    DivergenceError
        If one of the trainings diverges.

    References
    ----------
    .. [1] arXiv:2605.05436, section 2.1, "mode 2".
    """
    _require_alike(model, ablated)
    require_pair(held_out)
    classes = text_classes(y, [model, ablated])
    if classes is not None:
        y, held_out = coded(y, classes, "y"), coded_pair(held_out, classes, "held_out")
    rows = matrix(X)
    net = model.net(rows.shape[1], _n_outputs(model, y, len(rows)))
    theta = net.init(model.seed)
    terms = _terms(estimate)
    several = {"true": model, "none": ablated, "other seed": replace(model, seed=model.seed + 1)}
    if terms is not None:
        several["estimated"] = replace(ablated, regularization=ablated.terms + terms)
    found = fit_many(
        X,
        y,
        list(several.values()),
        theta=theta,
        dtype=np.float64,
        n_outputs=net.n_outputs,
        held_out=held_out,
        n_jobs=n_jobs,
        scheduler=scheduler,
    )
    for name, run in zip(several, found.results, strict=True):
        if run.status == "diverged":
            raise DivergenceError(
                f"the training {name!r} diverged at step {run.n_steps}: there is nothing to compare; a "
                "smaller lr helps"
            )
    thetas = {name: run.parameters() for name, run in zip(several, found.results, strict=True)}
    if terms is None:
        thetas["estimated"] = retrain(ablated, net, theta, X, y, _slope(estimate), n_jobs)
    measure = _Measure(net, model, thetas["true"], theta, held_out)
    order = ("true", "none", "estimated", "other seed")
    return Validation({name: measure.of(thetas[name]) for name in order})


def _require_alike(model: Any, ablated: Any) -> None:
    for name, one in (("model", model), ("ablated", ablated)):
        if not isinstance(one, Model):
            raise TypeError(f"{name}={shown(one)} is a {type(one).__name__}; a Model is needed")
    for name in ("hidden_layer_sizes", "activation", "loss", "seed"):
        one, other = getattr(model, name), getattr(ablated, name)
        if one != other:
            raise ValueError(f"{name}={one!r} of model and {other!r} of ablated; they have to be the same")


def _n_outputs(model: Model, y: Any, n_rows: int) -> int:
    outcomes = targets(y, n_rows)
    if read(model.loss).name == "softmax":
        return int(max(outcomes.max(), 1)) + 1
    return int(outcomes.shape[1])


def _terms(estimate: Any) -> Regularization | None:
    """What the kernel can train with; None for other penalties."""
    if isinstance(estimate, Regularization | Term):
        return Regularization.of(estimate)
    if isinstance(estimate, GradientMatching) and estimate.is_term:
        return estimate.regularization_
    return None


def _slope(estimate: Any) -> Slope:
    """The penalty's gradient on a batch."""
    if isinstance(estimate, GradientMatching):
        return estimate.gradient_on
    if callable(estimate):
        return estimate  # type: ignore[no-any-return]
    raise TypeError(
        f"estimate={shown(estimate)} is a {type(estimate).__name__}; a fitted GradientMatching, terms, or a "
        "callable (theta, batch) is needed"
    )


class _Measure:
    """Weights beside those of the procedure."""

    def __init__(self, net: MLP, model: Model, true: Floats, start: Floats, held_out: Any) -> None:
        self.net, self.true = net, true
        self.loss = read(model.loss)
        X, y = matrix(held_out[0], "held_out[0]"), held_out[1]
        self.data = Clusters(X, y)
        self.moved = float(np.linalg.norm(true - start))
        self.outputs = net.predict(true, self.data.X)

    def of(self, theta: Floats) -> Retraining:
        outputs = self.net.predict(theta, self.data.X)
        loss = objective(self.net, theta, self.data, 1.0, 0, loss=self.loss.text).value
        return Retraining(
            distance=float(np.linalg.norm(theta - self.true)) / self.moved,
            divergence=divergence(self.loss.name, self.outputs, outputs),
            held_out_loss=float(loss),
            accuracy=self._accuracy(outputs),
            theta=theta,
        )

    def _accuracy(self, outputs: Floats) -> float:
        if not self.loss.kind.has_labels:
            return float("nan")
        right = self.data.y if self.loss.name == "logistic" else self.data.y[:, 0]
        chosen = outputs > 0 if self.loss.name == "logistic" else outputs.argmax(axis=1)
        return float(np.mean(chosen == right))


def divergence(loss: str, true: Floats, other: Floats) -> float:
    """Of predictions from linear outputs (N, m): mean Kullback–Leibler, or the mean squared difference."""
    if loss in ("softmax", "cross_entropy"):
        log_p, log_q = log_softmax(true, axis=1), log_softmax(other, axis=1)
        return float(np.mean(np.sum(np.exp(log_p) * (log_p - log_q), axis=1)))
    if loss == "logistic":
        sides = [np.exp(log_expit(s * true)) * (log_expit(s * true) - log_expit(s * other)) for s in (1, -1)]
        return float(np.mean(np.sum(sides[0] + sides[1], axis=1)))
    if loss == "poisson":
        rate, rate_other = np.exp(true), np.exp(other)
        return float(np.mean(np.sum(rate * (true - other) - rate + rate_other, axis=1)))
    if read(loss).kind.keeps_units:
        return float(np.mean(np.sum((true - other) ** 2, axis=1)))
    raise AssertionError(loss)
