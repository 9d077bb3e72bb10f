"""The estimators: what they minimize, what they predict, and how they get along with scikit-learn."""

import pickle

import joblib
import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_models import CLASSES, GROUPS, SMALL, X, Y, classifier, regressor

import rfpcore
from rfpcore import RFPRegressor


@pytest.fixture(scope="module")
def fitted():
    return regressor().fit(X, Y, GROUPS)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0], ids=["MAML", "RFP", "ordinary"])
def test_a_linear_model_finds_the_minimum_of_R_k(alpha):
    """For a linear model and one step R_1 is quadratic in theta, so that least squares gives its minimum.

    theta_c = A_c theta + d_c with A_c = 1 - 2 eta X'X / n and d_c = 2 eta X'y / n.
    """
    eta, rows, outcomes = 0.02, [], []
    for c in np.unique(GROUPS):
        Z, y = np.column_stack([X, np.ones(len(X))])[c == GROUPS], Y[c == GROUPS]
        A, d = np.eye(2) - 2 * eta * Z.T @ Z / len(Z), 2 * eta * Z.T @ y / len(Z)
        rows += [np.sqrt(alpha) * Z, np.sqrt(1 - alpha) * Z @ A]
        outcomes += [np.sqrt(alpha) * y, np.sqrt(1 - alpha) * (y - Z @ d)]
    expected = np.linalg.lstsq(np.vstack(rows), np.concatenate(outcomes))[0]
    model = RFPRegressor(
        standardize=False,
        learning_rate="constant",
        hidden_layer_sizes=(),
        alpha=alpha,
        inner_lr=eta,
        solver="sgd",
        learning_rate_init=0.1,
        max_iter=2000,
    )
    # Gradient descent with momentum shrinks the error by a constant factor a step: 2000 leave only rounding.
    assert_allclose(model.fit(X, Y, GROUPS).theta_, expected, rtol=1e-8)


def test_ordinary_training_does_not_see_clusters():
    alone = regressor(alpha=1.0).fit(X, Y)
    assert_allclose(regressor(alpha=1.0).fit(X, Y, GROUPS).theta_, alone.theta_, rtol=1e-9)
    assert alone.inner_lr_ is None


@pytest.mark.parametrize(
    "params", [{}, {"inner_lr": 0.03, "inner_steps": 3, "inner_momentum": 0.5, "order": "first"}]
)
def test_loss_curve_is_the_functional_objective(params):
    model = regressor(max_iter=2, solver="sgd", learning_rate_init=0.01, momentum=0.0, **params).fit(
        X, Y, GROUPS
    )
    theta = model.net_.init(0)
    theta[-1] = Y.mean()  # the output bias
    data = rfpcore.Clusters(X, Y, GROUPS)
    options = {"inner_steps": 1} | params | {"inner_lr": model.inner_lr_}
    for step in range(2):
        value, grad = rfpcore.value_and_grad(model.net_, theta, data, 0.5, **options)
        assert_allclose(model.loss_curve_[step], value, rtol=1e-12)
        theta = theta - 0.01 * grad
    assert_allclose(model.theta_, theta, rtol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_a_weight_of_two_is_the_row_twice(alpha):
    random = np.random.default_rng(0)
    weight = random.integers(0, 4, len(Y))
    twice = np.repeat(np.arange(len(Y)), weight)
    weighted = regressor(alpha=alpha).fit(X, Y, GROUPS, sample_weight=weight)
    repeated = regressor(alpha=alpha).fit(X[twice], Y[twice], GROUPS[twice])
    # Sums in another order differ in the last bits, and 30 steps of Adam enlarge that a little.
    assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-9)


def test_poisson_predicts_rates():
    counts = np.random.default_rng(0).poisson(np.exp(1 + X[:, 0]))
    model = regressor(
        loss="poisson", hidden_layer_sizes=(), alpha=1.0, max_iter=1500, learning_rate_init=0.02
    )
    rates = model.fit(X, counts).predict(X)
    # At the maximum of the likelihood residuals are orthogonal to the constant and to x.
    assert_allclose([(counts - rates).sum(), ((counts - rates) * X[:, 0]).sum()], 0, atol=1e-2)
    assert (rates > 0).all()


def test_poisson_without_events_starts_low():
    assert regressor(loss="poisson", inner_lr=0.1).fit(X, np.zeros(len(X)), GROUPS).predict(X).max() < 0.1


def test_outputs_have_the_shape_of_y():
    both = np.column_stack([Y, -Y])
    assert regressor().fit(X, both, GROUPS).predict(X).shape == both.shape
    assert regressor().fit(X, Y[:, None], GROUPS).predict(X).shape == (len(Y), 1)
    model = regressor().fit(X, Y, GROUPS)
    assert model.predict(X).shape == Y.shape
    assert (model.n_outputs_, model.n_features_in_) == (1, 1)


def test_two_classes():
    model = classifier(max_iter=200).fit(X, Y > 1, GROUPS)
    probabilities, logits = model.predict_proba(X), model.decision_function(X)
    assert model.net_.n_outputs == 1
    assert_allclose(probabilities.sum(axis=1), 1)
    assert_allclose(np.log(probabilities[:, 1] / probabilities[:, 0]), logits, rtol=1e-9)
    assert_array_equal(model.predict(X), logits > 0)
    assert model.score(X, Y > 1) > 0.9


def test_three_classes():
    model = classifier(max_iter=200).fit(X, CLASSES, GROUPS)
    probabilities = model.predict_proba(X)
    assert_array_equal(model.classes_, ["high", "low", "mid"])
    assert_allclose(probabilities.sum(axis=1), 1)
    assert_array_equal(model.predict(X), model.classes_[model.decision_function(X).argmax(axis=1)])
    assert model.score(X, CLASSES) > 0.8
    adapted = model.adapt(X, CLASSES, GROUPS)
    assert adapted.score(X, CLASSES, GROUPS) >= model.score(X, CLASSES)
    assert_allclose(
        adapted.predict_proba(X, GROUPS).argmax(axis=1), adapted.decision_function(X, GROUPS).argmax(axis=1)
    )


def test_probabilities_of_extreme_logits():
    model = classifier().fit(X, Y > 1, GROUPS)
    assert_array_equal(model._probabilities(np.array([[-1e4], [1e4]])), [[1, 0], [0, 1]])


def test_copies_predict_the_same(fitted):
    assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), fitted.predict(X))
    assert clone(fitted).get_params() == fitted.get_params()
    assert not hasattr(clone(fitted), "theta_")
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(clone(fitted).fit)(X, Y, GROUPS) for _ in range(2))
    assert_array_equal(found[0].theta_, fitted.theta_)
    assert_array_equal(found[1].theta_, fitted.theta_)


def test_pickled_partial_fit_goes_on(fitted):
    one, other = clone(fitted).fit(X, Y, GROUPS), pickle.loads(pickle.dumps(fitted))
    assert_array_equal(one.partial_fit(X, Y, GROUPS).theta_, other.partial_fit(X, Y, GROUPS).theta_)


@pytest.mark.skipif(
    tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 7),
    reason="a pipeline's score asks for its own requests before scikit-learn 1.7",
)
def test_groups_reach_the_fit_by_metadata_routing():
    seen = []

    class Spy(RFPRegressor):
        def fit(self, X, y, groups=None, sample_weight=None):
            seen.append((len(X), len(np.unique(groups)), sample_weight is not None))
            return super().fit(X, y, groups, sample_weight)

    with sklearn.config_context(enable_metadata_routing=True):
        model = (
            Spy(**SMALL)
            .set_fit_request(groups=True, sample_weight=True)
            .set_score_request(sample_weight=True)
        )
        params = {"groups": GROUPS, "sample_weight": np.ones(len(Y))}
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        cross_val_score(make_pipeline(scaler, model), X, Y, cv=GroupKFold(3), params=params)
        assert seen == [(36, 4, True)] * 3
        search = GridSearchCV(model, {"alpha": [0.1, 1.0]}, cv=GroupKFold(2)).fit(X, Y, **params)
    assert seen[3:] == [(27, 3, True)] * 4 + [(54, 6, True)]
    assert search.best_estimator_.inner_lr_ is None or search.best_params_["alpha"] == 0.1


def test_groups_reach_the_fit_without_routing():
    scores = cross_val_score(regressor(), X, Y, groups=GROUPS, cv=GroupKFold(3), params={"groups": GROUPS})
    train, test = next(GroupKFold(3).split(X, Y, GROUPS))
    model = regressor().fit(X[train], Y[train], GROUPS[train])
    assert_array_equal(scores[0], model.score(X[test], Y[test]))
