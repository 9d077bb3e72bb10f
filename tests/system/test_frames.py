"""pandas objects that belong together have one index: rows are paired by position, and never by accident."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from policy_data import GROUPS, D, X, Y
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GroupKFold, cross_val_score

from rfpcore import (
    Clusters,
    EnsembleRegressor,
    MixedClassifier,
    MixedRegressor,
    MLPClassifier,
    MLPRegressor,
    RFPClassifier,
    RFPRegressor,
    calibration,
    many,
)
from rfpcore import causal as c
from rfpcore._frames import require_aligned
from rfpcore.estimators import RFPRegressorCV, refit_clusters
from rfpcore.npiv import ProximalF2BMLD, SieveIV, TwoStageLeastSquares
from rfpcore.npiv.ope import make_transitions
from rfpcore.npiv.particles import MeanField
from rfpcore.plotting import DecisionBoundaryDisplay, ReliabilityDisplay

N = len(Y)
FRAME, OUTCOME, GROUP = pd.DataFrame(X, columns=list("abc")), pd.Series(Y), pd.Series(GROUPS)
HIGH, POLICY, ONES = pd.Series(np.median(Y) < Y), pd.Series(D), pd.Series(np.ones(N))
TIME, WHO = pd.Series(np.arange(N) % 2), pd.Series(np.arange(N) // 2)
EARLIER = pd.Series(np.where(np.arange(N) % 2, D, 0))
SMALL = {"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0}
RFP = RFPRegressor(inner_lr=0.05, **SMALL)
FITTED = RFP.fit(X, Y, GROUPS)
ADAPTED = FITTED.adapt(X, Y, GROUPS)
CLASSIFIER = RFPClassifier(inner_lr=0.05, **SMALL).fit(X, HIGH, GROUPS)
MIXED = MixedRegressor(mean="linear").fit(X, Y, GROUPS)
MIXED_CLASSES = MixedClassifier(mean="linear").fit(X, HIGH, GROUPS)
MLP, CLASSES = MLPRegressor(**SMALL).fit(X, Y), MLPClassifier(**SMALL).fit(X, HIGH)
OLS = LinearRegression()
ONE = FRAME[["a"]]
PROBABILITY = pd.Series(np.full(N, 0.6))
STRONG = X[:, 0] + 0.5 * X[:, 1]  # an instrument that says much of the first column
SIEVE = SieveIV(random_state=0).fit(X[:, 0], Y, STRONG, covariates=X[:, 2])


def proxies(**k):
    return ProximalF2BMLD(max_iter=2, random_state=0).fit(**k)


def named(function):
    return lambda **k: function(covariates="all", **k)


def transitions(**k):
    return make_transitions(next_states=X, terminated=np.zeros(N, bool), n_actions=2, **k)


# Every call with what has to be aligned: each argument in turn gets another index.
XY, XYG = {"X": FRAME, "y": OUTCOME}, {"X": FRAME, "y": OUTCOME, "groups": GROUP}
WEIGHTED = XYG | {"sample_weight": ONES}
EFFECT = {"X": FRAME, "y": OUTCOME, "treatment": POLICY, "groups": GROUP}
LONG = EFFECT | {"treatment": EARLIER, "groups": WHO, "time": TIME}
IV = {
    "X": ONE,
    "y": OUTCOME,
    "Z": FRAME[["b"]],
    "covariates": FRAME[["c"]],
    "groups": GROUP,
    "sample_weight": ONES,
}
CALLS = {
    "Clusters": (Clusters, WEIGHTED | {"query": pd.Series(np.arange(N) % 2 == 0)}),
    "RFPRegressor.fit": (RFP.fit, WEIGHTED),
    "RFPRegressor.partial_fit": (RFP.partial_fit, WEIGHTED),
    "RFPRegressor.adapt": (FITTED.adapt, WEIGHTED),
    "RFPRegressor.score": (FITTED.score, XY | {"sample_weight": ONES}),
    "AdaptedRegressor.predict": (ADAPTED.predict, {"X": FRAME, "groups": GROUP}),
    "AdaptedRegressor.score": (ADAPTED.score, WEIGHTED),
    "RFPClassifier.fit": (CLASSIFIER.fit, WEIGHTED | {"y": HIGH}),
    "RFPClassifier.score": (CLASSIFIER.score, XY | {"y": HIGH}),
    "RFPRegressorCV.fit": (RFPRegressorCV(RFP, alphas=[0.5], n_folds=2).fit, XYG),
    "MixedRegressor.fit": (MixedRegressor(mean="linear").fit, WEIGHTED),
    "MixedRegressor.predict": (MIXED.predict, {"X": FRAME, "groups": GROUP}),
    "MixedRegressor.predict_interval": (MIXED.predict_interval, {"X": FRAME, "groups": GROUP}),
    "MixedRegressor.score": (MIXED.score, WEIGHTED),
    "MixedRegressor.adapt": (MIXED.adapt, WEIGHTED),
    "AdaptedMixedRegressor.score": (MIXED.adapt(X, Y, GROUPS).score, WEIGHTED),
    "MixedClassifier.fit": (MixedClassifier(mean="linear").fit, WEIGHTED | {"y": HIGH}),
    "MixedClassifier.score": (MIXED_CLASSES.score, WEIGHTED | {"y": HIGH}),
    "MixedClassifier.adapt": (MIXED_CLASSES.adapt, WEIGHTED | {"y": HIGH}),
    "AdaptedMixedClassifier.predict_proba": (
        MIXED_CLASSES.adapt(X, HIGH, GROUPS).predict_proba,
        {"X": FRAME, "groups": GROUP},
    ),
    "refit_clusters": (lambda **k: refit_clusters(RFP, counts=np.ones((1, 14)), **k), XYG),
    "MLPRegressor.fit": (MLPRegressor(**SMALL).fit, XY | {"sample_weight": ONES}),
    "MLPRegressor.score": (MLP.score, XY),
    "MLPClassifier.score": (CLASSES.score, XY | {"y": HIGH}),
    "EnsembleRegressor.fit": (EnsembleRegressor(MLPRegressor(**SMALL), 2).fit, XY),
    "fit_many": (lambda **k: many.fit_many(models=many.Model((2,)), **k), XY | {"row_weights": ONES}),
    "SieveIV.fit": (SieveIV(random_state=0).fit, IV),
    "SieveIV.predict": (SIEVE.predict, {"X": ONE, "covariates": FRAME[["c"]]}),
    "TwoStageLeastSquares.fit": (TwoStageLeastSquares().fit, IV),
    "ProximalF2BMLD.fit": (
        proxies,
        {"treatment": ONE, "y": OUTCOME, "outcome_proxy": FRAME[["b"]], "treatment_proxy": FRAME[["c"]]},
    ),
    "make_transitions": (transitions, {"states": FRAME, "actions": POLICY.astype(int), "rewards": OUTCOME}),
    "MeanField.gradient": (
        lambda **k: MeanField(3, 5).gradient(MeanField(3, 5).init(0), **k),
        {"X": FRAME, "residual": OUTCOME},
    ),
    "expected_calibration_error": (
        calibration.expected_calibration_error,
        {"y_true": HIGH.astype(int), "probabilities": PROBABILITY},
    ),
    "DecisionBoundaryDisplay.plot": (
        DecisionBoundaryDisplay.from_function(lambda p: p[:, 0] * 0 + 0.3, X[:, :2]).plot,
        {"X": FRAME[["a", "b"]], "y": HIGH},
    ),
    "ReliabilityDisplay": (
        lambda **k: ReliabilityDisplay.from_estimator(CLASSES, **k),
        {"X": FRAME, "y": HIGH},
    ),
    "ClusterEffect": (
        named(c.ClusterEffect(outcome=OLS, inference="cr1").fit),
        EFFECT | {"by": pd.Series(np.where(X[:, 0] > 0, "a", "b")), "sample_weight": ONES},
    ),
    "IndividualEffect": (
        named(c.IndividualEffect(outcome=OLS, inference="cr1").fit),
        EFFECT | {"treatment": pd.Series(np.arange(len(X)) % 2), "sample_weight": ONES},
    ),
    "DifferenceInDifferences": (named(c.DifferenceInDifferences(outcome=OLS).fit), LONG | {"unit": WHO}),
    "StaggeredEffect": (named(c.StaggeredEffect(outcome=OLS).fit), LONG),
    "linear_effect": (named(c.linear_effect), EFFECT),
    "own_cluster_share": (c.own_cluster_share, {"X": FRAME, "groups": GROUP}),
    "effective_weights": (lambda **k: c.effective_weights(OLS, points=X[:1], **k), XYG),
    "triad": (c.triad, XYG),
    "TriadDisplay": (lambda **k: c.TriadDisplay.from_models({}, **k), XYG | {"X": ONE}),
    "WeightsDisplay": (lambda **k: c.WeightsDisplay.from_estimator(OLS, point=X[0], **k), XYG),
    "AdaptedCurvesDisplay": (lambda **k: c.AdaptedCurvesDisplay.from_estimator(FITTED, **k), XYG),
}


@pytest.mark.parametrize("name", CALLS)
def test_another_index_is_an_error(name):
    arguments = CALLS[name][1]
    for argument, values in arguments.items():
        shifted = values.set_axis(range(5, N + 5))
        with pytest.raises(ValueError, match=r"have different indexes: row 0 is") as caught:
            CALLS[name][0](**(arguments | {argument: shifted}))
        assert argument in str(caught.value)
        with pytest.raises(ValueError, match="the same labels in some order"):
            CALLS[name][0](**(arguments | {argument: values[::-1]}))


@pytest.mark.filterwarnings("ignore")  # networks of two steps, weak instruments: not what is looked at
@pytest.mark.parametrize("name", CALLS)
def test_one_index_passes(name):
    """Whatever it is: strings, in no order, with repetitions."""
    labels = np.array([f"row {i % 100}" for i in range(N)])[np.random.default_rng(0).permutation(N)]
    CALLS[name][0](**{argument: values.set_axis(labels) for argument, values in CALLS[name][1].items()})


def test_what_passes():
    require_aligned(X=FRAME, y=Y, groups=list(GROUPS), w=None)
    require_aligned(X=X, y=OUTCOME.set_axis(range(5, N + 5)))
    require_aligned(X=pl.DataFrame(X), y=OUTCOME.set_axis(range(5, N + 5)))
    require_aligned(X=FRAME.set_axis(np.arange(N, dtype=float)), y=OUTCOME)
    require_aligned(X=FRAME.set_axis(list(range(N))), y=OUTCOME)
    require_aligned(X=FRAME, y=OUTCOME[:-1])  # lengths are another error's
    missing = [np.nan, *range(1, N)]
    require_aligned(X=FRAME.set_axis(missing), y=OUTCOME.set_axis(missing))
    pairs = pd.MultiIndex.from_arrays([GROUPS, np.arange(N)], names=["zip", "person"])
    require_aligned(X=FRAME.set_axis(pairs), y=OUTCOME.set_axis(pairs.rename(["a", "b"])))


def test_arrays_of_features_beside_series():
    """Without an index of X the others' have to agree among each other."""
    with pytest.raises(ValueError, match=r"groups and y have .*: row 0 is 5 in groups and 0 in y"):
        RFP.fit(X, OUTCOME, GROUP.set_axis(range(5, N + 5)))
    shifted = RFP.fit(X, OUTCOME.set_axis(range(5, N + 5)), GROUP.set_axis(range(5, N + 5)))
    assert_array_equal(shifted.predict(X), RFP.fit(X, Y, GROUPS).predict(X))


def test_cross_validation_slices_alike():
    frame = FRAME.set_axis([f"row {i}" for i in range(N)])
    y = OUTCOME.set_axis(frame.index)
    scores = cross_val_score(MLPRegressor(**SMALL), frame, y, groups=GROUPS, cv=GroupKFold(3))
    assert_array_equal(scores, cross_val_score(MLPRegressor(**SMALL), X, Y, groups=GROUPS, cv=GroupKFold(3)))


def test_the_report_of_rows_dropped_from_one_of_two():
    """As after dropna on one of them: the effect was that of other people."""
    kept = FRAME.drop(index=[0, 7])
    with pytest.raises(ValueError, match="y and X have different indexes: row 0 is 0 in y and 1 in X"):
        c.ClusterEffect().fit(kept, OUTCOME[:-2], POLICY[:-2], GROUP[:-2], covariates="all")


def test_weights_of_clusters_by_label():
    labels = np.array(list("abcdefghijklmn"))
    weights = pd.Series(np.arange(14.0), index=labels)
    expected = Clusters(X, Y, labels[GROUPS], cluster_weight=np.arange(14.0)).cluster_weight
    assert_array_equal(Clusters(X, Y, labels[GROUPS], cluster_weight=weights[::-1]).cluster_weight, expected)
    with pytest.raises(ValueError, match="no entry for 14 of 14 clusters"):
        Clusters(X, Y, labels[GROUPS], cluster_weight=pd.Series(np.arange(14.0)))


def test_counts_of_refits_by_label():
    counts = pd.DataFrame(np.ones((1, 14)), columns=np.arange(14))
    assert len(refit_clusters(RFP, X, Y, GROUPS, counts)) == 1
    with pytest.raises(ValueError, match="columns of counts are the clusters in another order"):
        refit_clusters(RFP, X, Y, GROUPS, counts[counts.columns[::-1]])
