"""What training will cost: seconds on this machine, from a problem's sizes, before there are any data."""

from collections.abc import Iterator
from time import perf_counter as clock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _rfpcore
from ._arrays import as_floats, float_dtype, shown
from ._options import MAX_STEPS, Order, check_alpha, choice, inner_loop, integer, n_threads
from .clusters import Clusters
from .losses import Loss, read
from .network import MLP, require_net
from .optimizers import Adam

__all__ = ["estimated_seconds"]

Sizes = NDArray[np.int64]

ENOUGH = 0.05  # seconds of a step that can be told from the noise of a machine
BLOCKS = 32  # clusters that keep all threads busy: the kernel cuts them into as many blocks
FIRST_ROWS, GROWTH = 64, 4
MOST_NUMBERS = 2**24  # in a sample's features
MOST_INNER_STEPS = 100  # more are so many times as long
CLUSTER_ROWS = 8  # what a cluster costs beside its rows, in rows, as the kernel has it


def estimated_seconds(
    net: MLP,
    sizes: Any,
    outer_steps: int = 1,
    *,
    alpha: float = 0.5,
    inner_steps: int = 1,
    batch_size: int | None = None,
    loss: Loss = "squared",
    order: Order = "exact",
    dtype: Any = np.float64,
    n_jobs: int | None = None,
) -> float:
    """Seconds that training on R_k will take on this machine.

    Steps of a sample are timed: clusters of the sizes given, of random numbers, more and larger ones until
    a step takes a twentieth of a second or is the whole one. What a step of all clusters takes beyond that
    is in proportion to the rows. So nothing of the machine is assumed, but the estimate is no better than
    the machine is quiet. It takes about a second.

    Parameters
    ----------
    net : MLP
    sizes : array (C,) of int
        Rows of each cluster, such as `np.bincount(groups)` or `np.full(1000, 32)`.
    outer_steps : int
        Outer steps, `max_iter` of the estimators.
    alpha, inner_steps, loss, order, n_jobs
        As in `value_and_grad`.
    batch_size : int, optional
        Clusters an outer step; None takes all of them.
    dtype : {float64, float32}
        Of the computation.

    Returns
    -------
    seconds : float
        Of the outer loop alone. `RFPRegressor` checks and standardises its data besides, with
        ``inner_lr="auto"`` looks at the curvature every 50 steps, and with ``max_iter="auto"`` fits more than
        once.

    Raises
    ------
    ValueError, TypeError
        On misuse.

    Examples
    --------
    >>> import numpy as np, rfpcore
    >>> net = rfpcore.MLP(10, (32, 32))
    >>> seconds = rfpcore.cost.estimated_seconds(net, np.full(20, 30), outer_steps=500, inner_steps=2)
    >>> 0 < seconds < 1000
    True
    """
    require_net(net)
    rows = _whole_sizes(sizes)
    outer_steps = integer(outer_steps, "outer_steps", 0, MAX_STEPS)
    inner_steps = integer(inner_steps, "inner_steps", 0, MAX_STEPS)
    alpha, threads = check_alpha(alpha), n_threads(n_jobs)
    n_clusters = len(rows)
    if batch_size is not None:
        n_clusters = min(n_clusters, integer(batch_size, "batch_size", 1, MAX_STEPS))
    timed = min(inner_steps, MOST_INNER_STEPS)
    inner = inner_loop(net.n_parameters, timed, 1e-3, 0.0, "all", choice(order, "order", Order))
    step = _Step(net, alpha, inner, read(loss).text, float_dtype(dtype), threads)
    longer = _passes(inner_steps, order) / _passes(timed, order) if alpha < 1 else 1.0
    return outer_steps * longer * _step_seconds(step, rows, n_clusters)


def _whole_sizes(sizes: Any) -> Sizes:
    rows = as_floats(sizes, "sizes")
    if rows.ndim != 1 or not len(rows):
        raise ValueError(f"sizes must be one number of rows for each cluster, got shape {rows.shape}")
    bad = np.flatnonzero(~((rows >= 1) & (rows <= MAX_STEPS) & (rows == np.floor(rows))))
    if len(bad):
        raise ValueError(
            f"sizes must be whole numbers from 1 to {MAX_STEPS}, got {shown(float(rows[bad[0]]))} at {bad[0]}"
        )
    return np.sort(rows).astype(np.int64)


def _passes(inner_steps: int, order: str) -> float:
    """Products of one layer: three a gradient, six a Hessian-vector product."""
    return 3.0 * (inner_steps + 1) + (6.0 * inner_steps if order == "exact" else 0.0)


class _Step:
    """An outer step of clusters of any sizes."""

    def __init__(
        self, net: MLP, alpha: float, inner: _rfpcore.Inner, loss: str, dtype: np.dtype[Any], threads: int
    ) -> None:
        self.net, self.alpha, self.inner, self.loss = net, alpha, inner, loss
        self.dtype, self.threads = dtype, threads

    def seconds(self, rows: Sizes) -> float:
        """The least of three times."""
        random = np.random.default_rng(0)
        X = random.standard_normal((int(rows.sum()), self.net.n_inputs)).astype(self.dtype)
        y = np.zeros(len(X) if self.loss == "softmax" else (len(X), self.net.n_outputs), self.dtype)
        if self.loss == "cross_entropy":
            y[:, 0] = 1.0  # shares of the classes
        handle = Clusters(X, y, np.repeat(np.arange(len(rows)), rows)).handle(self.net, self.loss, self.dtype)
        theta, adam = self.net.init(0, self.dtype), _rfpcore.Optimizer(Adam(1e-4))
        trainer = _rfpcore.Trainer(
            self.net._architecture, theta, self.alpha, self.inner, self.loss, adam, n_threads=self.threads
        )

        def advance(n_steps: int) -> float:
            start = clock()
            trainer.advance(handle, n_steps)
            return (clock() - start) / n_steps

        advance(1)
        n_steps = max(1, min(1000, int(ENOUGH / 5 / max(advance(1), 1e-7))))
        return min(advance(n_steps) for _ in range(3))


def _step_seconds(step: _Step, rows: Sizes, n_clusters: int) -> float:
    """Seconds of a step of `n_clusters` clusters, whose sizes are those of `rows`."""
    work, seconds, rate = 0.0, 0.0, 0.0
    for sample in _samples(rows, n_clusters, MOST_NUMBERS // step.net.n_inputs):
        before = work, seconds
        work, seconds = _work(sample), step.seconds(sample)
        # What a step costs beside its rows is in both times; noise must not make it more than half.
        rate = np.clip((seconds - before[1]) / (work - before[0]), 0.5 * seconds / work, seconds / work)
        if seconds > ENOUGH:
            break
    return float(seconds + rate * (n_clusters * _work(rows) / len(rows) - work))


def _work(rows: Sizes) -> float:
    return float((rows + CLUSTER_ROWS).sum())


def _samples(rows: Sizes, n_clusters: int, most_rows: int) -> Iterator[Sizes]:
    """Sizes of ever larger samples of the sorted ones: of few rows, of few clusters, at last all."""
    count, bound = min(BLOCKS, n_clusters), FIRST_ROWS
    while True:
        chosen = rows[((np.arange(count) + 0.5) * len(rows) / count).astype(int)]
        sample = np.minimum(chosen, bound)
        if bound > FIRST_ROWS and sample.sum() > most_rows:
            return
        yield sample
        if bound < chosen[-1]:
            bound *= GROWTH
        elif count < n_clusters:
            count = min(GROWTH * count, n_clusters)
        else:
            return
