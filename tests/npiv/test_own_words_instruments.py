"""What hostile arguments found in instruments and evaluations: errors in our own words, finite numbers."""

import functools
import warnings

import numpy as np
import pandas as pd
import pytest

import rfpcore
from rfpcore import npiv
from rfpcore.npiv import ope

RANDOM = np.random.default_rng(1)
N = 60
Z = RANDOM.standard_normal((N, 1))
X = Z + 0.3 * RANDOM.standard_normal((N, 1))
Y = X[:, 0] + 0.1 * RANDOM.standard_normal(N)
BILEVEL = {"n_particles": 5, "max_iter": 5, "n_checkpoints": 2, "lambdas": (1.0,), "random_state": 0}
DEEP = {
    "hidden_layer_sizes": (3,),
    "hidden_layer_sizes_instrument": (4,),
    "max_iter": 2,
    "inner_steps": 2,
    "random_state": 0,
}
SETTINGS = {
    npiv.F2BMLD: BILEVEL,
    npiv.DeepFeatureIV: DEEP,
    npiv.KernelIV: {"random_state": 0},
    npiv.SieveIV: {"n_knots": (3,), "random_state": 0},
}
EVALUATIONS = {
    ope.FittedQEvaluation: {"n_components": 5, "max_iter": 20, "random_state": 0},
    ope.F2BMLDEvaluation: BILEVEL,
    ope.DeepFeatureEvaluation: {
        "hidden_layer_sizes": (3,),
        "hidden_layer_sizes_instrument": (3,),
        "max_iter": 4,
        "n_checkpoints": 2,
        "batch_size": 16,
        "random_state": 0,
    },
}
STATES = RANDOM.standard_normal((40, 2))
ACTIONS = RANDOM.integers(0, 2, 40)
STEPS = {
    "states": STATES,
    "actions": ACTIONS,
    "rewards": ACTIONS + STATES[:, 0],
    "next_states": 0.9 * STATES,
    "terminated": np.arange(40) % 10 == 9,
    "n_actions": 2,
}


def always_one(states):
    return np.ones(len(states), int)


def quietly(fit):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit()


def fit(kind, groups=None, **options):
    return quietly(lambda: kind(**SETTINGS.get(kind, {}) | options).fit(X, Y, Z, groups=groups))


@functools.cache
def fitted(kind):
    return fit(kind)


def evaluate(kind, steps=None, policy=always_one, **options):
    steps = ope.make_transitions(**STEPS) if steps is None else steps
    return quietly(lambda: kind(**EVALUATIONS[kind] | options).fit(steps, policy))


@functools.cache
def evaluated(kind):
    return evaluate(kind)


def transitions(**changed):
    return ope.make_transitions(**STEPS | changed)


CASES = {
    "widths": (
        lambda: fit(npiv.DeepFeatureIV, hidden_layer_sizes=False),
        TypeError,
        "hidden_layer_sizes=False is a bool; a seq",
    ),
    "no widths": (
        lambda: fit(npiv.DeepFeatureIV, hidden_layer_sizes_instrument=()),
        ValueError,
        "hidden_layer_sizes_instrument has 0 layers; 1 to 1000",
    ),
    "huge step": (
        lambda: fit(npiv.DeepFeatureIV, learning_rate_init=1e155),
        rfpcore.DivergenceError,
        r"not finite after 1 steps of 1e\+155; a smaller learning_rate_init is needed",
    ),
    "tiny ridge": (
        lambda: fit(npiv.DeepFeatureIV, penalty=1e-300),
        ValueError,
        "a ridge of 3e-299 is lost in rounding beside features of up to .*; larger penalties are needed",
    ),
    "knots": (lambda: fit(npiv.SieveIV, n_knots=5), TypeError, "n_knots=5 is a int; a sequence of integers"),
    "products": (
        lambda: fit(npiv.SieveIV, interactions=np.ones(2)),
        ValueError,
        r"interactions=array\(\[1., 1.\]\); 'auto', True or False is needed",
    ),
    "refit": (lambda: fit(npiv.F2BMLD, refit="no"), TypeError, "refit='no' is a str; True or False is"),
    "warm start": (
        lambda: fit(npiv.F2BMLD, inner_warm_start=2),
        TypeError,
        "inner_warm_start=2 is a int; True or False is needed",
    ),
    "all held out": (
        lambda: fit(npiv.F2BMLD, groups=np.arange(N) % 2, validation_fraction=0.9),
        ValueError,
        "validation_fraction=0.9 holds out 2 of 2 groups; a smaller one is needed",
    ),
    "save nowhere": (
        lambda: fitted(npiv.SieveIV).save(None),
        TypeError,
        "path=None is a NoneType; a str or path is needed",
    ),
    "light penalty": (
        lambda: fitted(npiv.F2BMLD).bands(X, n_bootstraps=3, penalty=1e-300, random_state=0),
        ValueError,
        "penalty=1e-300 is lost in rounding beside squares of .*; a larger one is needed",
    ),
    "lambdas": (
        lambda: evaluate(ope.F2BMLDEvaluation, lambdas=...),
        TypeError,
        "lambdas=Ellipsis is a ellipsis; a sequence of numbers is needed",
    ),
    "fraction": (
        lambda: evaluate(ope.F2BMLDEvaluation, validation_fraction=-np.inf),
        ValueError,
        r"validation_fraction=-inf; a number in \(0, 1\) is needed",
    ),
    "intercept": (
        lambda: evaluate(ope.F2BMLDEvaluation, fit_intercept=3),
        TypeError,
        "fit_intercept=3 is a int; True or False is needed",
    ),
    "widths of Q": (
        lambda: evaluate(ope.DeepFeatureEvaluation, hidden_layer_sizes=-1),
        TypeError,
        "hidden_layer_sizes=-1 is a int; a sequence of integers is needed",
    ),
    "policy": (
        lambda: evaluate(ope.FittedQEvaluation, policy=1),
        TypeError,
        "policy is a int; a function from states to actions is needed",
    ),
    "ragged policy": (
        lambda: evaluated(ope.FittedQEvaluation).value(STATES, lambda states: [[1], [1, 2]]),
        ValueError,
        "what the policy returns is not a rectangular array",
    ),
    "ragged flags": (
        lambda: transitions(terminated=[[True], [True, False]]),
        ValueError,
        "terminated is not a rectangular array",
    ),
    "episode missing": (
        lambda: transitions(episodes=[None, *range(39)]),
        ValueError,
        "episodes has no label in row 0; every row needs one",
    ),
    "episodes": (lambda: transitions(episodes=3), ValueError, r"episodes has shape \(\); \(40,\), one label"),
}


@pytest.mark.parametrize("name", CASES)
def test_refused_in_our_own_words(name):
    call, kind, message = CASES[name]
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize("steps", ["x", True, pd.DataFrame(), STATES, object])
@pytest.mark.parametrize("kind", EVALUATIONS)
def test_steps_that_are_no_transitions_are_refused(kind, steps):
    with pytest.raises(TypeError, match=f"transitions is a {type(steps).__name__}; what make_transitions"):
        kind(**EVALUATIONS[kind]).fit(steps, always_one)


def test_one_group_gives_no_clustered_error():
    pytest.importorskip("linearmodels")
    with pytest.raises(ValueError, match="groups has 1 group; at least 2 are needed for clustered"):
        fit(npiv.TwoStageLeastSquares, groups=np.ones(N))


@pytest.mark.parametrize("kind", SETTINGS)
def test_beyond_what_fit_takes_nothing_is_predicted(kind):
    for size in (1e101, 1.7e308):
        with pytest.raises(
            ValueError, match=r"column 0 of X has values up to .*; sizes between 0 and 1e.100"
        ):
            fitted(kind).predict([[0.0], [size]])


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("size", [1e50, 1e100])
def test_far_from_the_rows_of_fit_the_function_is_finite_or_refused(kind, size):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = fitted(kind).predict([[0.0], [size]])
        except ValueError:
            return
    assert np.isfinite(found).all()


def test_labels_of_episodes_may_be_of_any_kind():
    labels = [("a", i // 10) for i in range(40)]
    assert transitions(episodes=labels).episodes.tolist() == [i // 10 for i in range(40)]
