"""The cost model beside the clock: ten problems, estimated and measured. Writes its section of RESULTS.md.

From the repository's root:

    python -m benches.cost            about a minute
    python -m benches.cost --quick    short, into target/bench-quick
    python -m benches.cost --alone    printed only: one thread, processor time, where other work is going on
"""

import argparse
import time
from statistics import median
from typing import Any, NamedTuple

import numpy as np

import rfpcore
from rfpcore import _rfpcore, cost
from rfpcore._options import inner_loop, n_threads
from rfpcore.optimizers import Adam

from . import report, results
from .gradient.workloads import ALPHA, WORKLOADS, A, B, C, D, Workload, problem
from .peers import cores


class Fit(NamedTuple):
    """Sizes and network, outer steps, threads (None: all), dtype, clusters a step (None: all)."""

    work: Workload
    steps: int
    threads: int | None
    dtype: str
    batch_size: int | None = None


FITS = [
    Fit(A, 500, None, "float32"),
    Fit(A.with_(name="A, one thread"), 500, 1, "float32"),
    Fit(B.with_(name="B, clusters in batches"), 300, None, "float32", 100),
    Fit(C.with_(name="C, float64", clusters=40), 5, None, "float64"),
    Fit(D, 200, None, "float32"),
    Fit(WORKLOADS["E"], 30, None, "float32"),
    Fit(D.with_(name="wide", clusters=40, hidden=(512, 512)), 5, None, "float32"),
    Fit(D.with_(name="one large cluster", clusters=1, rows=100_000), 10, None, "float64"),
    Fit(D.with_(name="very many small", clusters=50_000, rows=4, hidden=(16, 16)), 20, None, "float32"),
    Fit(D.with_(name="deep, gelu", hidden=(32,) * 6, activation="gelu", steps=3), 60, None, "float64"),
]


def training_seconds(given: Fit, data: rfpcore.Clusters) -> float:
    """Of the outer loop as estimators run it, with Adam."""
    work = given.work
    net = rfpcore.MLP(work.n_inputs, work.hidden, 1, work.activation)
    theta = net.init(0, given.dtype)
    trainer = _rfpcore.Trainer(
        net._architecture,
        theta,
        ALPHA,
        inner_loop(net.n_parameters, work.steps, 1e-3, 0.0, "all", "exact"),
        work.loss,
        _rfpcore.Optimizer(Adam(1e-4)),
        given.batch_size,
        n_threads=n_threads(given.threads),
    )
    handle = data.handle(net, work.loss, theta.dtype)
    start = cost.clock()
    trainer.advance(handle, given.steps)
    return cost.clock() - start


def compare(given: Fit, rounds: int) -> dict[str, Any]:
    """Estimates and training by turns, so that both have the same machine; the median of either."""
    work = given.work
    _, X, y, sizes = problem(work, given.dtype)
    data = rfpcore.Clusters(X, y, np.repeat(np.arange(len(sizes)), sizes))
    net = rfpcore.MLP(work.n_inputs, work.hidden, 1, work.activation)
    asked = {"alpha": ALPHA, "inner_steps": work.steps, "batch_size": given.batch_size, "dtype": given.dtype}
    estimates, times, asking = [], [], []
    for _ in range(rounds):
        start = cost.clock()
        estimates.append(cost.estimated_seconds(net, sizes, given.steps, **asked, n_jobs=given.threads))
        asking.append(cost.clock() - start)
        times.append(training_seconds(given, data))
    return {
        "name": work.name,
        "shape": work.shape,
        "steps": given.steps,
        "threads": given.threads or cores(),
        "dtype": given.dtype,
        "batch_size": given.batch_size,
        "estimated": median(estimates),
        "measured": median(times),
        "ratio": median(e / t for e, t in zip(estimates, times, strict=True)),
        "asking": median(asking),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short, into target/bench-quick")
    parser.add_argument("--alone", action="store_true", help="one thread, processor time, nothing is written")
    options = parser.parse_args()
    if options.alone:
        cost.clock = time.process_time
    found = []
    for fit in FITS:
        steps = max(1, fit.steps // 10) if options.quick else fit.steps
        given = fit._replace(steps=steps, threads=1 if options.alone else fit.threads)
        one = compare(given, 1 if options.quick else 5)
        found.append(one)
        words = f"{one['estimated']:.3g} s estimated, {one['measured']:.3g} s measured, {one['ratio']:.2f}"
        print(f"{one['name']:24}{words}, {one['asking']:.2g} s to ask", flush=True)
    if options.alone:
        return
    place = results.folder(options.quick)
    results.save(place, "cost", found, quick=options.quick)
    report.write(place)


if __name__ == "__main__":
    main()
