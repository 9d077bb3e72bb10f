"""JAX's process for training many networks: all steps in one compiled `lax.scan`, models by vmap."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..worker import Result, Run, serve
from .tasks import TASKS, Task, batches, problem

State = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


def loss_of(task: Task) -> Callable[..., jax.Array]:
    """Mean cross-entropy of a batch, at flat parameters."""

    def loss(theta: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        at = 0
        for layer, (n_in, n_out) in enumerate(task.layers):
            W = theta[at : at + n_in * n_out].reshape(n_in, n_out)
            at += n_in * n_out
            x = x @ W + theta[at : at + n_out]
            at += n_out
            x = x if layer == len(task.layers) - 1 else jnp.tanh(x)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], 1))

    return loss


def stepper(task: Task) -> Callable[[State, Any, Any], tuple[State, jax.Array]]:
    """One optimizer step of one model."""
    gradient = jax.value_and_grad(loss_of(task))

    def step(state: State, x: jax.Array, y: jax.Array) -> tuple[State, jax.Array]:
        theta, first, second, t = state
        value, g = gradient(theta, x, y)
        if task.optimizer == "sgd":
            return (theta - task.rate * (g + task.decay * theta), first, second, t + 1), value
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
        at = (first / (1 - 0.9 ** (t + 1))) / (jnp.sqrt(second / (1 - 0.999 ** (t + 1))) + 1e-8)
        return (theta - task.rate * at, first, second, t + 1), value

    return step


def build(request: dict[str, Any]) -> tuple[Run, Result]:
    jax.config.update("jax_enable_x64", request["dtype"] == "float64")
    task, count, steps = TASKS[request["task"]], request["models"], request["steps"]
    thetas, X, y = problem(task, request["dtype"], count)
    X, y, rows = jnp.asarray(X), jnp.asarray(y), None
    step, whole = stepper(task), task.batch == task.rows
    if not whole:
        rows = jnp.asarray(batches(task, count, steps))

    def chunk(state: State, rows: Any) -> tuple[State, jax.Array]:
        def body(state: State, own: Any) -> tuple[State, jax.Array]:
            if whole:
                return jax.vmap(lambda state: step(state, X, y))(state)
            return jax.vmap(lambda state, own: step(state, X[own], y[own]))(state, own)

        return jax.lax.scan(body, state, rows, length=steps)

    compiled = jax.jit(chunk)
    theta = jnp.asarray(thetas)
    start = (theta, jnp.zeros_like(theta), jnp.zeros_like(theta), jnp.zeros(count))

    def run() -> Any:
        return jax.block_until_ready(compiled(start, rows))

    return run, lambda found: (float(found[1][-1].mean()), np.ravel(found[0][0]))


if __name__ == "__main__":
    serve(build)
