"""rfpcore's process: `rfpcore.value_and_grad` with ready arrays."""

from typing import Any

import numpy as np

import rfpcore

from ..worker import Result, Run, serve
from .workloads import ALPHA, ETA, from_json, problem


def build(request: dict[str, Any]) -> tuple[Run, Result]:
    work = from_json(request["workload"])
    theta, X, y, sizes = problem(work, request["dtype"])
    net = rfpcore.MLP(work.n_inputs, work.hidden, work.n_outputs, work.activation)
    data = rfpcore.Clusters(X, y, np.repeat(np.arange(len(sizes)), sizes))
    threads, steps, loss = request["threads"], work.steps, work.loss

    def run() -> tuple[float, np.ndarray]:
        return rfpcore.value_and_grad(net, theta, data, ALPHA, steps, ETA, loss, n_jobs=threads)

    return run, lambda found: found


if __name__ == "__main__":
    serve(build)
