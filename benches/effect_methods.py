"""Every estimator and interval of the coverage study, as (estimate, low, high) of one data set."""

import importlib.util
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from effect_designs import Draw
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression

from rfpcore import RFPRegressor
from rfpcore.causal import ClusterEffect, StaggeredEffect, linear_effect
from rfpcore.causal.results import Effect

Interval = tuple[str, float, float, float, float]  # name, estimate, low, high, seconds
N_DRAWS = 49  # of the bootstraps: their standard errors are within a tenth
SCORE = ("cross-fit", "score-jackknife", "cr1", "wild", "webb")


def network(alpha: float) -> RFPRegressor:
    """The default outcome model of `ClusterEffect`, with alpha to choose."""
    return RFPRegressor(
        hidden_layer_sizes=(32, 32),
        alpha=alpha,
        inner_steps=1,
        inner_lr=0.05,
        max_iter=150,
        dtype="float32",
        n_jobs=1,
    )


def intervals(data: Draw, wanted: set[str] | None = None, peers: bool = False) -> Iterator[Interval]:
    """All intervals of a data set, or those of the estimators wanted."""
    estimators: dict[str, Callable[[Draw], Iterator[Interval]]] = {
        "RFP": rfp,
        "MLP": mlp,
        "trees": trees,
        "linear": linear,
        "OLS": ols,
    }
    if peers and importlib.util.find_spec("doubleml"):
        estimators["DoubleML"] = double_ml
    if data.time is not None:
        estimators = {"group-time": staggered, "two-way fixed effects": two_way}
    for name, estimator in estimators.items():
        if wanted is None or name in wanted:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield from estimator(data)


def _timed(name: str, call: Callable[[], Effect]) -> Interval:
    began = time.perf_counter()
    effect = call()
    seconds = time.perf_counter() - began
    return (name, effect.estimate, *effect.confidence_interval(), seconds)


def _doubly_robust(name: str, outcome: object, data: Draw, methods: tuple[str, ...]) -> Iterator[Interval]:
    y = (data.y - data.y.mean()) / data.y.std()  # networks take outcomes of order 1
    model = ClusterEffect(outcome=outcome, n_draws=N_DRAWS, n_jobs=1, inference=methods[0])
    began = time.perf_counter()
    model.fit(data.X, y, data.treatment, data.groups)
    seconds = time.perf_counter() - began
    for method in methods:
        if method == methods[0]:
            row = (f"{name}, {method}", model.estimate_, *model.confidence_interval(), seconds)
        else:
            try:
                row = _timed(f"{name}, {method}", lambda method=method: model.infer(method)[0])
            except ValueError:  # too few clusters in an arm for the folds
                continue
        yield (row[0], *(data.y.std() * number for number in row[1:4]), row[4])


def rfp(data: Draw) -> Iterator[Interval]:
    yield from _doubly_robust("RFP", network(0.2), data, ("jackknife", "stratified", "bootstrap", *SCORE))


def mlp(data: Draw) -> Iterator[Interval]:
    yield from _doubly_robust("MLP", network(1.0), data, ("jackknife", "cr1", "cross-fit"))


def trees(data: Draw) -> Iterator[Interval]:
    model = GradientBoostingRegressor(n_estimators=50, max_depth=2, random_state=0)
    yield from _doubly_robust("trees", model, data, ("jackknife", "cr1"))


def linear(data: Draw) -> Iterator[Interval]:
    yield from _doubly_robust("linear", LinearRegression(), data, ("jackknife", "cr1"))


def ols(data: Draw) -> Iterator[Interval]:
    for method in ("cr1", "cr3", "wild"):
        call = partial(linear_effect, data.X, data.y, data.treatment, data.groups, inference=method)
        yield _timed(f"OLS, {method}", call)


def staggered(data: Draw) -> Iterator[Interval]:
    for name, X, outcome in (
        ("group-time, no covariates", np.empty((len(data.y), 0)), None),
        ("group-time, linear", data.X, LinearRegression()),
    ):
        model = StaggeredEffect(outcome=outcome, n_draws=N_DRAWS)
        began = time.perf_counter()
        model.fit(X, data.y, data.treatment, data.groups, data.time)
        yield (
            f"{name}, jackknife",
            model.estimate_,
            *model.confidence_interval(),
            time.perf_counter() - began,
        )
        for method in ("stratified", "bootstrap"):
            yield _timed(f"{name}, {method}", lambda method=method, model=model: model.infer(method)[0])


def two_way(data: Draw) -> Iterator[Interval]:
    assert data.time is not None
    dummies = [
        codes[:, None] == np.arange(1, codes.max() + 1) for codes in (data.groups, data.time.astype(int))
    ]
    X = np.column_stack(dummies).astype(float)
    yield _timed(
        "two-way fixed effects, cr1",
        lambda: linear_effect(X, data.y, data.treatment, data.groups, inference="cr1"),
    )


def double_ml(data: Draw) -> Iterator[Interval]:
    """The partially linear model, cross-fitted over clusters."""
    import doubleml
    import pandas as pd

    began = time.perf_counter()
    columns = [f"x{i}" for i in range(data.X.shape[1])]
    frame = pd.DataFrame(data.X, columns=columns).assign(y=data.y, d=data.treatment, g=data.groups)
    held = doubleml.DoubleMLData(frame, "y", "d", columns, cluster_cols="g")
    trees_ = GradientBoostingRegressor(n_estimators=50, max_depth=2, random_state=0)
    model = doubleml.DoubleMLPLR(held, trees_, LogisticRegression(), n_folds=5)
    np.random.seed(0)  # noqa: NPY002  # DoubleML draws its folds from it
    model.fit()
    low, high = model.confint().to_numpy()[0]
    yield ("DoubleML partially linear", float(model.coef[0]), low, high, time.perf_counter() - began)
