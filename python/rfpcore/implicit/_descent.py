"""Gradient flow, and epochs of descent, of many parameter vectors at once."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._arrays import has_entries
from .._options import MAX_PARAMETERS, integer, is_integer, random_source
from ..clusters import Clusters, require_clusters, require_no_precision
from ..functional import gradient
from ..losses import Loss
from ..network import MLP
from ._checks import Floats

__all__ = ["batches_of", "epoch_ends", "field_of", "flow_ends"]

Field = Callable[[Floats], Floats]
"""Gradients (E, P) at parameters (E, P)."""


def field_of(net: MLP, data: Clusters, loss: Loss, n_jobs: int | None) -> Field:
    """The gradient of the mean loss."""
    return lambda at: gradient(net, at, data, loss, n_jobs).astype(np.float64)


def flow_ends(field: Field, start: Floats, length: float, substeps: int) -> Floats:
    """Where θ' = −∇L leads in a time, by the classical Runge-Kutta method."""
    at, h = start, length / substeps
    for _ in range(substeps):
        first = field(at)
        second = field(at - h / 2 * first)
        third = field(at - h / 2 * second)
        fourth = field(at - h * third)
        at = at - h / 6 * (first + 2 * second + 2 * third + fourth)
    return at


def batches_of(data: Clusters, batches: Any) -> list[Clusters]:
    """The data of each batch: so many rows each, or the rows that are named."""
    if require_clusters(data).sample_weight is not None or data.cluster_weight is not None:
        raise ValueError("data has weights; batches need rows that count alike")
    require_no_precision(data, "a split into batches of rows")
    if is_integer(batches):
        size = integer(batches, "batches", 1, MAX_PARAMETERS)
        if data.n_rows % size:
            raise ValueError(
                f"batches={size} does not divide the {data.n_rows} rows: the mean of the batches' gradients "
                "would not be the gradient of all rows"
            )
        several = list(np.arange(data.n_rows).reshape(-1, size))
    elif has_entries(batches) and len(batches):
        several = [_rows(own, f"batches[{i}]", data.n_rows) for i, own in enumerate(batches)]
    else:
        raise TypeError(
            f"batches is a {type(batches).__name__}; rows a batch, or a list of row numbers, is needed"
        )
    return [Clusters(data.X[own], data.y[own]) for own in several]


def _rows(values: Any, name: str, n_rows: int) -> Any:
    rows = np.asarray(values)
    if rows.ndim != 1 or not len(rows) or rows.dtype.kind not in "iu":
        raise ValueError(f"{name} has shape {rows.shape} and dtype {rows.dtype}; row numbers are needed")
    if rows.min() < 0 or rows.max() >= n_rows:
        raise ValueError(f"{name} holds {rows.min()} to {rows.max()}; 0 to {n_rows - 1} are possible")
    return rows


def epoch_ends(fields: Sequence[Field], start: Floats, step: float, pairs: int, random_state: Any) -> Floats:
    """The mean end of an epoch over random orders of the batches, each with its reverse."""
    random = random_source(random_state)
    total = np.zeros_like(start)
    for _ in range(pairs):
        order = random.permutation(len(fields))
        for one in (order, order[::-1]):
            at = start
            for index in one:
                at = at - step * fields[index](at)
            total += at
    return total / (2 * pairs)
