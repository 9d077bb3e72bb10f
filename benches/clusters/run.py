"""Clustered data beside what people would pick instead.

    python -m benches.clusters.run results.jsonl --draws 20        # goes on where it was interrupted
    python -m benches.clusters.run results.jsonl --report          # the tables of what there is
    python -m benches.clusters.run --quick                         # does it work? into target/bench-quick

A line of JSON for each design or real data set, seed and method: squared errors, coverage and length of 95 %
intervals, processor seconds of the fit. A seed of everything comes before the next, so that a part of the
study is a smaller one. Each process computes on one thread.
"""

import argparse
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from ..jsonl import append, read
from . import real
from .designs import DESIGNS, Draw, Rows, draw
from .methods import METHODS, Ends, Plain, available
from .report import tables

Case = tuple[str, int, str]  # design or data set, seed, method
Line = dict[str, Any]

QUICK = Path(__file__).parents[2] / "target" / "bench-quick" / "clusters.jsonl"
QUICK_NAMES, QUICK_METHODS = ("vee", "no_effect", "castle"), ("mlp", "rfp_k1", "ridge")


def one(case: Case) -> Line:
    """What one method makes of one data set."""
    name, seed, method = case
    line: Line = {"name": name, "seed": seed, "method": method}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return line | (on_design(name, seed, method) if name in DESIGNS else on_real(name, seed, method))
        except Exception as error:  # a package of others may raise anything; the study goes on
            return line | {"error": f"{type(error).__name__}: {error}"[:200]}


def on_design(name: str, seed: int, method: str) -> Line:
    """Mean squared errors, and coverage and mean length of intervals."""
    data = draw(name, seed)
    model, seconds = fitted(method, data.train)
    error = (model.population(data.X_population) - data.f_population) ** 2
    known = model.known(data.X_known, data.groups_known)
    new = model.new(data.few, data.X_query, data.groups_query)
    return {
        "seconds": seconds,
        "population": float(error.mean()),
        "tail": float(error[data.tail].mean()),
        "known": float(np.mean((known - data.f_known) ** 2)),
        "new": float(np.mean((new - data.f_query) ** 2)),
        "coverage": coverage(model, data),
    }


def coverage(model: Plain, data: Draw) -> dict[str, list[float]]:
    """Share covered and mean length, of the intervals that the method has."""
    found = {
        "band": (model.band(data.X_population), data.f_population),
        "new rows": (model.interval(data.X_population), data.y_population),
        "known rows": (model.interval(data.X_known, data.groups_known), data.y_known),
    }
    return {name: covered(ends, truth) for name, (ends, truth) in found.items() if ends is not None}


def covered(ends: Ends, truth: np.ndarray) -> list[float]:
    low, high = ends
    return [float(np.mean((low <= truth) & (truth <= high))), float(np.mean(high - low))]


def on_real(name: str, seed: int, method: str) -> Line:
    """R² on clusters left out, without labels (r2_new) and with half of their rows labelled (r2_half)."""
    data = real.load(name)
    new, half = np.full((2, len(data.y)), np.nan)
    total, shares = 0.0, []
    for fold in real.folds(data, seed):
        model, seconds = fitted(method, data.of(fold.train))
        total += seconds
        unseen, asked = data.of(fold.unseen), data.of(fold.asked)
        new[fold.unseen] = model.population(unseen.X)
        half[fold.asked] = model.new(data.of(fold.labelled), asked.X, asked.groups)
        ends = model.interval(unseen.X)
        shares += [covered(ends, unseen.y)] if ends is not None else []
    labelled = np.isfinite(half)
    found: Line = {"coverage": {"new rows": np.mean(shares, axis=0).tolist()} if shares else {}}
    return found | {
        "seconds": total,
        "r2_new": real.r2(data.y, new),
        "r2_half": real.r2(data.y[labelled], half[labelled]),
    }


def fitted(method: str, rows: Rows) -> tuple[Plain, float]:
    """The fit and its processor seconds."""
    model = METHODS[method]()
    began = time.process_time()
    model.fit(*rows)
    return model, time.process_time() - began


def cases(
    names: Sequence[str], seeds: Iterable[int], methods: Sequence[str] | None, done: Sequence[Line]
) -> Iterator[Case]:
    """What is missing, seed by seed; of all methods that are available, or of those wanted."""
    have = {(line["name"], line["seed"], line["method"]) for line in done if "error" not in line}
    for seed in seeds:
        for name in names:
            wanted = ((name, seed, method) for method in methods or available(name))
            yield from (case for case in wanted if case not in have)


def compute(path: Path, todo: Sequence[Case], workers: int) -> None:
    """Do what is missing and append it."""
    if workers == 1:
        append(path, map(one, todo))
        return
    with ProcessPoolExecutor(workers) as pool:
        append(path, (future.result() for future in as_completed([pool.submit(one, case) for case in todo])))


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, nargs="?", help="the lines; with --quick not needed")
    parser.add_argument("--draws", type=int, help="data sets a design (default 20)")
    parser.add_argument("--first", type=int, default=0, help="the first of their seeds")
    parser.add_argument("--splits", type=int, default=1, help="of each real data set (default 1)")
    parser.add_argument("--names", nargs="*", help="designs and real data sets (default all)")
    parser.add_argument("--methods", nargs="*", help="as in methods.py (default all whose package is there)")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--reference", default="mlp", help="method to which errors are ratios")
    parser.add_argument("--again", action="store_true", help="also what is there: the last line counts")
    parser.add_argument("--report", action="store_true", help="only print the tables of what there is")
    parser.add_argument("--quick", action="store_true", help="does it work?")
    options = parser.parse_args(given)
    if options.output is None and not options.quick:
        parser.error("say where the lines are to be written")
    everything = [*DESIGNS, *real.SETS]
    for wanted, there in ((options.names, everything), (options.methods, METHODS)):
        if unknown := set(wanted or ()) - set(there):
            parser.error(f"no {', '.join(sorted(unknown))}; there are {', '.join(there)}")
    return options


def main(given: Sequence[str] | None = None) -> None:
    options = arguments(given)
    quick = options.quick
    path = options.output or QUICK
    path.parent.mkdir(parents=True, exist_ok=True)
    names = options.names or (QUICK_NAMES if quick else [*DESIGNS, *real.SETS])
    methods = options.methods or (QUICK_METHODS if quick else None)
    seeds = range(options.first, options.first + (options.draws or (2 if quick else 20)))
    if not options.report:
        os.environ.setdefault("RAYON_NUM_THREADS", "1")
        done = [] if options.again else read(path)
        wanted = cases(names, seeds, methods, done)
        todo = [case for case in wanted if case[0] in DESIGNS or case[1] < options.splits]
        compute(path, todo, options.workers)
    print(tables(read(path), options.reference))


if __name__ == "__main__":
    main()
