"""Targets: the scikit-learn estimators, what their `adapt` returns, and refits."""

import copy
import functools
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fuzz_core import GROUPS, THETA, X, Y
from fuzz_target import Target, estimator, function, method
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning

import rfpcore
from rfpcore import conformal, estimators
from rfpcore.export import to_torch
from rfpcore.formula import FormulaFeatures

TABLE = pd.DataFrame(X, columns=["a", "b"]).assign(region=np.array(["north", "south"])[GROUPS % 2])
CLASSES = np.array(["a", "b", "c"])[np.digitize(Y, [-0.4, 0.4])]
WEIGHTS = np.linspace(0.5, 2, 18)
RFP = {"hidden_layer_sizes": (3,), "max_iter": 3, "random_state": 0, "n_jobs": 1, "batch_size": None}
PLAIN = {"hidden_layer_sizes": (3,), "max_iter": 3, "random_state": 0, "n_jobs": 1, "batch_size": 6}
MEMBER = rfpcore.MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, random_state=0)
CLASS_MEMBER = rfpcore.MLPClassifier(hidden_layer_sizes=(3,), max_iter=2, random_state=0)
ENSEMBLE = {"n_estimators": 2, "random_state": 0, "n_jobs": 1}
# Documented: too few steps; y as one column, as scikit-learn has it. `score` is scikit-learn's own.
WARNS = {"warns": (ConvergenceWarning, DataConversionWarning)}
SCORED = {"foreign": ("sklearn",), "warns": (UserWarning, RuntimeWarning, DataConversionWarning), "nan": True}


def grouped(y):
    return lambda: {"X": X, "y": y, "groups": GROUPS, "sample_weight": WEIGHTS}


def plain(y):
    return lambda: {"X": X, "y": y, "sample_weight": WEIGHTS, "groups": GROUPS}


def predicted(model):
    return model.predict(X)


def probable(model):
    return model.predict_proba(X), model.predict(X)


@functools.cache
def fitted(kind):
    """One small fitted estimator of each kind."""
    y = CLASSES if "Classifier" in kind.__name__ else Y
    if kind in (rfpcore.EnsembleRegressor, rfpcore.EnsembleClassifier):
        return kind(MEMBER if kind is rfpcore.EnsembleRegressor else CLASS_MEMBER, **ENSEMBLE).fit(X, y)
    if kind is estimators.RFPRegressorCV:
        member = rfpcore.RFPRegressor(**RFP)
        return kind(member, alphas=(0.5,), inner_lrs=(0.05,), n_folds=2).fit(X, y, GROUPS)
    if kind in (rfpcore.RFPRegressor, rfpcore.RFPClassifier):
        return kind(**RFP).fit(X, y, GROUPS)
    return kind(**PLAIN).fit(X, y)


def saved(made, owner, predict):
    """A file: written and read again, and read from where the user says."""

    def save(path):
        made().save(path)
        return predict(type(made()).load(path))

    def load(path):
        return predict(type(made()).load(path))

    def place():
        folder = Path(tempfile.mkdtemp(prefix="rfpcore-fuzz-"))
        made().save(folder / "model")
        return {"path": str(folder / "model")}

    options = {"allowed": {"raises": (OSError,)}}
    return [Target(f"{owner}.save", save, place, **options), Target(f"{owner}.load", load, place, **options)]


def after_fit(kind, *names):
    """The methods that take rows."""
    return [method(lambda: fitted(kind), kind.__name__, name, lambda: {"X": X}) for name in names]


def scored(kind, y, extra=()):
    return method(
        lambda: fitted(kind), kind.__name__, "score", lambda: {"X": X, "y": y}, fixed=extra, allowed=SCORED
    )


def again(kind, name, base):
    """A method that changes the estimator, on a copy."""
    own = method(lambda: fitted(kind), kind.__name__, name, base, allowed=WARNS)
    return Target(
        own.name,
        lambda **given: getattr(copy.deepcopy(fitted(kind)), name)(**given).predict(X),
        base,
        own.signature,
        allowed=WARNS,
    )


def adapted(kind, y, owner, **options):
    model = functools.lru_cache(maxsize=1)(lambda: fitted(kind).adapt(X, y, GROUPS, **options))
    rows = lambda: {"X": X, "groups": GROUPS}  # noqa: E731
    names = ["predict"] + (["decision_function", "predict_proba"] if "Classifier" in owner else [])
    score = method(model, owner, "score", lambda: rows() | {"y": y}, allowed=SCORED)
    made = Target(owner, lambda: repr(model()), dict)
    return [made, score, *(method(model, owner, name, rows) for name in names)]


# Not `len`: what a callback raises is its own, and passes through.
NO_CALLBACKS = [
    None,
    3,
    2.5,
    "x",
    b"x",
    {},
    set(),
    [3],
    ["a", None],
    np.ones(1),
    iter(()),
    ...,
    (),
    [repr, bool],
]
CALLBACKS = {"callbacks": [*NO_CALLBACKS, repr, object]}
CONFORMAL = {"estimator": MEMBER, "n_folds": 2, "random_state": 0}
CV, REGRESSOR, CLASSIFIER = estimators.RFPRegressorCV, rfpcore.RFPRegressor, rfpcore.RFPClassifier
CV_SETTINGS = {
    "estimator": REGRESSOR(**RFP),
    "alphas": (0.5,),
    "inner_steps": (1,),
    "inner_lrs": (0.05,),
    "n_folds": 2,
    "random_state": 0,
}
TARGETS: list[Target] = [
    estimator(REGRESSOR, RFP, grouped(Y), predicted, allowed=WARNS, choices=CALLBACKS),
    estimator(CLASSIFIER, RFP, grouped(CLASSES), probable, allowed=WARNS, choices=CALLBACKS),
    estimator(rfpcore.MLPRegressor, PLAIN, plain(Y), predicted, allowed=WARNS),
    estimator(rfpcore.MLPClassifier, PLAIN, plain(CLASSES), probable, allowed=WARNS),
    estimator(
        rfpcore.EnsembleRegressor, ENSEMBLE | {"estimator": MEMBER}, plain(Y), predicted, allowed=WARNS
    ),
    estimator(
        rfpcore.EnsembleClassifier,
        ENSEMBLE | {"estimator": CLASS_MEMBER},
        plain(CLASSES),
        probable,
        allowed=WARNS,
    ),
    estimator(CV, CV_SETTINGS, grouped(Y), predicted, allowed=WARNS),
    Target(
        "ClusterConformal",
        lambda X, y, groups, **params: (
            conformal.ClusterConformal(**params).fit(X, y, groups).predict_interval(X, level=0.6)
        ),
        lambda: CONFORMAL | {"X": X, "y": Y, "groups": GROUPS},
        lambda: function(conformal.ClusterConformal, dict).signature(),
        allowed=WARNS,
        covers=tuple(f"ClusterConformal.{name}" for name in ("fit", "get_params", "set_params")),
    ),
    *(
        method(
            lambda: conformal.ClusterConformal(**CONFORMAL).fit(X, Y, GROUPS),
            "ClusterConformal",
            name,
            lambda own=own: {"X": X} | own,
            allowed=allowed,
        )
        for name, own, allowed in (
            ("predict", {}, {}),
            ("predict_interval", {"level": 0.6}, {}),
            ("score", {"y": Y}, SCORED),
        )
    ),
    Target(
        "FormulaFeatures",
        lambda X, **params: FormulaFeatures(**params).fit(X).transform(X),
        lambda: {"X": TABLE, "formula": "a*region"},
        lambda: function(FormulaFeatures, dict).signature(),
        covers=tuple(
            f"FormulaFeatures.{name}" for name in ("fit", "get_params", "set_params", "fit_transform")
        ),
    ),
    *(
        method(lambda: FormulaFeatures("a*region").fit(TABLE), "FormulaFeatures", name, base)
        for name, base in (("transform", lambda: {"X": TABLE}), ("get_feature_names_out", dict))
    ),
    Target(
        "to_torch",
        lambda **given: to_torch(**given)(torch.tensor(X)).detach().numpy(),
        lambda: {"model": fitted(rfpcore.MLPRegressor), "output": "prediction"},
        lambda: function(to_torch, dict).signature(),
    ),
    *after_fit(REGRESSOR, "predict"),
    *after_fit(CLASSIFIER, "predict", "predict_proba", "decision_function"),
    *after_fit(rfpcore.MLPRegressor, "predict"),
    *after_fit(rfpcore.MLPClassifier, "predict", "predict_proba", "decision_function"),
    *after_fit(rfpcore.EnsembleRegressor, "predict", "predict_each"),
    method(
        lambda: rfpcore.EnsembleRegressor(MEMBER, 5, bootstrap=True, random_state=0).fit(X, Y),
        "EnsembleRegressor",
        "predict_interval",
        lambda: {"X": X, "level": 0.6},
    ),
    *after_fit(rfpcore.EnsembleClassifier, "predict", "predict_proba", "predict_proba_each"),
    *after_fit(CV, "predict"),
    *(scored(kind, Y) for kind in (REGRESSOR, rfpcore.MLPRegressor, rfpcore.EnsembleRegressor, CV)),
    *(scored(kind, CLASSES) for kind in (CLASSIFIER, rfpcore.MLPClassifier, rfpcore.EnsembleClassifier)),
    again(REGRESSOR, "partial_fit", grouped(Y)),
    again(CLASSIFIER, "partial_fit", lambda: grouped(CLASSES)() | {"classes": ["a", "b", "c"]}),
    *(
        Target(
            f"{kind.__name__}.adapt",
            lambda kind=kind, **given: fitted(kind).adapt(**given).predict(X, GROUPS),
            grouped(CLASSES if kind is CLASSIFIER else Y),
            lambda kind=kind: function(kind.adapt, dict).signature(),
            fixed=("self",),
            allowed=WARNS,
        )
        for kind in (REGRESSOR, CLASSIFIER, CV)
    ),
    *adapted(REGRESSOR, Y, "AdaptedRegressor", method="gradient"),
    *adapted(REGRESSOR, Y, "ExactlyAdaptedRegressor", method="exact"),
    *adapted(CLASSIFIER, CLASSES, "AdaptedClassifier"),
    *(
        target
        for kind in (
            REGRESSOR,
            CLASSIFIER,
            rfpcore.MLPRegressor,
            rfpcore.MLPClassifier,
            rfpcore.EnsembleRegressor,
            rfpcore.EnsembleClassifier,
        )
        for target in saved(lambda kind=kind: fitted(kind), kind.__name__, predicted)
    ),
    replace(
        saved(lambda: fitted(REGRESSOR), "", predicted)[1],
        name="load",
        call=lambda path: predicted(rfpcore.load(path)),
    ),
    function(
        estimators.refit_clusters,
        lambda: {
            "estimator": REGRESSOR(**RFP, inner_lr=0.05),
            "X": X,
            "y": Y,
            "groups": GROUPS,
            "counts": 1 - np.eye(3, dtype=int),
        },
        allowed=WARNS,
    ),
    method(
        lambda: estimators.refit_clusters(
            REGRESSOR(**RFP, inner_lr=0.05), X, Y, GROUPS, 1 - np.eye(3, dtype=int)
        ),
        "Refits",
        "predict",
        lambda: {"X": X},
    ),
    Target("Refits", dict, dict),
    Target(
        "FitState", lambda: estimators.FitState(1, 2, 0.5, None, THETA, 0.1, lambda *_: None).estimator, dict
    ),
]
