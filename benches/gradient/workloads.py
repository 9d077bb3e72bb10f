"""The workloads: shapes, flop counts, and data and parameters from a seed that all peers share.

Nothing here imports rfpcore or a peer, so that each process loads only what it measures.
"""

from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

ALPHA, ETA = 0.5, 0.01
ZIPF_EXPONENT = 0.75  # 500 clusters of 5 to 500 rows: 7737 rows, 3.3 GFLOP


@dataclass(frozen=True)
class Workload:
    """One outer value and gradient: clusters, rows of each (None: Zipf-like sizes), network, inner steps."""

    name: str
    clusters: int
    rows: int | None
    n_inputs: int
    hidden: tuple[int, ...]
    steps: int
    activation: Literal["tanh", "relu", "silu", "gelu"] = "tanh"
    loss: Literal["squared", "softmax"] = "squared"
    n_outputs: int = 1

    @property
    def shape(self) -> str:
        """In words, for the tables."""
        rows = self.rows or f"{self.sizes().min()}…{self.sizes().max()} (Zipf)"
        widths = "-".join(map(str, self.hidden))
        return f"{self.clusters} × {rows}, d {self.n_inputs}, {widths}, k {self.steps}"

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each layer."""
        widths = (self.n_inputs, *self.hidden, self.n_outputs)
        return list(pairwise(widths))

    @property
    def n_parameters(self) -> int:
        return sum((n_in + 1) * n_out for n_in, n_out in self.layers)

    def sizes(self) -> np.ndarray:
        """Rows of each cluster, (clusters,)."""
        if self.rows is not None:
            return np.full(self.clusters, self.rows)
        ranked = 500 * np.arange(1, self.clusters + 1) ** -ZIPF_EXPONENT
        return np.random.default_rng(1).permutation(np.clip(ranked.round().astype(int), 5, 500))

    def flops(self) -> float:
        """Floating-point operations of the matrix products.

        A product takes 2 · rows · inputs · outputs. A layer has three in a gradient (forward, weights,
        inputs) and six in a Hessian-vector product (each of the three has two terms). The first layer has two
        in both: nobody asks for its inputs' gradient, and they have no tangent. There are k + 1 gradients and
        k Hessian-vector products.
        """
        gradients, products = self.steps + 1, self.steps
        first, *others = (2.0 * n_in * n_out for n_in, n_out in self.layers)
        a_row = first * (2 * gradients + 2 * products) + sum(others) * (3 * gradients + 6 * products)
        return float(a_row * self.sizes().sum())

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def with_(self, **changes: Any) -> "Workload":
        return replace(self, **changes)


def from_json(fields: dict[str, Any]) -> Workload:
    return Workload(**{**fields, "hidden": tuple(fields["hidden"])})


A = Workload("A", 25, 25, 2, (64, 64), 5)
B = Workload("B", 1000, 32, 10, (32, 32), 5)
C = Workload("C", 100, 100, 20, (128, 128), 10)
D = Workload("D", 200, 50, 10, (64, 64), 1)
E = Workload("E", 500, None, 10, (64, 64), 5)
WORKLOADS = {work.name: work for work in (A, B, C, D, E)}

KINDS = [D.with_(name=f"D {kind}", activation=kind) for kind in ("relu", "silu", "gelu")]
KINDS.append(D.with_(name="D softmax", loss="softmax", n_outputs=3))
# Odd widths beside the next multiple of 16.
WIDTHS = {width: -(-width // 16) * 16 for width in (63, 65, 100)}


def wide(width: int) -> Workload:
    """D with another width."""
    return D.with_(name=f"D {width}-{width}", hidden=(width, width))


class Problem(NamedTuple):
    """Flat parameters (per layer W row by row, then b), rows sorted by cluster, targets, cluster sizes."""

    theta: np.ndarray
    X: np.ndarray
    y: np.ndarray
    sizes: np.ndarray


def problem(work: Workload, dtype: str) -> Problem:
    """The data of a workload; float32 holds the float64 numbers, rounded."""
    random = np.random.default_rng(0)
    theta = []
    for n_in, n_out in work.layers:
        theta += [random.standard_normal(n_in * n_out) / np.sqrt(n_in), 0.1 * random.standard_normal(n_out)]
    sizes = work.sizes()
    X = random.standard_normal((sizes.sum(), work.n_inputs))
    if work.loss == "softmax":
        y = random.integers(0, work.n_outputs, len(X)).astype(float)
    else:
        y = random.standard_normal(len(X))
    return Problem(np.concatenate(theta).astype(dtype), X.astype(dtype), y.astype(dtype), sizes)
