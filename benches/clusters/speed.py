"""Seconds and memory of a fit by size, beside GPBoost.

    python -m benches.clusters.speed                    # a table; wants the machine for itself
    python -m benches.clusters.speed --quick            # the smallest size only
    python -m benches.clusters.speed --methods mixed gpb_ri

Each fit is in a process of its own. Memory is what the fit adds at its peak to what was there before it.
"""

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..worker import forget_peak, resident_mb
from . import real
from .designs import DESIGNS, Clusters, Rows
from .methods import METHODS, available

ROOT = Path(__file__).parents[2]


class Size(NamedTuple):
    """A design with other sizes, or a real data set."""

    name: str
    clusters: int = 0
    rows: int = 0

    @property
    def title(self) -> str:
        return f"{self.clusters:,} × {self.rows:,}" if self.clusters else self.name

    def data(self) -> Rows:
        if self.name in real.SETS:
            return real.load(self.name)
        design, random = DESIGNS[self.name], np.random.default_rng(0)
        groups = np.repeat(np.arange(self.clusters), self.rows)
        X, target = Clusters(design, random, self.clusters).rows(groups)
        return Rows(X, design.observed(random, target), groups)


SIZES = (
    Size("vee", 20, 25),
    Size("benefits"),
    Size("big5", 500, 20),
    Size("big5", 5_000, 20),
    Size("big5", 50, 2_000),
)
DEFAULT = ("mixed", "mlp_cv", "rfp_cv", "gpb_ri", "mixedlm")


def measure(size: Size, method: str) -> dict[str, float]:
    """One fit in this process."""
    rows = size.data()
    model = METHODS[method]()
    forget_peak()
    before = resident_mb("VmRSS")
    wall, processor = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(*rows)
    return {
        "wall": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
        "mb": resident_mb("VmHWM") - before,
    }


def apart(index: int, method: str, limit: float) -> dict[str, Any]:
    """The same in a process of its own; says why there is nothing."""
    command = [sys.executable, "-m", "benches.clusters.speed", "--one", str(index), "--methods", method]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"error": f"over {limit:.0f} s"}
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1][:60]}
    return json.loads(done.stdout)


def cell(found: dict[str, Any]) -> str:
    if "error" in found:
        return str(found["error"])
    return f"{found['wall']:.3g} ({found['processor']:.3g}; {found['mb']:.0f})"


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), help="default: " + ", ".join(DEFAULT))
    parser.add_argument("--limit", type=float, default=600, help="seconds a fit (default 600)")
    parser.add_argument("--quick", action="store_true", help="the smallest size only")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(given)
    if options.one is not None:
        print(json.dumps(measure(SIZES[options.one], options.methods[0])))
        return
    there = available("vee")
    methods = options.methods or [method for method in DEFAULT if method in there]
    print("Seconds (of all processors; MB added), a fit.\n")
    print(f"| clusters × rows | {' | '.join(methods)} |")
    print("| --- " * (1 + len(methods)) + "|")
    for index, size in enumerate(SIZES[:1] if options.quick else SIZES):
        cells = [cell(apart(index, method, options.limit)) for method in methods]
        print(f"| {size.title} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
