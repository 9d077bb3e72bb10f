"""Fixed effects and weights of a linear comparison: what is taken off each column before it is compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from .._options import items
from .._scaling import EPS

MOST_DUMMIES = 1000  # labels of fixed effects that are columns of their own
NONE_LEFT = 64 * EPS  # of columns of order 1, after their groups' means are taken off


@dataclass(frozen=True, eq=False)
class FixedEffects:
    """Takes weighted means of groups off, and multiplies by the roots of the weights.

    Least squares on what is left are weighted least squares with a constant of each group's own (Frisch,
    Waugh and Lovell).

    Attributes
    ----------
    group : ndarray (N,) of int
    weight : ndarray (N,)
        All above 0.
    """

    group: NDArray[np.intp]
    weight: Array

    @property
    def root(self) -> Array:
        """(N,) of the weights."""
        return np.asarray(np.sqrt(self.weight))

    def __call__(self, columns: Array) -> Array:
        """Of columns (N,) or (N, d) of order 1; one that is constant in all groups becomes 0."""
        return np.asarray(self.root * self._rest(columns.T)).T

    def _rest(self, rows: Array) -> Array:
        if rows.ndim == 2:
            return np.stack([self._rest(row) for row in rows]) if len(rows) else rows
        total, rest = np.bincount(self.group, self.weight), rows
        for _ in range(2):  # the second time takes off what rounding left
            rest = rest - (np.bincount(self.group, self.weight * rest) / total)[self.group]
        return rest if np.abs(rest).max() > NONE_LEFT else np.zeros_like(rest)


@dataclass(frozen=True, eq=False)
class Absorbed:
    """Fixed effects in two forms.

    Attributes
    ----------
    group : ndarray (N,) of int
        Labels whose means are taken off: each is inside one cluster, so that leaving out a cluster or turning
        the sign of its residuals changes nothing in the others.
    dummies : ndarray (N, L)
        Columns of zeros and ones of all other labels.
    """

    group: NDArray[np.intp]
    dummies: Array


def listed(absorb: Any) -> dict[str, Any]:
    """The columns of labels that `absorb` lists, by name; an array alone is one of them."""
    if absorb is None:
        return {}
    if isinstance(absorb, str) or hasattr(absorb, "dtype"):
        absorb = [absorb]
    return {f"absorb[{i}]": values for i, values in enumerate(items(absorb, "absorb", "a list of columns"))}


def absorbed(labels: Sequence[NDArray[np.intp]], codes: NDArray[np.intp]) -> Absorbed:
    """Of codes of labels (N,), given those of the clusters (N,): the finest inside clusters, and others."""
    n = len(codes)
    each = [np.unique(own, return_inverse=True)[1] for own in labels]
    nested = [i for i, own in enumerate(each) if _is_nested(own, codes)]
    finest = max(nested, key=lambda i: int(each[i].max()), default=None)
    group = np.zeros(n, np.intp) if finest is None else each[finest]
    rest = [own for i, own in enumerate(each) if i != finest and not _is_nested(group, own)]
    total = sum(int(own.max()) for own in rest)
    if total > MOST_DUMMIES:
        raise ValueError(
            f"absorb has {total} labels that are not inside clusters, each of which becomes a column; at "
            f"most {MOST_DUMMIES} are possible. Of labels inside clusters the finest may be any number"
        )
    columns = [own[:, None] == np.arange(1, own.max() + 1) for own in rest]
    return Absorbed(group, np.column_stack([np.empty((n, 0)), *columns]).astype(np.float64))


def _is_nested(fine: NDArray[np.intp], coarse: NDArray[np.intp]) -> bool:
    """Whether each level of the one is inside one level of the other."""
    first = np.empty(int(fine.max()) + 1, np.intp)
    first[fine[::-1]] = coarse[::-1]
    return bool((coarse == first[fine]).all())
