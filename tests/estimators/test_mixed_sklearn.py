"""scikit-learn's own checks of the mixed models: as they know no groups, a subclass deals them."""

import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import _num_samples

from rfpcore import MixedClassifier, MixedRegressor
from rfpcore.datasets import make_vee

QUICK = {"hidden_layer_sizes": (4,), "max_iter": 40, "weight_decay": 0.0}
X, Y, GROUPS = make_vee(n_clusters=8, n_per_cluster=8, random_state=0)


def dealt(X, groups):
    """Five clusters, by turns."""
    return np.arange(_num_samples(X)) % 5 if groups is None else groups


class DealtRegressor(MixedRegressor):
    def fit(self, X, y, groups=None, sample_weight=None):
        return super().fit(X, y, dealt(X, groups), sample_weight)


class DealtClassifier(MixedClassifier):
    def fit(self, X, y, groups=None, sample_weight=None):
        return super().fit(X, y, dealt(X, groups), sample_weight)


ABOVE = "weights are above 0: a row's noise has the variance s^2 / weight"
EXPECTED = {
    "check_all_zero_sample_weights_error": ABOVE,
    "check_sample_weight_equivalence_on_dense_data": ABOVE,
    "check_classifiers_one_label_sample_weights": ABOVE,
    "check_non_transformer_estimators_n_iter": "max_iter is of the networks, one kind of mean among others",
}
OF_CLASSES = {
    "check_decision_proba_consistency": "probabilities are means over effects, whose variance differs by row"
}
OF_NUMBERS = {"check_fit2d_1sample": "the message speaks of one cluster, not of one sample"}


def expected(estimator):
    return EXPECTED | (OF_NUMBERS if isinstance(estimator, MixedRegressor) else OF_CLASSES)


@parametrize_with_checks([DealtRegressor(**QUICK), DealtClassifier(**QUICK)], expected_failed_checks=expected)
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("kind", [MixedRegressor, MixedClassifier])
def test_pickled_and_cloned(kind):
    y = Y if kind is MixedRegressor else np.median(Y) < Y
    model = kind(mean="gp", effects=("intercept", "smooth"), **QUICK).fit(X, y, GROUPS)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X, GROUPS), model.predict(X, GROUPS))
    assert again.summary() == model.summary()
    adapted = model.adapt(X[:8], y[:8])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(adapted)).predict(X[:2]), adapted.predict(X[:2]))
    assert clone(model).get_params() == model.get_params()
    assert clone(model).set_params(mean="linear").mean == "linear"


@pytest.mark.skipif(
    tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 7),
    reason="a pipeline's score asks for its own requests before scikit-learn 1.7",
)
def test_groups_are_routed_by_pipelines_and_searches():
    with sklearn.config_context(enable_metadata_routing=True):
        model = (
            MixedRegressor(mean="linear")
            .set_fit_request(groups=True, sample_weight=True)
            .set_score_request(groups=False, sample_weight=True)
        )
        pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        grid = {"mixedregressor__effects": ["intercept", ("intercept", "slopes")]}
        search = GridSearchCV(pipe, grid, cv=GroupKFold(4))
        search.fit(X, Y, groups=GROUPS, sample_weight=np.ones(len(Y)))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_[-1].labels_.tolist() == list(range(8))
