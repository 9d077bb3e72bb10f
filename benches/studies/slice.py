"""Networks a second of processor time, beside PyTorch and JAX, on a slice of the ablation.

Twelve widths from 3 to 256, 1000 noisy digits, batches of 100, Adam, 100 epochs, no regularization. JAX
trains the seeds of a width together, all epochs in one compiled loop; compiling is told apart. One thread:

    XLA_FLAGS=--xla_cpu_multi_thread_eigen=false taskset -c 0 python -m benches.studies.slice
"""

import argparse
import importlib.util
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from rfpcore.many import Model, fit_many
from rfpcore.optimizers import Adam
from rfpcore.studies import geometric, noisy_digits

BATCH, RATE = 100, 0.01


def seconds(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def rfpcore(X: np.ndarray, y: np.ndarray, widths: list[int], epochs: int, seeds: int) -> None:
    models = [
        Model((w,), "relu", "softmax", Adam(RATE), batch_size=BATCH, n_epochs=epochs, seed=seed)
        for w in widths
        for seed in range(seeds)
    ]
    fit_many(X, y, models, n_outputs=10, n_jobs=1, dtype=np.float32)


def torch(X: np.ndarray, y: np.ndarray, widths: list[int], epochs: int) -> None:
    """One network a width, by the loop that everyone writes."""
    import torch

    torch.set_num_threads(1)
    rows, labels = torch.tensor(X), torch.tensor(y)
    for w in widths:
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(64, w), torch.nn.ReLU(), torch.nn.Linear(w, 10))
        optimizer = torch.optim.Adam(net.parameters(), RATE)
        for _ in range(epochs):
            for chosen in torch.randperm(len(rows)).split(BATCH):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(net(rows[chosen]), labels[chosen]).backward()
                optimizer.step()


def jax(X: np.ndarray, y: np.ndarray, widths: list[int], epochs: int, seeds: int) -> tuple[float, float]:
    """Seconds to train, and to compile and train: the seeds of a width are one batch of networks."""
    import jax
    import jax.numpy as jnp

    rows, labels = jnp.asarray(X), jnp.asarray(y)

    def loss(theta, chosen):
        hidden = jax.nn.relu(rows[chosen] @ theta[0] + theta[1])
        logits = jax.nn.log_softmax(hidden @ theta[2] + theta[3])
        return -jnp.take_along_axis(logits, labels[chosen][:, None], axis=1).mean()

    def step(carry, chosen):
        theta, first, second, t = carry
        gradient = jax.grad(loss)(theta, chosen)
        first = [0.9 * m + 0.1 * g for m, g in zip(first, gradient, strict=True)]
        second = [0.999 * v + 0.001 * g * g for v, g in zip(second, gradient, strict=True)]
        scale = RATE * jnp.sqrt(1 - 0.999 ** (t + 1)) / (1 - 0.9 ** (t + 1))
        moved = zip(theta, first, second, strict=True)
        theta = [p - scale * m / (jnp.sqrt(v) + 1e-8) for p, m, v in moved]
        return (theta, first, second, t + 1), None

    def train(key, w):
        one, two, order = jax.random.split(key, 3)
        theta = [jax.random.normal(one, (64, w)) / 8, jnp.zeros(w)]
        theta += [jax.random.normal(two, (w, 10)) / jnp.sqrt(w), jnp.zeros(10)]
        orders = jax.vmap(lambda own: jax.random.permutation(own, len(rows)))(jax.random.split(order, epochs))
        batches = orders.reshape(-1, BATCH)
        zeros = [jnp.zeros_like(p) for p in theta]
        return jax.lax.scan(step, (theta, zeros, zeros, 0), batches)[0][0]

    keys = jax.random.split(jax.random.key(0), seeds)
    runs = [jax.jit(jax.vmap(partial(train, w=w))) for w in widths]

    def all_widths() -> None:
        jax.block_until_ready([run(keys) for run in runs])

    whole = seconds(all_widths)
    return seconds(all_widths), whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    draw, widths = noisy_digits().draw(0), geometric(3, 256, 12)
    X, y = draw.X.astype(np.float32), draw.y
    epochs = 2 if options.quick else 100
    seeds = 1 if options.quick else 4
    rfpcore(X, y, widths, 1, 1)  # warm up
    torch(X, y, widths[:1], 1)
    own = len(widths) * seeds / seconds(lambda: rfpcore(X, y, widths, epochs, seeds))
    theirs = len(widths) / seconds(lambda: torch(X, y, widths, epochs))
    print(
        f"rfpcore {own:.1f}, torch {theirs:.2f} networks a second of processor time: {own / theirs:.0f} times"
    )
    if importlib.util.find_spec("jax") is None:
        return
    count = len(widths) * seeds
    trained, whole = (count / each for each in jax(X, y, widths, epochs, seeds))
    print(f"JAX {trained:.1f}, with compiling {whole:.1f}: {own / trained:.1f} and {own / whole:.1f} times")


if __name__ == "__main__":
    main()
