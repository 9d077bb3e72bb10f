"""Mean gradients under dropout's masks."""

from typing import Any

import numpy as np

from .._options import random_source
from ..clusters import Clusters
from ..dropout import dropout_gradient
from ..losses import Loss
from ..network import MLP
from ._checks import Floats

__all__ = ["masked_gradients"]


def masked_gradients(
    net: MLP,
    points: Floats,
    data: Clusters,
    rates: tuple[float, float],
    loss: Loss,
    n_draws: int,
    random_state: Any,
    n_jobs: int | None,
) -> Floats:
    """The mean gradient (E, P) over masks of rows, drawn anew for each of the parameters."""
    random = random_source(random_state)
    found = np.empty_like(points)
    for at, theta in zip(found, points, strict=True):
        seed = int(random.randint(2**31 - 1))
        drawn = dropout_gradient(
            net, theta, data, rates[0], n_draws, loss, seed, inputs=rates[1], n_jobs=n_jobs
        )
        at[:] = drawn[0]
    return found
