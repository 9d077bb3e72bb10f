"""Ordinary networks on clustered rows: bagging and early stopping by whole clusters."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from small_networks import LABELS, SMALL, X, Y

from rfpcore import EnsembleClassifier, EnsembleRegressor, MLPClassifier, MLPRegressor

GROUPS = np.array(list("abcdefghij"))[np.arange(90) * 7 % 10]  # ten clusters of nine rows, mixed up
STOPPED = SMALL | {"early_stopping": True, "validation_fraction": 0.2, "n_iter_no_change": 2}


def held_out(seed):
    """The clusters held out: two of ten, the first that the seed's permutation has."""
    return np.isin(GROUPS, np.unique(GROUPS)[np.random.RandomState(seed).permutation(10)[:2]])


@pytest.mark.filterwarnings("ignore:the fit has not converged")
@pytest.mark.parametrize(("kind", "y"), [(MLPRegressor, Y), (MLPClassifier, LABELS)])
def test_early_stopping_measures_clusters_that_are_left_out_whole(kind, y):
    model = kind(**STOPPED).fit(X, y, groups=GROUPS)
    out = held_out(0)
    # The kept parameters' loss on those clusters, by hand, is the best that was recorded.
    f = model.net_.predict(model.theta_, X[out])
    if kind is MLPRegressor:
        loss = np.mean((y[out] - f[:, 0]) ** 2)
    else:
        codes = np.searchsorted(model.classes_, y[out])
        loss = np.mean(np.log(np.exp(f).sum(axis=1)) - f[np.arange(len(f)), codes])
    assert_allclose(-model.validation_scores_[model.best_iteration_ - 1], loss, rtol=1e-10)


@pytest.mark.filterwarnings("ignore:the fit has not converged")
def test_the_fit_does_not_see_the_clusters_held_out():
    changed = np.where(held_out(0), Y + 0.01, Y)
    one, other = (MLPRegressor(**STOPPED | {"max_iter": 1}).fit(X, y, groups=GROUPS) for y in (Y, changed))
    assert_array_equal(one.theta_, other.theta_)
    assert one.validation_scores_ != other.validation_scores_


def test_groups_do_nothing_where_nothing_is_held_out():
    one, other = MLPRegressor(**SMALL).fit(X, Y, groups=GROUPS), MLPRegressor(**SMALL).fit(X, Y)
    assert_array_equal(one.theta_, other.theta_)


def test_bootstrap_draws_clusters():
    """A member is a network trained on copies of its clusters."""
    sized = np.repeat(np.arange(6), [2, 30, 8, 20, 10, 20])  # members have different numbers of rows
    ensemble = EnsembleClassifier(MLPClassifier(**SMALL), 3, bootstrap=True, random_state=5)
    ensemble.fit(X, LABELS, groups=sized)
    random = np.random.RandomState(5)
    seeds, drawn = random.randint(2**31 - 1, size=3), random.randint(6, size=(3, 6))
    for member, seed, clusters in zip(ensemble.estimators_, seeds, drawn, strict=True):
        rows = np.concatenate([np.flatnonzero(sized == cluster) for cluster in clusters])
        alone = MLPClassifier(**SMALL | {"random_state": int(seed)}).fit(X[rows], LABELS[rows])
        assert_allclose(member.theta_, alone.theta_, rtol=1e-12)
        assert member.n_iter_ == alone.n_iter_


@pytest.mark.filterwarnings("ignore:.* have not converged")
def test_bootstrap_of_clusters_leaves_those_held_out_alone():
    network = MLPClassifier(**STOPPED)
    ensemble = EnsembleClassifier(network, 2, bootstrap=True, random_state=5).fit(X, LABELS, groups=GROUPS)
    random = np.random.RandomState(5)
    kept = np.setdiff1d(np.unique(GROUPS), np.unique(GROUPS)[random.permutation(10)[:2]])
    random.randint(2**31 - 1, size=2)
    drawn = kept[random.randint(8, size=(2, 8))]
    out = ~np.isin(GROUPS, kept)
    assert len(np.unique(drawn[0])) < 8
    for member in ensemble.estimators_:
        f = member.net_.predict(member.theta_, X[out])
        codes = np.searchsorted(member.classes_, LABELS[out])
        loss = np.mean(np.log(np.exp(f).sum(axis=1)) - f[np.arange(len(f)), codes])
        assert_allclose(-member.validation_scores_[member.best_iteration_ - 1], loss, rtol=1e-10)


def test_weights_of_zero_leave_clusters_out():
    weights = (GROUPS != "a").astype(float)
    one = EnsembleRegressor(MLPRegressor(**SMALL), 2, bootstrap=True, random_state=0)
    one.fit(X, Y, weights, groups=GROUPS)
    kept = GROUPS != "a"
    other = EnsembleRegressor(MLPRegressor(**SMALL), 2, bootstrap=True, random_state=0)
    other.fit(X[kept], Y[kept], groups=GROUPS[kept])
    assert_allclose(one.predict(X), other.predict(X), rtol=1e-12)


def test_what_is_refused():
    with pytest.raises(ValueError, match="groups has 89"):
        MLPRegressor(**SMALL).fit(X, Y, groups=GROUPS[:-1])
    with pytest.raises(ValueError, match="holds out whole clusters, so it needs at least 2; got 1"):
        MLPRegressor(**STOPPED).fit(X, Y, groups=np.zeros(90))
