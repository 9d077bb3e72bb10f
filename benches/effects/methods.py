"""Every estimator and interval of the coverage study, on one data set."""

import importlib.util
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from rfpcore import RFPRegressor
from rfpcore.causal import ClusterEffect, StaggeredEffect, linear_effect
from rfpcore.causal.results import Effect

from .designs import Draw
from .peers import double_ml, econ_ml

N_DRAWS = 49  # of the bootstraps: their standard errors are within a tenth
SCORE = ("score-jackknife", "cr1", "wild", "webb")


class Interval(NamedTuple):
    """What one method says of one data set, and what is true."""

    name: str
    estimate: float
    low: float
    high: float
    seconds: float
    truth: float


def network(alpha: float) -> RFPRegressor:
    """The outcome model of `ClusterEffect(outcome=None)`, with alpha to choose."""
    return RFPRegressor(
        standardize=False,
        learning_rate="constant",
        hidden_layer_sizes=(32, 32),
        alpha=alpha,
        inner_steps=1,
        inner_lr=0.05,
        max_iter=150,
        dtype="float32",
        n_jobs=1,
    )


def intervals(data: Draw, wanted: frozenset[str] | None = None, others: bool = True) -> Iterator[Interval]:
    """All intervals of a data set, or those of the estimators wanted; the costly ones only with `others`."""
    if data.time is not None:
        cheap: dict[str, Callable[[Draw], Iterator[Interval]]] = {
            "group-time": group_time,
            "group-time, linear": group_time_linear,
            "two-way fixed effects": two_way,
        }
        costly: dict[str, Callable[[Draw], Iterator[Interval]]] = {"group-time refits": group_time_refits}
    else:
        cheap = {"auto": auto, "RFP": rfp, "OLS": ols}
        costly = {"RFP refits": rfp_refits, "MLP": mlp, "trees": trees, "linear": linear, "mixed": mixed}
        packages = {"doubleml": ("DoubleML", double_ml), "econml": ("EconML", econ_ml)}
        for package, (name, peer) in packages.items():
            if importlib.util.find_spec(package):
                costly[name] = partial(_from_peer, name, peer)
    estimators = cheap | costly if others else cheap
    for name, estimator in estimators.items():
        if wanted is None or name in wanted:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield from estimator(data)


def _timed(name: str, truth: float, call: Callable[[], Effect]) -> Interval:
    began = time.perf_counter()
    effect = call()
    seconds = time.perf_counter() - began
    return Interval(name, effect.estimate, *effect.confidence_interval(), seconds, truth)


def _doubly_robust(name: str, outcome: Any, data: Draw, methods: tuple[str, ...]) -> Iterator[Interval]:
    scale = 1.0 if isinstance(outcome, str) else data.y.std()  # networks take outcomes of order 1
    y = (data.y - data.y.mean()) / scale
    model = ClusterEffect(outcome=outcome, n_draws=N_DRAWS, n_jobs=1, inference=methods[0])
    began = time.perf_counter()
    model.fit(data.X, y, data.treatment, data.groups)
    seconds = time.perf_counter() - began
    for method in methods:
        began = time.perf_counter()
        if method == methods[0]:
            effect = model.effect_
        else:
            try:
                effect = model.infer(method)[0]
            except ValueError:  # too few clusters in an arm for the folds
                continue
            seconds = time.perf_counter() - began
        numbers = (scale * number for number in (effect.estimate, *effect.confidence_interval()))
        yield Interval(f"{name}, {method}", *numbers, seconds, data.truth)


def auto(data: Draw) -> Iterator[Interval]:
    """The default."""
    yield from _doubly_robust("auto", "auto", data, ("jackknife", "cv3"))


def mixed(data: Draw) -> Iterator[Interval]:
    """The mixed model, and as one of those that are chosen among."""
    for outcome in ("auto+mixed", "mixed"):
        yield from _doubly_robust(outcome, outcome, data, ("jackknife", "cv3"))


def rfp(data: Draw) -> Iterator[Interval]:
    yield from _doubly_robust("RFP", network(0.2), data, ("jackknife", "cv3", *SCORE))


def rfp_refits(data: Draw) -> Iterator[Interval]:
    yield from _doubly_robust("RFP", network(0.2), data, ("bootstrap", "cross-fit"))


def mlp(data: Draw) -> Iterator[Interval]:
    yield from _doubly_robust("MLP", network(1.0), data, ("jackknife", "cr1", "cross-fit"))


def trees(data: Draw) -> Iterator[Interval]:
    model = GradientBoostingRegressor(n_estimators=50, max_depth=2, random_state=0)
    yield from _doubly_robust("trees", model, data, ("jackknife", "cr1"))


def linear(data: Draw) -> Iterator[Interval]:
    yield from _doubly_robust("linear", LinearRegression(), data, ("jackknife", "cv3", "cr1"))


def ols(data: Draw) -> Iterator[Interval]:
    for method in ("cr1", "cr3", "wild"):
        call = partial(linear_effect, data.X, data.y, data.treatment, data.groups, inference=method)
        yield _timed(f"OLS, {method}", data.truth, call)


def _group_time(
    name: str, X: np.ndarray, data: Draw, methods: tuple[str, ...], outcome: Any = "auto"
) -> Iterator[Interval]:
    model = StaggeredEffect(outcome=outcome, n_draws=N_DRAWS, inference=methods[0], n_jobs=1)
    began = time.perf_counter()
    model.fit(X, data.y, data.treatment, data.groups, data.time)
    seconds = time.perf_counter() - began
    ends = model.confidence_interval()
    yield Interval(f"{name}, {methods[0]}", model.estimate_, *ends, seconds, data.truth)
    for method in methods[1:]:
        yield _timed(f"{name}, {method}", data.truth, lambda method=method: model.infer(method)[0])


def group_time(data: Draw) -> Iterator[Interval]:
    yield from _group_time("group-time", data.X, data, ("jackknife", "cv3"))
    nothing = np.empty((len(data.y), 0))
    yield from _group_time("group-time, no covariates", nothing, data, ("jackknife", "cv3"))


def group_time_linear(data: Draw) -> Iterator[Interval]:
    yield from _group_time("group-time, linear", data.X, data, ("jackknife", "cv3"), None)


def group_time_refits(data: Draw) -> Iterator[Interval]:
    yield from _group_time("group-time", data.X, data, ("bootstrap",))


def two_way(data: Draw) -> Iterator[Interval]:
    assert data.time is not None
    dummies = [
        codes[:, None] == np.arange(1, codes.max() + 1) for codes in (data.groups, data.time.astype(int))
    ]
    X = np.column_stack(dummies).astype(float)
    call = partial(linear_effect, X, data.y, data.treatment, data.groups, inference="cr1")
    yield _timed("two-way fixed effects, cr1", data.truth, call)


def _from_peer(
    name: str, peer: Callable[[Draw], Iterator[tuple[str, float, float, float, float]]], data: Draw
) -> Iterator[Interval]:
    """Estimate and ends of another package; `peer` names the estimate and says what it is of."""
    began = time.perf_counter()
    try:
        found = list(peer(data))
    except ValueError:  # folds without an arm
        return
    for label, estimate, low, high, truth in found:
        yield Interval(f"{name} {label}", estimate, low, high, time.perf_counter() - began, truth)
