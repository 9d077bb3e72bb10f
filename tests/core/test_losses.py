"""Losses by name: how they are written, what else is understood, and what the estimators make of them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from sklearn.linear_model import QuantileRegressor

import rfpcore
from rfpcore import MLPRegressor, RFPRegressor, losses
from rfpcore.many import Model, fit_many

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((400, 2))
Y = 3 + X @ [1.0, -0.5] + RANDOM.standard_t(2, 400)
GROUPS = np.arange(400) % 8
LINEAR = {
    "standardize": False,
    "learning_rate": "constant",
    "hidden_layer_sizes": (),
    "alpha": 1.0,
    "inner_lr": 0.01,
    "max_iter": 1000,
    "random_state": 0,
}


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("squared_error", "squared"),
        ("log_loss", "softmax"),
        ("poisson", "poisson"),
        ("huber", "huber"),
        ("huber(2)", "huber(2.0)"),
        (losses.huber(), "huber(1.345)"),
        ("quantile( .9 )", "quantile(0.9, 0.1)"),
        (losses.quantile(0.25, 1e-3), "quantile(0.25, 0.001)"),
    ],
)
def test_how_a_loss_is_written(written, text):
    assert losses.read(written).text == text


@pytest.mark.parametrize(
    "loss",
    [
        "mse",
        "Squared",
        "huber(",
        "huber()",
        "huber(1, 2)",
        "squared(1)",
        "huber(x)",
        "huber(e)",
        "quantile(0.5, --1)",
        "huber(\u0661)",  # a digit of another script
        3,
        None,
        ["squared"],
    ],
)
def test_what_is_no_loss(loss):
    with pytest.raises(ValueError, match=r"loss=.* is unknown; one of 'squared', 'logistic'"):
        losses.read(loss)
    with pytest.raises(ValueError, match=r"loss=.* is unknown; one of 'squared', 'poisson', 'huber'"):
        RFPRegressor(loss=loss).fit(X, Y, GROUPS)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("huber(0)", "delta=0.0; a positive number"),
        ("quantile(1)", r"level=1.0; a number in \(0, 1\)"),
        ("quantile(0.5, -1)", "width=-1.0; a positive number"),
    ],
)
def test_parameters_out_of_range(loss, message):
    with pytest.raises(ValueError, match=message):
        losses.read(loss)


def test_log_loss_needs_an_output_a_class():
    data = rfpcore.Clusters(X, Y > 3)
    with pytest.raises(ValueError, match="with one output 'logistic' is that loss"):
        rfpcore.value_and_grad(rfpcore.MLP(2, ()), np.zeros(3), data, loss="log_loss")
    models = [Model((4,), loss=loss, n_epochs=3) for loss in ("log_loss", "softmax")]
    one, two = (fit_many(X, (Y > 3) * 1.0, model) for model in models)
    assert models[0] == models[1]
    assert_array_equal(one[0].theta, two[0].theta)


@pytest.mark.parametrize(
    "call",
    [
        rfpcore.value_and_grad,
        rfpcore.gradient,
        rfpcore.adapt,
        rfpcore.curvature,
        lambda net, theta, data, loss: rfpcore.objective(net, theta, data, loss=loss).gradient,
        lambda net, theta, data, loss: rfpcore.hvp(net, theta, theta, data, loss=loss),
        lambda net, theta, data, loss: rfpcore.dropout_gradient(
            net, theta, data, 0.1, 2, loss=loss, random_state=0
        ),
    ],
    ids=["value_and_grad", "gradient", "adapt", "curvature", "objective", "hvp", "dropout_gradient"],
)
@pytest.mark.parametrize(("name", "other"), [("squared", "squared_error"), ("softmax", "log_loss")])
def test_functions_know_both_names(call, name, other):
    y = Y > 3
    net, data = rfpcore.MLP(2, (3,), 2 if name == "softmax" else 1), rfpcore.Clusters(X, y, GROUPS)
    expected, found = (call(net, net.init(0), data, loss=loss) for loss in (name, other))
    assert_array_equal(np.asarray(found, object).tolist()[0], np.asarray(expected, object).tolist()[0])


def test_huber_is_squared_for_small_residuals():
    net = rfpcore.MLP(2, (5,))
    at = (net, net.init(0), rfpcore.Clusters(X, Y, GROUPS), 0.3, 3, 0.01)
    found = rfpcore.value_and_grad(*at, loss=losses.huber(1e3))
    expected = rfpcore.value_and_grad(*at)
    assert_allclose(found[0], expected[0], rtol=1e-14)
    assert_allclose(found[1], expected[1], rtol=1e-12)


def test_huber_fit_against_a_minimizer():
    def mean_loss(beta):
        r = np.abs(Y - beta[0] - X @ beta[1:])
        return np.mean(np.where(r <= 0.8, r**2, 0.8 * (2 * r - 0.8)))

    best = minimize(mean_loss, np.zeros(3), method="BFGS", options={"gtol": 1e-10}).x
    model = RFPRegressor(loss=losses.huber(0.8), **LINEAR).fit(X, Y, GROUPS)
    # Adam's last steps are of the order of 1e-5 of its learning rate.
    assert_allclose(model.theta_, [*best[1:], best[0]], atol=1e-4)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_quantile_fit_against_linear_programming(level):
    exact = QuantileRegressor(quantile=level, alpha=0).fit(X, Y)
    model = RFPRegressor(loss=losses.quantile(level, 0.02), **LINEAR).fit(X, Y, GROUPS)
    # Smoothing over a fiftieth of a standard deviation moves quantiles of 400 rows by about that.
    assert_allclose(model.theta_, [*exact.coef_, exact.intercept_], atol=0.06)
    below = np.mean(model.predict(X) >= Y)
    assert abs(below - level) < 0.02


@pytest.mark.parametrize("weights", [None, np.arange(400) % 3 + 1.0])
def test_first_biases(weights):
    """With no step at all, a network predicts what suits the loss best: mean, median or quantile."""
    repeated = Y if weights is None else np.repeat(Y, weights.astype(int))
    for loss, expected in [
        ("squared", repeated.mean()),
        ("huber", np.quantile(repeated, 0.5, method="inverted_cdf")),
        (losses.quantile(0.9), np.quantile(repeated, 0.9, method="inverted_cdf")),
    ]:
        known = losses.read(loss)
        found = known.kind.first_bias(Y[:, None], weights, known.parameters)
        assert_allclose(found, [expected], rtol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1 / 400, 1e-9, 1e9])
def test_where_counts_begin_does_not_depend_on_the_scale_of_weights(scale):
    """Half an event stood for a mean below it, in a sum of weights that may be 1: rates began at a half."""
    first = losses.read("poisson").kind.first_bias
    counts = np.column_stack([np.arange(400) == 7, np.arange(400) % 5, np.full(400, 1e-8)])
    weights = np.full(400, scale)
    assert_allclose(first(counts, weights, ()), np.log(counts.mean(axis=0)), rtol=1e-12)
    assert_allclose(first(counts, None, ()), np.log(counts.mean(axis=0)), rtol=1e-12)
    assert first(np.zeros((400, 1)), weights, ())[0] <= np.log(0.5 / 400) + 1e-12  # no event at all


@pytest.mark.parametrize("loss", ["squared", "poisson", "huber", losses.quantile(0.9)])
def test_the_scale_of_weights_does_not_matter(loss):
    events = (np.arange(400) % 9 == 0).astype(float)
    weights = 1.0 + np.arange(400) % 3
    options = {"loss": loss, "max_iter": 5, "random_state": 0}
    for model, more in (
        (RFPRegressor(inner_lr=0.01, **options), {"groups": GROUPS}),
        (MLPRegressor(**options), {}),
    ):
        expected = model.fit(X, events, sample_weight=weights, **more).predict(X)
        for scale in (1e-6, 1e6):
            found = model.fit(X, events, sample_weight=scale * weights, **more).predict(X)
            assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_quantile_of_many_rows_with_weights_in_float32():
    """Added up in float32 the weights never reached their sum, and the smallest outcome was the quantile."""
    y = np.random.default_rng(0).standard_normal((300_000, 1))
    found = losses.read(losses.quantile(0.999)).kind.first_bias(
        y, np.full(300_000, 0.1, np.float32), (0.999,)
    )
    assert_allclose(found, np.quantile(y, 0.999, axis=0, method="inverted_cdf"))


def test_every_regressor_takes_them():
    for loss in ("huber", losses.quantile(0.75)):
        rfp = RFPRegressor(loss=loss, max_iter=5, inner_lr=0.01).fit(X, Y, GROUPS)
        for model in (rfp, MLPRegressor(loss, max_iter=5).fit(X, Y)):
            assert np.isfinite(model.predict(X)).all()
