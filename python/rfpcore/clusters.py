"""Clustered data: checked and sorted once, then handed to the kernel as often as needed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _rfpcore
from ._arrays import (
    F32,
    F64,
    WEIGHT_RANGE,
    Array,
    as_floats,
    cast,
    cluster_weights,
    group_codes,
    matrix,
    row_mask,
    row_weights,
    targets,
    vector,
)
from ._frames import require_aligned
from ._precision import flat_matrices
from .losses import check_targets
from .network import MLP, require_net

__all__ = ["Clusters"]


class Clusters:
    """Rows sorted by cluster, with everything the objective needs to know of them.

    The data are checked and copied here, once; the arrays given may change afterwards. What depends on the
    network and the loss is checked at the first call with them.

    Parameters
    ----------
    X : array or frame (N, d)
        Features, finite. float32 and float64 stay, other numbers become float64.
    y : array (N,) or (N, n_outputs)
        Outcomes; class codes 0, 1, ... for the softmax loss.
    groups : array (N,), optional
        Label of each row's cluster, of any hashable type, in any order. None: all rows are one cluster.
    sample_weight : array (N,), optional
        Weights of the rows within their cluster's mean loss; not negative, and not all zero in a cluster.
    query : bool array (N,), optional
        True rows measure the loss after adaptation, the others adapt (the support and query sets of MAML).
        Every cluster needs rows of both kinds. None: all rows do both, as in the paper.
    cluster_weight : {"size", "weight"}, array (C,) or dict, default "size"
        How much each cluster counts: its number of rows, the sum of its sample_weight, or any weights in the
        order of `labels`, or by label: of a dict, or of a pandas Series by its index.
    precision : sequence of arrays (n_c, n_c), optional
        A symmetric matrix A_c for each cluster, in the order of `labels`; its rows are the cluster's rows in
        the order given here. The squared loss of a cluster is then r' A_c r / n_c, r = f - y: generalized
        least squares [1]_ where A_c is the inverse of the covariance of the cluster's errors. None: the
        identity. For networks with one output and alpha = 1: value, gradient and training; no adaptation, no
        second derivatives, no `sample_weight` (it belongs into A_c) and no `query`. Costs memory and time of
        n_c^2 a cluster.

    Attributes
    ----------
    labels : ndarray (C,)
        The clusters' labels, sorted; an ordered Categorical's in its own order; in order of first appearance
        if they cannot be compared.
    order : ndarray (N,) of int
        Row i here is row `order[i]` of the data given.
    offsets : ndarray (C + 1,) of int64
        Cluster c has the rows `offsets[c]` to `offsets[c + 1]`, those that adapt first.
    sizes : ndarray (C,) of int64
        Rows of each cluster.
    n_support : ndarray (C,) of int64 or None
        With a query split, how many rows of each cluster adapt.
    X, y, sample_weight : ndarrays (N, d), (N, n_outputs), (N,) or None
        The data, sorted, read-only.
    cluster_weight : ndarray (C,) of float64 or None
        None: the clusters' sizes.
    has_precision : bool
        Whether a precision was given.

    References
    ----------
    .. [1] Aitken (1936), "On Least Squares and Linear Combination of Observations".

    Examples
    --------
    >>> import rfpcore
    >>> data = rfpcore.Clusters([[1.0], [2.0], [3.0]], [0.1, 0.2, 0.3], groups=["b", "a", "b"])
    >>> data
    Clusters(n_rows=3, n_clusters=2, n_features=1, sizes 1 to 2)
    >>> data.labels.tolist(), data.order.tolist(), data.offsets.tolist()
    (['a', 'b'], [1, 0, 2], [0, 1, 3])
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        groups: Any = None,
        sample_weight: Any = None,
        *,
        query: Any = None,
        cluster_weight: Any = "size",
        precision: Any = None,
    ) -> None:
        require_aligned(X=X, y=y, groups=groups, sample_weight=sample_weight, query=query)
        rows = matrix(X)
        n = len(rows)
        outcomes = targets(y, n)
        weights = None if sample_weight is None else row_weights(sample_weight, n)
        self.labels, codes = group_codes(groups, n)
        mask = None if query is None else row_mask(query, n)

        self.order = np.argsort(codes, kind="stable") if mask is None else np.lexsort((mask, codes))
        self.sizes = np.bincount(codes, minlength=len(self.labels)).astype(np.int64)
        self.offsets = np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)
        self.n_support = None if mask is None else self._count_support(mask, codes)
        self.X, self.y = rows[self.order], outcomes[self.order]
        self.sample_weight = None if weights is None else weights[self.order]
        self._require_weight()
        self.cluster_weight = self._weigh(cluster_weight)
        for array in vars(self).values():
            if array is not None:
                array.flags.writeable = False
        self._handles: dict[tuple[np.dtype[Any], bool], _rfpcore.ClusterData] = {}
        # The handles that passed the checks of a network and a loss; see `handle`.
        self._checked: dict[Any, _rfpcore.ClusterData] = {}
        self._precision: NDArray[np.float64] | _rfpcore.Precision | None = None
        if precision is not None:
            self._take_precision(precision)

    @property
    def has_precision(self) -> bool:
        """Whether the squared loss is taken in a matrix for each cluster."""
        return self._precision is not None

    @property
    def n_rows(self) -> int:
        """Rows of all clusters, N."""
        return len(self.X)

    @property
    def n_clusters(self) -> int:
        """Clusters, C."""
        return len(self.labels)

    def __len__(self) -> int:
        return self.n_clusters

    def __repr__(self) -> str:
        return (
            f"Clusters(n_rows={self.n_rows}, n_clusters={self.n_clusters}, n_features={self.X.shape[1]}, "
            f"sizes {self.sizes.min()} to {self.sizes.max()})"
        )

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_handles": {}, "_checked": {}}  # kernel objects are built anew where needed

    def handle(self, net: MLP, loss: str, dtype: np.dtype[Any], split: bool = True) -> _rfpcore.ClusterData:
        """The kernel's view of the data in a dtype, after checking that net and loss suit them.

        Without `split` all rows are alike, whether there is a query split or not.
        """
        key = (net.n_inputs, net.n_outputs, loss, dtype, split)
        try:
            return self._checked[key]
        except (KeyError, TypeError):  # TypeError: an unhashable loss, which the check below names
            pass
        if self.X.shape[1] != net.n_inputs:
            raise ValueError(f"X has {self.X.shape[1]} features; the network has {net.n_inputs} inputs")
        check_targets(self.y, loss, net.n_outputs, self.order)
        split = split and self.n_support is not None
        if (dtype, split) not in self._handles:
            self._handles[dtype, split] = self._build(dtype, split)
        self._checked[key] = self._handles[dtype, split]
        return self._checked[key]

    def _build(self, dtype: np.dtype[Any], split: bool) -> _rfpcore.ClusterData:
        weights = self.sample_weight
        return _rfpcore.ClusterData(
            cast(_that_count(self.X, weights), dtype, "X"),
            cast(_that_count(self.y, weights), dtype, "y"),
            self.offsets,
            None if weights is None else cast(weights, dtype, "sample_weight"),
            self.n_support if split else None,
            self.cluster_weight,
            self._precision_in(dtype),
        )

    def _take_precision(self, precision: Any) -> None:
        for name, given in (("sample_weight", self.sample_weight), ("query", self.n_support)):
            if given is not None:
                raise ValueError(f"precision and {name} are both given; a precision has place for no {name}")
        if isinstance(precision, _rfpcore.Precision):
            self._precision = precision
            # Its sizes are compared with the clusters' now, not at the first call.
            dtype = np.dtype(precision.dtype)
            self._handles[dtype, False] = self._build(dtype, False)
        else:
            self._precision = flat_matrices(precision, self.sizes, self.labels)

    def _precision_in(self, dtype: np.dtype[Any]) -> _rfpcore.Precision | None:
        if self._precision is None or isinstance(self._precision, _rfpcore.Precision):
            return self._precision
        return _rfpcore.Precision(self.offsets, cast(self._precision, dtype, "precision"))

    def support(self) -> "Clusters":
        """Only the rows that adapt: the data itself without a query split."""
        if self.n_support is None:
            return self
        within = np.arange(self.n_rows) - np.repeat(self.offsets[:-1], self.sizes)
        rows = within < np.repeat(self.n_support, self.sizes)
        weights = None if self.sample_weight is None else self.sample_weight[rows]
        codes = np.repeat(np.arange(self.n_clusters), self.n_support)
        part = Clusters(self.X[rows], self.y[rows], codes, weights)
        part.labels = self.labels  # in the order of their codes
        return part

    def _count_support(self, mask: NDArray[np.bool_], codes: NDArray[np.intp]) -> NDArray[np.int64]:
        n_query = np.bincount(codes[mask], minlength=len(self.labels)).astype(np.int64)
        n_support = self.sizes - n_query
        for counts, kind in ((n_support, "support (False)"), (n_query, "query (True)")):
            if counts.min() == 0:
                empty = np.flatnonzero(counts == 0)
                raise ValueError(
                    f"query leaves cluster {self.labels[empty[0]]!s} ({self.sizes[empty[0]]} rows) without "
                    f"{kind} rows; {_share(len(empty), self.n_clusters)} none, and each needs at least one "
                    "of both kinds"
                )
        return n_support

    def _require_weight(self) -> None:
        """A mean over rows needs a positive total weight: each cluster's, or each part's of a split one."""
        if self.sample_weight is None:
            return
        starts, kinds = self.offsets[:-1], [""]
        if self.n_support is not None:
            starts = np.column_stack([starts, starts + self.n_support]).ravel()
            kinds = [" (support rows)", " (query rows)"]
        with np.errstate(over="ignore"):
            totals = np.add.reduceat(self.sample_weight, starts).astype(np.float64)
        bad = np.flatnonzero(~((totals >= WEIGHT_RANGE[0]) & (totals <= WEIGHT_RANGE[1])))
        if len(bad):
            cluster, part = divmod(int(bad[0]), len(kinds))
            raise ValueError(
                f"sample_weight sums to {totals[bad[0]]} in cluster {self.labels[cluster]!s}{kinds[part]}; "
                f"{_share(len(set(bad // len(kinds))), self.n_clusters)} no finite sum above zero (from "
                f"{WEIGHT_RANGE[0]:g} to {WEIGHT_RANGE[1]:g}), which each needs. "
                "Leave clusters without weight out"
            )

    def _weigh(self, cluster_weight: Any) -> NDArray[np.float64] | None:
        if isinstance(cluster_weight, str):
            if cluster_weight not in ("size", "weight"):
                raise ValueError(
                    f"cluster_weight={cluster_weight!r} is unknown; "
                    "'size', 'weight', an array or a dict is needed"
                )
            if cluster_weight == "size" or self.sample_weight is None:
                return None
            weights = as_floats(self.sample_weight, "sample_weight").astype(np.float64)
            return np.add.reduceat(weights, self.offsets[:-1])
        return cluster_weights(cluster_weight, self.labels)


def _that_count(rows: Array, weights: Array | None) -> Array:
    """Rows with zeros for those of weight 0: what they hold may overflow, and 0 times infinity is not 0."""
    if weights is None or weights.all():
        return rows
    return np.where(weights[:, None] > 0, rows, rows.dtype.type(0))


def _share(count: int, total: int) -> str:
    """Subject and verb of a sentence about some of the clusters."""
    return f"{count} of {total} clusters {'has' if count == 1 else 'have'}"


def require_clusters(data: Any) -> Clusters:
    """The data; TypeError for anything else."""
    if not isinstance(data, Clusters):
        raise TypeError(f"data is a {type(data).__name__}; rfpcore.Clusters(X, y, groups) is needed")
    return data


def require_no_precision(data: Clusters, needed_by: str) -> None:
    """ValueError where the loss is taken in matrices, for what takes it row by row."""
    if data.has_precision:
        raise ValueError(f"{needed_by} needs clusters without a precision")


def require_kinds(net: Any, data: Any) -> None:
    """TypeError unless they are a network and clusters."""
    require_net(net)
    require_clusters(data)


def kernel_inputs(net: MLP, theta: Any, data: Clusters, loss: str) -> tuple[Array, _rfpcore.ClusterData]:
    """Check theta and data, and give them as the kernel takes them.

    An array that is right already passes at the cost of a few looks; the kernel alone looks at its values.
    """
    require_kinds(net, data)
    if not (
        type(theta) is np.ndarray
        and (theta.dtype is F64 or theta.dtype is F32)
        and theta.shape == (net.n_parameters,)
        and theta.flags.c_contiguous
        and theta.flags.aligned
    ):
        theta = vector(theta, "theta", net.n_parameters)
    return theta, data.handle(net, loss, theta.dtype)
