"""Targets: nonparametric instrumental variables and policy evaluation."""

import functools

import numpy as np
from fuzz_data import drawn
from fuzz_estimators import SCORED, WARNS, saved
from fuzz_target import Target, estimator, function, method, quietly

from rfpcore import npiv
from rfpcore.npiv import ope

RANDOM = np.random.default_rng(1)
N = 60
Z = RANDOM.standard_normal((N, 1))
X = Z + 0.3 * RANDOM.standard_normal((N, 1))
Y = X[:, 0] + 0.1 * RANDOM.standard_normal(N)
W = RANDOM.standard_normal((N, 1))
GROUPS = np.repeat(np.arange(12), 5)

BILEVEL = {
    "n_particles": 5,
    "max_iter": 5,
    "n_checkpoints": 2,
    "lambdas": (1.0,),
    "random_state": 0,
    "n_jobs": 1,
}
SETTINGS = {
    npiv.F2BMLD: BILEVEL,
    npiv.ProximalF2BMLD: BILEVEL,
    npiv.DeepFeatureIV: {
        "hidden_layer_sizes": (3,),
        "hidden_layer_sizes_instrument": (4,),
        "hidden_layer_sizes_covariates": (4,),
        "max_iter": 2,
        "inner_steps": 2,
        "inner_steps_covariates": 2,
        "random_state": 0,
        "n_jobs": 1,
    },
    npiv.KernelIV: {"random_state": 0},
    npiv.SieveIV: {"n_knots": (3,), "random_state": 0},
    npiv.TwoStageLeastSquares: {},
}
PLAIN = [kind for kind in SETTINGS if kind is not npiv.ProximalF2BMLD]
FIELD = npiv.MeanField(2, 4)
FIELD_X = RANDOM.standard_normal((6, 2))


def instruments():
    return {"X": X, "y": Y, "Z": Z, "covariates": W, "groups": GROUPS}


def proxies():
    return {"treatment": X, "y": Y, "outcome_proxy": W, "treatment_proxy": Z}


def predicted(model):
    return model.predict(X, W)


def effect(model):
    return model.effect(X[:3])


@functools.cache
def fitted(kind):
    data = proxies() if kind is npiv.ProximalF2BMLD else instruments()
    return quietly(lambda: kind(**SETTINGS[kind]).fit(**data))()


def states(n=40):
    random = np.random.default_rng(2)
    states = random.standard_normal((n, 2))
    actions = random.integers(0, 2, n)
    return {
        "states": states,
        "actions": actions,
        "rewards": actions + states[:, 0],
        "next_states": 0.9 * states,
        "terminated": random.random(n) < 0.1,
        "n_actions": 2,
    }


STEPS = ope.make_transitions(**states())
OPE = {
    ope.FittedQEvaluation: {"n_components": 5, "max_iter": 20, "random_state": 0},
    ope.F2BMLDEvaluation: {
        "n_particles": 5,
        "max_iter": 5,
        "n_checkpoints": 2,
        "lambdas": (1.0,),
        "random_state": 0,
        "n_jobs": 1,
    },
    ope.DeepFeatureEvaluation: {
        "hidden_layer_sizes": (3,),
        "hidden_layer_sizes_instrument": (3,),
        "max_iter": 4,
        "n_checkpoints": 2,
        "batch_size": 16,
        "random_state": 0,
        "n_jobs": 1,
    },
}


def always_one(states):
    return np.ones(len(states), int)


POLICIES = [
    always_one,
    None,
    1,
    "a",
    lambda s: np.full(len(s), np.nan),
    lambda s: 0.5 * np.ones(len(s)),
    lambda s: 9 * np.ones(len(s), int),
    lambda s: -np.ones(len(s), int),
    lambda s: np.array(["a"] * len(s)),
    lambda s: np.ones((len(s), 2)) / 2,
    lambda s: 1,
    lambda s: None,
    lambda s: [1] * len(s),
    lambda s: np.ones(3, int),
]


def hostile_policy(own):
    """A method that takes states and a policy, with policies of all kinds."""
    return Target(
        own.name,
        own.call,
        lambda: {"states": STEPS.states, "policy": always_one},
        choices={"policy": POLICIES},
    )


@functools.cache
def evaluated(kind):
    return quietly(lambda: kind(**OPE[kind]).fit(STEPS, always_one))()


def evaluations(kind):
    name = kind.__name__
    value = method(lambda: evaluated(kind), name, "value")
    made = [
        estimator(
            kind,
            OPE[kind],
            lambda: {"transitions": STEPS, "policy": always_one},
            lambda model: model.value(STEPS.states, always_one),
            allowed=WARNS,
        ),
        hostile_policy(value),
        method(
            lambda: evaluated(kind), name, "q", lambda: {"states": STEPS.states, "actions": STEPS.actions}
        ),
    ]
    if hasattr(kind, "path_values"):
        path = method(lambda: evaluated(kind), name, "path_values")
        made.append(hostile_policy(path))
    return made


TARGETS: list[Target] = [
    *(estimator(kind, SETTINGS[kind], instruments, predicted, allowed=WARNS) for kind in PLAIN),
    estimator(npiv.ProximalF2BMLD, BILEVEL, proxies, effect, allowed=WARNS),
    *(
        method(lambda kind=kind: fitted(kind), kind.__name__, "predict", lambda: {"X": X, "covariates": W})
        for kind in SETTINGS
    ),
    method(lambda: fitted(npiv.ProximalF2BMLD), "ProximalF2BMLD", "effect", lambda: {"treatment": X[:3]}),
    method(lambda: fitted(npiv.F2BMLD), "F2BMLD", "diagnose", covers=("ProximalF2BMLD",)),
    method(
        lambda: fitted(npiv.F2BMLD),
        "F2BMLD",
        "bands",
        lambda: {"X": X, "covariates": W, "n_bootstraps": 3, "random_state": 0},
        covers=("ProximalF2BMLD",),
    ),
    *(
        target
        for kind in SETTINGS
        if hasattr(kind, "save")
        for target in saved(lambda kind=kind: fitted(kind), kind.__name__, predicted)
    ),
    function(npiv.MeanField, lambda: {"n_inputs": 2, "n_particles": 4}),
    *(
        method(
            lambda kind=kind: kind(**SETTINGS[kind]).fit(X, Y, Z),
            kind.__name__,
            "score",
            lambda: {"X": X, "y": Y},
            allowed=SCORED,
        )
        for kind in PLAIN
    ),
    method(lambda: FIELD, "MeanField", "init"),
    method(lambda: FIELD, "MeanField", "values", lambda: {"theta": FIELD.init(0), "X": FIELD_X}),
    method(
        lambda: FIELD,
        "MeanField",
        "gradient",
        lambda: {"theta": FIELD.init(0), "X": FIELD_X, "residual": np.ones(6)},
    ),
    drawn(lambda: fitted(npiv.F2BMLD).diagnose(), "Diagnosis", fixed=("axes",)),
    Target(
        "InstrumentStrength",
        lambda: npiv.InstrumentStrength(np.ones(1), np.ones(1), np.ones(1)).is_weak,
        dict,
    ),
    Target(
        "InstrumentStrength.warn",
        lambda: npiv.InstrumentStrength(np.zeros(1), np.ones(1), np.ones(1)).warn(),
        dict,
    ),
    *(Target(name, dict, dict) for name in ("Bands", "Condition", "Diagnosis", "Transitions")),
    function(ope.make_transitions, states),
    *(target for kind in OPE for target in evaluations(kind)),
]
