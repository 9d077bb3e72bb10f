"""The demand table: log10 MSE of instrumental-variables estimators, and of regression without instrument.

    python -m benches.npiv.demand results.jsonl            the whole table; goes on where it was stopped
    python -m benches.npiv.demand results.jsonl --short    one seed, 1000 rows, short fits
    python -m benches.npiv.demand results.jsonl --table    only print what is there

Every fit is a line of JSON that is written when it is done.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rfpcore.datasets import InstrumentData, make_demand, make_iv_curve
from rfpcore.npiv import F2BMLD, DeepFeatureIV, KernelIV, SieveIV, TwoStageLeastSquares

from ..jsonl import read, study

DEMAND = [
    {"design": "demand", "noise": noise, "n": n, "confounding": rho}
    for noise, n, rho in itertools.product((1.0, 158.0), (1000, 5000), (0.1, 0.5, 0.9))
]
CURVES = [{"design": curve, "noise": 1.0, "n": 2000, "confounding": 0.8} for curve in ("sin", "log")]


class Naive:
    """Kernel ridge regression of y on X and covariates, penalty and length by cross-validation."""

    def fit(self, X, y, Z, covariates=None):
        inputs = X if covariates is None else np.hstack([X, covariates])
        grid = {"kernelridge__alpha": [1e-3, 1e-2, 1e-1, 1], "kernelridge__gamma": [0.03, 0.1, 0.3, 1]}
        model = make_pipeline(StandardScaler(), KernelRidge(kernel="rbf"))
        self.mean = y.mean()
        self.model = GridSearchCV(model, grid, cv=3).fit(inputs[:2000], y[:2000] - self.mean)
        self.model = self.model.best_estimator_.fit(inputs, y - self.mean)
        return self

    def predict(self, X, covariates=None):
        return self.mean + self.model.predict(X if covariates is None else np.hstack([X, covariates]))


METHODS: dict[str, Callable[[int, bool], Any]] = {
    "F²BMLD, Adam": lambda seed, short: F2BMLD(random_state=seed, max_iter=500 if short else None),
    "F²BMLD, Langevin": lambda seed, short: F2BMLD(
        solver="langevin", random_state=seed, max_iter=500 if short else None
    ),
    "DFIV": lambda seed, short: DeepFeatureIV(random_state=seed, max_iter=2 if short else 100),
    "KIV": lambda seed, short: KernelIV(random_state=seed),
    "KIV, published": lambda seed, short: KernelIV(tuning="published", random_state=seed),
    "sieve": lambda seed, short: SieveIV(random_state=seed),
    "2SLS": lambda seed, short: TwoStageLeastSquares(),
    "no instrument": lambda seed, short: Naive(),
}


def draw(case: dict[str, Any], seed: int) -> InstrumentData:
    options = {"confounding": case["confounding"], "noise": case["noise"], "random_state": seed}
    if case["design"] == "demand":
        return make_demand(case["n"], **options)
    return make_iv_curve(case["n"], curve=case["design"], **options)


def one(case: dict[str, Any], method: str, seed: int, short: bool) -> dict[str, Any]:
    """Fit one method on one draw."""
    data = draw(case, seed)
    model = METHODS[method](seed, short)
    began = time.perf_counter()
    model.fit(data.X, data.y, data.Z, data.covariates)
    seconds = time.perf_counter() - began
    error = np.mean((model.predict(data.X_test, data.covariates_test) - data.h_test) ** 2)
    return case | {"method": method, "seed": seed, "log10_mse": float(np.log10(error)), "seconds": seconds}


def key(record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record[name] for name in ("design", "noise", "n", "confounding", "method", "seed"))


def todo(cases: Sequence[dict[str, Any]], methods: Sequence[str], seeds: int) -> Iterator[tuple[Any, ...]]:
    # Seeds outermost: whatever is there when it is stopped is a whole table of fewer seeds.
    for seed, case, method in itertools.product(range(seeds), cases, methods):
        yield case, method, seed


def table(records: list[dict[str, Any]]) -> str:
    """Medians, with the quartiles' distance where there are several seeds."""
    methods = [m for m in METHODS if any(r["method"] == m for r in records)]
    lines = ["| design | noise | n | ρ | " + " | ".join(methods) + " |", "| --- " * (4 + len(methods)) + "|"]
    cases = list(dict.fromkeys((r["design"], r["noise"], r["n"], r["confounding"]) for r in records))
    for case in cases:
        cells = []
        for method in methods:
            values = [r["log10_mse"] for r in records if key(r)[:5] == (*case, method)]
            if not values:
                cells.append("")
                continue
            low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
            cells.append(f"{middle:.2f}" + (f" ({high - low:.2f})" if len(values) > 1 else ""))
        design, noise, n, rho = case
        lines.append(f"| {design} | {noise:g} | {n} | {rho} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="JSON lines, appended to")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rows", type=int, nargs="*", help="only designs of these sizes")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no fit after so long")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args(arguments)
    cases = [case for case in (*CURVES, *DEMAND) if not options.rows or case["n"] in options.rows]
    if options.short:
        cases = [case for case in cases if case["n"] == 1000 and case["confounding"] == 0.9]
    records = read(options.results)
    if not options.table:
        done = {key(record) for record in records}
        missing = (
            (case, method, seed, options.short)
            for case, method, seed in todo(cases, options.methods, 1 if options.short else options.seeds)
            if key(case | {"method": method, "seed": seed}) not in done
        )
        records = study(options.results, one, missing, options.seconds)
    print(table(records))


if __name__ == "__main__":
    main()
