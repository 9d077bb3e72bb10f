"""Replicates of an estimate: all clusters, then all but each, and the counts under which they are fitted.

Tables have 1 + G rows: the first is of all clusters, row 1 + c of all but cluster c. Where that takes no
part, they are the same.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array

PIECE = 2_000_000  # numbers worked on at a time: a tenth of a second at most, after which Ctrl-C is heard

Estimates = Callable[[NDArray[np.int64]], Array]
"""From counts of the clusters (S, G) to estimates (S, ...)."""


def refits(
    estimates: Estimates, arm: NDArray[np.int64], rows: NDArray[np.intp], largest: int | None = None
) -> Array:
    """The rows of the table by fitting again, some at a time."""
    return np.concatenate([estimates(counts) for counts in counts_without(arm, rows, largest)])


def counts_without(
    arm: NDArray[np.int64], rows: NDArray[np.intp], largest: int | None = None
) -> Iterator[NDArray[np.int64]]:
    """How often each cluster counts in some rows of the table: pieces (S, G), of at most `largest` rows."""
    size = min(max(1, PIECE // len(arm)), largest or len(rows))
    ones = (arm >= 0).astype(np.int64)
    for start in range(0, len(rows), size):
        piece = rows[start : start + size]
        counts = np.tile(ones, (len(piece), 1))
        left_out = np.flatnonzero(piece > 0)
        counts[left_out, piece[left_out] - 1] = 0
        yield counts


def leaves_an_arm_empty(arm: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(1 + G,) whether an arm has no cluster, by row of the table."""
    return np.asarray(
        np.any([without_each((arm == value).astype(np.float64)) == 0 for value in (0, 1)], axis=0)
    )


def without_each(by_cluster: Array) -> Array:
    """(1 + G, ...) the sum over all clusters, then over all but each, of (G, ...)."""
    total = by_cluster.sum(axis=0)
    return np.concatenate([total[None], total - by_cluster])


def pieces(n: int, each: int) -> Iterator[slice]:
    """Ranges of n things of `each` numbers, so many at a time as make a piece."""
    size = max(1, PIECE // max(1, each))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
