"""Training with a penalty that the kernel does not know: `fit_many`'s steps, taken from Python."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _rfpcore
from .._arrays import matrix, targets
from ..clusters import Clusters
from ..functional import gradient
from ..many import Model
from ..network import MLP
from ..regularize import L1, L2
from ._checks import Floats

__all__ = ["retrain"]


def retrain(
    model: Model,
    net: MLP,
    theta: Floats,
    X: Any,
    y: Any,
    slope: Callable[[Floats, Clusters], Any],
    n_jobs: int | None,
) -> Floats:
    """The last parameters of a model whose batches' gradients have `slope(theta, batch)` added.

    The batches and steps are those that `fit_many` takes.
    """
    _require_plain(model)
    rows = matrix(X).astype(np.float64)
    outcomes = targets(y, len(rows))
    kernel = model.kernel(net)
    optimizer = _rfpcore.Optimizer(model.optimizer, list(model.terms))
    theta = theta.astype(np.float64).copy()
    moments = [np.zeros_like(theta), np.zeros_like(theta)]
    for step in range(model.steps_for(len(rows))):
        chosen = _rfpcore.draws(kernel, len(rows), step)["rows"]
        batch = Clusters(rows[chosen], outcomes[chosen])
        own = gradient(net, theta, batch, model.loss, n_jobs)
        added = np.asarray(slope(theta.copy(), batch), np.float64)
        if added.shape != theta.shape or not np.isfinite(added).all():
            raise ValueError(
                f"the penalty's gradient at step {step} has shape {added.shape} or is not finite; "
                f"finite {theta.shape} is needed"
            )
        theta, *moments = optimizer.step(step, own + added, theta, *moments)
    return theta


def _require_plain(model: Model) -> None:
    """Only what a step from Python does as well."""
    for term in model.terms:
        if not isinstance(term, L1 | L2) or not term.biases:
            raise ValueError(
                f"{term!r} in the ablated model; beside a penalty from Python, L1 and L2 are possible"
            )
