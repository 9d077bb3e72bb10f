"""rfpcore's process for training: its own outer loop, or functions with an Adam in NumPy."""

from typing import Any

import numpy as np

import rfpcore
from rfpcore import _rfpcore
from rfpcore.optimizers import Adam

from ..worker import Result, Run, serve
from . import tasks
from .workloads import Workload


def network(work: Workload) -> rfpcore.MLP:
    return rfpcore.MLP(work.n_inputs, work.hidden, work.n_outputs, work.activation)


def sine_clusters(X: np.ndarray, y: np.ndarray) -> rfpcore.Clusters:
    """Tasks (n, 20, 1), (n, 20) as clusters whose last ten rows measure."""
    n, rows = y.shape
    query = np.tile(np.arange(rows) >= tasks.SHOTS, n)
    return rfpcore.Clusters(X.reshape(n * rows, 1), y.ravel(), np.repeat(np.arange(n), rows), query=query)


def functions(request: dict[str, Any]) -> tuple[Run, Result]:
    """The sine problem as a researcher would write it: new tasks each step, any optimizer."""
    net, k, threads = network(tasks.SINE), request["k"], request["threads"]
    theta, X, y = tasks.sine(request["dtype"])
    first, second, step = np.zeros_like(theta), np.zeros_like(theta), 0

    def run() -> tuple[float, np.ndarray]:
        nonlocal theta, first, second, step
        for _ in range(tasks.CHUNK):
            data = sine_clusters(X[step % len(X)], y[step % len(X)])
            value, g = rfpcore.value_and_grad(net, theta, data, 0.0, k, tasks.SINE_ETA, n_jobs=threads)
            step += 1
            first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
            at = (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
            theta = theta - theta.dtype.type(tasks.SINE_RATE) * at
        return value, theta

    return run, lambda found: found


def trainer(request: dict[str, Any]) -> tuple[Run, Result]:
    """The package's outer loop, the one that `fit` drives; for the sine problem on a pool of tasks."""
    sine = request["problem"] == "sine"
    if sine:
        theta, X, y = tasks.sine(request["dtype"])
        data = sine_clusters(X.reshape(-1, *X.shape[2:]), y.reshape(-1, y.shape[2]))
        alpha, k, eta, rate, batch = 0.0, request["k"], tasks.SINE_ETA, tasks.SINE_RATE, tasks.SINE.clusters
    else:
        theta, X, y, sizes = tasks.demo(request["dtype"])
        data = rfpcore.Clusters(X, y, np.repeat(np.arange(len(sizes)), sizes))
        alpha, k, eta, rate, batch = tasks.DEMO_ALPHA, 1, tasks.DEMO_ETA, tasks.DEMO_RATE, None
    net = network(tasks.SINE if sine else tasks.DEMO)
    inner, optimizer = _rfpcore.Inner(k, eta), _rfpcore.Optimizer(Adam(rate))
    loop = _rfpcore.Trainer(
        net._architecture, theta, alpha, inner, "squared", optimizer, batch, 0, False, request["threads"]
    )
    handle = data.handle(net, "squared", theta.dtype)
    return lambda: loop.advance(handle, tasks.CHUNK), lambda curve: (float(curve[-1]), loop.theta)


def build(request: dict[str, Any]) -> tuple[Run, Result]:
    return functions(request) if request["form"] == "functions" else trainer(request)


if __name__ == "__main__":
    serve(build)
