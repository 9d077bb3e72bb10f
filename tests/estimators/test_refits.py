"""Batched refits against clones fitted on the rows of the clusters in question."""

import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from small_models import GROUPS, X, Y, regressor

from rfpcore import DivergenceError
from rfpcore.estimators import refit_clusters
from rfpcore.regularize import L1

C = 6
JACKKNIFE = 1 - np.eye(C)


def model(**params):
    return regressor(alpha=0.2, inner_lr=0.05, **params)


def fitted_alone(estimator, keep, y=Y, sample_weight=None):
    rows = np.isin(GROUPS, keep)
    weights = None if sample_weight is None else sample_weight[rows]
    return clone(estimator).fit(X[rows], y[rows], GROUPS[rows], weights)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"alpha": 1.0, "inner_lr": "auto"},
        {"batch_size": 2, "inner_steps": 2},
        {"early_stopping": True, "n_iter_no_change": 10, "validation_fraction": 0.4, "max_iter": 200},
        {"solver": "sgd", "weight_decay": 0.01, "dtype": "float32"},
        {"loss": "poisson"},
        {"regularization": L1(0.01, method="proximal"), "learning_rate": "cosine"},
    ],
    ids=["plain", "ordinary", "batches", "early stopping", "float32", "poisson", "penalty"],
)
def test_same_bits_as_a_fit_on_those_clusters(params):
    estimator = model().set_params(**params)
    y = np.abs(Y) if params.get("loss") == "poisson" else Y
    fits = refit_clusters(estimator, X, y, GROUPS, JACKKNIFE)
    for out, fit in enumerate(fits):
        alone = fitted_alone(estimator, np.delete(np.arange(C), out), y)
        assert_array_equal(fit.theta_, alone.theta_)
        assert_array_equal(fits.predict(X)[out], alone.predict(X))
        assert fits.n_iter[out] == alone.n_iter_
        if estimator.early_stopping:
            assert fits.best_iteration[out] == alone.best_iteration_


def test_weights_of_rows():
    weight = np.random.default_rng(0).uniform(0.5, 2, len(Y))
    fits = refit_clusters(model(), X, Y, GROUPS, JACKKNIFE, weight)
    alone = fitted_alone(model(), [0, 2, 3, 4, 5], sample_weight=weight)
    assert_array_equal(fits.thetas[1], alone.theta_)


def test_a_cluster_twice():
    """The bootstrap: a cluster drawn twice is two clusters. Only the order of sums differs."""
    counts = np.array([[2, 0, 1, 3, 0, 0]])
    rows = np.concatenate([np.flatnonzero(c == GROUPS) for c in (0, 0, 2, 3, 3, 3)])
    labels = np.repeat(np.arange(6), [np.sum(c == GROUPS) for c in (0, 0, 2, 3, 3, 3)])
    alone = model().fit(X[rows], Y[rows], labels)
    assert_allclose(refit_clusters(model(), X, Y, GROUPS, counts).thetas[0], alone.theta_, rtol=1e-9)


@pytest.mark.parametrize("n_jobs", [2, 5, None])
def test_same_bits_for_any_number_of_threads(n_jobs):
    one = refit_clusters(model(n_jobs=1), X, Y, GROUPS, JACKKNIFE)
    assert_array_equal(one.thetas, refit_clusters(model(n_jobs=n_jobs), X, Y, GROUPS, JACKKNIFE).thetas)


def test_no_seed_is_one_seed_for_all():
    estimator = model(max_iter=1, learning_rate_init=1e-12).set_params(random_state=None)
    fits = refit_clusters(estimator, X, np.zeros(len(X)), GROUPS, JACKKNIFE)
    assert_allclose(fits.thetas, np.tile(fits.thetas[0], (C, 1)), atol=1e-11)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"inner_lr": "auto"}, "inner_lr='auto'"),
        ({"query_fraction": 0.5}, "query_fraction"),
        ({"tol": 0.1}, "tol"),
        ({"warm_start": True}, "warm_start"),
        ({"random_state": np.random.RandomState(0)}, "random_state"),
    ],
)
def test_what_cannot_be_batched(params, reason):
    with pytest.raises(ValueError, match=f"cannot be batched: .*{reason}"):
        refit_clusters(model().set_params(**params), X, Y, GROUPS, JACKKNIFE)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.ones(C), r"shape \(6,\); there are 6 clusters, so \(n_fits, 6\)"),
        (np.ones((2, 5)), r"shape \(2, 5\)"),
        (np.vstack([np.ones(C), np.zeros(C)]), "row 1 is"),
        (-np.eye(C), "row 0 is"),
        (np.full((1, C), np.nan), "finite"),
        (np.vstack([np.ones(C), np.full(C, 1.7e308)]), r"counts\[1\] adds up to inf; a sum of 1e-100"),
        (np.full((1, C), 5e-324), r"counts\[0\] adds up to 2.96e-323"),
    ],
)
def test_counts_that_do_not_fit(counts, message):
    with pytest.raises(ValueError, match=message):
        refit_clusters(model(), X, Y, GROUPS, counts)


def test_divergence_names_fit_and_cluster():
    estimator = model(inner_steps=50).set_params(inner_lr=1e100)
    with pytest.raises(
        DivergenceError, match=r"fit 0 of 6: the loss of cluster 1 is .*\. a smaller inner_lr"
    ) as error:
        refit_clusters(estimator, X, Y, GROUPS, JACKKNIFE)
    assert error.value.label == 1


def test_one_of_them_is_no_fit_of_its_own(tmp_path):
    fits = refit_clusters(model(max_iter=2), X, Y, GROUPS, JACKKNIFE)
    with pytest.raises(
        ValueError, match="save needs a fit of its own, and this RFPRegressor is one of Refits"
    ):
        fits[0].save(tmp_path / "model")
    with pytest.raises(ValueError, match="partial_fit needs a fit of its own"):
        fits[0].partial_fit(X, Y, GROUPS)
    with pytest.raises(TypeError, match="slice"):
        fits[:2]
    assert_array_equal(fits[-1].predict(X), fits.predict(X)[-1])
    with pytest.raises(TypeError, match="alpha='x' is a str; a number in"):
        refit_clusters(model(max_iter=2).set_params(alpha="x", inner_lr="auto"), X, Y, GROUPS, JACKKNIFE)


def test_columns_of_counts_that_name_other_clusters():
    counts = pd.DataFrame(JACKKNIFE, columns=[0, 1, 2, 3, 4, 9])
    with pytest.raises(ValueError, match=r"the columns of counts name 9, which is no cluster; .* \[0, 1, 2"):
        refit_clusters(model(max_iter=2), X, Y, GROUPS, counts)
    for columns in (list("abcdef"), range(6)):  # names of something else, or of nothing
        counts = pd.DataFrame(JACKKNIFE, columns=columns)
        assert len(refit_clusters(model(max_iter=2), X, Y, GROUPS + 1, counts)) == 6


INTERRUPTED = """
import numpy as np
from rfpcore import RFPRegressor
from rfpcore.datasets import make_vee
from rfpcore.estimators import refit_clusters

data = make_vee(random_state=0)
model = RFPRegressor(inner_lr=0.02, max_iter=2_000_000, random_state=0)
try:
    print("inside", flush=True)
    refit_clusters(model, *data, counts=1 - np.eye(20))
except KeyboardInterrupt:
    print("stopped", flush=True)
print(refit_clusters(model.set_params(max_iter=2), *data, counts=1 - np.eye(20)).n_iter.sum(), flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_stops_all_fits():
    """Days of work, and usable afterwards."""
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout.readline() == "inside\n"
            child.send_signal(signal.SIGINT)
            assert child.stdout.readline() == "stopped\n"
            assert child.stdout.readline() == "40\n"
        finally:
            child.kill()
