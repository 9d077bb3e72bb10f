"""Treatment inside clusters: against loops of scikit-learn's, least squares, and effects that are known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from rfpcore import DesignWarning, RFPRegressor
from rfpcore.causal import ClusterEffect, IndividualEffect, linear_effect

OLS = LinearRegression()
EXACT_LOGIT = LogisticRegression(solver="newton-cholesky", tol=1e-12)


class Slow(LinearRegression):
    """Not known to be least squares, so fitted again without each cluster."""


class Exact(LogisticRegression):
    """Not known to be the default, by a solver that goes on to rounding error."""

    def __init__(self, C=1.0, tol=1e-13, solver="newton-cholesky", random_state=None):
        super().__init__(C=C, tol=tol, solver=solver, random_state=random_state)


def draw(seed, n_clusters=12, size=15, effect=1.0):
    """Selection on x, a level and an effect of each cluster's own, unequal sizes."""
    random = np.random.default_rng(seed)
    sizes = random.integers(size - 5, size + 6, n_clusters)
    groups = np.repeat(np.arange(n_clusters), sizes)
    level, own = 0.7 * random.standard_normal((2, n_clusters))
    X = random.standard_normal((len(groups), 2)) + 0.5 * random.standard_normal(n_clusters)[groups, None]
    treated = (random.random(len(groups)) < 1 / (1 + np.exp(-0.6 * X[:, 0]))).astype(float)
    gain = effect + 0.5 * own[groups]
    y = X @ [1.0, -0.5] + level[groups] + gain * treated + random.standard_normal(len(groups))
    return X, y, treated, groups


X, Y, D, GROUPS = draw(0)
G = 12
WEIGHT = np.random.default_rng(1).uniform(0.5, 2.0, len(Y))
SCALED = (X - X.mean(axis=0)) / X.std(axis=0)


def by_hand(folds, estimand, method, w, kept):
    """The score in a loop over folds, from the rows of some clusters."""
    m0, m1, p = np.zeros((3, len(Y)))
    for k in np.unique(folds):
        seen, own = kept & (folds[GROUPS] != k), folds[GROUPS] == k
        for m, arm in ((m0, 0), (m1, 1)):
            rows = seen & (arm == D)
            m[own] = LinearRegression().fit(X[rows], Y[rows], w[rows]).predict(X[own])
        logit = LogisticRegression(solver="newton-cholesky", tol=1e-12)
        logit.fit(SCALED[seen], D[seen], w[seen] / w.mean())
        p[own] = logit.predict_proba(SCALED[own])[:, 1].clip(0.1, 0.9)
    w = w * kept
    if method == "regression":
        return np.average(Y - m0, weights=w * D) if estimand == "att" else np.average(m1 - m0, weights=w)
    if method == "ipw":
        m0 = m1 = np.zeros(len(Y))
    if estimand == "att":
        other = np.average(Y - m0, weights=w * (1 - D) * p / (1 - p))
        return np.average(Y - m0, weights=w * D) - other
    return (
        np.average(m1 - m0, weights=w)
        + np.average(Y - m1, weights=w * D / p)
        - np.average(Y - m0, weights=w * (1 - D) / (1 - p))
    )


@pytest.mark.parametrize("method", ["aipw", "regression", "ipw"])
@pytest.mark.parametrize("estimand", ["att", "ate"])
def test_against_loops(estimand, method):
    """Each cluster left out in turn, folds as they are; rounding of a solver of the normal equations."""
    model = IndividualEffect(estimand=estimand, estimation_method=method, outcome=OLS, n_folds=3)
    model.fit(X, Y, D, GROUPS, sample_weight=WEIGHT)
    (folds,) = model.folds_
    assert sorted(np.bincount(folds)) == [4, 4, 4]
    full = by_hand(folds, estimand, method, WEIGHT, np.ones(len(Y), bool))
    without = np.array([by_hand(folds, estimand, method, WEIGHT, c != GROUPS) for c in range(G)])
    assert_allclose(model.estimate_, full, rtol=1e-8)
    assert_allclose(model.effect_.draws, without, rtol=1e-7)
    spread = np.sqrt((G - 1) / G * np.sum((without - without.mean()) ** 2))
    assert_allclose(model.std_error_, spread, rtol=1e-6)
    assert model.effect_.df == G - 1
    (cv3,) = model.infer("cv3")
    assert_allclose(cv3.std_error, np.sqrt((G - 1) / G * np.sum((without - full) ** 2)), rtol=1e-6)


def leaves_out(model, options, **fit):
    """The replicates of a closed form, of refits of the outcome, and of refits of everything."""
    found = []
    for own in ({"outcome": OLS}, {"outcome": Slow()}, {"outcome": Slow(), "propensity": Exact()}):
        made = IndividualEffect(**own, **options).fit(*model, **fit)
        found.append([effect.draws for effect in made.effects_])
        if len(found) != 2:
            assert (made._problem.closed is not None) == (len(found) == 1)
    return found


@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")
@pytest.mark.parametrize("method", ["aipw", "regression", "ipw"])
@pytest.mark.parametrize("estimand", ["att", "ate"])
def test_closed_form(estimand, method):
    """With weights and subgroups, one of four clusters; 1e-10 is the rounding of the solvers compared."""
    data = draw(12)
    n, groups = len(data[1]), data[3]
    by = np.where(groups < 4, "few", np.where(np.arange(n) % 2, "odd", "even"))
    weight = np.random.default_rng(2).uniform(0.5, 2.0, n)
    weight[::7] = 0.0
    weight /= weight.mean()  # the penalty of the default propensity is for such
    options = {"estimand": estimand, "estimation_method": method, "n_folds": 3}
    closed, *others = leaves_out(data, options, by=by, sample_weight=weight)
    for other in others:
        assert_allclose(closed, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("bounds", [(0.1, 0.9), (0.45, 0.55)])
@pytest.mark.parametrize("single", [False, True], ids=["clusters", "rows"])
@pytest.mark.parametrize("estimand", ["att", "ate"])
def test_closed_form_of_many_clusters(estimand, single, bounds):
    """Sums by series, where bounds are few, and where most rows are clipped: some left out by hand."""
    x, y, d, groups = draw(4, n_clusters=300, size=5)
    groups = np.arange(len(y)) if single else groups
    options = {"estimand": estimand, "propensity_bounds": bounds, "n_folds": 3, "outcome": OLS}
    closed = IndividualEffect(**options).fit(x, y, d, groups)
    assert all(fold.odds.fits.serial.mean() > 0.5 for fold in closed._splits.first.default_odds)
    slow = IndividualEffect(propensity=Exact(), inference="cr1", **options).fit(x, y, d, groups)
    some = np.arange(0, closed.n_clusters_, 101)
    counts = np.ones((len(some), closed.n_clusters_), int)
    counts[np.arange(len(some)), some] = 0
    assert_allclose(closed.effect_.draws[some], slow._estimates(counts)[:, 0], rtol=0, atol=1e-10)


@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")
def test_closed_form_where_models_cannot_do_without_a_cluster():
    """Its dummy is constant without it, or it has all of the treated rows outside a fold."""
    x, y, d, groups = draw(5)
    dummy = np.column_stack([x, groups == 3])
    few = np.where(groups < 3, d, 0.0)
    for data in ((dummy, y, d, groups), (x, y, few, groups)):
        closed, slow, _ = leaves_out(data, {"n_folds": 2})
        assert_allclose(closed, slow, rtol=0, atol=1e-10)
    assert np.isnan(closed).any()


@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")
@pytest.mark.parametrize("estimand", ["att", "ate"])
def test_closed_form_without_covariates(estimand):
    """Each fold has the share of treated rows outside it."""
    nothing, options = np.empty((len(Y), 0)), {"estimand": estimand, "n_folds": 3}
    closed = IndividualEffect(**options).fit(nothing, Y, D, GROUPS, sample_weight=WEIGHT)
    (folds,) = closed.folds_
    y, found = Y - np.median(Y), []
    for keep in [np.ones(len(Y), bool)] + [c != GROUPS for c in range(G)]:
        w, m, p = WEIGHT * keep, np.zeros((2, len(Y))), np.zeros(len(Y))
        for k in range(3):
            own, seen = folds[GROUPS] == k, keep & (folds[GROUPS] != k)
            p[own] = np.average(D[seen], weights=w[seen])
            for arm in (0, 1):
                rows = seen & (arm == D)
                m[arm, own] = np.average(y[rows], weights=w[rows])
        odds = D + (1 - D) * p / (1 - p) if estimand == "att" else D / p + (1 - D) / (1 - p)
        rest = [np.average(y - m[a], weights=w * odds * (a == D)) for a in (0, 1)]
        if estimand == "att":
            found.append(np.average(y - m[0], weights=w * D) - rest[0])
        else:
            found.append(np.average(m[1] - m[0], weights=w) + rest[1] - rest[0])
    assert_allclose([closed.estimate_, *closed.effect_.draws], found, rtol=1e-10)


def test_splits():
    """The mean over them, in every method, and the first is that of one split."""
    one = IndividualEffect(outcome=OLS, n_folds=3).fit(X, Y, D, GROUPS)
    model = IndividualEffect(outcome=OLS, n_folds=3, n_repeats=3).fit(X, Y, D, GROUPS)
    assert model.folds_.shape == (3, G)
    assert_array_equal(model.folds_[0], one.folds_[0])
    assert_allclose(model.split_estimates_[0], one.estimate_, rtol=1e-12)
    assert len(set(model.split_estimates_)) == 3
    for method in ("cv3", "cr1", "score-jackknife"):
        (effect,) = model.infer(method)
        assert_allclose(effect.estimate, model.split_estimates_.mean(), rtol=1e-12)
    fitted, scores = model._fitted, []
    for nuisance, data in zip(fitted, model._splits.each, strict=True):
        m0, p = nuisance.m0, nuisance.p
        y = data.cells.y
        w = (1 - D) * p / (1 - p)
        r1, r0 = ((y - m0) - np.average(y - m0, weights=v) for v in (D, w))
        scores.append(np.bincount(GROUPS, D * r1 / D.sum() - w * r0 / w.sum()))
    u = np.mean(scores, axis=0)
    assert_allclose(model.infer("cr1")[0].std_error, np.sqrt(G / (G - 1) * u @ u), rtol=1e-10)
    assert "Estimates by split" in model.summary()
    assert "Splits" not in one.summary()


def test_score_methods():
    """Of the cross-fitted score: its influence summed in clusters, by hand."""
    model = IndividualEffect(estimand="ate", outcome=OLS, inference="cr1").fit(X, Y, D, GROUPS)
    p, (fitted,) = model.propensity_, model._fitted
    w1, w0 = D / p, (1 - D) / (1 - p)
    parts = ((np.ones(len(Y)), fitted.m1 - fitted.m0), (w1, Y - fitted.m1), (-w0, Y - fitted.m0))
    level = np.median(Y)  # models predict outcomes less that
    parts = (parts[0], (w1, Y - level - fitted.m1), (-w0, Y - level - fitted.m0))
    rows = sum(w * (v - np.average(v, weights=w)) / abs(w.sum()) for w, v in parts)
    u = np.bincount(GROUPS, rows)
    assert_allclose(model.std_error_, np.sqrt(G / (G - 1) * u @ u), rtol=1e-10)
    for method in ("score-jackknife", "wild", "webb"):
        (effect,) = model.infer(method)
        assert effect.estimate == model.estimate_
        assert 0.5 < effect.std_error / model.std_error_ < 2
        assert 0 < effect.p_value < 0.05


def test_bootstrap_keeps_folds_and_is_near_the_jackknife():
    model = IndividualEffect(outcome=OLS, inference="bootstrap", n_draws=200).fit(X, Y, D, GROUPS)
    (jackknife,) = model.infer("jackknife")
    # 200 draws know a standard error to 5 %; with 12 clusters the two methods differ by more than that.
    assert 0.6 < model.std_error_ / jackknife.std_error < 1.4


def test_near_the_interacted_regression():
    """With linear nuisances both estimate the same thing; of 100 clusters within a third of an error."""
    x, y, d, groups = draw(3, n_clusters=100)
    centred = x - x.mean(axis=0)
    columns = np.column_stack([centred, centred * d[:, None]])
    ols = linear_effect(columns, y, d, groups, inference="cr1")
    model = IndividualEffect(estimand="ate", outcome=OLS, inference="cr1").fit(x, y, d, groups)
    assert abs(model.estimate_ - ols.estimate) < 0.33 * ols.std_error
    assert_allclose(model.std_error_, ols.std_error, rtol=0.15)


def test_intervals_cover():
    """Of 100 samples of 30 clusters; at 95 % one in 100 such tests has fewer than 89."""
    covered, estimates = 0, []
    for seed in range(100):
        model = IndividualEffect(estimand="ate", outcome=OLS, n_folds=3).fit(
            *draw(1000 + seed, n_clusters=30)
        )
        low, high = model.confidence_interval()
        covered += low <= 1.0 <= high
        estimates.append(model.estimate_)
    assert covered >= 89
    # Three standard errors of the mean of 100 estimates.
    assert abs(np.mean(estimates) - 1.0) < 3 * np.std(estimates) / 10
    naive = [y[d == 1].mean() - y[d == 0].mean() for _, y, d, _ in (draw(1000 + s, 30) for s in range(100))]
    assert np.mean(naive) > 1.4


def test_one_right_model_is_enough():
    """Outcomes that bend in x, or a treatment that does: the other model makes up for a line."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), 30)
    x = random.standard_normal(6000)
    bent = x + x**2
    steep, flat = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(-0.8 * (x**2 - 1)))
    for outcome, chance, basis in ((bent, steep, x), (x, flat, x)):
        d = (random.random(6000) < chance).astype(float)
        y = outcome + d + random.standard_normal(6000)
        model = IndividualEffect(estimand="ate", outcome=OLS, inference="cr1").fit(
            basis[:, None], y, d, groups
        )
        assert abs(model.estimate_ - 1.0) < 4 * model.std_error_ < 0.3


def test_shares_are_the_propensity_without_covariates():
    nothing = np.empty((len(Y), 0))
    model = IndividualEffect(n_folds=G).fit(nothing, Y, D, GROUPS, sample_weight=WEIGHT)
    for c in (0, 5):
        others = c != GROUPS
        share = np.average(D[others], weights=WEIGHT[others])
        assert_allclose(model.propensity_[c == GROUPS], share, rtol=1e-12)


def test_subgroups():
    by = np.where(X[:, 1] > 0, "high", "low")
    model = IndividualEffect(outcome=OLS).fit(X, Y, D, GROUPS, by=by)
    assert [effect.name for effect in model.effects_] == ["Average effect on the treated", "high", "low"]
    share = (D * (by == "high")).sum() / D.sum()
    mean = share * model.effects_[1].estimate + (1 - share) * model.effects_[2].estimate
    # Weights of the controls are normalised within subgroups, so that the mean is not exactly the whole.
    assert abs(mean - model.estimate_) < 0.2
    assert "high" in model.summary()


def test_rows_as_clusters():
    model = IndividualEffect(outcome=OLS, inference="cr1").fit(X, Y, D, None)
    again = IndividualEffect(outcome=OLS, inference="cr1").fit(X, Y, D, np.arange(len(Y)))
    assert model.n_clusters_ == len(Y)
    assert (model.estimate_, model.std_error_) == (again.estimate_, again.std_error_)


def test_models_of_ones_own():
    tree = DecisionTreeClassifier(max_depth=2)
    model = IndividualEffect(outcome=OLS, propensity=tree, n_folds=3, inference="cr1").fit(X, Y, D, GROUPS)
    k = model.folds_[0][GROUPS]
    fitted = DecisionTreeClassifier(max_depth=2, random_state=0).fit(SCALED[k != 1], D[k != 1])
    assert_allclose(model.propensity_[k == 1], fitted.predict_proba(SCALED[k == 1])[:, 1].clip(0.1, 0.9))
    given = IndividualEffect(outcome=OLS, propensity=EXACT_LOGIT, n_folds=3).fit(X, Y, D, GROUPS)
    default = IndividualEffect(outcome=OLS, n_folds=3).fit(X, Y, D, GROUPS)
    assert_allclose(given.estimate_, default.estimate_, rtol=1e-8)
    assert_allclose(given.std_error_, default.std_error_, rtol=1e-6)


def test_many_clusters_hold_the_models():
    with pytest.warns(DesignWarning, match="max_refits=10"):
        model = IndividualEffect(outcome=Slow(), max_refits=10).fit(X, Y, D, GROUPS)
    (score,) = model.infer("score-jackknife")
    assert_allclose(model.effect_.draws, score.draws, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:the outcome model")  # of a few steps
def test_the_same_for_any_number_of_threads():
    network = RFPRegressor(hidden_layer_sizes=(4,), max_iter=20, standardize=False)
    one, two = (
        IndividualEffect(outcome=network, n_jobs=jobs, n_folds=2, inference="cr1").fit(X, Y, D, GROUPS)
        for jobs in (1, 2)
    )
    assert (one.estimate_, one.std_error_) == (two.estimate_, two.std_error_)
    assert one.outcome_ == two.outcome_
    assert_array_equal(one.propensity_, two.propensity_)


def test_clusters_of_one_arm_take_part():
    d = np.where(GROUPS < 3, 1.0, np.where(GROUPS > 9, 0.0, D))
    model = IndividualEffect(outcome=OLS).fit(X, Y, d, GROUPS)
    assert np.isfinite(model.std_error_)
    assert len(model.effect_.draws) == G


def test_misuse():
    whole = (GROUPS % 2).astype(float)
    with pytest.raises(ValueError, match="ClusterEffect is for that"):
        IndividualEffect().fit(X, Y, whole, GROUPS)
    with pytest.raises(ValueError, match="IndividualEffect takes treatment that varies inside"):
        ClusterEffect().fit(X, Y, D, GROUPS)
    with pytest.raises(ValueError, match=r"none of the .* rows is a treated row"):
        IndividualEffect().fit(X, Y, 0 * D, GROUPS)
    with pytest.raises(ValueError, match="no overlap: in the covariate 'x2'"):
        IndividualEffect().fit(np.column_stack([X, D]), Y, D, GROUPS)
    with pytest.raises(ValueError, match="n_folds"):
        IndividualEffect(n_folds=G + 1).fit(X, Y, D, GROUPS)
    with pytest.raises(TypeError, match="predict_proba"):
        IndividualEffect(propensity=OLS).fit(X, Y, D, GROUPS)
    only = np.where(GROUPS == 0, D, 0.0)
    with (
        pytest.raises(ValueError, match="only 1 of 12 clusters have treated rows"),
        pytest.warns(DesignWarning),
    ):
        IndividualEffect().fit(X, Y, only, GROUPS)
    few = np.where(GROUPS < 3, D, 0.0)
    with (
        pytest.warns(DesignWarning, match="two clusters dominate"),
        pytest.warns(DesignWarning, match="only 3 of 12 clusters have treated rows"),
    ):
        IndividualEffect(outcome=OLS).fit(X, Y, few, GROUPS)


def test_thornton():
    """HIV results learnt for a payment, by village: least squares has .451 (.022)."""
    causaldata = pytest.importorskip("causaldata")
    names = ["age", "distvct", "hiv2004"]
    frame = causaldata.thornton_hiv.load_pandas().data[["villnum", "got", "any", *names]].dropna()
    model = IndividualEffect(estimand="ate", outcome=OLS).fit(
        frame, "got", "any", "villnum", covariates=names
    )
    assert model.n_clusters_ == 119
    assert_allclose(model.estimate_, 0.451, atol=0.003)
    assert_allclose(model.std_error_, 0.0227, atol=0.0005)
