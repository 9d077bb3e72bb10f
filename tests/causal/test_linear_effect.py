"""Least squares and the wild cluster bootstrap against loops and other packages."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from policy_data import GROUPS, D, X, Y

from rfpcore.causal import linear_effect
from rfpcore.causal._intervals import wild_signs, wild_statistics

G = 14
W = np.column_stack([np.ones(len(Y)), X, D])


def cr1(y):
    """Coefficient and Stata's standard error of the last column."""
    bread = np.linalg.inv(W.T @ W)
    beta = bread @ W.T @ y
    u = y - W @ beta
    scores = np.array([W[c == GROUPS].T @ u[c == GROUPS] for c in range(G)])
    factor = G / (G - 1) * (len(y) - 1) / (len(y) - W.shape[1])
    return beta[-1], np.sqrt(factor * (bread @ scores.T @ scores @ bread)[-1, -1])


def test_cr1_by_hand():
    effect = linear_effect(X, Y, D, GROUPS, inference="cr1")
    assert_allclose([effect.estimate, effect.std_error], cr1(Y), rtol=1e-10)


def test_jackknife_by_loops():
    effect = linear_effect(X, Y, D, GROUPS)
    without = [np.linalg.lstsq(W[c != GROUPS], Y[c != GROUPS], rcond=None)[0][-1] for c in range(G)]
    assert_allclose(effect.draws, without, rtol=1e-9)


@pytest.mark.parametrize("weights", ["wild", "webb"])
def test_wild_bootstrap_by_loops(weights):
    """Each draw a regression of its own: y* = restricted fit + signs * restricted residuals."""
    effect = linear_effect(X, Y, D, GROUPS, inference=weights, n_draws=50)
    name = "webb" if weights == "webb" else "rademacher"
    null = W[:, :-1] @ np.linalg.lstsq(W[:, :-1], Y, rcond=None)[0]
    for v, t in zip(wild_signs(G, 50, name, np.random.default_rng(0)), effect.statistics, strict=True):
        estimate, error = cr1(null + (Y - null) * v[GROUPS])
        assert_allclose(t, estimate / error, rtol=1e-8)
    assert_allclose(effect.statistics[0], effect.statistic, rtol=1e-8)  # the first draw is the data


def test_wild_draws():
    random = np.random.default_rng(0)
    every = wild_signs(4, 16, "rademacher", random)
    assert_array_equal(every, list(itertools.product([1, -1], repeat=4)))
    webb = wild_signs(3, 200_000, "webb", random)
    assert_array_equal(webb[0], 1)
    assert_allclose(np.unique((webb[1:] ** 2).round(12)), [0.5, 1.0, 1.5])
    # Webb's weights have mean 0, variance 1 and fourth moment 7/6; 600,000 draws.
    assert_allclose([webb.mean(), webb.var(), np.mean(webb**4)], [0, 1, 7 / 6], atol=0.01)
    score = random.standard_normal(5)
    assert_allclose(wild_statistics(score - score.mean(), np.ones((1, 5))), 0, atol=1e-12)


def test_against_statsmodels():
    sm = pytest.importorskip("statsmodels.api")
    fit = sm.OLS(Y, W).fit(cov_type="cluster", cov_kwds={"groups": GROUPS})
    effect = linear_effect(X, Y, D, GROUPS, inference="cr1")
    assert_allclose([effect.estimate, effect.std_error], [fit.params[-1], fit.bse[-1]], rtol=1e-8)


@pytest.mark.filterwarnings("ignore")  # the peers' own
def test_against_pyfixest():
    pf = pytest.importorskip("pyfixest")
    import pandas as pd

    frame = pd.DataFrame(X, columns=list("abc")).assign(y=Y, d=D, g=GROUPS)
    ssc = pf.ssc(k_adj=False, G_adj=False)
    fit = pf.feols("y ~ a + b + c + d", frame, vcov={"CRV3": "g"}, ssc=ssc)
    effect = linear_effect(frame, "y", "d", "g", covariates=list("abc"))
    # Without its corrections pyfixest leaves out the jackknife's (G - 1) / G too.
    error = fit.se()["d"] * np.sqrt((G - 1) / G)
    assert_allclose([effect.estimate, effect.std_error], [fit.coef()["d"], error], rtol=1e-8)


@pytest.mark.filterwarnings("ignore")
def test_against_wildboottest():
    module = pytest.importorskip("wildboottest.wildboottest")
    sm = pytest.importorskip("statsmodels.api")
    import pandas as pd

    keep = GROUPS < 9  # all 2^9 sign vectors on both sides: the same draws
    frame = pd.DataFrame(W[keep], columns=["one", "a", "b", "c", "d"])
    model = sm.OLS(pd.Series(Y[keep]), frame)
    groups = pd.Series(GROUPS[keep])
    theirs = module.wildboottest(model, param="d", cluster=groups, B=99999, bootstrap_type="11", show=False)
    ours = linear_effect(X[keep], Y[keep], D[keep], GROUPS[keep], inference="wild")
    assert len(ours.statistics) == 512
    assert_allclose(
        ours.statistic, abs(float(theirs["statistic"].iloc[0])) * np.sign(ours.statistic), rtol=1e-8
    )
    # The observed statistic and its mirror image are among the draws; by rounding they count there or do not.
    larger = np.mean(np.abs(ours.statistics) > abs(ours.statistic) * (1 + 1e-9))
    assert larger == ours.p_value - 2 / 512
    assert larger <= float(theirs["p-value"].iloc[0]) <= ours.p_value


def test_treatments_without_variation():
    with pytest.raises(ValueError, match="linear function of the covariates"):
        linear_effect(X, Y, X[:, 0], GROUPS)
    with pytest.raises(ValueError, match="1 cluster; at least 2"):
        linear_effect(X, Y, D, np.zeros(len(Y)))
    one = (GROUPS == 2).astype(float)
    with pytest.raises(ValueError, match="without cluster 2 the covariates and the treatment are collinear"):
        linear_effect(X, Y, one, GROUPS)
