"""Every estimator learns whole or not at all: a fit that ends early leaves it as it was, to the bit."""

import inspect
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression
from small_effects import followed, individuals, panel, policy, staggered

import rfpcore
from rfpcore import causal, estimators, npiv
from rfpcore.datasets import make_vee
from rfpcore.npiv import ope

PACKAGE = str(Path(rfpcore.__file__).parent)
N_STOPS = 25
NET = {"hidden_layer_sizes": (3,), "max_iter": 11, "random_state": 0}
MIXED = {"hidden_layer_sizes": (3,), "max_iter": 20, "n_folds": 2, "weight_decay": 0.0}
BILEVEL = {"n_particles": 5, "max_iter": 4, "n_checkpoints": 2, "lambdas": [1.0], "random_state": 0}


def networks(scale):
    X, y, groups = make_vee(n_clusters=6, n_per_cluster=5, random_state=int(scale))
    return {"X": scale * X, "y": y, "groups": groups}


def classes(scale):
    data = networks(scale)
    return data | {"y": data["y"] > np.median(data["y"])}


def without_groups(data):
    return lambda scale: {name: value for name, value in data(scale).items() if name != "groups"}


def instruments(scale):
    z, u = np.random.default_rng(int(scale)).standard_normal((2, int(40 + scale)))
    return {"X": scale * (z + u), "y": scale * (z + 2 * u), "Z": z, "covariates": u - z}


def unweighted(scale):
    data = instruments(scale)
    del data["covariates"]
    return data


def proxies(scale):
    u, a, w, q = np.random.default_rng(int(scale)).standard_normal((4, 40))
    return {"treatment": scale * (u + a), "y": a - u, "outcome_proxy": u + w, "treatment_proxy": u + q}


def zeros(states):
    return np.zeros(len(states), int)


def refuse(states):
    raise ValueError("no policy for these states")


def transitions(scale):
    random = np.random.default_rng(int(scale))
    states = scale * random.uniform(-1, 1, (40, 1))
    steps = ope.make_transitions(
        states, random.integers(0, 2, 40), random.normal(size=40), states, np.zeros(40, bool), n_actions=2
    )
    return {"transitions": steps, "policy": zeros}


@dataclass
class Case:
    """An estimator, data for it of a scale, the method that learns, and what it says afterwards."""

    estimator: BaseEstimator
    data: object
    says: object
    method: str = "fit"
    swallows_ctrl_c: bool = False


def predictions(model):
    return model.predict(np.linspace(-1, 1, 5)[:, None])


def probabilities(model):
    return model.predict_proba(np.linspace(-1, 1, 5)[:, None])


def structural(model):
    grid = np.linspace(-1, 1, 5)
    return model.predict(grid, covariates=grid if model.n_covariates_ else None)


def of_clusters(model):
    """Of the population and of the clusters of `networks`."""
    X, groups = np.linspace(-1, 1, 6)[:, None], np.arange(6)
    says = model.predict if hasattr(model, "reml") else model.predict_proba
    return np.stack([says(X), says(X, groups)])


def effects(model):
    return np.array([[effect.estimate, effect.std_error] for effect in model.infer("jackknife")])


CASES = {
    "RFPRegressor": Case(rfpcore.RFPRegressor(**NET), networks, predictions),
    "RFPRegressor, early": Case(rfpcore.RFPRegressor(**NET, early_stopping=True), networks, predictions),
    "RFPRegressor, warm": Case(rfpcore.RFPRegressor(**NET, warm_start=True), networks, predictions),
    "RFPRegressor, partial": Case(rfpcore.RFPRegressor(**NET), networks, predictions, "partial_fit"),
    "RFPClassifier": Case(rfpcore.RFPClassifier(**NET), classes, probabilities),
    "RFPRegressorCV": Case(
        estimators.RFPRegressorCV(rfpcore.RFPRegressor(**NET, inner_lr=0.1), alphas=[0.5], n_folds=2),
        networks,
        predictions,
    ),
    "MixedRegressor": Case(rfpcore.MixedRegressor(**MIXED), networks, of_clusters),
    "MixedRegressor, linear": Case(
        rfpcore.MixedRegressor(mean="linear", effects=("intercept", "slopes")), networks, of_clusters
    ),
    "MixedClassifier": Case(rfpcore.MixedClassifier(**MIXED), classes, of_clusters),
    "MLPRegressor": Case(rfpcore.MLPRegressor(**NET), without_groups(networks), predictions),
    "MLPClassifier": Case(rfpcore.MLPClassifier(**NET), without_groups(classes), probabilities),
    "EnsembleRegressor": Case(
        rfpcore.EnsembleRegressor(rfpcore.MLPRegressor(**NET), 2, random_state=0),
        without_groups(networks),
        predictions,
        swallows_ctrl_c=True,  # what is done is an ensemble too
    ),
    "EnsembleClassifier": Case(
        rfpcore.EnsembleClassifier(rfpcore.MLPClassifier(**NET), 2, random_state=0),
        without_groups(classes),
        probabilities,
        swallows_ctrl_c=True,
    ),
    "ClusterEffect": Case(causal.ClusterEffect(outcome=LinearRegression()), policy, effects),
    "ClusterEffect, networks": Case(
        causal.ClusterEffect(outcome=rfpcore.RFPRegressor(**NET, inner_lr=0.1)), policy, effects
    ),
    "IndividualEffect": Case(
        causal.IndividualEffect(outcome=LinearRegression(), n_folds=2), individuals, effects
    ),
    "DifferenceInDifferences": Case(causal.DifferenceInDifferences(), panel, effects),
    "DifferenceInDifferences, panel": Case(causal.DifferenceInDifferences(), followed, effects),
    "StaggeredEffect": Case(causal.StaggeredEffect(), staggered, effects),
    "F2BMLD": Case(npiv.F2BMLD(**BILEVEL), instruments, structural),
    "KernelIV": Case(npiv.KernelIV(random_state=0), instruments, structural),
    "SieveIV": Case(npiv.SieveIV(n_knots=(3,), random_state=0), instruments, structural),
    "DeepFeatureIV": Case(
        npiv.DeepFeatureIV(
            hidden_layer_sizes=(3,),
            hidden_layer_sizes_instrument=(4,),
            hidden_layer_sizes_covariates=(3,),
            max_iter=2,
            random_state=0,
        ),
        instruments,
        structural,
    ),
    "TwoStageLeastSquares": Case(npiv.TwoStageLeastSquares(), instruments, structural),
    "ProximalF2BMLD": Case(
        npiv.ProximalF2BMLD(**BILEVEL), proxies, lambda model: model.effect(np.linspace(-1, 1, 5))
    ),
    "FittedQEvaluation": Case(
        ope.FittedQEvaluation(gamma=0.5, n_components=5, random_state=0),
        transitions,
        lambda model: model.value(np.linspace(-1, 1, 5), zeros),
    ),
    "F2BMLDEvaluation": Case(
        ope.F2BMLDEvaluation(gamma=0.5, **BILEVEL),
        transitions,
        lambda model: model.value(np.linspace(-1, 1, 5), zeros),
    ),
    "DeepFeatureEvaluation": Case(
        ope.DeepFeatureEvaluation(
            gamma=0.5,
            hidden_layer_sizes=(3,),
            hidden_layer_sizes_instrument=(3,),
            max_iter=3,
            batch_size=8,
            random_state=0,
        ),
        transitions,
        lambda model: model.value(np.linspace(-1, 1, 5), zeros),
    ),
}


def test_no_estimator_is_forgotten():
    public = {
        name
        for module in (rfpcore, estimators, causal, npiv, ope)
        for name in module.__all__
        if inspect.isclass(thing := getattr(module, name)) and hasattr(thing, "fit")
    }
    assert public == {name.split(",")[0] for name in CASES}


def frozen(value, seen, of_handle=id):
    """All of a value, to the bit; what is compiled has a handle."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, np.ndarray):
        return frozen(value.tolist(), seen, of_handle)
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic | type):
        return repr(value)
    if id(value) in seen:
        return "seen", seen[id(value)]
    seen[id(value)] = len(seen)
    if isinstance(value, dict):
        return [(repr(key), frozen(item, seen, of_handle)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [frozen(item, seen, of_handle) for item in value]
    if not hasattr(value, "__dict__"):
        return type(value).__name__, of_handle(value)
    own = sorted(vars(value).items())
    return type(value).__name__, [(name, frozen(item, seen, of_handle)) for name, item in own]


class Stopper:
    """Counts the calls of the package's functions, and raises at one of them."""

    def __init__(self, error=None, at=-1):
        self.error, self.at, self.count = error, at, 0

    def __call__(self, frame, event, argument):
        code = frame.f_code
        # What is raised while a generator is closed is ignored by Python itself.
        if (
            event == "call"
            and code.co_filename.startswith(PACKAGE)
            and not code.co_flags & inspect.CO_GENERATOR
        ):
            self.count += 1
            if self.count == self.at:
                raise self.error(f"at call {self.at}")

    def run(self, work):
        sys.setprofile(self)
        try:
            work()
        finally:
            sys.setprofile(None)


def learn(case, model, scale, **changes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(model, case.method)(**case.data(scale) | changes)


@pytest.fixture(params=CASES)
def fitted(request):
    """A case, its model fitted on the first data, and all there is to know of it."""
    case = CASES[request.param]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = case.estimator.__class__(**case.estimator.get_params(deep=False))
        learn(case, model, 1.0)
        said = case.says(model)  # fills what is computed when first asked for
    return case, model, dict(vars(model)), frozen(vars(model), {}), said


def require_unchanged(fitted):
    case, model, attributes, state, said = fitted
    assert vars(model).keys() == attributes.keys()
    assert all(vars(model)[name] is value for name, value in attributes.items())
    assert frozen(vars(model), {}) == state
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(case.says(model), said)


def test_a_fit_that_is_stopped_changes_nothing(fitted):
    case, model = fitted[:2]
    whole = Stopper()
    other = case.estimator.__class__(**model.get_params(deep=False))
    learn(case, other, 1.0)
    data = case.data(2.0)

    def fit(model):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            getattr(model, case.method)(**data)

    fit(other)  # what is kept between calls is there from now on, and the count the same each time
    other = case.estimator.__class__(**model.get_params(deep=False))
    learn(case, other, 1.0)
    whole.run(lambda: fit(other))
    stops = np.unique(np.linspace(1, whole.count, N_STOPS).astype(int))
    errors = [MemoryError] if case.swallows_ctrl_c else [MemoryError, KeyboardInterrupt]
    for number, at in enumerate(stops):
        error = errors[number % len(errors)]
        with pytest.raises(error, match=f"at call {at}"):
            Stopper(error, at).run(lambda: fit(model))
        require_unchanged(fitted)


def test_a_fit_of_wrong_arguments_changes_nothing(fitted):
    case, model = fitted[:2]
    if "y" in case.data(2.0):
        y = np.asarray(case.data(2.0)["y"], float)
        wrong = [{"y": y[:-1]}, {"y": np.append(y[:-1], np.nan)}]
    else:
        wrong = [{"policy": refuse}]
    for changes in wrong:
        with pytest.raises(ValueError, match=r"\by\b|states"):
            learn(case, model, 2.0, **changes)
        require_unchanged(fitted)


def test_the_second_fit_forgets_the_first(fitted):
    case, model = fitted[:2]
    fresh = case.estimator.__class__(**model.get_params(deep=False))
    learn(case, fresh, 2.0)
    learn(case, model, 2.0)
    if case.method == "fit" and not getattr(model, "warm_start", False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.testing.assert_array_equal(case.says(model), case.says(fresh))
