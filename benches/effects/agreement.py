"""Numbers of other packages that the tests hold the estimators to, on the data of the tests.

    python -m benches.effects.agreement

prints them: DoubleML's and csdid's.
"""

import warnings
from typing import Any

import numpy as np


def people() -> tuple[Any, Any, Any, Any, Any]:
    """Covariates of mean 0 and variance 1, outcome, treatment, clusters of 25 rows, and the fold of each."""
    random, n_clusters, size = np.random.default_rng(0), 20, 25
    groups = np.repeat(np.arange(n_clusters), size)
    X = random.standard_normal((len(groups), 2)) + 0.5 * random.standard_normal(n_clusters)[groups, None]
    treated = (random.random(len(groups)) < 1 / (1 + np.exp(-X[:, 0]))).astype(float)
    level = 0.7 * random.standard_normal(n_clusters)[groups]
    y = X @ [1.0, -0.5] + level + (1 + 0.5 * X[:, 1]) * treated + random.standard_normal(len(groups))
    return (X - X.mean(axis=0)) / X.std(axis=0), y, treated, groups, np.arange(n_clusters) % 5


def counties() -> Any:
    """A frame of 90 units over 5 years, of which some adopt in 2004, 2005, 2006, and never."""
    import pandas as pd

    random, n = np.random.default_rng(0), 90
    x = random.standard_normal(n)
    dice = np.searchsorted([0.2, 0.45, 0.6, 0.8], random.random(n) + 0.05 * x)
    first = np.array([2004, 2005, 2006, 0, 0])[dice]
    unit, year = np.repeat(np.arange(n), 5), np.tile(np.arange(2003, 2008), n)
    law = ((first[unit] > 0) & (year >= first[unit])).astype(int)
    trend = (year - 2003) * (0.2 + 0.3 * x[unit])
    y = random.standard_normal(n)[unit] + trend + law * (0.5 + 0.1 * (year - 2003))
    y = y + 0.5 * random.standard_normal(len(unit))
    columns = {"y": y, "law": law, "unit": unit, "year": year, "x": x[unit], "first": first[unit]}
    return pd.DataFrame(columns)


def double_ml(score: str, normalize: bool) -> tuple[float, float]:
    """Estimate and cluster-robust error of the interactive model with linear nuisances."""
    import doubleml
    import pandas as pd
    from sklearn.linear_model import LinearRegression, LogisticRegression

    X, y, treated, groups, folds = people()
    frame = pd.DataFrame(X, columns=["a", "b"]).assign(y=y, d=treated, g=groups)
    model = doubleml.DoubleMLIRM(
        doubleml.DoubleMLData(frame, "y", "d", ["a", "b"], cluster_cols="g"),
        LinearRegression(),
        LogisticRegression(solver="newton-cholesky", tol=1e-13),
        n_folds=5,
        score=score,
        normalize_ipw=normalize,
        trimming_threshold=0.1,
        draw_sample_splitting=False,
    )

    def split(of: Any) -> list[tuple[Any, Any]]:
        return [(np.flatnonzero(of != k), np.flatnonzero(of == k)) for k in range(5)]

    clusters = [([seen], [own]) for seen, own in split(folds)]
    model.set_sample_splitting([split(folds[groups])], [clusters])
    model.fit()
    return float(model.coef[0]), float(model.se[0])


def csdid(formula: str | None, method: str) -> dict[str, list[float]]:
    """Effects of each cell with their errors, and the overall averages with theirs."""
    from csdid.att_gt import ATTgt

    cells = ATTgt(yname="y", tname="year", idname="unit", gname="first", data=counties(), xformla=formula)
    cells = cells.fit(est_method=method, bstrap=False)
    found = {"cells": [float(value) for value in cells.results["att"]]}
    found["errors"] = [float(value) for value in cells.results["se"]]
    for by in ("simple", "dynamic", "group", "calendar"):
        cells.aggte(by, bstrap=False)
        found[by] = [float(cells.atte["overall_att"]), float(cells.atte["overall_se"])]
    return found


def main() -> None:
    """Print what the tests have stored."""
    warnings.simplefilter("ignore")
    for score, normalize in (("ATE", True), ("ATTE", False)):
        print("doubleml", score, double_ml(score, normalize))
    for formula, method in ((None, "reg"), ("y~x", "reg"), ("y~x", "dr"), ("y~x", "ipw")):
        for name, values in csdid(formula, method).items():
            print("csdid", formula, method, name, [round(value, 10) for value in values])


if __name__ == "__main__":
    main()
