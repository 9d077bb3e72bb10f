"""Bands by bootstrap, and the diagnosis of a fit."""

import matplotlib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from rfpcore.datasets import make_iv_curve
from rfpcore.npiv import F2BMLD
from rfpcore.npiv._bands import bands, bootstrap_rows
from rfpcore.npiv._data import check_rows

matplotlib.use("agg")
FAST = {"max_iter": 300, "n_checkpoints": 10, "random_state": 0}


@pytest.fixture(scope="module")
def fitted():
    data = make_iv_curve(300, random_state=0)
    return F2BMLD(**FAST).fit(data.X, data.y, data.Z, groups=np.repeat(np.arange(30), 10)), data


def test_bands_of_normals_have_the_normal_quantiles():
    """Replicates N(1, 2²), independent over 5 points: 1.96, and the (0.95^(1/5) + 1) / 2 quantile."""
    replicates = 1 + 2 * np.random.default_rng(0).standard_normal((100_000, 5))
    found = bands(np.zeros(5), replicates, 0.95)
    # Quantiles of 100,000 draws: standard errors of 0.005 and 0.007.
    assert_allclose(found.upper, 2 * 1.960, atol=0.05)
    assert_allclose(found.critical_value, 2.569, atol=0.03)
    assert_allclose(found.uniform_upper, 2 * 2.569, atol=0.08)
    assert_allclose(found.lower, -found.upper)


def test_bootstrap_draws_whole_groups():
    groups = np.array([3, 1, 3, 2, 1, 3])
    rows = check_rows(np.arange(6.0), np.arange(6.0), np.arange(6.0) ** 2, None, groups, None)
    for draw in bootstrap_rows(rows, 20, np.random.RandomState(0)):
        counts = np.bincount(draw, minlength=6)
        assert all(len(set(counts[groups == group])) == 1 for group in (1, 2, 3))
        assert sum(counts[groups == group][0] for group in (1, 2, 3)) == 3


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_bands_of_a_fit(fitted, n_jobs):
    model, data = fitted
    model.set_params(n_jobs=n_jobs)
    found = model.bands(data.X_test, n_bootstraps=20, random_state=0)
    assert_array_equal(found.estimate, model.predict(data.X_test))
    assert (found.standard_error > 0).all()
    assert (found.uniform_upper >= found.upper - 1e-12).mean() > 0.9
    again = model.bands(data.X_test, n_bootstraps=20, random_state=0)
    assert_array_equal(found.uniform_upper, again.uniform_upper)


def test_bands_misuse(fitted):
    model, data = fitted
    with pytest.raises(ValueError, match=r"level=1\.0; a number in \(0, 1\)"):
        model.bands(data.X_test, level=1)
    with pytest.raises(ValueError, match="n_bootstraps=1 is too small"):
        model.bands(data.X_test, n_bootstraps=1)


def test_diagnosis_names_what_the_theorems_exclude():
    data = make_iv_curve(200, random_state=0)
    inside = F2BMLD(**FAST, solver="langevin", clip=1.0, sigma1=2.0, sigma2=8.0, lambdas=(0.5,))
    diagnosis = inside.fit(data.X, data.y, data.Z).diagnose()
    # 4 R³ λ / (σ1 σ2) = 2 / (2 * 8 / 3) < 1
    assert set(diagnosis.violated) <= {"bilevel gap"}
    assert str(diagnosis).count("\n") == len(diagnosis.conditions) - 1
    outside = inside.set_params(zeta1=10.0, zeta2=10.0, sigma1=1e-4, clip=None, alpha=0.2, gamma=0.2)
    violated = outside.fit(data.X, data.y, data.Z).diagnose().violated
    assert {"step alpha", "step gamma", "bounded particles", "temperature"} <= set(violated)
    adam = F2BMLD(**FAST).fit(data.X, data.y, data.Z).diagnose()
    assert "temperature" in adam.violated
    axes = adam.plot()
    assert len(axes[0].lines) == 3
    matplotlib.pyplot.close("all")
