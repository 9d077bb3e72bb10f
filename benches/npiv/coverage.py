"""Coverage of the bands of F²BMLD on a design with a known function, with covariates or without.

    python -m benches.npiv.coverage results.jsonl            200 draws; goes on where it was stopped
    python -m benches.npiv.coverage results.jsonl --short    two draws, few replicates

A draw is a line of JSON with the centre and both bands over the grid. Covariates, as many as --covariates
says, move X more than the instrument does, and Y as well; the bands are at their mean.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rfpcore.datasets import make_iv_curve
from rfpcore.npiv import F2BMLD

from ..jsonl import read

NAMES = ("seed", "curve", "n", "solver", "method", "covariates")
CURVES = ("centre", "lower", "upper", "uniform_lower", "uniform_upper")
FUNCTIONS = {"sin": lambda x: np.sin(2 * x), "linear": lambda x: x}
"""The functions of `make_iv_curve` that go on beyond its points."""


def draw(seed: int, curve: str, n: int, c: int) -> tuple[Any, ...]:
    """X, y, Z, W and the points, with W = 0 there; no W without covariates."""
    data = make_iv_curve(n, curve=curve, random_state=seed)
    if not c:
        return data.X, data.y, data.Z, None, data.X_test, None
    h = FUNCTIONS[curve]
    W = np.random.default_rng(seed).standard_normal((n, c))
    X = data.X + W.sum(axis=1, keepdims=True) * (1.2 / np.sqrt(c))
    y = data.y + (h(X) - h(data.X))[:, 0] + W[:, 0] - W[:, -1]
    return X, y, data.Z, W, data.X_test, np.zeros((len(data.X_test), c))


def one(
    seed: int, curve: str, n: int, method: str, c: int, n_bootstraps: int, options: dict[str, Any]
) -> dict[str, Any]:
    X, y, Z, W, points, at = draw(seed, curve, n, c)
    model = F2BMLD(random_state=seed, **options).fit(X, y, Z, covariates=W)
    found = model.bands(points, at, n_bootstraps=n_bootstraps, method=method, random_state=seed)
    return dict(zip(NAMES, (seed, curve, n, model.solver, method, c), strict=True)) | {
        name: np.round(getattr(found, name), 4).tolist() for name in CURVES
    }


def summary(records: list[dict[str, Any]]) -> str:
    """Coverage of the function, and of the mean centre: what the bands would cover without bias."""
    lines = []
    for case in sorted({tuple(r[name] for name in NAMES[1:]) for r in records}):
        some = [r for r in records if tuple(r[name] for name in NAMES[1:]) == case]
        curve, n, solver, method, c = case
        centres, low, high, uniform_low, uniform_high = (np.array([r[name] for r in some]) for name in CURVES)
        truth = make_iv_curve(2, curve=curve, random_state=0).h_test
        for name, target in (("h", truth), ("the mean centre", centres.mean(axis=0))):
            inside = ((low <= target) & (target <= high)).mean(axis=1)
            everywhere = ((uniform_low <= target) & (target <= uniform_high)).all(axis=1).mean()
            error = inside.std() / np.sqrt(len(some))
            lines.append(
                f"{curve}, n = {n}, {solver}, {method}, {c} covariates, {len(some)} draws: "
                f"95 % bands hold {name} at {100 * inside.mean():.1f} % of points "
                f"(standard error {100 * error:.1f}), everywhere in {100 * everywhere:.1f} % of draws; "
                f"half widths {(high - low).mean() / 2:.3f} and {(uniform_high - uniform_low).mean() / 2:.3f}"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="JSON lines, appended to")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--curve", choices=("sin", "log", "linear"), default="sin")
    parser.add_argument("--solver", choices=("adam", "langevin"), default="adam")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--method", choices=("corrected", "spread"), default="corrected")
    parser.add_argument("--covariates", type=int, default=0)
    parser.add_argument("--bootstraps", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no draw after so long")
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args(arguments)
    if options.covariates and options.curve not in FUNCTIONS:
        parser.error(f"--curve {options.curve} has no covariates; {' or '.join(FUNCTIONS)} has")
    short = {"max_iter": 100, "n_checkpoints": 5} if options.short else {}
    draws, n_bootstraps = (2, 5) if options.short else (options.draws, options.bootstraps)
    records = read(options.results)
    done = {tuple(record[name] for name in NAMES) for record in records}
    began = time.perf_counter()
    with options.results.open("a") as file:
        for seed in range(draws):
            if time.perf_counter() - began > options.seconds:
                break
            case = seed, options.curve, options.rows, options.method, options.covariates
            if (*case[:3], options.solver, *case[3:]) not in done:
                records.append(one(*case, n_bootstraps, short | {"solver": options.solver}))
                print(json.dumps(records[-1]), file=file, flush=True)
    print(summary(records))


if __name__ == "__main__":
    main()
