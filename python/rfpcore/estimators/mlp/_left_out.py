"""Errors of a bootstrapped ensemble: of each row by the networks that have not drawn its cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._arrays import F64, I64, Array
from ..._conformal import intervals_around, require_level
from ..._file_parts import Tensors, tensor
from . import _training

NAMES = ("errors", "clusters", "weights", "outside")


@dataclass(frozen=True, eq=False)
class ErrorsLeftOut:
    """What intervals are made of.

    Attributes
    ----------
    errors : ndarray (R,)
        Absolute errors of the mean of the networks that have not drawn the row's cluster.
    clusters : ndarray (R,) of int
        The number of each row's cluster, of K.
    weights : ndarray (R,)
        Those of a cluster sum to 1.
    outside : ndarray (K, M) of bool
        Which networks have not drawn a cluster; at least one.
    """

    errors: NDArray[np.float64]
    clusters: NDArray[np.intp]
    weights: NDArray[np.float64]
    outside: NDArray[np.bool_]

    def intervals(self, each: Array, level: float, unit: str) -> NDArray[np.float64]:
        """(N, 2), around predictions (M, N): jackknife+ after bootstrap, a cluster counting once."""
        require_level(level, len(self.outside), unit)
        centres = self.outside @ each.astype(np.float64) / self.outside.sum(axis=1, keepdims=True)
        mass = level * (len(self.outside) + 1)
        return intervals_around(centres, self.clusters, self.errors, self.weights, mass)

    def to_file(self, tensors: Tensors) -> None:
        """Into a file's tensors."""
        for name in NAMES:
            values = getattr(self, name)
            tensors[f"left_out.{name}"] = values if values.dtype == F64 else values.astype(np.int64)

    @classmethod
    def of_file(cls, tensors: Tensors, n_members: int) -> "ErrorsLeftOut | None":
        """From it; None where there is nothing."""
        if "left_out.errors" not in tensors:
            return None
        errors = tensor(tensors, "left_out.errors", None, dtype=F64)
        n = len(errors)
        weights = tensor(tensors, "left_out.weights", n, dtype=F64)
        clusters = tensor(tensors, "left_out.clusters", n, dtype=I64).astype(np.intp)
        outside = tensor(tensors, "left_out.outside", None, n_members, dtype=I64) != 0
        K = len(outside)
        if n == 0 or min(errors.min(), weights.min()) < 0 or abs(weights.sum() - K) > 1e-6 * K:
            raise ValueError(
                f"errors and weights of {K} clusters left out are none, or below 0, or of others"
            )
        if not np.isin(clusters, range(K)).all() or not outside.any(axis=1).all():
            raise ValueError(f"the rows' clusters are none of {K}, or a network has drawn each")
        return cls(errors, clusters, weights, outside)


def left_out_of(
    members: Mapping[int, Any], data: _training.Data, rows: Sequence[NDArray[np.intp]]
) -> ErrorsLeftOut | None:
    """Of fitted networks by the number of their draw; None where each cluster was drawn by all.

    Without clusters a row is one.
    """
    n = len(data.X)
    codes = np.arange(n) if data.codes is None else np.unique(data.codes, return_inverse=True)[1]
    outside = np.ones((codes.max() + 1, len(members)), bool)
    total, first = np.zeros(n), next(iter(members.values()))
    for position, (index, member) in enumerate(members.items()):
        outside[codes[rows[index]], position] = False
        own = np.flatnonzero(outside[codes, position])
        if len(own):
            outputs = member.net_.predict(member.theta_, data.X[own], n_jobs=member.n_jobs)
            total[own] += member._means(outputs)[:, 0]
    count = outside.sum(axis=1)
    used = np.flatnonzero(count[codes] > 0)
    if not len(used):
        return None
    errors = np.abs(first._means(data.y)[used, 0] - total[used] / count[codes[used]])
    present, clusters = np.unique(codes[used], return_inverse=True)
    weight = np.ones(len(used)) if data.weights is None else data.weights[used].astype(np.float64)
    return ErrorsLeftOut(
        errors.astype(np.float64),
        clusters,
        weight / np.bincount(clusters, weight)[clusters],
        outside[present],
    )
