"""Batches that are given instead of drawn: which rows of X each step sees."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array, as_array
from ._data import row_numbers
from ._model import Model

__all__ = ["batch_lists"]

Given = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Row numbers, batch after batch, and offsets: where each batch begins, and where the last ends."""

_DEEPEST = 3  # a sequence for each model, of batches, of row numbers


def batch_lists(
    batches: Any, models: Sequence[Model], rows: Any, weights: Array | None, n_rows: int
) -> list[Given]:
    """Batches of all models alike, or of each; none where they are drawn. `weights` are of `weight_lines`."""
    if batches is None:
        return []
    if rows is not None:
        raise ValueError("rows and batches both say which rows a model sees; one of them is needed")
    for index, model in enumerate(models):
        if model.replacement:
            raise ValueError(
                f"models[{index}] has replacement=True, which draws its batches, and batches gives them; "
                "replacement=False is needed"
            )
    values = as_array(batches, "batches") if getattr(batches, "ndim", 0) else batches
    depth = _depth(values)
    if depth not in (_DEEPEST - 1, _DEEPEST):
        raise ValueError(
            f"batches is {depth} levels deep; 2 are needed, batches of row numbers for all models alike, "
            "or 3, such for each model"
        )
    if depth == _DEEPEST and len(values) != len(models):
        raise ValueError(f"batches has batches for {len(values)} models; there are {len(models)} models")
    each = depth == _DEEPEST
    found = [_given(own, f"batches[{i}]", n_rows) for i, own in enumerate(values)] if each else []
    found = found or [_given(values, "batches", n_rows)]
    _require_weights(found, weights)
    return found


def _depth(values: Any, most: int = _DEEPEST + 1) -> int:
    """How many times an entry can be asked for an entry, looking at first ones."""
    if most == 0 or isinstance(values, str | bytes):
        return 0
    if isinstance(values, Sequence) or (
        isinstance(values, np.ndarray) and values.dtype == object and values.ndim
    ):
        return 1 + (_depth(values[0], most - 1) if len(values) else 0)
    return int(getattr(values, "ndim", 0))


def _given(batches: Any, name: str, n_rows: int) -> Given:
    """Batches of one model."""
    if isinstance(batches, np.ndarray) and batches.dtype != object:
        if batches.size == 0:
            raise ValueError(f"{name} has shape {batches.shape}; batches of at least one row are needed")
        return row_numbers(batches.ravel(), name, n_rows), np.arange(len(batches) + 1) * batches.shape[1]
    parts = [row_numbers(own, f"{name}[{i}]", n_rows) for i, own in enumerate(batches)]
    return np.concatenate(parts), np.cumsum([0, *map(len, parts)], dtype=np.int64)


def _require_weights(found: Sequence[Given], weights: Array | None) -> None:
    """ValueError where a batch has a row of weight 0, which is left out of what a model sees."""
    if weights is None:
        return
    for index in range(max(len(found), len(weights))):
        rows, offsets = found[index % len(found)]
        line = weights[index % len(weights)]
        without = np.flatnonzero(line[rows] == 0)
        if len(without):
            batch = int(np.searchsorted(offsets, without[0], side="right")) - 1
            raise ValueError(
                f"batch {batch} of model {index} has row {rows[without[0]]}, whose row_weights is 0; rows of "
                "weight 0 are in no batch"
            )
