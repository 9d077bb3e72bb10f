"""Targets: effects of policies, their intervals and figures."""

import functools
from dataclasses import replace

import numpy as np
import pandas as pd
from fuzz_data import drawn
from fuzz_estimators import RFP, WARNS
from fuzz_target import Target, estimator, function, method, quietly

from rfpcore import RFPRegressor, causal
from rfpcore.causal import displays
from rfpcore.datasets import make_policy

POLICY = make_policy(n_clusters=10, n_per_cluster=4, selection=0.3, random_state=22)
X, Y, TREATED, GROUPS, _ = POLICY
TIME = np.tile([0, 0, 1, 1], 10)
PERIOD = np.tile([0, 1, 2, 3], 10)
UNIT = np.arange(40) // 2
ADOPTED = TREATED * (np.where(GROUPS % 3 == 0, 1, 2) <= PERIOD)
SMALL = {"outcome": None, "propensity": None, "n_draws": 19, "n_jobs": 1, "random_state": 0}


def linear():
    from sklearn.linear_model import LinearRegression

    return LinearRegression()


def settings(kind):
    import inspect

    own = inspect.signature(kind).parameters
    return {name: value for name, value in SMALL.items() if name in own} | {"outcome": linear()}


def one_policy():
    return {"X": X, "y": Y, "treatment": TREATED, "groups": GROUPS}


def individuals():
    return one_policy() | {"treatment": np.arange(40) % 2}


def two_periods():
    return {"X": X, "y": Y, "treatment": TREATED, "groups": GROUPS, "time": TIME}


def many_periods():
    return {"X": X, "y": Y, "treatment": ADOPTED, "groups": GROUPS, "time": PERIOD}


def frame(**columns):
    """The data as one frame, and the names of its columns in place of the columns."""
    table = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=Y, treated=TREATED, cluster=GROUPS)
    names = {"y": "y", "treatment": "treated", "groups": "cluster", "covariates": ["a", "b", "c"]}
    return lambda: {"X": table.assign(**columns)} | names | {name: name for name in columns if name == "time"}


DATA = {
    causal.ClusterEffect: one_policy,
    causal.IndividualEffect: individuals,
    causal.DifferenceInDifferences: two_periods,
    causal.StaggeredEffect: many_periods,
}
# A standard error that a method does not give is NaN, as the attributes say.
EFFECT = {"warns": WARNS["warns"], "nan": True}


def told(model):
    return model.effect_.estimate, model.summary()


FRAMES = {
    causal.ClusterEffect: frame(),
    causal.IndividualEffect: frame(treated=np.arange(40) % 2),
    causal.DifferenceInDifferences: frame(time=TIME),
    causal.StaggeredEffect: frame(time=PERIOD, treated=ADOPTED),
}


def on_a_frame(own, base):
    """The same target for names of columns."""
    arguments = {name: value for name, value in own.base().items() if name not in base()}
    return replace(own, name=f"{own.name} on a frame", base=lambda: arguments | base(), covers=())


@functools.cache
def fitted(kind):
    return quietly(lambda: kind(**settings(kind)).fit(**DATA[kind]()))()


@functools.cache
def in_halves(kind):
    data = DATA[kind]()
    return quietly(lambda: kind(**settings(kind)).fit(**data, by=np.arange(len(data["y"])) // 2 % 2))()


def equality(make, name, *names):
    return method(make, name, "equality_test", lambda: {"names": list(names)}, allowed=EFFECT)


@functools.cache
def universal():
    own = settings(causal.StaggeredEffect) | {"base_period": "universal"}
    return quietly(lambda: causal.StaggeredEffect(**own).fit(**panel_of_many()))()


def panel_of_many():
    """Six periods of twelve clusters, half of which adopt in the fourth."""
    groups, time = np.repeat(np.arange(12), 6), np.tile(np.arange(6), 12)
    y = np.random.default_rng(0).standard_normal(72)
    return {
        "X": np.empty((72, 0)),
        "y": y,
        "treatment": (groups % 2) * (time >= 3),
        "groups": groups,
        "time": time,
    }


def after(kind, *names, **options):
    title = "Average effect on the treated"
    bases = {
        "aggregate": {"by": "simple"},
        "overall": {"by": "group"},
        "infer": {"inference": "jackknife"},
        "difference": {"first": title, "second": title},
    }
    return [
        method(
            lambda: fitted(kind),
            kind.__name__,
            name,
            lambda name=name: dict(bases.get(name, {})),
            allowed=EFFECT,
        )
        for name in names
    ]


@functools.lru_cache(maxsize=1)
def network():
    return RFPRegressor(**RFP).fit(X, Y, GROUPS)


@functools.lru_cache(maxsize=1)
def line():
    """A model of one feature."""
    return RFPRegressor(**RFP).fit(X[:, :1], Y, GROUPS)


def effect(std_error=0.5):
    return causal.Effect("a", 1.0, std_error, 5.0, "made", None, None)


COMMON = ("confidence_interval", "summary", "to_frame", "to_latex", "infer", "vcov", "difference")
TARGETS: list[Target] = [
    *(estimator(kind, settings(kind), data, told, allowed=EFFECT) for kind, data in DATA.items()),
    *after(causal.ClusterEffect, *COMMON),
    *after(causal.IndividualEffect, *COMMON),
    *after(causal.DifferenceInDifferences, *COMMON),
    *after(
        causal.StaggeredEffect,
        *COMMON,
        "aggregate",
        "overall",
        "uniform_band",
        "event_times",
        "pretrend_test",
    ),
    *(
        equality(lambda kind=kind: in_halves(kind), kind.__name__, "0", "1")
        for kind in (causal.ClusterEffect, causal.IndividualEffect)
    ),
    equality(universal, "StaggeredEffect", "event time 0", "event time 1"),
    method(universal, "StaggeredEffect", "sensitivity", lambda: {"m_bar": 1.0}, allowed=EFFECT),
    method(universal, "StaggeredEffect", "smoothness_sensitivity", lambda: {"m": 1.0}, allowed=EFFECT),
    method(lambda: universal().sensitivity(1.0), "Sensitivity", "to_frame"),
    drawn(lambda: universal().sensitivity(1.0), "Sensitivity"),
    drawn(lambda: causal.SensitivityDisplay(universal().sensitivity(1.0)), "SensitivityDisplay"),
    Target("Sensitivity", dict, dict),
    *(drawn(lambda kind=kind: fitted(kind), kind.__name__) for kind in DATA),
    function(causal.EffectsDisplay.from_effects, lambda: {"effects": [effect()]}),
    drawn(lambda: causal.EffectsDisplay.from_effects([effect()]), "EffectsDisplay"),
    Target("EffectsDisplay", dict, dict),
    Target("SensitivityDisplay", dict, dict),
    function(
        causal.linear_effect,
        lambda: one_policy() | {"absorb": [PERIOD], "sample_weight": np.ones(40)},
        allowed=EFFECT,
    ),
    function(causal.wild_interval, lambda: one_policy() | {"n_draws": 99}, allowed=WARNS),
    *(
        on_a_frame(estimator(kind, settings(kind), DATA[kind], told, allowed=EFFECT), base)
        for kind, base in FRAMES.items()
    ),
    on_a_frame(function(causal.linear_effect, one_policy, allowed=EFFECT), frame()),
    function(causal.own_cluster_share, lambda: {"X": X, "groups": GROUPS}),
    function(causal.in_hull, lambda: {"X": X[:, :2], "points": X[:5, :2]}),
    function(
        causal.effective_weights,
        lambda: {"model": network(), "X": X, "y": Y, "groups": GROUPS, "points": X[:1]},
    ),
    function(causal.triad, lambda: {"X": X, "y": Y, "groups": GROUPS, "n_neighbors": 2}),
    method(effect, "Effect", "confidence_interval"),
    *(method(effect, "Effect", name) for name in ("critical_value", "summary", "to_frame", "to_latex")),
    Target("Effect", lambda: (effect().statistic, effect().p_value), dict),
    function(causal.NeighbourDisplay.from_features, lambda: {"features": {"a": X}, "groups": GROUPS}),
    function(
        causal.TriadDisplay.from_models,
        lambda: {"models": {"a": line()}, "X": X[:, :1], "y": Y, "groups": GROUPS},
    ),
    function(
        causal.WeightsDisplay.from_estimator,
        lambda: {"model": network(), "X": X, "y": Y, "groups": GROUPS, "point": X[:1]},
    ),
    function(
        causal.AdaptedCurvesDisplay.from_estimator,
        lambda: {"model": network(), "X": X, "y": Y, "groups": GROUPS, "n_points": 5},
    ),
    function(causal.EventStudyDisplay.from_estimator, lambda: {"model": fitted(causal.StaggeredEffect)}),
    drawn(lambda: causal.NeighbourDisplay.from_features({"a": X}, GROUPS), "NeighbourDisplay"),
    drawn(lambda: causal.TriadDisplay.from_models({"a": line()}, X[:, :1], Y, GROUPS), "TriadDisplay"),
    drawn(lambda: causal.WeightsDisplay.from_estimator(network(), X, Y, GROUPS, X[:1]), "WeightsDisplay"),
    drawn(
        lambda: causal.AdaptedCurvesDisplay.from_estimator(network(), X, Y, GROUPS), "AdaptedCurvesDisplay"
    ),
    drawn(
        lambda: causal.EventStudyDisplay.from_estimator(fitted(causal.StaggeredEffect)), "EventStudyDisplay"
    ),
    *(
        Target(name, dict, dict)  # made by their class methods
        for name in displays.__dict__
        if name.endswith("Display")
    ),
    Target("EventStudyDisplay", dict, dict),
]
