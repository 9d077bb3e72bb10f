"""Who takes part in a staggered policy's comparisons, and what is said of the others."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from rfpcore.causal import StaggeredEffect
from rfpcore.exceptions import DesignWarning

G, T = 18, 6
YEARS = 2000 + np.arange(T)
START = np.array([2002, 2004, 9999])[np.arange(G) % 3]
TABLE = np.random.default_rng(0).standard_normal((G, T)).cumsum(axis=1)
CLUSTER, YEAR = np.repeat(np.arange(G), T), np.tile(YEARS, G)


def fit(start=START, keep=None, weight=None, **params):
    keep = np.ones(G * T, bool) if keep is None else keep
    data = (TABLE.ravel(), start[CLUSTER] <= YEAR, CLUSTER, YEAR)
    weight = None if weight is None else weight[keep]
    model = StaggeredEffect(**params)
    return model.fit(np.empty((keep.sum(), 0)), *(a[keep] for a in data), sample_weight=weight)


def same(model, other):
    """Estimates, errors and degrees of freedom."""
    for ours, theirs in zip(model.effects_, other.effects_, strict=True):
        assert_allclose([ours.estimate, ours.std_error], [theirs.estimate, theirs.std_error], rtol=1e-10)
        assert ours.df == theirs.df


def test_everybody():
    model = fit()
    assert (model.n_rows_, model.n_clusters_, model.n_adopting_) == (G * T, G, 12)
    assert model.left_out_ == {}
    assert "Left out" not in model.summary()


def test_treated_from_the_start():
    start = START.copy()
    start[[0, 3]] = 2000
    model = fit(start)
    assert {k: v.tolist() for k, v in model.left_out_.items()} == {"treated from the first period on": [0, 3]}
    assert (model.n_adopting_, model.n_clusters_, model.n_rows_) == (10, G - 2, (G - 2) * T)
    text = model.summary()
    assert "Left out: 2 clusters, treated from the first period on: 0, 3" in text
    assert any(line.split() == ["Adopting", "clusters:", "10"] for line in text.splitlines())
    assert f"{(G - 2) * T} of {G * T}" in text
    assert f"{G - 2} of {G}" in text
    same(model, fit(start, np.isin(CLUSTER, [0, 3], invert=True)))


def test_a_last_cohort_without_controls():
    """Everybody adopts: who adopts last is a control before, and no adopter that an effect is of."""
    start = np.where(START == 9999, 2005, START)
    model = fit(start)
    assert {k: v.tolist() for k, v in model.left_out_.items()} == {
        "no controls from their adoption on": np.flatnonzero(start == 2005).tolist()
    }
    assert (model.n_adopting_, model.n_clusters_) == (12, G)
    assert "Left out: 6 clusters, no controls from their adoption on: 2, 5, 8, 11, 14, 17" in model.summary()


def test_without_the_period_before_adoption():
    gone = ((CLUSTER == 0) & (YEAR == 2001)) | ((CLUSTER == 4) & (YEAR == 2003))
    with pytest.warns(DesignWarning, match=r"2 of 18 clusters drop out .* before their adoption\): 0, 4"):
        model = fit(keep=~gone)
    assert model.left_out_["no row in the period before their adoption"].tolist() == [0, 4]
    assert model.n_adopting_ == 10
    assert "Left out: 2 clusters, no row in the period before their adoption: 0, 4" in model.summary()


def test_a_row_of_weight_zero_is_no_row():
    weight = 1.0 - ((CLUSTER == 0) & (YEAR == 2001))
    with pytest.warns(DesignWarning, match=r"1 of 18 clusters drops out .*: 0"):
        model = fit(weight=weight)
    with pytest.warns(DesignWarning):
        same(model, fit(keep=weight > 0))


def test_a_cluster_seen_once_takes_no_part_at_all():
    """Neither in the jackknife: errors and degrees of freedom are those without it."""
    alone = (CLUSTER == 2) & (YEAR != 2003)
    with pytest.warns(DesignWarning, match=r"1 of 18 clusters drops out .*never treated.*: 2"):
        model = fit(keep=~alone)
    assert model.n_clusters_ == G - 1
    same(model, fit(keep=CLUSTER != 2))


def test_first_seen_when_treated():
    late = (CLUSTER == 0) & (YEAR < 2003)
    with pytest.warns(DesignWarning, match=r"drops out .*treated when first seen\): 0"):
        model = fit(keep=~late)
    same(model, fit(keep=CLUSTER != 0))


def test_many_labels_are_shortened():
    names = np.array([f"county {i:02}" for i in range(32)])
    start = np.r_[np.full(22, 2000), np.full(5, 2002), np.full(5, 9999)]
    codes, year = np.repeat(np.arange(32), 4), np.tile(YEARS[:4], 32)
    y = np.random.default_rng(0).standard_normal(128)
    model = StaggeredEffect().fit(np.empty((128, 0)), y, start[codes] <= year, names[codes], year)
    assert "county 00, county 01" in model.summary()
    assert model.summary().endswith("...")
    assert len(model.left_out_["treated from the first period on"]) == 22


def test_messages():
    with pytest.raises(ValueError, match=r"never' needs clusters that never adopt, but all 18 .*'not-yet'"):
        fit(np.where(START == 9999, 2005, START), comparison="never")
    with pytest.raises(ValueError, match="time has 1 period, 2003"):
        fit(keep=YEAR == 2003)
    with pytest.raises(
        ValueError, match="sample_weight is 0 in every row of cluster 3, one of 1 such clusters of 18"
    ):
        fit(weight=(CLUSTER != 3) * 1.0)
