"""Outcome models on clusters left out: their scores, the choice by them, and what is said of them."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from rfpcore.causal import ClusterEffect, DifferenceInDifferences, StaggeredEffect
from rfpcore.causal import _nuisance as nuisance
from rfpcore.causal._candidates import Candidate, constant
from rfpcore.causal._sample import standardized
from rfpcore.causal._smooth import Prior, ridge, surface
from rfpcore.exceptions import DesignWarning

G, SIZE = 16, 12
GROUPS = np.repeat(np.arange(G), SIZE)
ARM = np.arange(G) % 2
D = ARM[GROUPS]
RANDOM = np.random.default_rng(5)
X = RANDOM.standard_normal((G * SIZE, 2))
NOISE = 0.2 * RANDOM.standard_normal(len(X)) + 0.2 * RANDOM.standard_normal(G)[GROUPS]
LINE = X @ [1.0, -1.0] + NOISE
STEP = 2.0 * (X[:, 0] > 0.3) * (X[:, 1] > 0) + NOISE
SCALED = standardized(X)


def left_out(model, y, predict="predict"):
    """What fits to the other controls say of each control cluster, the controls' rows in order."""
    found = np.empty(len(y))
    for c in np.flatnonzero(ARM == 0):
        rows, own = (D == 0) & (c != GROUPS), c == GROUPS
        said = getattr(model.fit(SCALED[rows], y[rows]), predict)(SCALED[own])
        found[own] = said if said.ndim == 1 else said[:, 1]
    return found[D == 0]


def r_squared(y, predicted):
    return 1 - np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2)


@pytest.mark.filterwarnings("ignore:the outcome model", "ignore:one cluster dominates")
def test_scores_are_those_of_fits_without_each_cluster():
    tree = DecisionTreeRegressor(max_depth=3, random_state=0)
    model = ClusterEffect(outcome=tree).fit(X, LINE, D, GROUPS)
    expected = {
        "linear": r_squared(LINE[D == 0], left_out(LinearRegression(), LINE)),
        "DecisionTreeRegressor": r_squared(LINE[D == 0], left_out(tree, LINE)),
    }
    assert list(model.outcome_scores_) == ["mean", *expected]
    assert_allclose([model.outcome_scores_[name] for name in expected], list(expected.values()), rtol=1e-9)
    assert model.outcome_scores_["mean"] < 0  # means of the others
    assert model.outcome_ == "DecisionTreeRegressor"
    text = model.summary()
    for word in ("R2 on clusters left out", "linear", f"{expected['linear']:.3f}"):
        assert word in text


@pytest.mark.filterwarnings("ignore:one cluster dominates")
def test_a_model_worse_than_a_line_is_said():
    deep = DecisionTreeRegressor(random_state=0)
    noise = RANDOM.standard_normal(len(X))
    with pytest.warns(
        DesignWarning, match="DecisionTreeRegressor, .* worse than a linear one, and worse than"
    ):
        ClusterEffect(outcome=deep).fit(X, noise, D, GROUPS)
    with pytest.warns(DesignWarning, match="worse than a linear one: R2"):
        ClusterEffect(outcome=deep).fit(X, LINE, D, GROUPS)


def test_classifiers_have_a_log_loss():
    y = (LINE > 0).astype(float)
    controls = y[D == 0]
    tree = DecisionTreeClassifier(max_depth=2, random_state=0)
    with pytest.warns(DesignWarning, match="log loss 0"):
        model = ClusterEffect(outcome=tree).fit(X, y, D, GROUPS)
    for name, other in (("linear", LogisticRegression()), ("DecisionTreeClassifier", tree)):
        p = np.clip(left_out(other, y, "predict_proba"), 1e-3, 1 - 1e-3)
        assert_allclose(model.outcome_scores_[name], log_loss(controls, p), rtol=1e-6)
    assert "Log loss on clusters left out" in model.summary()
    ClusterEffect(outcome=LogisticRegression()).fit(X, y, D, GROUPS)  # no warning: an error here


@pytest.mark.parametrize("y", [LINE, STEP])
def test_auto_takes_what_suits(y):
    model = ClusterEffect(outcome="auto").fit(X, y, D, GROUPS)
    scores = model.outcome_scores_
    assert {"auto", "mean", "linear", "ridge", "small network", "large network", "trees"} <= set(scores)
    assert (scores["auto"] > scores["linear"] + 0.2) == (y is STEP)
    assert model.outcome_ in model.summary()
    again = pickle.loads(pickle.dumps(model))
    assert again.infer("cv3")[0].std_error == model.infer("cv3")[0].std_error


@pytest.mark.filterwarnings("ignore:inference=")  # the stump is flexible, and 'cr1' quick
def test_the_first_within_one_and_a_half_standard_errors_is_taken(monkeypatch):
    """By hand: the stump comes first, and stays unless the line is better by more than that."""
    stump = DecisionTreeRegressor(max_depth=1, random_state=0)
    tried = {"stump": Candidate(stump, scaled=False), "linear": Candidate(LinearRegression(), scaled=False)}
    monkeypatch.setattr(nuisance, "candidates", lambda *_: tried | {"mean": constant()})
    taken = set()
    for share in (0.0, 0.1, 0.2, 0.3, 0.5, 1.0):
        y = (1 - share) * STEP + share * LINE
        model = ClusterEffect(outcome="auto", inference="cr1").fit(X, y, D, GROUPS)
        squares = [(left_out(rival, y) - y[D == 0]) ** 2 for rival in (stump, LinearRegression())]
        errors = np.array(squares).reshape(2, -1, SIZE).sum(axis=2)
        gap = errors[0] - errors[1]
        stays = gap.sum() <= 1.5 * np.sqrt(len(gap)) * gap.std(ddof=1)
        assert model.outcome_ == ("stump" if stays else "linear")
        taken.add(model.outcome_)
    assert len(taken) == 2


def test_all_designs_say_it():
    twice = np.tile(GROUPS, 2), np.repeat([0, 1], len(GROUPS))
    X2, y2, D2 = np.tile(X, (2, 1)), np.r_[NOISE, LINE], np.tile(D, 2)
    unit = np.tile(np.arange(len(GROUPS)), 2)
    models = [
        DifferenceInDifferences(outcome="auto").fit(X2, y2, D2, twice[0], twice[1], unit=unit),
        DifferenceInDifferences(outcome="auto", efficient=True, n_jobs=1).fit(X2, y2, D2, *twice),
        DifferenceInDifferences(outcome="auto").fit(X2, y2, D2, *twice),
        ClusterEffect(outcome="auto", estimand="ate").fit(X, LINE, D, GROUPS),
    ]
    for model in models:
        assert set(model.outcome_scores_) > {"auto", "linear", "mean", "trees"}
        assert "R2 on clusters left out" in model.summary()
        assert model.outcome_scores_["auto"] > model.outcome_scores_["mean"]
    assert models[0].outcome_ == ClusterEffect(outcome="auto").fit(X, LINE - NOISE, D, GROUPS).outcome_
    n, periods = 24, 4
    cluster, time = np.repeat(np.arange(n), periods), np.tile(np.arange(periods), n)
    z = np.random.default_rng(1).standard_normal(n)
    y = z[cluster] * time + 0.1 * np.random.default_rng(2).standard_normal(n * periods)
    model = StaggeredEffect(outcome="auto").fit(
        z[cluster][:, None], y, time >= np.array([2, 3, 9])[cluster % 3], cluster, time
    )
    assert set(model.outcome_scores_) == {"auto", "mean", "linear", "ridge"}
    assert model.outcome_scores_["auto"] > 0.9
    assert "R2 on clusters left out" in model.summary()
    empty = StaggeredEffect(outcome="auto").fit(
        np.empty((n * periods, 0)), y, time >= np.array([2, 3, 9])[cluster % 3], cluster, time
    )
    assert (empty.outcome_, empty.outcome_scores_) == ("mean", {})


@pytest.mark.filterwarnings("ignore:one cluster dominates")
@pytest.mark.parametrize(("n", "name"), [(40, "ridge"), (240, "linear")])
def test_clusters_of_one_row(n, name):
    """A light penalty where clusters are few; many need none, and are left out in closed form."""
    random = np.random.default_rng(3)
    z, noise = random.standard_normal(n), random.standard_normal(n)
    treated = (np.arange(n) % 3 == 0).astype(int)
    model = ClusterEffect().fit(z[:, None], z + noise, treated, np.arange(n))
    linear = ClusterEffect(outcome=LinearRegression()).fit(z[:, None], z + noise, treated, np.arange(n))
    assert model.outcome_ == name
    assert_allclose(model.estimate_, linear.estimate_, atol=0.02 if name == "ridge" else 0)
    assert_allclose(model.std_error_, linear.std_error_, rtol=0.02 if name == "ridge" else 0)


@pytest.mark.filterwarnings("ignore:the outcome model")
@pytest.mark.parametrize("outcome", ["auto", None])
def test_the_level_of_outcomes_does_not_matter(outcome):
    """Levels are added back in double precision: 1e8 loses 8 of 16 digits, not the effect."""
    low, high = (ClusterEffect(outcome=outcome).fit(X, LINE + a, D, GROUPS) for a in (0.0, 1e8))
    assert_allclose(high.estimate_, low.estimate_, atol=1e-4 * low.std_error_)
    assert_allclose(high.std_error_, low.std_error_, rtol=1e-4)


def test_few_controls_and_other_names():
    few = np.isin(GROUPS, [0, 2, 4, 1, 3, 5])
    with pytest.warns(DesignWarning, match="there are only 3"):
        model = ClusterEffect(outcome="auto").fit(X[few], LINE[few], D[few], GROUPS[few])
    assert np.isfinite(model.std_error_)
    one = np.isin(GROUPS, [0, 1, 3, 5])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)  # of three treated clusters and one control
        alone = ClusterEffect(outcome="auto", inference="cr1").fit(X[one], LINE[one], D[one], GROUPS[one])
    assert alone.outcome_scores_ == {}  # nobody is left to predict the only control
    with pytest.raises(ValueError, match="outcome='forest'"):
        ClusterEffect(outcome="forest").fit(X, LINE, D, GROUPS)


def test_randomization_chooses_by_all_clusters():
    """So the observed assignment is one of those that are drawn."""
    model = ClusterEffect(outcome="auto", inference="randomization", n_draws=19).fit(
        X[:, :1], LINE, D, GROUPS
    )
    again = ClusterEffect(outcome="auto", inference="randomization", n_draws=19).fit(
        X[:, :1], LINE, D, GROUPS
    )
    assert_array_equal(model.effect_.draws, again.effect_.draws)
    assert 0.05 <= model.p_value_ <= 1


def test_a_surface_is_a_gaussian_process():
    """Against the textbook's formula, clusters counted 0, 1 and 2 times, weights, levels of clusters."""
    rows = np.flatnonzero(GROUPS < 6)
    X6, y, codes = SCALED[rows], STEP[rows], GROUPS[rows]
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(rows))
    counts = np.array([[1, 1, 1, 1, 1, 1], [0, 2, 1, 1, 0, 1]])
    features = surface(X6, 6, 0.9)
    kernel = np.exp(-((X6[:, None] - X6) ** 2).sum(axis=2) / (2 * 2 * 0.9**2))
    assert_allclose(features @ features.T, kernel, atol=2e-5)
    found = ridge(features, y, weight, codes, counts, Prior(0.3, 0.2))
    for count, prediction in zip(counts, found, strict=True):
        drawn = np.concatenate([np.flatnonzero(codes == c) for c in range(6) for _ in range(count[c])])
        own = np.concatenate([np.full(12, i) for i in range(count.sum())])
        V = kernel[np.ix_(drawn, drawn)] + 0.2 * (own[:, None] == own) + np.diag(0.3 / weight[drawn])
        one = np.ones(len(drawn))
        level = one @ np.linalg.solve(V, y[drawn]) / (one @ np.linalg.solve(V, one))
        expected = level + kernel[:, drawn] @ np.linalg.solve(V, y[drawn] - level)
        assert_allclose(prediction, expected, atol=2e-4)
