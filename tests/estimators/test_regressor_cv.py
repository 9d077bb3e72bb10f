"""Cross-validation over clusters against fits of its folds."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from small_models import GROUPS, X, Y, regressor

from rfpcore.datasets import make_vee
from rfpcore.estimators import RFPRegressorCV
from rfpcore.estimators.rfp._folds import deal


def chosen(estimator=None, **params):
    options = {"alphas": (0.2, 1.0), "inner_lrs": (0.02, 0.05), "n_folds": 3} | params
    base = regressor(inner_lr=0.05, max_iter=25) if estimator is None else estimator
    return RFPRegressorCV(base, **options).fit(X, Y, GROUPS)


def test_losses_are_those_of_fits_without_the_fold():
    model = chosen()
    results, folds = model.cv_results_, deal(6, 3, 0)
    assert_array_equal(results["iteration"], [10, 20, 25])
    pairs = list(zip(results["alpha"], results["inner_lr"], strict=True))
    assert pairs == [(0.2, 0.02), (0.2, 0.05), (1.0, 0.02)]
    for i in range(3):
        for j, steps in enumerate(results["iteration"]):
            base = clone(model.estimator).set_params(
                alpha=results["alpha"][i], inner_lr=results["inner_lr"][i], max_iter=int(steps)
            )
            loss = np.empty(len(Y))
            for fold in range(3):
                test = folds[GROUPS] == fold
                fit = clone(base).fit(X[~test], Y[~test], GROUPS[~test])
                loss[test] = (Y[test] - fit.predict(X[test])) ** 2
            assert_allclose(results["loss"][i, j], loss.mean(), rtol=1e-9)


def test_the_best_is_fitted_to_all():
    model = chosen()
    assert model.best_params_["alpha"] == 1.0  # within a standard error of the others
    i = 2
    j = model.cv_results_["loss"][i].argmin()
    assert model.best_params_["alpha"] == model.cv_results_["alpha"][i]
    assert model.best_params_["max_iter"] == model.cv_results_["iteration"][j]
    again = clone(model.estimator).set_params(**model.best_params_).fit(X, Y, GROUPS)
    assert_array_equal(model.predict(X), again.predict(X))
    own, raw = (one.adapt(X, Y, GROUPS, method="gradient") for one in (model, again))
    share = 9 / (9 + model.best_estimator_.shrinkage_)  # of clusters of nine rows, as clusters left out say
    assert_allclose(own.thetas_, again.theta_ + share * (raw.thetas_ - again.theta_), rtol=1e-9, atol=1e-12)


def test_it_stops_ordinary_training_in_time():
    """On the generator where ordinary training learns clusters by heart: short training, or alpha below 1."""
    data = make_vee(random_state=1)
    base = regressor(hidden_layer_sizes=(32, 32), inner_lr=0.05, max_iter=1000)
    model = RFPRegressorCV(base, alphas=(0.1, 1.0), inner_lrs=(0.02,)).fit(*data)
    truth = np.abs(data.X[:, 0])
    long = clone(base).set_params(alpha=1.0).fit(*data)
    assert np.mean((model.predict(data.X) - truth) ** 2) < np.mean((long.predict(data.X) - truth) ** 2)


def test_combinations_that_diverge_are_passed_over():
    model = chosen(alphas=(0.0,), inner_steps=(30,), inner_lrs=(0.01, 1e100))
    assert model.best_params_["inner_lr"] == 0.01
    assert np.isinf(model.cv_results_["loss"][1]).all()
    with pytest.raises(ValueError, match="every combination diverges"):
        chosen(alphas=(0.0,), inner_steps=(30,), inner_lrs=(1e100,))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"alphas": ()}, r"alphas=\(\); a sequence of at least one"),
        ({"alphas": (2.0,)}, r"alpha=2\.0"),
        ({"inner_lrs": 0.1}, "inner_lrs=0.1"),
        ({"n_folds": 7}, "n_folds=7 is too large: a fold needs a cluster, of which there are 6"),
        ({"estimator": regressor(early_stopping=True)}, "early_stopping is set"),
        ({"estimator": regressor(query_fraction=0.5)}, "query_fraction is set"),
    ],
)
def test_misuse(params, message):
    with pytest.raises(ValueError, match=message):
        chosen(**params)


def test_groups_are_needed():
    with pytest.raises(ValueError, match="groups is None"):
        RFPRegressorCV().fit(X, Y, None)
    with pytest.raises(ValueError, match="1 cluster; to leave"):
        RFPRegressorCV().fit(X, Y, np.zeros(len(Y)))


def test_names_of_features():
    model = chosen()
    assert not hasattr(model, "feature_names_in_")
    model.fit(pd.DataFrame({"x": X[:, 0]}), Y, GROUPS)
    assert_array_equal(model.feature_names_in_, ["x"])
    assert not hasattr(model.fit(X, Y, GROUPS), "feature_names_in_")
