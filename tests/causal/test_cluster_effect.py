"""Effects against closed forms and plain loops."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from policy_data import GROUPS, SIZE, TREATED, D, X, Y, linear
from scipy import stats
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from rfpcore import RFPRegressor
from rfpcore.causal import ClusterEffect
from rfpcore.causal._score_inference import draw_arms, make_folds

G = 14
OLS = LinearRegression()
EXACT_LOGIT = LogisticRegression(solver="newton-cholesky", tol=1e-12)
NONE = np.empty((len(Y), 0))
SCALED = (X - X.mean(axis=0)) / X.std(axis=0)
ARM = D[::SIZE]


def fitted(data=(X, Y, D, GROUPS), by=None, sample_weight=None, **params):
    return ClusterEffect(**{"outcome": OLS} | params).fit(*data, by=by, sample_weight=sample_weight)


def propensity(count=None):
    """Of each row, from clusters that count so often."""
    clusters = np.repeat(np.arange(G), np.ones(G, int) if count is None else count)
    model = clone(EXACT_LOGIT).fit(SCALED[::SIZE, 2:][clusters], ARM[clusters])
    return model.predict_proba(SCALED[:, 2:])[:, 1].clip(0.1, 0.9)


def att(r, p, w=1.0):
    """The doubly robust effect on the treated from residuals of the controls' model."""
    return np.average(r, weights=w * D) - np.average(r, weights=w * (1 - D) * p / (1 - p))


def ridge_logit(z):
    """The penalised likelihood's maximum by Newton's method: |beta|^2 / 2, the intercept free."""
    W, beta = np.column_stack([np.ones(len(z)), z]), np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-W @ beta))
        hessian = W.T @ (W * (p * (1 - p))[:, None]) + np.diag([0.0, 1.0])
        beta -= np.linalg.solve(hessian, W.T @ (p - ARM) + [0.0, beta[1]])
    return np.clip(p, 0.1, 0.9)


def test_difference_in_means():
    """Without covariates: means, CR1 of y on treatment, and for clusters of one size s^2 / G in each arm."""
    model = fitted((NONE, Y, D, GROUPS), inference="cr1")
    assert_allclose(model.estimate_, Y[TREATED].mean() - Y[~TREATED].mean(), rtol=1e-12)
    W = np.column_stack([np.ones(len(Y)), D])
    bread = np.linalg.inv(W.T @ W)
    u = Y - W @ bread @ W.T @ Y
    scores = np.array([W[c == GROUPS].T @ u[c == GROUPS] for c in range(G)])
    cr1 = np.sqrt(G / (G - 1) * (bread @ scores.T @ scores @ bread)[1, 1])
    assert_allclose(model.std_error_, cr1, rtol=1e-10)

    means = Y.reshape(G, SIZE).mean(axis=1)
    arms = [means[value == ARM] for value in (0, 1)]
    (effect,) = model.infer("jackknife")
    assert_allclose(effect.std_error, np.sqrt(sum(a.var(ddof=1) / len(a) for a in arms)), rtol=1e-10)
    assert_allclose(
        effect.statistic, stats.ttest_ind(arms[1], arms[0], equal_var=False).statistic, rtol=1e-10
    )
    assert effect.df == G - 2
    (effect,) = model.infer("cv3")
    by_hand = sum(a.var(ddof=1) / (len(a) - 1) for a in arms) * (G - 1) / G
    assert_allclose(effect.std_error, np.sqrt(by_hand), rtol=1e-10)


def test_regression_is_the_interacted_coefficient():
    """The ATT of a linear model of the controls is the coefficient with covariates centred at the treated."""
    C = X - X[TREATED].mean(axis=0)
    W = np.column_stack([np.ones(len(Y)), D, C, C * D[:, None]])
    coefficient = np.linalg.lstsq(W, Y, rcond=None)[0][1]
    assert_allclose(
        fitted(estimation_method="regression", inference="cr1").estimate_, coefficient, rtol=1e-10
    )


@pytest.mark.parametrize("estimand", ["att", "ate"])
def test_doubly_robust_formula(estimand):
    clusters = ridge_logit(SCALED[::SIZE, 2])
    p, m0, m1 = clusters[GROUPS], linear(X, Y, ~TREATED), linear(X, Y, TREATED)
    if estimand == "att":  # Sant'Anna and Zhao (2020), section 2
        w1, w0 = D / D.mean(), (1 - D) * p / (1 - p)
        expected = np.mean((w1 - w0 / w0.mean()) * (Y - m0))
    else:
        w1, w0 = D / p, (1 - D) / (1 - p)
        expected = np.mean(m1 - m0) + np.average(Y - m1, weights=w1) - np.average(Y - m0, weights=w0)
    model = fitted(estimand=estimand, inference="cr1", propensity=EXACT_LOGIT)
    assert_allclose(model.propensity_, clusters, rtol=1e-8)
    assert_allclose(model.estimate_, expected, rtol=1e-8)
    # scikit-learn's default stops at a gradient of 1e-4.
    assert_allclose(fitted(estimand=estimand, inference="cr1").estimate_, expected, rtol=1e-3)


def test_ipw_alone():
    p = ridge_logit(SCALED[::SIZE, 2])[GROUPS]
    model = fitted(estimation_method="ipw", inference="cr1", propensity=EXACT_LOGIT)
    assert_allclose(model.estimate_, att(Y, p), rtol=1e-8)


SMALL_RFP = RFPRegressor(
    standardize=False, hidden_layer_sizes=(4,), inner_lr=0.05, max_iter=5, random_state=0
)
OUTCOMES = {"ols": OLS, "rfp": SMALL_RFP, "tree": DecisionTreeClassifier(max_depth=2, random_state=0)}


def whole_estimate(outcome, estimand, y, out):
    """The estimate without one cluster, every model fitted on what is left."""
    keep = out != GROUPS
    m = []
    for arm in (~TREATED, TREATED):
        rows = keep & arm
        groups = {"groups": GROUPS[rows]} if outcome is SMALL_RFP else {}
        model = clone(outcome).fit(SCALED[rows], y[rows], **groups)
        is_tree = hasattr(model, "predict_proba")
        m.append(model.predict_proba(SCALED)[:, 1] if is_tree else model.predict(SCALED))
    p = propensity((np.arange(G) != out).astype(int))
    if estimand == "att":
        return att(y - m[0], p, keep)
    direct = np.average(m[1] - m[0], weights=keep) + np.average(y - m[1], weights=keep * D / p)
    return direct - np.average(y - m[0], weights=keep * (1 - D) / (1 - p))


@pytest.mark.parametrize("estimand", ["att", "ate"])
@pytest.mark.filterwarnings("ignore:the outcome model")  # five steps, or one tree: worse than a line indeed
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_jackknife_refits_everything(outcome, estimand):
    y = (Y > 1).astype(float) if outcome == "tree" else Y
    model = fitted((X, y, D, GROUPS), outcome=OUTCOMES[outcome], estimand=estimand)
    full, *without = (whole_estimate(OUTCOMES[outcome], estimand, y, out) for out in (None, *range(G)))
    assert_allclose(model.estimate_, full, rtol=1e-9)
    assert_allclose(model.effect_.draws, without, rtol=1e-9)
    arms = [np.array(without)[value == ARM] for value in (0, 1)]
    by_hand = np.sqrt(sum((len(a) - 1) * a.var() for a in arms))
    assert_allclose(model.std_error_, by_hand, rtol=1e-9)
    half = stats.t(G - 2).ppf(0.95) * by_hand
    assert_allclose(model.confidence_interval(0.9), [full - half, full + half], rtol=1e-9)
    assert_allclose(model.p_value_, 2 * stats.t(G - 2).sf(abs(full / by_hand)), rtol=1e-9)
    (effect,) = model.infer("cv3")
    assert_allclose(
        effect.std_error, np.sqrt((G - 1) / G * np.sum((np.array(without) - full) ** 2)), rtol=1e-9
    )
    assert effect.df == G - 1


def test_bootstrap_is_the_estimate_on_the_drawn_clusters():
    from rfpcore.causal._intervals import bootstrap_counts

    model = fitted(inference="bootstrap", n_draws=6)
    counts = bootstrap_counts(ARM, 6, np.random.default_rng(0))
    assert_array_equal(counts[:, ARM == 1].sum(axis=1), ARM.sum())
    assert_array_equal(counts.sum(axis=1), G)
    for count, draw in zip(counts, model.effect_.draws, strict=True):
        w = count[GROUPS]
        r = Y - linear(X, Y, ~TREATED & (w > 0), w)
        assert_allclose(draw, att(r, propensity(count), w), rtol=1e-8)
    assert_allclose(model.std_error_, model.effect_.draws.std(ddof=1))


def test_score_methods_by_loops():
    model = fitted(inference="score-jackknife")
    r, p = Y - linear(X, Y, ~TREATED), propensity()
    assert_allclose(model.effect_.draws, [att(r, p, c != GROUPS) for c in range(G)], rtol=1e-9)

    # The influence of a cluster is the derivative of the estimate in its weight.
    step = 1e-6
    up, down = ([att(r, p, 1 + sign * step * (c == GROUPS)) for c in range(G)] for sign in (1, -1))
    u = (np.array(up) - down) / (2 * step)
    (cr1,) = model.infer("cr1")
    assert_allclose(cr1.std_error, np.sqrt(G / (G - 1) * np.sum(u**2)), rtol=1e-6)

    from rfpcore.causal._intervals import wild_signs

    (wild,) = model.infer("wild")
    for v, t in zip(wild_signs(G, 999, "rademacher", np.random.default_rng(0)), wild.statistics, strict=True):
        error = np.sqrt(G / (G - 1) * np.sum((v * u - np.mean(v * u)) ** 2))
        assert_allclose(t, np.sum(v * u) / error, atol=1e-6)
    larger = np.sum(np.abs(wild.statistics) >= abs(wild.statistic))
    assert wild.p_value == (1 + larger) / (1 + 999)
    low, high = wild.confidence_interval(0.9)
    covered = np.mean(np.abs(wild.statistics) <= (high - low) / 2 / wild.std_error + 1e-9)
    assert 0.9 <= covered <= 0.9 + 2 / 999


def test_cross_fitting_never_splits_a_cluster_and_predicts_out_of_fold():
    model = fitted(inference="cross-fit", n_folds=3)
    folds = make_folds(model._sample, 3, 0)
    for arm in (0, 1):
        counts = np.bincount(folds[arm == ARM], minlength=3)
        assert counts.min() >= 1
        assert np.ptp(counts) <= 1
    m, p = np.empty(len(Y)), np.empty(len(Y))
    for fold in range(3):
        train = folds[GROUPS] != fold
        m[~train] = linear(X, Y, train & ~TREATED)[~train]
        p[~train] = propensity((folds != fold).astype(int))[~train]
    assert_allclose(model.estimate_, att(Y - m, p), rtol=1e-9)


def test_subgroups_are_the_score_of_their_rows():
    half = np.where(X[:, 0] > 0, "high", "low")
    model = fitted(inference="cr1", by=half)
    everything, *parts = model.effects_
    assert everything is model.effect_
    r = Y - linear(X, Y, ~TREATED)
    for effect, name in zip(parts, ("high", "low"), strict=True):
        assert effect.name == name
        assert_allclose(effect.estimate, att(r, propensity(), half == name), rtol=1e-9)


def test_row_weight_of_two_is_the_row_twice():
    weight = np.random.default_rng(0).integers(1, 3, len(Y))
    twice = np.repeat(np.arange(len(Y)), weight)
    for covariates in (NONE, X[:, :2]):  # scaled alike only where weights do not enter the scale
        weighted = fitted((covariates, Y, D, GROUPS), sample_weight=weight)
        repeated = fitted((covariates[twice], Y[twice], D[twice], GROUPS[twice]))
        assert_allclose(weighted.estimate_, repeated.estimate_, rtol=1e-9)
        assert_allclose(weighted.std_error_, repeated.std_error_, rtol=1e-9)


def test_randomization_is_fisher_s_exact_test():
    """Without covariates: against all assignments of 5 in 10 clusters to treatment."""
    y = np.array([3.0, 2.5, 2.8, 2.0, 1.9, 1.0, 0.5, 2.6, 2.2, 2.7])
    model = ClusterEffect(inference="randomization", n_draws=4000)
    model.fit(np.empty((10, 0)), y, [1] * 5 + [0] * 5, np.arange(10))
    every = [np.mean(y[list(c)]) - np.mean(np.delete(y, c)) for c in itertools.combinations(range(10), 5)]
    exact = np.mean(np.abs(every) >= abs(every[0]) - 1e-12)
    # The standard error of a share of 4000 draws is at most .008.
    assert model.p_value_ == pytest.approx(exact, abs=0.025)
    with pytest.raises(ValueError, match="no standard error"):
        model.confidence_interval()


@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.DesignWarning")  # of the assignments drawn
def test_randomization_refits_the_network():
    model = fitted(outcome=SMALL_RFP, inference="randomization", n_draws=3)
    arms = draw_arms(model._sample, model._used_models, 3, np.random.default_rng(0))
    assert_array_equal(arms.sum(axis=1), ARM.sum())
    for arm, draw in zip(arms, model.effect_.draws, strict=True):
        again = fitted((X, Y, arm[GROUPS], GROUPS), outcome=SMALL_RFP, inference="randomization", n_draws=1)
        assert_allclose(again.estimate_, draw, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:the outcome model, RFPRegressor, predicts clusters left out worse")
def test_any_order_and_any_threads():
    network = RFPRegressor(
        standardize=False,
        learning_rate="constant",
        hidden_layer_sizes=(32, 32),
        alpha=0.2,
        inner_lr=0.05,
        max_iter=150,
        dtype="float64",
    )
    model = ClusterEffect(outcome=network, n_jobs=1).fit(X, Y, D, GROUPS)
    order = np.random.default_rng(0).permutation(len(Y))
    names = np.array([f"village {c:02}" for c in GROUPS])
    other = ClusterEffect(outcome=network, n_jobs=2).fit(X[order], Y[order], D[order], names[order])
    # Rows in another order are summed in another order; 150 steps of Adam carry the roundings on.
    assert_allclose([model.estimate_, model.std_error_], [other.estimate_, other.std_error_], rtol=1e-9)
    one, two = (ClusterEffect(n_jobs=n).fit(X, Y, D, GROUPS) for n in (1, 2))
    assert_array_equal(one.effect_.draws, two.effect_.draws)


@pytest.mark.filterwarnings("ignore:the outcome model, RFPRegressor, predicts clusters left out worse")
def test_other_units():
    model = ClusterEffect().fit(X, Y, D, GROUPS)
    scaled = ClusterEffect().fit(X * [10.0, 0.1, 3.0] + 5, 100 * Y - 3, D, GROUPS)
    assert_allclose(scaled.estimate_, 100 * model.estimate_, rtol=1e-6)
    assert_allclose(scaled.std_error_, 100 * model.std_error_, rtol=1e-6)


def test_summary_and_frame():
    model = fitted(by=X[:, 1] > 0)
    text, frame = model.summary(0.9), model.to_frame(0.9)
    for word in ("Clusters:", "[90%", f"{model.estimate_:.4f}", "LinearRegression", "jackknife"):
        assert word in text
    assert frame.shape == (3, 8)
    assert (frame.ci_low.iloc[0], frame.ci_high.iloc[0]) == model.confidence_interval(0.9)


def test_models_without_a_seed_get_one():
    """Else the jackknife would measure the dice."""
    network = clone(SMALL_RFP).set_params(random_state=None)
    one, two = (fitted(outcome=network, random_state=7).effect_.draws for _ in range(2))
    assert_array_equal(one, two)
    assert network.random_state is None


@pytest.mark.filterwarnings("ignore:the outcome model")
def test_the_default_network_in_double_precision():
    """The default trains in float32: rounding moves the effect and its error by far less than the error."""
    default = ClusterEffect(outcome=None).fit(X, Y, D, GROUPS)
    network = RFPRegressor(
        standardize=False,
        learning_rate="constant",
        hidden_layer_sizes=(32, 32),
        alpha=0.2,
        inner_lr=0.05,
        max_iter=150,
        dtype="float64",
    )
    controls = Y[D == 0]
    exact = ClusterEffect(outcome=network).fit(X, (Y - controls.mean()) / controls.std(), D, GROUPS)
    tolerance = 1e-3 * default.std_error_
    assert_allclose(default.estimate_, exact.estimate_ * controls.std(), atol=tolerance)
    assert_allclose(default.std_error_, exact.std_error_ * controls.std(), atol=tolerance)
