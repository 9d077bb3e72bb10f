"""Data, row subsets, weights and initial parameters, as the kernel takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import (
    Array,
    as_array,
    as_floats,
    cast,
    float_dtype,
    has_entries,
    matrix,
    require_finite,
    targets,
    vector,
)
from .._options import MAX_PARAMETERS, integer
from ..losses import check_targets
from ..network import MLP
from ._model import Model

__all__ = ["Table", "initial_parameters", "require_pair", "row_lists", "row_numbers", "table", "weight_lines"]


@dataclass(frozen=True)
class Table:
    """Rows of features (N, d) and targets (N, m) of one dtype."""

    X: Array
    y: Array
    n_outputs: int


def table(
    X: Any, y: Any, models: Sequence[Model], dtype: Any, n_outputs: int | None, like: Table | None = None
) -> Table:
    """Check data for every loss among the models; held-out data is checked to be `like` the training data."""
    rows = matrix(X, "X", None if like is None else like.X.shape[1])
    outcomes = targets(y, len(rows))
    kind = rows.dtype if dtype is None else float_dtype(dtype)
    losses = dict.fromkeys(model.loss for model in models)
    if like is not None:
        n_outputs, kind = like.n_outputs, like.X.dtype
    elif n_outputs is not None:
        n_outputs = integer(n_outputs, "n_outputs", 1, MAX_PARAMETERS)
    else:
        n_outputs = _count_outputs(outcomes, losses)
    order = np.arange(len(rows))
    for loss in losses:
        check_targets(outcomes, loss, n_outputs, order)
    return Table(cast(rows, kind, "X"), np.ascontiguousarray(cast(outcomes, kind, "y")), n_outputs)


def _count_outputs(y: Array, losses: dict[Any, None]) -> int:
    """As many outputs as y has columns, or as there are class codes."""
    if "softmax" not in losses:
        return int(y.shape[1])
    if len(losses) > 1:
        raise ValueError(
            f"the models' losses are {list(losses)}; softmax needs n_outputs beside other losses"
        )
    largest = float(y.max())
    return int(min(max(largest, 1.0), 2.0**31)) + 1


def require_pair(pair: Any, name: str = "held_out") -> None:
    """Rows that measure are a pair (X, y)."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise TypeError(f"{name} is a {type(pair).__name__}; a pair (X, y) is needed")


def row_lists(
    rows: Any, n_models: int, n_rows: int, name: str = "rows", of: str = "X"
) -> list[NDArray[np.int64] | None]:
    """One index array for all models, or one for each; None: all rows."""
    if rows is None:
        return [None]
    several = isinstance(rows, list | tuple) and len(rows) > 0 and has_entries(rows[0])
    if isinstance(rows, np.ndarray) and rows.ndim == 2:
        rows, several = list(rows), True
    if not several:
        return [row_numbers(rows, name, n_rows, of)]
    if len(rows) != n_models:
        raise ValueError(f"{name} has {len(rows)} index arrays; there are {n_models} models")
    return [row_numbers(own, f"{name}[{i}]", n_rows, of) for i, own in enumerate(rows)]


def row_numbers(values: Any, name: str, n_rows: int, of: str = "X") -> NDArray[np.int64]:
    """Row numbers, each within the data."""
    indices = as_array(values, name)
    if indices.dtype == np.bool_:
        raise TypeError(f"{name} is a boolean mask; row numbers are needed: np.flatnonzero({name})")
    if indices.ndim != 1 or len(indices) == 0:
        raise ValueError(
            f"{name} has shape {indices.shape}; one dimension with at least one row number is needed"
        )
    if indices.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {indices.dtype}; integers are needed")
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= n_rows:
        bad = low if low < 0 else high
        raise ValueError(f"{name} holds {bad}; {of} has {n_rows} rows, so 0 to {n_rows - 1} are possible")
    return np.ascontiguousarray(indices, np.int64)


def weight_lines(values: Any, n_models: int, n_rows: int, dtype: np.dtype[Any]) -> Array | None:
    """Weights of all rows, one line for all models or one for each."""
    if values is None:
        return None
    weights = as_floats(values, "row_weights")
    if weights.shape not in ((n_rows,), (n_models, n_rows)):
        raise ValueError(
            f"row_weights has shape {weights.shape}; ({n_rows},), one weight a row of X, or "
            f"({n_models}, {n_rows}), a line for each model, is needed"
        )
    require_finite(weights, "row_weights")
    if weights.min() < 0:
        raise ValueError(f"row_weights holds {weights.min()}; weights of at least 0 are needed")
    return np.ascontiguousarray(cast(np.atleast_2d(weights), dtype, "row_weights"))


def initial_parameters(
    theta: Any, models: Sequence[Model], nets: Sequence[MLP], dtype: np.dtype[Any]
) -> list[Array]:
    """Each model's parameters to start from: given ones, or its seed's."""
    if theta is None:
        return [net.init(model.seed, dtype) for model, net in zip(models, nets, strict=True)]
    shared = isinstance(theta, np.ndarray) and theta.ndim == 1 and theta.dtype != object
    if not shared and not isinstance(theta, Sequence | np.ndarray):
        raise TypeError(f"theta is a {type(theta).__name__}; a vector, or one for each model, is needed")
    if not isinstance(theta, Sequence) and np.ndim(theta) == 0:
        raise ValueError("theta has shape (); a vector, or one for each model, is needed")
    given = [theta] * len(models) if shared else list(theta)
    if len(given) != len(models):
        raise ValueError(f"theta has {len(given)} vectors; there are {len(models)} models")
    return [
        vector(own, f"theta[{i}]", net.n_parameters, dtype)
        for i, (own, net) in enumerate(zip(given, nets, strict=True))
    ]
