"""Mixed models as outcome models: groups go on to their fits, and "mixed" against the textbook's formula."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from policy_data import GROUPS, SIZE, TREATED, D, X, Y

from rfpcore import MixedClassifier, MixedRegressor
from rfpcore.causal import ClusterEffect, DifferenceInDifferences, StaggeredEffect
from rfpcore.causal._intervals import bootstrap_counts
from rfpcore.causal._mixed import Mixed
from rfpcore.causal._sample import read_sample, standardized
from rfpcore.datasets import make_policy

G = 14
ARM = D[::SIZE]
SCALED = standardized(X)
LINEAR = MixedRegressor(mean="linear")


def difference(m0, keep, weight=1.0):
    """The effect on the treated without weights of propensities: score "regression"."""
    rows = keep & TREATED
    return np.average((Y - m0)[rows], weights=(weight * np.ones(len(Y)))[rows])


def effect(outcome, sample_weight=None, **params):
    model = ClusterEffect(outcome=outcome, estimation_method="regression", **params)
    return model.fit(X, Y, D, GROUPS, sample_weight=sample_weight)


def test_the_jackknife_refits_it_with_the_groups():
    model = effect(LINEAR)
    for c, found in zip([-1, *range(G)], [model.estimate_, *model.effect_.draws], strict=True):
        keep, rows = c != GROUPS, (c != GROUPS) & ~TREATED
        by_hand = MixedRegressor(mean="linear").fit(SCALED[rows], Y[rows], GROUPS[rows]).predict(SCALED)
        assert_allclose(found, difference(by_hand, keep), rtol=1e-9)
    assert model.outcome_ == "MixedRegressor"
    assert set(model.outcome_scores_) == {"mean", "linear", "MixedRegressor"}


def test_a_cluster_drawn_twice_is_two_clusters():
    model = effect(LINEAR, inference="bootstrap", n_draws=3)
    for count, found in zip(
        bootstrap_counts(ARM, 3, np.random.default_rng(0)), model.effect_.draws, strict=True
    ):
        drawn = np.repeat(np.arange(G), count * (ARM == 0))
        rows = np.concatenate([np.flatnonzero(c == GROUPS) for c in drawn])
        own = np.repeat(np.arange(len(drawn)), SIZE)
        by_hand = MixedRegressor(mean="linear").fit(SCALED[rows], Y[rows], own).predict(SCALED)
        assert_allclose(found, difference(by_hand, count[GROUPS] > 0, count[GROUPS]), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:inference=")
def test_a_row_without_weight_is_none():
    """Mixed models take no weight of zero: such a row is left out of their fits."""
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(Y))
    weight[[0, 40]] = 0
    rows = (weight > 0) & ~TREATED
    by_hand = MixedRegressor(mean="linear").fit(SCALED[rows], Y[rows], GROUPS[rows], weight[rows])
    found = effect(LINEAR, weight, inference="cr1").estimate_
    assert_allclose(found, difference(by_hand.predict(SCALED), weight > 0, weight), rtol=1e-9)


@pytest.mark.filterwarnings("ignore:the outcome model", "ignore:one cluster", "ignore:.*effects? rests? on")
@pytest.mark.parametrize("outcome", [LINEAR, "mixed"], ids=["regressor", "mixed"])
def test_all_designs_take_it(outcome):
    random = np.random.default_rng(0)
    twice, after = np.tile(GROUPS, 2), np.repeat([0, 1], len(Y))
    X2, D2 = np.tile(SCALED, (2, 1)), np.tile(D, 2)
    y2 = np.r_[Y, Y] + after * (X2[:, 0] + D2) + 0.1 * random.standard_normal(2 * len(Y))
    data = X2, y2, D2, twice, after
    models = [
        DifferenceInDifferences(outcome=outcome).fit(*data, unit=np.tile(np.arange(len(Y)), 2)),
        DifferenceInDifferences(outcome=outcome, efficient=True, inference="bootstrap", n_draws=2).fit(*data),
        ClusterEffect(outcome=outcome, estimand="ate").fit(X, Y, D, GROUPS),
    ]
    c, t = np.repeat(np.arange(9), 6), np.tile(np.repeat([0, 1, 2], 2), 9)
    x = random.standard_normal(18)[2 * c + np.tile([0, 1], 27)]
    treated = t >= np.array([1, 2, 9])[c % 3]
    y = x * t + treated + 0.1 * random.standard_normal(len(c))
    unit = 2 * c + np.tile([0, 1], 27)
    models.append(StaggeredEffect(outcome=outcome).fit(x[:, None], y, treated, c, t, unit=unit))
    for model in models:
        assert model.outcome_ == ("mixed" if outcome == "mixed" else "MixedRegressor")
        assert np.isfinite([model.estimate_, model.std_error_]).all()
    assert abs(models[0].estimate_ - 1) < 0.2
    assert abs(models[3].estimate_ - 1) < 0.3


@pytest.mark.filterwarnings("ignore:the outcome model", "ignore:inference=")
def test_a_classifier_takes_groups_too():
    model = ClusterEffect(outcome=MixedClassifier(mean="linear"), inference="cr1")
    model.fit(X, (Y > 1).astype(float), D, GROUPS)
    assert 0 < model.outcome_scores_["MixedClassifier"] < 2


def dense(learnt, count, weight):
    """The posterior mean of f at all rows, from the covariance of the rows drawn."""
    drawn = np.repeat(np.arange(G), count)
    each = [np.flatnonzero((c == GROUPS) & (weight > 0)) for c in drawn]
    rows, own = np.concatenate(each), np.repeat(np.arange(len(drawn)), [len(one) for one in each])
    level, slopes, noise = np.exp(learnt.process.parameters)
    centre = np.concatenate([np.tile(SCALED[one].mean(axis=0), (len(one), 1)) for one in each])
    turned = SCALED[rows] - centre
    V = (level + slopes / X.shape[1] * turned @ turned.T) * (own[:, None] == own)
    V += np.diag(noise / weight[rows])
    features = learnt.process.features(SCALED)
    K = features @ features.T
    return K[:, rows] @ np.linalg.solve(K[np.ix_(rows, rows)] + V, Y[rows])


@pytest.mark.parametrize("weighted", [False, True])
def test_fits_are_the_posterior_mean_of_the_clusters_drawn(weighted):
    """Clusters counted 0, 1 and 2 times; variances are those of all, whichever are counted."""
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(Y)) if weighted else np.ones(len(Y))
    if weighted:
        weight[np.flatnonzero(~TREATED)[[0, 30]]] = 0
    sample = read_sample(X, Y, D, GROUPS, sample_weight=weight)
    model = Mixed(0).learn(sample, Y, np.where(ARM == 0, 0, -1))
    (learnt,) = model.strata
    controls = (ARM == 0).astype(int)
    counts = np.stack([controls, controls * (np.arange(G) != np.flatnonzero(controls)[1]), controls.copy()])
    counts[2, np.flatnonzero(controls)[:2]] = [2, 0]
    scaled = weight / weight[~TREATED & (weight > 0)].mean()
    for count, found in zip(counts, model.predictions(sample, Y, counts), strict=True):
        assert_allclose(found, dense(learnt, count, scaled), rtol=1e-6, atol=1e-8)
    moved = np.where(TREATED, 1e3, Y)  # rows of the other arm say nothing
    other = Mixed(0).learn(sample, moved, np.where(ARM == 0, 0, -1))
    assert_allclose(other.strata[0].process.parameters, learnt.process.parameters, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:the outcome model")
def test_what_a_piece_of_the_jackknife_holds_does_not_matter():
    found = [effect("mixed", verbose=verbose).effect_.draws for verbose in (0, 1)]
    assert_allclose(*found, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:the outcome model")
def test_randomization_learns_from_all_clusters():
    """So the observed assignment is one of those that are drawn."""
    models = [
        ClusterEffect(outcome="mixed", inference="randomization", n_draws=9).fit(X, Y, D, GROUPS)
        for _ in range(2)
    ]
    assert models[0].p_value_ == models[1].p_value_
    assert 0.1 <= models[0].p_value_ <= 1


@pytest.mark.filterwarnings("ignore:inference=", "ignore:.*treated clusters lie outside")
def test_auto_may_take_it_where_it_is_asked_for():
    """It comes last: others that predict clusters left out as well, by the rule, are preferred."""
    models = [ClusterEffect(outcome=outcome).fit(X, Y, D, GROUPS) for outcome in ("auto", "auto+mixed")]
    before, after = (model.outcome_scores_ for model in models)
    assert set(after) - set(before) == {"mixed"}
    assert {name: after[name] for name in before if name != "auto"} == {
        name: value for name, value in before.items() if name != "auto"
    }
    X20, y, treated, groups, _ = make_policy(20, cluster_scale=0.1, random_state=48)
    model = ClusterEffect(outcome="auto+mixed", inference="cr1").fit(X20, y, treated, groups)
    assert model.outcome_ == "mixed"
    alone = ClusterEffect(outcome="mixed", inference="cr1").fit(X20, y, treated, groups)
    assert alone.estimate_ == model.estimate_
    assert alone.outcome_scores_["mixed"] == model.outcome_scores_["mixed"]
