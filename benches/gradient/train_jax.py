"""JAX's process for training: ten outer steps in one compiled `lax.scan`, inner steps unrolled, vmap."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..worker import Result, Run, serve
from . import tasks
from .padding import buckets
from .peer_jax import forward, objective


def sine_risk(k: int) -> Callable[..., jax.Array]:
    """Mean loss of the last ten rows of a task after k steps on the first ten."""

    def loss(theta: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.mean((forward(tasks.SINE, theta, x)[:, 0] - y) ** 2)

    def one(theta: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        for _ in range(k):
            theta = theta - tasks.SINE_ETA * jax.grad(loss)(theta, x[: tasks.SHOTS], y[: tasks.SHOTS])
        return loss(theta, x[tasks.SHOTS :], y[tasks.SHOTS :])

    return lambda theta, x, y: jax.vmap(one, (None, 0, 0))(theta, x, y).mean()


def training(risk: Callable[..., jax.Array], rate: float) -> Any:
    """(state, data) to (state, last value), compiled; data(step) are the risk's arguments after theta."""

    def step(state: Any, data: Callable[[jax.Array], tuple[Any, ...]]) -> tuple[Any, jax.Array]:
        theta, first, second, t = state
        value, g = jax.value_and_grad(risk)(theta, *data(t))
        first, second, t = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g, t + 1
        at = (first / (1 - 0.9**t)) / (jnp.sqrt(second / (1 - 0.999**t)) + 1e-8)
        return (theta - rate * at, first, second, t), value

    def chunk(state: Any, X: Any, y: Any) -> tuple[Any, jax.Array]:
        def data(t: jax.Array) -> tuple[Any, ...]:
            return (X,) if y is None else (X[t % len(X)], y[t % len(y)])  # all of it, or a batch

        return jax.lax.scan(lambda state, _: step(state, data), state, length=tasks.CHUNK)

    return jax.jit(chunk)


def build(request: dict[str, Any]) -> tuple[Run, Result]:
    jax.config.update("jax_enable_x64", request["dtype"] == "float64")
    if request["problem"] == "sine":
        theta, X, y = (jnp.asarray(array) for array in tasks.sine(request["dtype"]))
        chunk = training(sine_risk(request["k"]), tasks.SINE_RATE)
    else:
        found = tasks.demo(request["dtype"])
        theta, y = jnp.asarray(found.theta), None
        X = jax.tree.map(jnp.asarray, buckets(found.X, found.y, found.sizes, 2.0))
        risk = objective(tasks.DEMO, "unrolled", tasks.DEMO_ALPHA, tasks.DEMO_ETA)
        chunk = training(risk, tasks.DEMO_RATE)
    state = (theta, jnp.zeros_like(theta), jnp.zeros_like(theta), jnp.asarray(0))

    def run() -> Any:
        nonlocal state
        state, values = jax.block_until_ready(chunk(state, X, y))
        return values

    return run, lambda values: (float(values[-1]), np.asarray(state[0]))


if __name__ == "__main__":
    serve(build)
