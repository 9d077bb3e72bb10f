"""What `rfpcore bench` does: how fast this machine is, on two workloads that are always the same."""

import json
import platform
import time
from argparse import Namespace
from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import numpy as np

from . import _rfpcore
from ._options import n_cpus, n_threads, positive
from .clusters import Clusters
from .functional import value_and_grad
from .many import Model, fit_many
from .network import MLP

N_CLUSTERS, N_ROWS, N_INPUTS, WIDTHS, INNER_STEPS = 200, 50, 10, (64, 64), 1
MODELS, MODEL_ROWS, MODEL_WIDTH, EPOCHS = 64, 500, 32, 5


def bench(options: Namespace) -> str:
    """Two rates, the best of what was measured within some seconds each."""
    seconds = positive(options.seconds, "--seconds")
    threads = n_threads(options.jobs) or n_cpus()
    found = {
        "rfpcore": version("rfpcore"),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "instructions": _rfpcore.isa(),
        "threads": threads,
        "gradient_gflops": {kind: _gradient(kind, seconds, threads) for kind in ("float32", "float64")},
        "models_per_second": _training(seconds, threads),
    }
    if options.format == "json":
        return json.dumps(found, indent=2)
    return _text(found)


def operations(layers: list[tuple[int, int]], rows: int, inner_steps: int) -> float:
    """Floating-point operations of the matrix products in a value and gradient of R_k.

    A product takes 2 rows · inputs · outputs. A gradient has three in a layer (forward, weights, inputs), a
    Hessian-vector product six; the first layer has two in both. There are k + 1 gradients and k products.
    """
    gradients, products = inner_steps + 1, inner_steps
    first, *others = (2.0 * n_in * n_out for n_in, n_out in layers)
    return rows * (first * 2 * (gradients + products) + sum(others) * (3 * gradients + 6 * products))


def _gradient(kind: str, seconds: float, threads: int) -> float:
    """GFLOP/s of one outer value and gradient."""
    random = np.random.default_rng(0)
    X = random.standard_normal((N_CLUSTERS * N_ROWS, N_INPUTS)).astype(kind)
    y = random.standard_normal(len(X)).astype(kind)
    data = Clusters(X, y, np.repeat(np.arange(N_CLUSTERS), N_ROWS))
    net = MLP(N_INPUTS, WIDTHS)
    theta = net.init(random_state=0, dtype=kind)
    layers = list(pairwise((N_INPUTS, *WIDTHS, 1)))
    least = _least(lambda: value_and_grad(net, theta, data, 0.5, INNER_STEPS, 0.01, n_jobs=threads), seconds)
    return round(operations(layers, len(X), INNER_STEPS) / least / 1e9, 1)


def _training(seconds: float, threads: int) -> float:
    """Models a second of `fit_many`."""
    random = np.random.default_rng(0)
    X, y = random.standard_normal((MODEL_ROWS, N_INPUTS)), random.standard_normal(MODEL_ROWS)
    models = [Model((MODEL_WIDTH,), n_epochs=EPOCHS, seed=seed) for seed in range(MODELS)]
    return round(MODELS / _least(lambda: fit_many(X, y, models, n_jobs=threads), seconds), 1)


def _least(call: Callable[[], Any], seconds: float) -> float:
    """The shortest time of a call, after a first one that does not count."""
    call()
    times: list[float] = []
    while not times or sum(times) < seconds:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return max(min(times), 1e-9)


def _text(found: dict[str, Any]) -> str:
    head = f"rfpcore {found['rfpcore']}, NumPy {found['numpy']}, {found['machine']}"
    widths = "-".join(map(str, WIDTHS))
    rates = [
        f"{rate:8.1f} GFLOP/s  outer gradient in {kind}: {N_CLUSTERS} clusters of {N_ROWS} rows, "
        f"{N_INPUTS} inputs, {widths} units, k = {INNER_STEPS}"
        for kind, rate in found["gradient_gflops"].items()
    ]
    trained = f"{EPOCHS} epochs of {MODEL_ROWS} rows, {N_INPUTS} inputs, {MODEL_WIDTH} units"
    rates.append(f"{found['models_per_second']:8.1f} models/s  trained by fit_many: {trained}")
    return "\n".join([f"{head}: {found['instructions']}, {found['threads']} threads", *rates])
