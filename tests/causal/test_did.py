"""Difference-in-differences against formulas and loops."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from policy_data import GROUPS, SIZE, TREATED, D, X, Y, linear
from sklearn.linear_model import LinearRegression, LogisticRegression

from rfpcore import RFPRegressor
from rfpcore.causal import ClusterEffect, DifferenceInDifferences
from rfpcore.exceptions import DesignWarning

OLS = LinearRegression()
N, G = len(Y), 14
BEFORE = np.random.default_rng(0).standard_normal(N) + X[:, 0] + 0.3 * GROUPS
EFFECT = (np.tile(X, (2, 1)), np.concatenate([BEFORE, Y]))
LATER = np.concatenate([np.zeros(N), D])
LONG = (*EFFECT, LATER, np.tile(GROUPS, 2), np.repeat([2010, 2011], N))
UNIT = np.tile(np.arange(N), 2)


def fitted(data=LONG, unit=UNIT, **params):
    return DifferenceInDifferences(**{"outcome": OLS} | params).fit(*data, unit=unit)


def propensity(scaled, count=None):
    clusters = np.repeat(np.arange(G), np.ones(G, int) if count is None else count)
    logit = LogisticRegression(solver="newton-cholesky", tol=1e-12)
    fit = logit.fit(scaled[::SIZE, 2:][clusters], D[::SIZE][clusters])
    return fit.predict_proba(scaled[:, 2:])[:, 1].clip(0.1, 0.9)


def contrast(y, p, keep):
    """The doubly robust contrast of the arms among some rows."""
    r, w = y - linear(X, y, keep & ~TREATED), keep * 1.0
    return np.average(r, weights=w * D) - np.average(r, weights=w * (1 - D) * p / (1 - p))


def test_panel_is_the_closed_formula():
    """Sant'Anna and Zhao (2020): E[(w_1 - w_0)(dY - m(X))] with a linear m and normalised weights."""
    p = propensity((X - X.mean(0)) / X.std(0))
    w1, w0 = D / D.mean(), (1 - D) * p / (1 - p)
    change = Y - BEFORE
    expected = np.mean((w1 - w0 / w0.mean()) * (change - linear(X, change, ~TREATED)))
    assert_allclose(fitted().estimate_, expected, rtol=1e-9)


def test_without_covariates_it_is_four_means():
    data = (np.empty((2 * N, 0)), *LONG[1:])
    change = Y - BEFORE
    expected = change[TREATED].mean() - change[~TREATED].mean()
    assert_allclose(fitted(data).estimate_, expected, rtol=1e-12)
    assert_allclose(fitted(data, unit=None).estimate_, expected, rtol=1e-12)


def test_panel_is_the_effect_on_changes():
    """Estimate, jackknife and all other inference, by a network too, whatever the order of the rows."""
    network = RFPRegressor(
        standardize=False, hidden_layer_sizes=(4,), inner_lr=0.05, max_iter=5, random_state=0
    )
    direct = ClusterEffect(outcome=network).fit(X, Y - BEFORE, D, GROUPS)
    model = fitted(outcome=network)
    assert_array_equal(model.effect_.draws, direct.effect_.draws)
    assert model.infer("cross-fit")[0].std_error == direct.infer("cross-fit")[0].std_error
    order = np.random.default_rng(1).permutation(2 * N)
    shuffled = fitted([a[order] for a in LONG], UNIT[order])
    assert_allclose(shuffled.std_error_, fitted().std_error_, rtol=1e-9)


def test_either_way_of_giving_the_treatment():
    adopts = (*EFFECT, np.tile(D, 2), *LONG[3:])
    assert fitted(adopts).estimate_ == fitted().estimate_


def test_cross_sections_by_loops():
    """Estimate and jackknife: other people in each period, and other numbers of them."""
    rows = np.random.default_rng(2).random(2 * N) < 0.8
    model = fitted([a[rows] for a in LONG], unit=None)

    def estimate(out):
        result = []
        for period, y in ((0, BEFORE), (1, Y)):
            seen = rows[period * N : (period + 1) * N]
            kept = seen & (out != GROUPS)
            scaled = (X - X[seen].mean(0)) / X[seen].std(0)
            p = propensity(scaled, (np.arange(G) != out).astype(int))
            result.append(contrast(y, p, kept))
        return result[1] - result[0]

    full, *without = (estimate(out) for out in (None, *range(G)))
    assert_allclose(model.estimate_, full, rtol=1e-9)
    assert_allclose(model.effect_.draws, without, rtol=1e-9)


def efficient_by_hand(rows, out=None):
    """Equation 3.4: models of both arms in both periods, at the treated of one period or of both."""
    x, y, d, g, late = (np.asarray(a)[rows] for a in (LONG[0], LONG[1], np.tile(D, 2), *LONG[3:]))
    keep, late, d = g != out, late == 2011, d == 1
    scaled = (x - x.mean(0)) / x.std(0)
    means = np.array([scaled[g == c].mean(0) for c in range(G)])[:, 2:]
    arm, clusters = D[::SIZE], np.flatnonzero(np.arange(G) != out)
    logit = LogisticRegression(solver="newton-cholesky", tol=1e-12).fit(means[clusters], arm[clusters])
    p = logit.predict_proba(means)[g, 1].clip(0.1, 0.9)
    m = {(a, t): linear(x, y, keep & (d == a) & (late == t)) for a in (0, 1) for t in (0, 1)}

    def change(values, weight):
        after, before = (np.average(values, weights=weight * keep * (late == t)) for t in (1, 0))
        return after - before

    residual = y - np.where(late, m[0, 1], m[0, 0])
    first = change(residual, d * 1.0) - change(residual, ~d * p / (1 - p))
    gaps = [m[1, t] - m[0, t] for t in (0, 1)]
    everywhere = [gap[keep & d].mean() for gap in gaps]
    own = [gap[keep & d & (late == t)].mean() for t, gap in enumerate(gaps)]
    return first + (everywhere[1] - own[1]) - (everywhere[0] - own[0])


def test_efficient_cross_sections_by_the_formula():
    rows = np.random.default_rng(2).random(2 * N) < 0.8
    model = fitted([a[rows] for a in LONG], unit=None, efficient=True)
    assert_allclose(model.estimate_, efficient_by_hand(rows), rtol=1e-9)
    assert_allclose(model.effect_.draws, [efficient_by_hand(rows, out) for out in range(G)], rtol=1e-8)
    assert abs(model.estimate_ - fitted([a[rows] for a in LONG], unit=None).estimate_) > 1e-3


@pytest.mark.filterwarnings("ignore:the outcome model")  # five steps: worse than a line indeed
def test_efficient_on_the_same_people_twice():
    """The treated of one period are those of both, so nothing is added to the first estimand."""
    network = RFPRegressor(
        standardize=False, hidden_layer_sizes=(4,), inner_lr=0.05, max_iter=5, random_state=0
    )
    for outcome in (OLS, network):
        plain, efficient = (fitted(unit=None, outcome=outcome, efficient=e) for e in (False, True))
        assert_allclose(efficient.estimate_, plain.estimate_, rtol=1e-9)


def test_where_it_is_not_efficient():
    with pytest.raises(ValueError, match="efficient=True is for repeated cross-sections"):
        fitted(efficient=True)
    with pytest.raises(ValueError, match="doubly robust score, but estimation_method='ipw'"):
        fitted(unit=None, efficient=True, estimation_method="ipw")


def test_summary():
    text = fitted().summary()
    for word in ("2010 to 2011", "Units:", "Difference-in-differences"):
        assert word in text
    assert "Rows:" in fitted(unit=None).summary()


def changed(index, value, which=2):
    data = [np.array(a) for a in LONG]
    data[which][index] = value
    return data


BAD = {
    "three periods": (changed(0, 2009, 4), UNIT, "time has 3 periods.* StaggeredEffect"),
    "varies in a period": (changed(N + 30, 1 - D[30]), UNIT, "varies inside cluster 3 in period 2011"),
    "treated before": (changed(slice(0, SIZE), 1), UNIT, "cluster 0 is treated in period 2010|cluster ."),
    "one arm": (changed(slice(None), 0), UNIT, "none of the [0-9]+ clusters is a treated cluster"),
    "twice": (LONG, np.where(np.arange(2 * N) == 5, 4, UNIT), "unit 4 has 2 rows in period 2010"),
    "moved": (changed(0, 7, 3), UNIT, "unit 0 is in the clusters 7 and 0"),
    "unbalanced": (
        [a[1:] for a in LONG],
        UNIT[1:],
        r"unit 0 of cluster 0 has no row in period 2010, one of 1 of",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_errors(case):
    data, unit, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        fitted(data, unit)


def test_cluster_missing_in_a_cross_section():
    keep = (LONG[3] != 4) | (LONG[4] == 2011)
    with pytest.raises(ValueError, match="cluster 4 has no row in period 2010, one of 1"):
        fitted([a[keep] for a in LONG], unit=None)


def test_inference_that_needs_units():
    with pytest.raises(ValueError, match="inference='wild' is for units that are followed"):
        fitted(unit=None, inference="wild")


def test_names_and_warnings():
    frame = pd.DataFrame(LONG[0], columns=list("abc")).assign(
        y=LONG[1], d=LONG[2], g=LONG[3], t=LONG[4], id=UNIT
    )
    model = DifferenceInDifferences(outcome=OLS).fit(
        frame, "y", "d", "g", "t", unit="id", covariates=list("abc")
    )
    assert model.estimate_ == fitted().estimate_
    with pytest.raises(ValueError, match="time names the column 'year'"):
        DifferenceInDifferences().fit(frame, "y", "d", "g", "year", unit="id")
    few = np.isin(frame.g, [*np.flatnonzero(D[::SIZE])[:2], *np.flatnonzero(1 - D[::SIZE])])
    with pytest.warns(DesignWarning, match="only 2 treated"):
        fitted([a[few][:, :2] if a.ndim > 1 else a[few] for a in LONG], UNIT[few])
