"""Weights in mixed models: of normal outcomes how exact a row is, of others how often it counts."""

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import LinearRegression

from rfpcore import MixedClassifier, MixedRegressor
from rfpcore._scaling import level_and_spread
from rfpcore.estimators.mixed import _networks
from rfpcore.estimators.mixed._fit import differences_of
from rfpcore.estimators.mixed._problem import FittedMean

RANDOM = np.random.default_rng(0)
CLUSTERS, ROWS = 30, 8
N = CLUSTERS * ROWS
GROUPS = np.repeat(np.arange(CLUSTERS), ROWS)
X = RANDOM.standard_normal((N, 1))
LEVEL = RANDOM.standard_normal(CLUSTERS)[GROUPS]
Y = 1 + 2 * X[:, 0] + LEVEL + 0.5 * RANDOM.standard_normal(N)
NOISY = RANDOM.random(N) < 0.2
AT = np.array([[-1.0], [0.0], [1.0]])
QUICK = {"hidden_layer_sizes": (4,), "max_iter": 40}


@pytest.mark.parametrize("mean", ["linear", "gp", "network"])
@pytest.mark.parametrize("size", [1e4, 1e6])
def test_rows_of_hardly_any_weight_and_much_noise_change_little(mean, size):
    """A row of weight 1/size^2 has noise of size: beside the others it says nothing."""
    model = MixedRegressor(mean=mean, effects="intercept", **QUICK)
    noisy = np.where(NOISY, Y + 0.5 * size * np.random.default_rng(1).standard_normal(N), Y)
    weights = np.where(NOISY, size**-2.0, 1.0)
    with_noise = model.fit(X, noisy, GROUPS, weights)
    found, predicted = with_noise.variance_components_.variance, with_noise.predict(AT)
    rest = model.fit(X[~NOISY], Y[~NOISY], GROUPS[~NOISY])
    # The residual variance comes of the noisy rows too, a fifth of all.
    np.testing.assert_allclose(found, rest.variance_components_.variance, rtol=0.5)
    np.testing.assert_allclose(predicted, rest.predict(AT), atol=0.1 if mean != "network" else 1.0)


def test_ordinary_networks_and_the_guard_go_by_weights():
    """Rows of weight 3 are three rows, but for float32 and the order of sums."""
    random = np.random.default_rng(7)
    weights = np.where(random.random(N) < 0.5, 3.0, 1.0)
    again = np.repeat(np.arange(N), weights.astype(int))
    given = {"mean": "network", "effects": "intercept", "weight_decay": 0.0, "max_iter": 40}
    one = MixedClassifier(**given).fit(X, Y > 1, GROUPS, weights)
    other = MixedClassifier(**given).fit(X[again], Y[again] > 1, GROUPS[again])
    np.testing.assert_allclose(one.decision_function(AT), other.decision_function(AT), rtol=0.01)
    for name in ("r2_marginal_", "r2_conditional_", "intraclass_correlation_", "log_likelihood_"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=0.01)


def test_guard_weighs_squared_errors(monkeypatch):
    random = np.random.default_rng(7)
    seen = []
    model = MixedRegressor(mean="network", **QUICK)
    train = _networks.fit

    def kept(problem, *args):
        seen.append(problem)
        return train(problem, *args)

    monkeypatch.setattr(_networks, "fit", kept)
    weights = random.uniform(0.5, 2, N)
    model.fit(X, Y, GROUPS, weights)
    problem = seen[0]
    one, other = (FittedMean("x", level + 0 * problem.y, None) for level in (0.0, 1.0))
    w = weights / weights.mean()
    wanted = np.bincount(GROUPS, w * (problem.y**2 - (problem.y - 1) ** 2))
    np.testing.assert_allclose(differences_of(problem, one, other), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kind", "outcome"), [(MixedRegressor, "counts"), (MixedClassifier, "classes")])
def test_counted_rows_have_the_means_and_shares_of_rows_repeated(kind, outcome):
    """Slopes turn about the cluster's mean, which is that of all rows."""
    random = np.random.default_rng(7)
    weights = np.where(random.random(N) < 0.4, 3.0, 1.0)
    again = np.repeat(np.arange(N), weights.astype(int))
    y = np.random.default_rng(2).poisson(np.exp(0.3 + 0.5 * X[:, 0] + 0.6 * LEVEL)).astype(float)
    loss = {"loss": "poisson"} if outcome == "counts" else {}
    y = y if loss else y > 1
    given = {"mean": "linear", "effects": ("intercept", "slopes"), "slope_covariance": "shared"}
    model = kind(**given, **loss, center_slopes=True)
    one = model.fit(X, y, GROUPS, weights)
    found = [one.coefficients_, one.variance_components_.variance, one.predict(X, GROUPS)]
    found += [one.r2_marginal_, one.r2_conditional_, one.intraclass_correlation_, one.log_likelihood_]
    other = model.fit(X[again], y[again], GROUPS[again])
    wanted = [other.coefficients_, other.variance_components_.variance, other.predict(X, GROUPS)]
    wanted += [
        other.r2_marginal_,
        other.r2_conditional_,
        other.intraclass_correlation_,
        other.log_likelihood_,
    ]
    for mine, its in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-8)


def test_a_regressor_as_the_mean_is_fitted_by_the_weights():
    """Light rows lie about another line, which least squares without weights would mix in."""
    random = np.random.default_rng(7)
    light = random.random(N) < 0.5
    y, weights = np.where(light, Y + 3 * X[:, 0], Y), np.where(light, 1e-3, 1.0)
    model = MixedRegressor(mean=LinearRegression(), effects="intercept", **QUICK)
    slope = np.diff(model.fit(X, y, GROUPS, weights).predict(AT[:2]))[0]
    assert slope == pytest.approx(2.0, abs=0.1)
    assert np.diff(model.fit(X, y, GROUPS).predict(AT[:2]))[0] > 3


def test_a_regressor_that_takes_no_weights_is_refused_with_them():
    with pytest.raises(TypeError, match=r"the fit of mean=PLSRegression.* does not take it"):
        MixedRegressor(mean=PLSRegression(1)).fit(X, Y, GROUPS, np.ones(N))
    MixedClassifier(mean=PLSRegression(1), **QUICK).fit(X, Y > 1, GROUPS)  # working weights may be left out


class Wrong(LinearRegression):
    """Predicts what it is told to."""

    def __init__(self, shape=(), value=0.0):
        super().__init__()
        self.shape, self.value = shape, value

    def predict(self, X):
        return np.full((len(X), *self.shape), self.value)


def test_what_a_regressor_predicts_is_checked():
    model = MixedRegressor(mean=Wrong((1,)), **QUICK).fit(X, Y, GROUPS)
    assert model.predict(AT).shape == (3,)
    for regressor, match in ((Wrong((2,)), r"has shape \(240, 2\)"), (Wrong(value=np.nan), "must be finite")):
        with pytest.raises(ValueError, match=f"the prediction of mean=Wrong.*{match}"):
            MixedRegressor(mean=regressor, **QUICK).fit(X, Y, GROUPS)


def test_weighted_level_and_spread():
    random = np.random.default_rng(7)
    weights = random.uniform(0.5, 2, N)
    level = np.average(Y, weights=weights)
    spread = np.sqrt(np.average((Y - level) ** 2, weights=weights))
    np.testing.assert_allclose(
        level_and_spread(1e200 * Y, weights), (1e200 * level, 1e200 * spread), rtol=1e-12
    )
    assert level_and_spread(np.full(3, 7.0), np.ones(3)) == (7.0, 1.0)
