"""Mixed models on data of which little or nothing can be made: a finite result, or an error that says why."""

import pickle

import numpy as np
import pytest

from rfpcore import DivergenceError, MixedClassifier, MixedRegressor
from rfpcore.datasets import make_vee

X, Y, GROUPS = make_vee(n_clusters=6, n_per_cluster=6, random_state=0)
X = np.column_stack([X, np.random.default_rng(0).standard_normal(36)])
COUNTS = np.round(np.exp(Y / 2))
QUICK = {"hidden_layer_sizes": (4,), "max_iter": 40}
SLOPES = {"mean": "linear", "effects": ("intercept", "slopes")}
WIDE = np.random.default_rng(1).standard_normal((36, 50))
DOMINATED, VANISHING = np.r_[1e30, np.ones(35)], np.r_[5e-324, np.ones(35)]


@pytest.mark.parametrize(
    ("settings", "data", "message"),
    [
        pytest.param({}, (X, 1e300 * Y, GROUPS), "whose square is beyond float64", id="huge outcomes"),
        pytest.param({}, (1e-310 * X, Y, GROUPS), r"X\[:, 0\] has a standard deviation", id="tiny columns"),
        pytest.param({}, (1e-100 * X, 1e100 * Y, GROUPS), r"y over X\[:, 0\]", id="huge slopes"),
        pytest.param({}, (X, Y, GROUPS, DOMINATED), r"1e\+30 in row 0, more than 1e\+12", id="one weight"),
        pytest.param({}, (X, Y, GROUPS, VANISHING), "less than 1e-100 times", id="vanishing weight"),
        pytest.param({"loss": "poisson"}, (X, 0 * Y, GROUPS), "y is 0 in every row", id="no counts"),
        pytest.param({"loss": "poisson"}, (X, 1e7 + Y, GROUPS), "more than 1e", id="huge counts"),
        pytest.param({"mean": "linear"}, (WIDE, Y, GROUPS), "coefficients .* for 36 rows", id="wide"),
        pytest.param(SLOPES, (WIDE, Y, GROUPS), "at most 1000 are possible", id="wide slopes"),
    ],
)
def test_what_cannot_be_fitted_says_why(settings, data, message):
    with pytest.raises(ValueError, match=message):
        MixedRegressor(**settings, **QUICK).fit(*data)


@pytest.mark.parametrize(
    ("settings", "data"),
    [
        pytest.param(SLOPES, (X, 2 * X[:, 0] + GROUPS, GROUPS), id="no noise"),
        pytest.param({"mean": "linear", "loss": "poisson"}, (X, 1000 + COUNTS, GROUPS), id="large counts"),
        pytest.param({}, (1e150 * X, 1e150 * Y, GROUPS), id="large units"),
        pytest.param({}, (X, Y, GROUPS, np.r_[1e-30, np.ones(35)]), id="a small weight"),
        pytest.param({"hidden_layer_sizes": ()}, (X, Y, GROUPS), id="no hidden layer"),
        pytest.param({"n_folds": 99}, (X > 0, Y, GROUPS), id="more folds than clusters"),
    ],
)
def test_what_is_extreme_has_a_finite_result(settings, data):
    model = MixedRegressor(**QUICK | settings).fit(*data)
    assert np.isfinite(model.predict(data[0], data[2])).all()
    assert np.isfinite(model.population_interval(data[0])).all()
    assert np.isfinite(model.log_likelihood_)
    assert abs(model.log_likelihood_) < 1e6  # of 36 rows


def test_constant_outcome_has_no_share_of_the_clusters():
    assert MixedRegressor(mean="linear").fit(X, np.full(36, 7.0), GROUPS).intraclass_correlation_ < 0.1


def test_networks_that_all_diverge_say_so():
    with pytest.raises(DivergenceError, match="a smaller learning_rate_init"):
        MixedRegressor(mean="network", learning_rate_init=1e16, max_iter=40).fit(X, Y, GROUPS)


@pytest.mark.parametrize("kind", [MixedRegressor, MixedClassifier])
def test_rows_out_of_this_world_are_refused_and_no_rows_predicted(kind):
    y = Y if kind is MixedRegressor else np.median(Y) < Y
    model = kind(mean="gp", **QUICK).fit(X, y, GROUPS)
    for ask in (model.predict, lambda far: model.adapt(far, y)):
        with pytest.raises(ValueError, match=r"X is 1e\+300 at \[3, 1\]"):
            ask(np.where(np.arange(72).reshape(36, 2) == 7, 1e300, X))
    with pytest.raises(ValueError, match="minimum of 1 is required"):
        model.predict(X[:0])


def test_same_bits_of_classes_for_any_number_of_threads():
    fits = [MixedClassifier(n_jobs=n, **QUICK).fit(X, Y > 1, GROUPS) for n in (1, 2, 3)]
    found = [pickle.loads(pickle.dumps(fit)).predict_proba(X, GROUPS) for fit in fits]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
