"""Training many small networks: the problems that all peers share.

Nothing here imports rfpcore or a peer, so that each process loads only what it measures.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Task:
    """One kind of network, its rows, and an optimizer step."""

    name: str
    widths: tuple[int, ...]
    rows: int
    batch: int
    optimizer: str
    rate: float
    decay: float
    chunk: int
    """Steps of one timed call."""

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each layer."""
        return list(pairwise(self.widths))

    @property
    def shape(self) -> str:
        """In words, for the tables."""
        batch = "all rows" if self.batch == self.rows else f"batch {self.batch}"
        return f"{'-'.join(map(str, self.widths))}, {self.rows} rows, {batch}, {self.optimizer}"

    def mflops(self) -> float:
        """Million operations of a step's matrix products; the first inputs' gradient is not needed."""
        first, *others = (2.0 * n_in * n_out for n_in, n_out in self.layers)
        return self.batch * (2 * first + 3 * sum(others)) / 1e6


T1 = Task("T1", (2, 64, 64, 2), 250, 32, "sgd", 0.1, 1e-3, 400)
T2 = Task("T2", (784, 128, 10), 1000, 32, "sgd", 0.1, 1e-3, 40)
# The case that SimpleChains.jl publishes.
CHAIN = Task("chain", (4, 32, 16, 4), 10_000, 10_000, "adam", 1e-3, 0.0, 10)
TASKS = {task.name: task for task in (T1, T2, CHAIN)}


class Problem(NamedTuple):
    """Flat parameters (M, P), per layer W row by row, then b; X (N, d); class codes y (N,)."""

    thetas: np.ndarray
    X: np.ndarray
    y: np.ndarray


def problem(task: Task, dtype: str, models: int) -> Problem:
    """Data of a task; float32 holds the float64 numbers, rounded."""
    random = np.random.default_rng(0)
    X = random.standard_normal((task.rows, task.widths[0]))
    teacher = random.standard_normal((task.widths[0], task.widths[-1]))
    y = (X @ teacher + 0.3 * np.sin(2 * X @ teacher)).argmax(1)
    thetas = [
        np.concatenate([
            part
            for n_in, n_out in task.layers
            for part in (random.standard_normal(n_in * n_out) / np.sqrt(n_in), np.zeros(n_out))
        ])
        for _ in range(models)
    ]  # fmt: skip
    return Problem(np.stack(thetas).astype(dtype), X.astype(dtype), y)


def batches(task: Task, models: int, steps: int) -> np.ndarray:
    """Row numbers (steps, models, batch), for peers whose loop is given them."""
    random = np.random.default_rng(1)
    if task.batch == task.rows:
        return np.broadcast_to(np.arange(task.rows), (steps, models, task.rows))
    orders = [random.permutation(task.rows)[: task.batch] for _ in range(steps * models)]
    return np.stack(orders).reshape(steps, models, task.batch)
