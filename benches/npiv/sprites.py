"""The sprites table: mean squared error of h on clean images of hearts, with the instruments and without.

    python -m benches.npiv.sprites results.jsonl            the whole table; goes on where it was stopped
    python -m benches.npiv.sprites results.jsonl --short    one seed, 150 images of 16 by 16, short fits
    python -m benches.npiv.sprites results.jsonl --seconds 0  only print what is there

Every method sees the same principal components of the noisy images that it is fitted on, 3 or 32. Linear
two-stage least squares needs an instrument for each input, and there are three: it is fitted on 3 only.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.dummy import DummyRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from rfpcore.datasets import make_sprites
from rfpcore.npiv import F2BMLD, DeepFeatureIV, KernelIV, SieveIV, TwoStageLeastSquares

from ..jsonl import read, study

COMPONENTS = (3, 32)
WITHOUT = ("no instrument", "mean of y")


def kernel_ridge() -> Any:
    """Regression of y on X, centred; penalty and length by cross-validation."""
    grid = {"kernelridge__alpha": 10.0 ** np.arange(-3, 1), "kernelridge__gamma": [0.003, 0.01, 0.1, 0.3]}
    return GridSearchCV(make_pipeline(StandardScaler(), KernelRidge(kernel="rbf")), grid, cv=3)


METHODS: dict[str, Callable[[int, bool], Any]] = {
    "F²BMLD, Adam": lambda seed, short: F2BMLD(random_state=seed, max_iter=100 if short else None),
    "DFIV": lambda seed, short: DeepFeatureIV(random_state=seed, max_iter=2 if short else 100),
    "KIV": lambda seed, short: KernelIV(random_state=seed),
    "sieve": lambda seed, short: SieveIV(n_knots=(3,), random_state=seed),  # 8000 functions of 32 components
    "2SLS": lambda seed, short: TwoStageLeastSquares(),
    "no instrument": lambda seed, short: kernel_ridge(),
    "mean of y": lambda seed, short: DummyRegressor(),
}


def one(components: int, method: str, seed: int, short: bool) -> dict[str, Any]:
    """Fit one method on one draw."""
    data = make_sprites(150 if short else 1000, size=16 if short else 64, random_state=seed)
    pca = PCA(components, random_state=seed)
    model = Pipeline([("pca", pca), ("model", METHODS[method](seed, short))])
    began = time.perf_counter()
    centre = data.y.mean()  # kernel ridge regression has no intercept
    model.fit(data.X, data.y - centre, **({} if method in WITHOUT else {"model__Z": data.Z}))
    error = np.mean((centre + model.predict(data.X_test) - data.h_test) ** 2)
    case = {"components": components, "method": method, "seed": seed}
    return case | {"mse": float(error), "seconds": time.perf_counter() - began}


def table(records: list[dict[str, Any]]) -> str:
    """Medians, the distance of the smallest and largest error in brackets."""
    lines = ["| method | " + " | ".join(f"{n} components" for n in COMPONENTS) + " |", "| --- " * 3 + "|"]
    for method in METHODS:
        cells = []
        for n in COMPONENTS:
            errors = [r["mse"] for r in records if (r["method"], r["components"]) == (method, n)]
            cells.append(f"{np.median(errors):.1f} ({np.ptp(errors):.1f})" if errors else "")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="JSON lines, appended to")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no fit after so long")
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args(arguments)
    done = {(r["components"], r["method"], r["seed"]) for r in read(options.results)}
    todo = itertools.product(range(1 if options.short else options.seeds), COMPONENTS, METHODS)
    missing = (
        (components, method, seed, options.short)
        for seed, components, method in todo
        if (method != "2SLS" or components <= 3) and (components, method, seed) not in done
    )
    print(table(study(options.results, one, missing, options.seconds)))


if __name__ == "__main__":
    main()
