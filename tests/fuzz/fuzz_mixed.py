"""Targets: mixed models, what their `adapt` returns, and what they say of clusters."""

import functools
from dataclasses import replace

import numpy as np
from fuzz_core import GROUPS, X, Y
from fuzz_estimators import SCORED, WARNS, WEIGHTS, saved
from fuzz_target import Target, estimator, function, method

import rfpcore
from rfpcore import MixedClassifier, MixedRegressor

CLASSES = np.array(["no", "yes"])[(Y > 0).astype(int)]
COUNTS = np.round(np.exp(Y))
SMALL = {"hidden_layer_sizes": (3,), "max_iter": 20, "n_folds": 2, "weight_decay": 0.0, "n_jobs": 1}
NESTED = np.column_stack([GROUPS, np.tile([0, 1], 9)])
OUTCOMES = {MixedRegressor: Y, MixedClassifier: CLASSES}
MEANS = ["auto", "network", "gp", "trees", "linear", "x", None, 3, MixedRegressor, rfpcore.MLPRegressor()]
CHOICES = {
    "mean": MEANS,
    "effects": ["auto", "smooth", ("slopes",), ("intercept", "slopes"), (), ("x",), 3, None, [None]],
    "effect_columns": [None, [0], [1, 1], [], [2], ["x0"], "x0", 0, [True], [1.0], [None]],
    "weight_decay": ["auto", 0.0, 1e300, -1.0, float("nan"), "x", None, [0.1]],
    "center_slopes": ["auto", True, False, None, "x", 1],
}
ROWS = {"X": X, "groups": GROUPS}
LEARNT = {"X": X, "y": Y, "groups": GROUPS, "sample_weight": WEIGHTS}


def data(y, groups=GROUPS):
    return lambda: LEARNT | {"y": y, "groups": groups}


def asked(model):
    """All that a fitted model says."""
    found = model.random_effects_
    effects = [(one.effects, one.std_error) for one in (found if isinstance(found, list) else [found])]
    own = [model.summary(), repr(model.variance_components_), effects]
    numbers = [model.intraclass_correlation_, model.r2_marginal_, model.r2_conditional_, model.scores_]
    test = [model.log_likelihood_, model.no_effects_test_.statistic, model.no_effects_test_.p_value]
    says = model.predict if isinstance(model, MixedRegressor) else model.predict_proba
    return says(X), model.population_interval(X), own, numbers, test, model.variance_components_.variance


@functools.cache
def fitted(kind, mean="gp"):
    return kind(mean=mean, **SMALL).fit(X, OUTCOMES[kind], GROUPS)


def fits(kind, name, **changed):
    """An estimator's target under a name of its own, with other arguments that work."""
    own = estimator(
        kind, SMALL, data(changed.pop("y", OUTCOMES[kind])), asked, choices=CHOICES, allowed=WARNS
    )
    base = own.base
    return replace(own, name=name or own.name, base=lambda: base() | changed)


def uses(kind, *names):
    y = OUTCOMES[kind]
    more = {"score": {"y": y}}
    return [
        method(
            lambda: fitted(kind),
            kind.__name__,
            name,
            lambda name=name: ROWS | more.get(name, {}),
            allowed=SCORED if name == "score" else {},
        )
        for name in names
    ]


def adapts(kind, owner, *names):
    y = OUTCOMES[kind]
    signature = function(kind.adapt, dict).signature
    shown = "predict" if kind is MixedRegressor else "predict_proba"

    def adapt(**given):
        found = fitted(kind).adapt(**given)
        return found.labels_, repr(found), getattr(found, shown)(X, found.labels_.tolist()[:1] * 18)

    made = functools.lru_cache(maxsize=1)(lambda: fitted(kind).adapt(X, y, GROUPS))
    score = method(made, owner, "score", lambda: ROWS | {"y": y}, allowed=SCORED)
    return [
        Target(f"{kind.__name__}.adapt", adapt, data(y), signature, fixed=("self",), allowed=WARNS),
        Target(owner, lambda: repr(made()), dict),
        score,
        *(method(made, owner, name, lambda: ROWS) for name in names),
    ]


TARGETS: list[Target] = [
    fits(MixedRegressor, ""),
    fits(MixedRegressor, "MixedRegressor, linear", mean="linear", effects=("intercept", "slopes")),
    fits(MixedRegressor, "MixedRegressor, counts", loss="poisson", y=COUNTS, mean="gp"),
    fits(MixedRegressor, "MixedRegressor, nested", groups=NESTED, mean="gp"),
    fits(MixedClassifier, ""),
    fits(MixedClassifier, "MixedClassifier, linear", mean="linear"),
    *uses(MixedRegressor, "predict", "predict_interval", "sample_effects", "score"),
    *uses(MixedClassifier, "predict", "predict_proba", "decision_function", "sample_effects", "score"),
    *(
        method(lambda kind=kind: fitted(kind), kind.__name__, name, base)
        for kind in OUTCOMES
        for name, base in (("population_interval", lambda: {"X": X}), ("summary", dict))
    ),
    *adapts(MixedRegressor, "AdaptedMixedRegressor", "predict", "predict_interval", "sample_effects"),
    *adapts(MixedClassifier, "AdaptedMixedClassifier", "predict", "predict_proba", "sample_effects"),
    *(
        target
        for kind in OUTCOMES
        for target in saved(lambda kind=kind: fitted(kind), kind.__name__, lambda model: model.predict(X))
    ),
    Target("RandomEffects", lambda: repr(fitted(MixedRegressor).random_effects_), dict),
    method(lambda: fitted(MixedRegressor).random_effects_, "RandomEffects", "to_frame"),
    method(lambda: fitted(MixedRegressor).random_effects_, "RandomEffects", "confidence_interval"),
    Target("VarianceComponents", lambda: repr(fitted(MixedRegressor).variance_components_), dict),
    method(
        lambda: fitted(MixedRegressor).variance_components_,
        "VarianceComponents",
        "to_frame",
        allowed={"nan": True},  # no error of a variance that is zero
    ),
    Target("LikelihoodRatioTest", lambda: fitted(MixedRegressor).no_effects_test_.p_value, dict),
]
