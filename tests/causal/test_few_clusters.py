"""No standard error where one cluster or rounding stands behind it, and a warning where few do."""

import re
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from policy_data import GROUPS, SIZE, D, X, Y
from sklearn.linear_model import LinearRegression

from rfpcore.causal import ClusterEffect, DifferenceInDifferences, StaggeredEffect, linear_effect
from rfpcore.causal._checks import dominant, effective_number
from rfpcore.exceptions import DesignWarning

OLS = LinearRegression()
TREATED = np.flatnonzero(D[::SIZE])
SCORES = ("cr1", "wild", "webb", "score-jackknife")
REFITS = ("jackknife", "cv3", "bootstrap")
G, T = 20, 4
CLUSTER, TIME = np.repeat(np.arange(G), T), np.tile(np.arange(T), G)
NOISE = np.random.default_rng(0).standard_normal(G * T) + np.random.default_rng(1).standard_normal(G)[CLUSTER]
NONE = np.empty((G * T, 0))
FLAT = [np.zeros(len(Y)), np.full(len(Y), 0.1), X @ [1, 2, 3]]


def said(act):
    """What `act` returns, and the texts of its DesignWarnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = act()
    assert all(issubclass(w.category, DesignWarning) for w in caught)
    return result, [str(w.message) for w in caught]


def staggered(start, method, y=NOISE):
    treatment = (np.asarray(start)[CLUSTER] <= TIME).astype(int)
    return said(lambda: StaggeredEffect(inference=method, n_draws=99).fit(NONE, y, treatment, CLUSTER, TIME))


@pytest.mark.parametrize("method", REFITS)
def test_one_adopter(method):
    model, texts = staggered([2] + [9] * (G - 1), method)
    assert np.isfinite(model.estimate_)
    for kind in ("simple", "group", "cells", "calendar"):
        assert all(np.isnan(e.std_error) and np.isnan(e.p_value) for e in model.aggregate(kind))
    assert any("there is only 1 treated cluster, 0:" in text for text in texts)
    with pytest.raises(ValueError, match="no standard error for"):
        model.confidence_interval()
    assert np.isnan(model.uniform_band().critical_value)


@pytest.mark.parametrize("method", REFITS)
@pytest.mark.parametrize("adopters", [2, 3, 4])
def test_few_adopters(method, adopters):
    _, texts = staggered([2] * adopters + [9] * (G - adopters), method)
    assert [f"there are only {adopters} treated clusters" in text for text in texts] == [True]


@pytest.mark.parametrize("method", REFITS)
def test_few_never_adopters(method):
    """With controls that never adopt, one of them: it stands for all."""
    treatment = (np.where(np.arange(G) < G - 1, 2, 9)[CLUSTER] <= TIME).astype(int)
    model, texts = said(
        lambda: StaggeredEffect(inference=method, n_draws=99).fit(NONE, NOISE, treatment, CLUSTER, TIME)
    )
    assert np.isnan(model.std_error_)
    assert any("only 1 control cluster, 19" in text for text in texts)


@pytest.mark.parametrize("method", REFITS)
def test_cohorts_of_one_and_two(method):
    """The average over ten adopters has an error; that of a cohort of one has none; one of two is named."""
    model, texts = staggered([1, 2, 2] + [3] * 7 + [9] * 10, method)
    assert model.std_error_ > 0
    errors = {e.name: e.std_error for e in model.aggregate("group")}
    assert np.isnan(errors["adopted 1"])
    assert errors["adopted 2"] > 0
    (text,) = texts
    assert re.search(r"cannot be estimated at all without one of the clusters.*\(cluster 0\)", text)
    assert re.search(r"rest on two or three clusters of an arm.*\(2\)", text)


@pytest.mark.parametrize("method", [*SCORES, "bootstrap", "cross-fit", *REFITS[:2]])
def test_one_treated_cluster(method):
    keep = (D == 0) | (TREATED[0] == GROUPS)
    data = X[keep][:, :2], Y[keep], D[keep], GROUPS[keep]
    model = ClusterEffect(outcome=OLS, inference=method, n_draws=99, n_folds=2)
    if method in ("jackknife", "cv3"):
        with pytest.warns(DesignWarning), pytest.raises(ValueError, match="only one of its arm"):
            model.fit(*data)
    elif method == "cross-fit":
        with pytest.warns(DesignWarning), pytest.raises(ValueError, match="at least 2 clusters in each arm"):
            model.fit(*data)
    else:
        _, texts = said(lambda: model.fit(*data))
        assert np.isnan(model.std_error_)
        assert np.isnan(model.p_value_)
        assert texts == [text for text in texts if f"only 1 treated cluster, {TREATED[0]}" in text]


@pytest.mark.parametrize("method", [*SCORES, *REFITS, "cross-fit"])
def test_subgroups_with_one_treated_cluster_or_none(method):
    alone = np.isin(GROUPS, [TREATED[0], *np.flatnonzero(D[::SIZE] == 0)[:3]])
    model = ClusterEffect(outcome=OLS, inference=method, n_draws=99, n_folds=3)
    _, texts = said(lambda: model.fit(X, Y, D, GROUPS, by=np.where(alone, "north", "south")))
    errors = {e.name: e.std_error for e in model.effects_}
    assert np.isnan(errors["north"])
    assert model.std_error_ > 0
    assert errors["south"] > 0
    assert any(f"north (cluster {TREATED[0]})" in text for text in texts)

    controls = np.isin(GROUPS, np.flatnonzero(D[::SIZE] == 0)[:3])
    _, texts = said(lambda: model.fit(X, Y, D, GROUPS, by=np.where(controls, "north", "south")))
    assert np.isnan({e.name: e.estimate for e in model.effects_}["north"])
    assert any("there are no treated rows in 'north', so its effect is NaN" in text for text in texts)


def test_one_treated_cluster_in_cross_sections():
    keep = (D == 0) | (TREATED[0] == GROUPS)
    rows = np.concatenate([np.flatnonzero(keep)] * 2)
    time = np.repeat([0, 1], keep.sum())
    model = DifferenceInDifferences(outcome=OLS, inference="bootstrap", n_draws=50)
    said(lambda: model.fit(X[rows][:, :2], Y[rows] * time, D[rows], GROUPS[rows], time))
    assert np.isnan(model.std_error_)


@pytest.mark.parametrize("method", ["cr1", "wild", "webb"])
def test_linear_effect_of_one_cluster(method):
    """By a treated cluster, and by a treatment that varies in one cluster only, given their dummies."""
    dummies = (GROUPS[:, None] == np.arange(1, 14)).astype(float)
    inside = (np.arange(len(Y)) % 3 == 0) * (GROUPS == 5)
    for columns, d, who in ((X, GROUPS == 2, 2), (dummies, inside, 5)):
        data = columns, Y, d, GROUPS
        effect, texts = said(lambda data=data: linear_effect(*data, inference=method, n_draws=99))
        assert np.isfinite(effect.estimate)
        assert np.isnan(effect.std_error)
        assert np.isnan(effect.p_value)
        (text,) = texts
        assert f"rests on cluster {who} alone" in text
        with pytest.raises(ValueError, match=f"without cluster {who} the covariates and the treatment"):
            linear_effect(columns, Y, d, GROUPS)


@pytest.mark.parametrize("method", ["cr1", "cr3", "wild", "webb"])
def test_linear_effect_of_two_clusters(method):
    dummies = (GROUPS[:, None] == np.arange(1, 14)).astype(float)
    inside = (np.arange(len(Y)) % 3 == 0) * (GROUPS < 2)
    _, texts = said(lambda: linear_effect(dummies, Y, inside, GROUPS, inference=method, n_draws=99))
    assert any("an effective number of 2.0 of 14" in text for text in texts)
    assert any(re.search(r"two clusters dominate: [01], [01] make up 100%", text) for text in texts)
    _, (text,) = said(lambda: linear_effect(X, Y, GROUPS < 3, GROUPS, inference=method, n_draws=99))
    assert "there are only 3 treated clusters" in text


@pytest.mark.parametrize("y", FLAT, ids=["0", ".1", "Xb"])
@pytest.mark.parametrize("method", ["cr1", "cr3", "wild", "webb"])
def test_linear_effect_without_residuals(method, y):
    effect, texts = said(lambda: linear_effect(X, y, D, GROUPS, inference=method, n_draws=99))
    assert np.isnan(effect.std_error)
    assert np.isnan(effect.p_value)
    assert any("residuals are zero but for rounding" in text for text in texts)
    with pytest.raises(ValueError, match="no standard error for 'treatment'"):
        effect.confidence_interval()


@pytest.mark.parametrize("y", FLAT, ids=["0", ".1", "Xb"])
@pytest.mark.parametrize("method", [*SCORES, *REFITS, "cross-fit"])
def test_effects_that_do_not_differ_between_clusters(method, y):
    """Errors of 1e-17 and p-values of 1e-15 are none."""
    model = ClusterEffect(outcome=OLS, inference=method, n_draws=99)
    _, texts = said(lambda: model.fit(X, y, D, GROUPS))
    assert_allclose(model.estimate_, 0, atol=1e-12)
    assert np.isnan(model.std_error_)
    assert np.isnan(model.p_value_)
    assert any("zero but for rounding is none" in text for text in texts)


def test_randomization_without_differences():
    model = ClusterEffect(outcome=OLS, inference="randomization", n_draws=20).fit(X, X @ [1, 2, 3], D, GROUPS)
    assert model.p_value_ == 1.0


@pytest.mark.parametrize("method", [*SCORES[:3], "bootstrap", "jackknife"])
def test_one_cluster_makes_up_the_variance(method):
    """In every method, not only the jackknife; without covariates, so that the scores are by hand."""
    y = Y + 1000 * (TREATED[0] == GROUPS)
    model = ClusterEffect(inference=method, n_draws=999)
    _, texts = said(lambda: model.fit(X[:, :0], y, D, GROUPS))
    assert any("one cluster dominates" in text and f" {TREATED[0]} " in text for text in texts)


def test_effective_numbers():
    assert effective_number(np.ones(7)) == 7.0
    assert_allclose(effective_number(np.array([0.5, 0.5, 0, 0])), 2.0)
    assert effective_number(np.zeros(3)) == 0.0
    assert dominant(np.ones(12)).tolist() == []
    assert dominant(np.r_[99.0, np.ones(11)]).tolist() == [0]
    assert sorted(dominant(np.r_[100.0, 90.0, np.full(10, 0.1)])) == [0, 1]
    assert dominant(np.r_[3.0, np.ones(5)]).tolist() == []  # of six clusters, by chance


def test_which_clusters_a_coefficient_rests_on_by_ranks():
    """Of designs with dummies and small integers: whether the treatment adds to the rank without one."""
    from rfpcore.causal._partialled import partialled

    counted = np.zeros(2, int)
    for seed in range(150):
        random = np.random.default_rng(seed)
        n, n_columns = random.integers(8, 40), random.integers(0, 5)
        codes = np.unique(random.integers(0, random.integers(2, 9), n), return_inverse=True)[1]
        kinds = [random.standard_normal(n), codes == 1, random.integers(0, 3, n), random.integers(0, 2, n)]
        columns = np.array([kinds[random.integers(4)] for _ in range(n_columns)], float).reshape(-1, n).T
        d = np.array(
            [codes % 2, codes == 0, (codes == 0) & (random.random(n) < 0.5), kinds[0]][seed % 4], float
        )
        try:
            model, _ = partialled(columns, d, random.standard_normal(n), codes, codes.max() + 1)
        except ValueError:
            continue
        for cluster, (alone, without) in enumerate(zip(model.rests_on, model.without(), strict=True)):
            rest = np.c_[np.ones(n), columns][codes != cluster]
            both = np.c_[rest, d[codes != cluster]]
            expected = np.linalg.matrix_rank(both) == np.linalg.matrix_rank(rest)
            assert alone == expected == np.isnan(without)
            counted[int(expected)] += 1
    assert counted.min() > 50
