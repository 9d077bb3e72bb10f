"""`max_iter="auto"`: against fits of the folds, one by one."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from small_models import CLASSES, GROUPS, X, Y, classifier, regressor

from rfpcore import Clusters, RFPRegressor, auto_inner_lr
from rfpcore.estimators import refit_clusters
from rfpcore.estimators.rfp._folds import HORIZONS, deal
from rfpcore.optimizers import Cosine


def auto(**params):
    return regressor(max_iter="auto", learning_rate="cosine", **params)


def loss_left_out(model, steps, folds):
    """Mean squared error of clusters left out, and that of each fold."""
    squared = np.empty(len(Y))
    for fold in range(folds.max() + 1):
        test = folds[GROUPS] == fold
        fit = clone(model).set_params(max_iter=steps).fit(X[~test], Y[~test], GROUPS[~test])
        squared[test] = (Y[test] - fit.predict(X[test])) ** 2
    return squared.mean(), np.array(
        [squared[folds[GROUPS] == fold].mean() for fold in range(folds.max() + 1)]
    )


@pytest.mark.parametrize("params", [{"inner_lr": 0.05}, {"alpha": 1.0}], ids=["RFP", "ordinary"])
def test_it_takes_the_number_that_predicts_clusters_left_out_best(params):
    fit = auto(**params).fit(X, Y, GROUPS)
    best, chosen, parts, worse = np.inf, 0, np.inf, 0
    for steps in HORIZONS:
        mean, each = loss_left_out(auto(**params), steps, deal(6, 5, 0))
        if mean < best:
            best, chosen, parts, worse = mean, steps, each, 0
            continue
        worse += 1
        if worse == 2 or (each > parts).all():
            break
    assert fit.n_iter_ == chosen
    alone = clone(fit).set_params(max_iter=chosen).fit(X, Y, GROUPS)
    assert_array_equal(fit.theta_, alone.theta_)  # and then all clusters are trained on so long


def test_the_inner_step_of_the_folds_is_that_at_the_start():
    fit = auto().fit(X, Y, GROUPS)
    data = Clusters(X, Y, GROUPS)
    step = auto_inner_lr(fit.net_, fit._first_theta(fit.net_, X.dtype, Y[:, None], None, 0), data)
    assert auto(inner_lr=step).fit(X, Y, GROUPS).n_iter_ == fit.n_iter_


def test_noise_is_not_learnt():
    """Of pure noise the fewest steps say most; trained for 500, a network would be far below R² = 0."""
    noise = np.random.default_rng(0).standard_normal(400)
    Z, groups = np.random.default_rng(1).standard_normal((800, 8)), np.arange(800) % 40
    train = np.arange(400)
    fit = RFPRegressor(hidden_layer_sizes=(32,), random_state=0).fit(Z[train], noise, groups[train])
    assert fit.n_iter_ <= 40
    assert fit.predict(Z[400:]).var() < 0.3 * noise.var()


def test_any_order_and_any_threads_choose_alike():
    one = auto(n_jobs=1, inner_lr=0.05).fit(X, Y, GROUPS)
    order = np.random.default_rng(0).permutation(len(Y))
    two = auto(n_jobs=2, inner_lr=0.05).fit(X[order], Y[order], GROUPS[order])
    assert one.n_iter_ == two.n_iter_
    assert_array_equal(one.theta_, auto(n_jobs=2, inner_lr=0.05).fit(X, Y, GROUPS).theta_)


def test_classes_and_counts():
    assert classifier(max_iter="auto", inner_lr=0.05).fit(X, CLASSES, GROUPS).n_iter_ in HORIZONS
    counts = np.random.default_rng(0).poisson(np.exp(Y / 2))
    assert auto(loss="poisson", inner_lr=0.01).fit(X, counts, GROUPS).n_iter_ in HORIZONS


def test_rows_are_left_out_where_all_are_one_cluster():
    alone = auto(alpha=1.0).fit(X, Y)
    assert alone.n_iter_ == auto(alpha=1.0).fit(X, Y, np.arange(len(Y))).n_iter_
    assert auto(alpha=1.0).fit(X[:1], Y[:1]).n_iter_ == HORIZONS[-1]  # nothing can be left out of one row


def test_a_warm_start_takes_as_many_steps_again():
    fit = auto(inner_lr=0.05, warm_start=True).fit(X, Y, GROUPS)
    first = fit.n_iter_
    assert fit.fit(X, Y, GROUPS).n_iter_ == first


def test_refits_take_the_number_of_all_clusters():
    fits = refit_clusters(auto(inner_lr=0.05), X, Y, GROUPS, np.ones((2, 6)))
    assert (fits.n_iter == auto(inner_lr=0.05).fit(X, Y, GROUPS).n_iter_).all()


def test_a_stream_has_no_end_to_fall_to():
    """ "cosine" would end all learning after `max_iter` passes."""
    falling, constant = (
        regressor(max_iter=5, inner_lr=0.05, learning_rate=r) for r in ("cosine", "constant")
    )
    for _ in range(8):
        falling.partial_fit(X, Y, GROUPS)
        constant.partial_fit(X, Y, GROUPS)
    assert_array_equal(falling.theta_, constant.theta_)
    given = regressor(inner_lr=0.05, learning_rate=Cosine(5))
    at = [given.partial_fit(X, Y, GROUPS).theta_ for _ in range(8)]
    assert_array_equal(at[5], at[7])  # a schedule that is given is taken as it is


def test_misuse():
    with pytest.raises(ValueError, match="max_iter='many'; 'auto' or an integer is needed"):
        regressor(max_iter="many").fit(X, Y, GROUPS)
