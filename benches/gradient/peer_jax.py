"""JAX's process: jit, vmap over clusters, the inner loop unrolled or scanned.

Clusters of one size need no masks. Ragged ones go into buckets of similar sizes, each padded with rows of
weight zero to its largest cluster: one compilation, and little waste.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..worker import Result, Run, serve
from .padding import Bucket, buckets
from .workloads import ALPHA, ETA, Workload, from_json, problem

ACTIVATIONS = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "gelu": lambda z: jax.nn.gelu(z, approximate=False),
}


def forward(work: Workload, theta: jax.Array, x: jax.Array) -> jax.Array:
    at = 0
    for layer, (n_in, n_out) in enumerate(work.layers):
        x = x if layer == 0 else ACTIVATIONS[work.activation](x)
        W, at = theta[at : at + n_in * n_out].reshape(n_in, n_out), at + n_in * n_out
        x, at = x @ W + theta[at : at + n_out], at + n_out
    return x


def row_losses(work: Workload, outputs: jax.Array, y: jax.Array) -> jax.Array:
    if work.loss == "softmax":
        chosen = jnp.take_along_axis(outputs, y[:, None].astype(int), axis=1)
        return jax.nn.logsumexp(outputs, axis=1) - chosen[:, 0]
    return (y - outputs[:, 0]) ** 2


def objective(work: Workload, form: str, alpha: float = ALPHA, eta: float = ETA) -> Any:
    """R_k of equally long clusters times their rows, as a function of (theta, x, y, mask or None)."""

    def loss(theta: jax.Array, x: jax.Array, y: jax.Array, mask: jax.Array | None) -> jax.Array:
        losses = row_losses(work, forward(work, theta, x), y)
        return losses.mean() if mask is None else (mask * losses).sum() / mask.sum()

    def adapted(theta: jax.Array, *data: Any) -> jax.Array:
        def step(theta: jax.Array, _: None) -> tuple[jax.Array, None]:
            return theta - eta * jax.grad(loss)(theta, *data), None

        if form == "scan":
            return jax.lax.scan(step, theta, length=work.steps)[0]
        for _ in range(work.steps):
            theta, _ = step(theta, None)
        return theta

    def one(theta: jax.Array, x: jax.Array, y: jax.Array, mask: jax.Array | None) -> jax.Array:
        rows = len(y) if mask is None else mask.sum()
        before, after = loss(theta, x, y, mask), loss(adapted(theta, x, y, mask), x, y, mask)
        return rows * (alpha * before + (1 - alpha) * after)

    def risk(theta: jax.Array, data: list[Bucket]) -> jax.Array:
        total = sum(jax.vmap(one, (None, 0, 0, 0))(theta, *bucket).sum() for bucket in data)
        rows = sum(y.size if mask is None else mask.sum() for _, y, mask in data)
        return total / rows

    return risk


def build(request: dict[str, Any]) -> tuple[Run, Result]:
    work = from_json(request["workload"])
    jax.config.update("jax_enable_x64", request["dtype"] == "float64")
    theta, X, y, sizes = problem(work, request["dtype"])
    data = jax.tree.map(jnp.asarray, buckets(X, y, sizes))
    at = jnp.asarray(theta)
    compiled = jax.jit(jax.value_and_grad(objective(work, request["form"])))
    return (
        lambda: jax.block_until_ready(compiled(at, data)),
        lambda found: (float(found[0]), np.asarray(found[1])),
    )


if __name__ == "__main__":
    serve(build)
