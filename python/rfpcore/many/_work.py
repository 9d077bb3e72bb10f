"""Checked models and data, and their training: here, or in parts on the workers of a cluster."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _rfpcore
from .._arrays import Array
from .._dask import on_workers, shares
from ..network import MLP
from ._batches import Given
from ._data import Table
from ._model import Model
from ._result import ModelResult

__all__ = ["ManyModels", "Rows", "Work"]

Rows = list[NDArray[np.int64] | None]
"""Row numbers of all models alike, one entry, or of each."""
Measured = tuple[Any, Any, Rows]
"""Features, targets, and which rows of them measure."""
Finished = Callable[[int, ModelResult], Any]


@dataclass(frozen=True)
class ManyModels:
    """Some models, and what each has of its own: lists of one entry are of all alike.

    Attributes
    ----------
    models, nets : sequence of Model, of MLP
    starts : list of ndarray
        Parameters to start from.
    rows : list
        Rows that a model is trained on.
    weights : ndarray (1 or n_models, N) or None
    batches : list
        Given batches; empty where they are drawn.
    held_out_rows, test_rows : list
        Rows that measure.
    """

    models: Sequence[Model]
    nets: Sequence[MLP]
    starts: list[Array]
    rows: Rows
    weights: Array | None
    batches: list[Given]
    held_out_rows: Rows
    test_rows: Rows

    def part(self, share: range) -> "ManyModels":
        """Some of them."""
        part = slice(share.start, share.stop)

        def own(values: Any) -> Any:
            return values if values is None or len(values) <= 1 else values[part]

        return ManyModels(
            self.models[part],
            self.nets[part],
            self.starts[part],
            own(self.rows),
            own(self.weights),
            own(self.batches),
            own(self.held_out_rows),
            own(self.test_rows),
        )


@dataclass(frozen=True)
class Work:
    """Data that models share, and how they are trained.

    Attributes
    ----------
    data : Table
    held_out, test : Table or None
    options : tuple
        What is recorded, as the kernel takes it.
    n_threads : int
    """

    data: Table
    held_out: Table | None
    test: Table | None
    options: tuple[int | None, list[int] | None, list[bool]]
    n_threads: int

    def train(self, of: ManyModels, finished: Finished | None = None) -> list[ModelResult]:
        """Train models here; `finished` is told each one's place and result as it is done."""

        def result(index: int, outcome: _rfpcore.Outcome) -> ModelResult:
            start = float(np.abs(of.starts[index]).max())
            return ModelResult(of.models[index], of.nets[index], outcome, start)

        outcomes = _rfpcore.fit_many(
            [model.kernel(net) for model, net in zip(of.models, of.nets, strict=True)],
            of.starts,
            (self.data.X, self.data.y),
            of.rows,
            of.weights,
            _measured(self.held_out, of.held_out_rows),
            self.options,
            None if finished is None else lambda index, outcome: finished(index, result(index, outcome)),
            self.n_threads,
            of.batches,
            _measured(self.test, of.test_rows),
        )
        return [result(index, outcome) for index, outcome in enumerate(outcomes)]

    def train_on(self, client: Any, of: ManyModels, finished: Finished | None) -> list[ModelResult]:
        """Train models on a cluster's workers, in jobs of some each."""
        parts = shares(client, len(of.models))
        found: list[Any] = [None] * len(of.models)

        def done(job: int, results: list[ModelResult]) -> None:
            for index, result in zip(parts[job], results, strict=True):
                found[index] = result
                if finished is not None:
                    finished(index, result)

        on_workers(client, Work.train, self, [of.part(share) for share in parts], done)
        return found


def _measured(table: Table | None, rows: Rows) -> Measured | None:
    return None if table is None else (table.X, table.y, rows)
