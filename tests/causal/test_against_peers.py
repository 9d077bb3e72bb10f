"""Estimates against those of DoubleML, csdid and R's did, stored.

Those of simulated data come from `benches/effects/agreement.py` (DoubleML 0.11.4, csdid 0.4.3); those of the
counties' teen employment from the documentation of did 2.5 (`did-basics`, `att_gt`, `aggte`), which prints
four digits.
"""

import gzip
import pickle
from importlib.resources import files

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression, LogisticRegression

from benches.effects.agreement import counties, people
from rfpcore.causal import IndividualEffect, StaggeredEffect, _within

OLS = LinearRegression()
EXACT = LogisticRegression(solver="newton-cholesky", tol=1e-13)
FREE = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-13)  # as in R's DRDID, no penalty
FEW_DRAWS = {"inference": "bootstrap", "n_draws": 2}
DOUBLE_ML = {
    "ate": (0.9669550877991375, 0.13112075837304338),
    "att": (1.0051504425875535, 0.16469376916891587),
}


def parts(estimand, d, y, m0, m1, p):
    """Of each row, the score of DoubleML: for all with normalised weights, for the treated without."""
    if estimand == "ate":
        w1, w0 = d / p, (1 - d) / (1 - p)
        return m1 - m0 + w1 / w1.mean() * (y - m1) - w0 / w0.mean() * (y - m0)
    return (d - (1 - d) * p / (1 - p)) * (y - m0) / d.mean()


@pytest.mark.parametrize("propensity", [None, EXACT], ids=["default", "scikit-learn"])
@pytest.mark.parametrize("estimand", ["ate", "att"])
def test_double_ml(estimand, propensity, monkeypatch):
    """The same nuisances and, on all, the same estimate. Its error takes the weights' sum for known."""
    x, y, d, groups, folds = people()
    monkeypatch.setattr(_within, "deal", lambda *_: folds)
    model = IndividualEffect(estimand=estimand, outcome=OLS, propensity=propensity, inference="cr1")
    model.fit(x, y, d, groups)
    (fitted,) = model._fitted
    score = parts(estimand, d, y - np.median(y), *fitted)
    share = d / d.mean() if estimand == "att" else np.ones(len(y))
    estimate, error = DOUBLE_ML[estimand]
    # Two solvers of the same logistic regression, each to about 1e-10.
    assert_allclose(score.mean(), estimate, rtol=1e-9)
    by_cluster = np.bincount(groups, score - share * score.mean())
    assert_allclose(np.sqrt(by_cluster @ by_cluster) / len(y), error, rtol=1e-9)
    if estimand == "ate":
        assert_allclose(model.estimate_, estimate, rtol=1e-9)
    # Beside CR1's factor of 20 / 19, only the normalising sums are other ones.
    assert_allclose(model.estimate_, estimate, atol=0.01)
    assert_allclose(model.std_error_, error * np.sqrt(20 / 19), rtol=0.06)


def unpenalised(**options):
    bounds = (1e-9, 1 - 1e-9)
    return StaggeredEffect(
        comparison="never", outcome=OLS, propensity=FREE, propensity_bounds=bounds, **options
    )


def numbers(text):
    return [float(word) for word in text.split()]


# Estimates of the cells, their errors, and the overall averages.
CSDID = {
    "means": (
        numbers(
            "0.8391977168 0.6638535183 0.5294225446 0.1842209128 0.3644036958 0.4734414898 "
            "0.7189666619 0.5863007635 0.1100291609 -0.238185825 0.7700015475 1.2434657902"
        ),
        numbers(
            "0.2361666257 0.2749124978 0.295611676 0.3436737337 0.186397732 0.2032383495 "
            "0.2218328599 0.265744097 0.2324218452 0.242235125 0.2056910782 0.2792885717"
        ),
        {"simple": 0.6205953249, "dynamic": 0.5500291809, "group": 0.6518418051, "calendar": 0.6519482646},
    ),
    "regression": (
        numbers(
            "1.2515634069 1.1202104944 1.1658775965 0.8498313057 0.4371216422 0.4811990605 "
            "0.7584833302 0.6309587823 0.0823772298 -0.2411357406 0.7579247436 1.2294339219"
        ),
        numbers(
            "0.2133137736 0.1964658252 0.1948443046 0.1884747094 0.1638541063 0.1985917223 "
            "0.1884348222 0.2058469497 0.2918582 0.2287621859 0.1772661966 0.2352618341"
        ),
        {"simple": 0.8881868086, "dynamic": 0.8817113074, "group": 0.8681595051, "calendar": 0.939672595},
    ),
    "aipw": (
        numbers(
            "1.2601848897 1.1124411596 1.1660104435 0.836595227 0.4372854601 0.4808002355 "
            "0.7581153723 0.6303964959 0.082396421 -0.2411955035 0.7579178454 1.229405837"
        ),
        numbers(
            "0.2088617814 0.1998735194 0.1941674397 0.1881206255 0.1638588736 0.1991000862 "
            "0.1886671187 0.2071147128 0.2916791106 0.2282502526 0.1772507121 0.2351867083"
        ),
        {"simple": 0.8865539637, "dynamic": 0.8783352903, "group": 0.8668024496, "calendar": 0.9395392042},
    ),
    "ipw": (
        numbers(
            "1.2131559226 1.0603951292 1.0934248128 0.7606845244 0.432089387 0.480245917 "
            "0.7552917021 0.6272054496 0.0822854643 -0.2412073404 0.7578693857 1.2293495324"
        ),
        numbers(
            "0.2069790324 0.2104010129 0.1934806013 0.2010515848 0.1614512807 0.1993913424 "
            "0.1903965641 0.2097850484 0.2923042305 0.2281975728 0.1772848953 0.2351280629"
        ),
        {"simple": 0.8564086065, "dynamic": 0.8408517821, "group": 0.84243821, "calendar": 0.9070311825},
    ),
}


@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")  # of two draws
@pytest.mark.parametrize("method", CSDID)
def test_csdid(method):
    """The same cells and averages; the jackknife is longer than its errors, by 0 to 15 % with 12 in a cohort.

    The propensity without a penalty is fitted one by one: no jackknife with it here.
    """
    pytest.importorskip("pandas")
    cells, errors, overall = CSDID[method]
    score = "aipw" if method == "means" else method
    closed = method in ("means", "regression")
    model = unpenalised(estimation_method=score, **({} if closed else FEW_DRAWS))
    covariates = [] if method == "means" else ["x"]
    model.fit(counties(), "y", "law", "unit", "year", covariates=covariates)
    found = model.aggregate("cells")
    # The peer's logistic regression stops at changes of about 1e-8.
    assert_allclose([effect.estimate for effect in found], cells, rtol=0, atol=1e-7)
    for by, value in overall.items():
        assert_allclose(model.overall(by).estimate, value, rtol=0, atol=1e-7)
    if closed:
        ratio = np.divide([effect.std_error for effect in found], errors)
        assert ratio.min() > 0.99
        assert ratio.max() < 1.16


# Teen employment in 500 counties, by `did` without covariates and with log population.
DID = {
    "means": numbers(
        "-0.0105 -0.0704 -0.1373 -0.1008 0.0065 -0.0028 -0.0046 -0.0412 0.0305 -0.0027 -0.0311 -0.0261"
    ),
    "aipw": numbers(
        "-0.0145 -0.0764 -0.1404 -0.1069 -0.0005 -0.0062 0.0010 -0.0413 0.0267 -0.0046 -0.0284 -0.0288"
    ),
}
OVERALL = {"simple": -0.0400, "dynamic": -0.0772, "group": -0.0310, "calendar": -0.0417}
OVERALL_ERRORS = {"simple": 0.0119, "dynamic": 0.0208, "group": 0.0126, "calendar": 0.0175}


@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")
@pytest.mark.parametrize("method", DID)
def test_did(method):
    """To all digits that are printed; errors of its bootstrap, of 1000 draws, are known to 3 %."""
    pytest.importorskip("pandas")
    pytest.importorskip("moderndid", reason="the data come with moderndid")
    with gzip.open(files("moderndid") / "core/datasets/mpdta_long.pkl.gz") as stored:
        frame = pickle.load(stored)
    frame["law"] = ((frame["first.treat"] > 0) & (frame["year"] >= frame["first.treat"])).astype(int)
    model = unpenalised(**({} if method == "means" else FEW_DRAWS))
    covariates = [] if method == "means" else ["lpop"]
    model.fit(frame, "lemp", "law", "countyreal", "year", covariates=covariates)
    estimates = [effect.estimate for effect in model.aggregate("cells")]
    assert_allclose(estimates, DID[method], rtol=0, atol=0.5001e-4)
    if method == "means":
        for by, value in OVERALL.items():
            overall = model.overall(by)
            assert_allclose(overall.estimate, value, rtol=0, atol=0.5001e-4)
            assert_allclose(overall.std_error, OVERALL_ERRORS[by], rtol=0.06)
