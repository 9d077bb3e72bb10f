"""p-values by enumeration, and draws that do not depend on how many come at a time."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from policy_data import GROUPS, D, X, Y
from sklearn.linear_model import LinearRegression

from rfpcore.causal import ClusterEffect, DifferenceInDifferences, Effect, StaggeredEffect, linear_effect
from rfpcore.causal import _intervals as intervals
from rfpcore.causal import _score_inference as scores
from rfpcore.exceptions import DesignWarning

OLS = LinearRegression()
SIX = np.repeat(np.arange(6), 4)
POLICY = (SIX < 3).astype(float)
OUTCOME = np.random.default_rng(3).standard_normal(24) + 8 * POLICY  # as clear as it can be
FEW = "ignore:there are only 3"


@pytest.mark.filterwarnings(FEW)
@pytest.mark.parametrize("estimator", ["effect", "did"])
def test_score_bootstrap_by_enumeration(estimator):
    """All 64 sign vectors, none of which is as large as what is observed: 1 / 65, not 0."""
    if estimator == "effect":
        model = ClusterEffect(inference="wild", n_draws=999).fit(np.empty((24, 0)), OUTCOME, POLICY, SIX)
    else:
        long = [np.tile(a, 2) for a in (POLICY, SIX)]
        model = DifferenceInDifferences(inference="wild", n_draws=999).fit(
            np.empty((48, 0)),
            np.concatenate([np.zeros(24), OUTCOME]),
            *long,
            np.repeat([0, 1], 24),
            unit=np.tile(np.arange(24), 2),
        )
    means = OUTCOME.reshape(6, 4).mean(axis=1)
    treated = np.arange(6) < 3
    u = np.where(treated, means - means[:3].mean(), -(means - means[3:].mean())) / 3
    error = np.sqrt(6 / 5 * np.sum(u**2))
    observed, count = (means[:3].mean() - means[3:].mean()) / error, 0
    for signs in itertools.product([1, -1], repeat=6):
        moved = np.array(signs) * u
        count += abs(moved.sum() / np.sqrt(6 / 5 * np.sum((moved - moved.mean()) ** 2))) >= abs(observed)
    assert_allclose(model.effect_.statistic, observed, rtol=1e-9)
    assert model.p_value_ == (1 + count) / 65
    assert count == 0


@pytest.mark.filterwarnings(FEW)
def test_restricted_bootstrap_by_enumeration():
    """The data as they are are one of the 64, and their mirror image another: 2 / 64."""
    effect = linear_effect(np.empty((24, 0)), OUTCOME, POLICY, SIX, inference="wild")
    W, count = np.c_[np.ones(24), POLICY], 0
    bread = np.linalg.inv(W.T @ W)

    def t(y):
        beta = bread @ W.T @ y
        rows = W * (y - W @ beta)[:, None]
        meat = sum(np.outer(s, s) for s in (rows[c == SIX].sum(axis=0) for c in range(6)))
        return beta[1] / np.sqrt(6 / 5 * 23 / 22 * (bread @ meat @ bread)[1, 1])

    null = OUTCOME - OUTCOME.mean()
    for signs in itertools.product([1, -1], repeat=6):
        count += abs(t(np.array(signs)[SIX] * null)) >= abs(t(OUTCOME)) * (1 - 1e-9)
    assert effect.p_value == count / 64
    assert count >= 2


@pytest.mark.filterwarnings(FEW)
@pytest.mark.parametrize("method", ["wild", "webb"])
def test_no_p_value_is_zero(method):
    """By draws: one in 1 + draws, or in draws where the first of them is the observed."""
    model = ClusterEffect(inference=method, n_draws=50).fit(np.empty((24, 0)), OUTCOME, POLICY, SIX)
    assert model.p_value_ == 1 / 51
    linear = linear_effect(np.empty((24, 0)), OUTCOME, POLICY, SIX, inference=method, n_draws=50)
    assert 1 / 50 <= linear.p_value < 0.1
    by_hand = Effect("", 9.0, 1.0, 5.0, "", statistics=np.array([0.5, -1.0, np.nan, 2.0]))
    assert by_hand.p_value == 1 / 4


def test_randomization_never_gives_zero():
    with pytest.warns(DesignWarning, match="only 3"):
        model = ClusterEffect(inference="randomization", n_draws=7).fit(
            np.empty((24, 0)), OUTCOME, POLICY, SIX
        )
    assert model.p_value_ >= 1 / 8


def blocks(kind, size, monkeypatch):
    monkeypatch.setattr(intervals, "BLOCK", size)
    random = np.random.default_rng(0)
    if kind == "bootstrap":
        return intervals.bootstrap_counts(np.array([0, 1, 1, -1, 0, 0]), 500, random)
    if kind == "arms":
        model = ClusterEffect(outcome=OLS, inference="cr1").fit(X, Y, D, GROUPS)
        return scores.draw_arms(model._sample, model._used_models, 500, random)
    if kind == "even arms":
        model = ClusterEffect(inference="cr1").fit(X[:, :0], Y, D, GROUPS)
        return scores.draw_arms(model._sample, model._used_models, 500, random)
    n_clusters = 8 if kind == "every" else 40
    return intervals.wild_signs(n_clusters, 500, "webb" if kind == "webb" else "rademacher", random)


@pytest.mark.parametrize("kind", ["rademacher", "webb", "every", "bootstrap", "arms", "even arms"])
def test_draws_do_not_depend_on_the_block(kind, monkeypatch):
    whole = blocks(kind, 10**6, monkeypatch)
    assert_array_equal(blocks(kind, 300, monkeypatch), whole)
    assert_array_equal(blocks(kind, 1, monkeypatch), whole)
    assert len(whole) == (256 if kind == "every" else 500)
    if kind == "bootstrap":
        assert_array_equal(whole[:, [0, 4, 5]].sum(axis=1), 3)
        assert_array_equal(whole[:, 3], 0)
        # Means of 500 draws, each of variance below 1.
        assert_allclose(whole[:, [0, 1, 2, 4, 5]].mean(axis=0), 1, atol=0.15)
    if "arms" in kind:
        assert_array_equal(whole.sum(axis=1), D.reshape(14, -1)[:, 0].sum())


def fits(method, **params):
    if method == "linear":
        return linear_effect(X, Y, D, GROUPS, inference="wild", **params)
    if method == "staggered":
        time, cluster = np.tile(np.arange(3), 20), np.repeat(np.arange(20), 3)
        y = np.random.default_rng(0).standard_normal(60)
        treatment = (cluster % 2) * (time == 2)
        model = StaggeredEffect(inference="bootstrap", **params)
        return model.fit(np.empty((60, 0)), y, treatment, cluster, time).effect_
    return ClusterEffect(outcome=OLS, inference=method, **params).fit(X, Y, D, GROUPS).effect_


@pytest.mark.parametrize("method", ["wild", "webb", "bootstrap", "randomization", "linear", "staggered"])
def test_results_do_not_depend_on_the_block(method, monkeypatch):
    found = []
    for size in (10**6, 140):
        monkeypatch.setattr(intervals, "BLOCK", size)
        monkeypatch.setattr(scores, "FITS", size)
        found.append(fits(method, n_draws=60))
    assert found[0].p_value == found[1].p_value
    for name in ("draws", "statistics"):
        if getattr(found[0], name) is not None:
            assert_allclose(*(getattr(effect, name) for effect in found), rtol=1e-9)


@pytest.mark.parametrize("method", ["wild", "cr1", "jackknife", "randomization", "linear", "staggered"])
def test_absurd_numbers_of_draws(method):
    with pytest.raises(ValueError, match="n_draws=1000000000000 is too large; at most 10000000"):
        fits(method, n_draws=10**12)


class Stop(Exception):
    pass


@pytest.mark.parametrize("method", ["wild", "webb", "randomization"])
def test_large_numbers_of_draws_are_drawn_as_they_are_needed(method, monkeypatch):
    """Ten million are not all made before the first is looked at, so that Ctrl-C is heard between."""
    seen = []

    def looked(*args):
        seen.append(len(args[-1]))
        raise Stop

    name = "estimates_by_arms" if method == "randomization" else "wild_statistics"
    monkeypatch.setattr(scores if method == "randomization" else intervals, name, looked)
    monkeypatch.setattr(intervals, "BLOCK", 5000)
    rows = np.repeat(np.arange(40), 2)
    y = np.random.default_rng(0).standard_normal(80)
    with pytest.raises(Stop):
        ClusterEffect(inference=method, n_draws=10**7).fit(np.empty((80, 0)), y, rows % 2, rows)
    assert 0 < seen[0] <= 5000 / 40


def test_assignments_end_with_extreme_probabilities():
    """Sure to be treated or not, but for one in a million: as many treated as there are, all the same."""
    n = 30
    z = np.linspace(-3, 3, n)

    class Sure(LinearRegression):
        def predict_proba(self, Z):
            p = np.where(Z[:, 0] > 0, 1e-6, 1 - 1e-6)  # against what is
            return np.c_[1 - p, p]

        def fit(self, Z, d):
            self.classes_ = np.array([0, 1])
            return self

    arm = (z > 0).astype(int)
    arm[[0, -1]] = 1, 0
    model = ClusterEffect(
        estimation_method="ipw", propensity=Sure(), propensity_bounds=(1e-9, 1 - 1e-9), inference="cr1"
    )
    model.fit(z[:, None], np.arange(n, dtype=float), arm, np.arange(n))
    found = scores.draw_arms(model._sample, model._used_models, 100, np.random.default_rng(0))
    assert_array_equal(found.sum(axis=1), arm.sum())
    assert found[:, z < 0].mean() > 0.9


def test_assignments_are_conditional_poisson():
    """Against all assignments of 2 in 5, each weighing the product of its odds."""
    p = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    odds = p / (1 - p)
    every = [np.isin(np.arange(5), c) for c in itertools.combinations(range(5), 2)]
    weight = np.array([np.prod(odds[row]) for row in every])
    exact = weight @ np.array(every) / weight.sum()
    shifted = scores._with_sum(p, 2)
    assert_allclose(shifted.sum(), 2, rtol=1e-9)
    other = np.array([np.prod((shifted / (1 - shifted))[row]) for row in every])
    assert_allclose(other @ np.array(every) / other.sum(), exact, rtol=1e-9)
