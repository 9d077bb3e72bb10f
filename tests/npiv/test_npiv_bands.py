"""Bands by bootstrap, and the diagnosis of a fit."""

import matplotlib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.gaussian_process.kernels import Matern
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import rbf_kernel

from rfpcore.datasets import make_iv_curve
from rfpcore.npiv import F2BMLD
from rfpcore.npiv._bands import bands, bootstrap_rows
from rfpcore.npiv._correct import Correction
from rfpcore.npiv._data import Scales, check_rows
from rfpcore.npiv._ridge import RIDGES, leave_one_out_ridge
from rfpcore.npiv._select import bandwidth

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
    assert_array_equal(found.estimate, 0)
    # Quantiles of 100,000 draws: standard errors of 0.005 and 0.007; of their mean, 0.006.
    assert_allclose(found.centre, 1, atol=0.04)
    assert_allclose(found.upper - found.centre, 2 * 1.960, atol=0.05)
    assert_allclose(found.critical_value, 2.569, atol=0.03)
    assert_allclose(found.uniform_upper - found.centre, 2 * 2.569, atol=0.08)
    assert_allclose(found.centre - found.lower, found.upper - found.centre)


def test_bootstrap_draws_whole_groups():
    groups = np.array([3, 1, 3, 2, 1, 3])
    rows = check_rows(np.arange(6.0), np.arange(6.0), np.arange(6.0) ** 2, None, groups, None)
    for draw in bootstrap_rows(rows, 20, np.random.RandomState(0)):
        counts = np.bincount(draw, minlength=6)
        assert all(len(set(counts[groups == group])) == 1 for group in (1, 2, 3))
        assert sum(counts[groups == group][0] for group in (1, 2, 3)) == 3


def test_bootstrap_of_a_part_of_the_groups():
    """Groups that are held out are no groups of no rows."""
    codes = np.repeat([0, 3, 5], 2)
    rows = check_rows(np.arange(6.0), np.arange(6.0), np.arange(6.0) ** 2, None, codes, None)
    part = rows.take(np.arange(2, 6))
    draws = bootstrap_rows(part, 50, np.random.RandomState(0))
    assert {len(draw) for draw in draws} == {4}
    assert {tuple(np.unique(part.codes[draw])) for draw in draws} == {(1,), (1, 2), (2,)}


@pytest.mark.parametrize("method", ["corrected", "spread"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_bands_of_a_fit(fitted, n_jobs, method):
    model, data = fitted
    model.set_params(n_jobs=n_jobs)
    found = model.bands(data.X_test, n_bootstraps=20, method=method, random_state=0)
    assert_array_equal(found.estimate, model.predict(data.X_test))
    assert (found.standard_error > 0).all()
    assert (found.uniform_upper >= found.upper - 1e-12).mean() > 0.9
    again = model.set_params(n_jobs=1).bands(data.X_test, n_bootstraps=20, method=method, random_state=0)
    assert_array_equal(found.uniform_upper, again.uniform_upper)


def test_bands_misuse(fitted):
    model, data = fitted
    with pytest.raises(ValueError, match=r"level=1\.0; a number in \(0, 1\)"):
        model.bands(data.X_test, level=1)
    with pytest.raises(ValueError, match="n_bootstraps=1 is too small"):
        model.bands(data.X_test, n_bootstraps=1)
    with pytest.raises(ValueError, match="method='naive' is unknown"):
        model.bands(data.X_test, method="naive")
    with pytest.raises(ValueError, match=r"penalty=0\.0; a positive number"):
        model.bands(data.X_test, penalty=0)


def standardised(seed, n=1000, curve="sin"):
    data = make_iv_curve(n, curve=curve, random_state=seed)
    rows = check_rows(data.X, data.y, data.Z, None, None, None)
    scales = Scales.of(rows)
    return data, scales, scales.apply(rows)


@pytest.mark.parametrize("c", [0, 2])
def test_correction_is_kernel_ridge_regression_with_instruments(c):
    """With every row a landmark and integer weights: the dual formulas on repeated rows."""
    _, _, rows = standardised(0, n=60)
    random = np.random.default_rng(0)
    counts = random.integers(0, 3, 60).astype(float)
    W = random.standard_normal((60, c))
    inputs, instruments = np.hstack([rows.inputs, W]), np.hstack([rows.instruments, W])
    correct = Correction(inputs, instruments, np.ones(60), 0.1, np.random.RandomState(0), c)
    points = np.hstack([np.linspace(-2, 2, 7)[:, None], np.zeros((7, c))])
    found = correct.values(rows.y, counts, correct.at(points))
    again = np.repeat(np.arange(60), counts.astype(int))
    x, z, y = inputs[again], instruments[again], rows.y[again]

    def kernel(a, b):
        """The sum of those of all columns and, with covariates, of the first alone."""
        widths = (1 + c, 1) if c else (1,)
        lengths = [1 / np.sqrt(2 * bandwidth(inputs[:, :wide])) for wide in widths]
        parts = zip(widths, lengths, strict=True)
        return sum(Matern(length, nu=2.5)(a[:, :wide], b[:, :wide]) for wide, length in parts)

    of_z = 1 + rbf_kernel(z, gamma=bandwidth(instruments))
    if c:
        of_z += rbf_kernel(z[:, :1], gamma=bandwidth(instruments[:, :1]))
    smooth = of_z @ np.linalg.inv(of_z + correct._ridge * np.eye(len(y)))
    centre = np.eye(len(y)) - 1 / len(y)
    root = centre @ smooth
    dual = np.linalg.solve(root @ kernel(x, x) @ root.T + 0.1 * np.eye(len(y)), centre @ y)
    average = (smooth @ kernel(x, x)).mean(axis=0)
    expected = y.mean() + (kernel(points, x) - average) @ root.T @ dual
    # Nyström's features drop directions of the kernels below 1e-12.
    assert_allclose(found, expected, atol=1e-6)


def test_leave_one_out_ridge_is_the_best_of_refits():
    random = np.random.default_rng(0)
    features, weights = random.standard_normal((30, 8)), random.uniform(0.5, 2, 30)
    targets = features @ random.standard_normal((8, 2)) + 3 * random.standard_normal((30, 2))

    def error(ridge):
        total = 0.0
        for row in range(30):
            keep = np.arange(30) != row
            model = Ridge(ridge, fit_intercept=False).fit(features[keep], targets[keep], weights[keep])
            total += weights[row] * ((targets[row] - model.predict(features[[row]])) ** 2).sum()
        return total

    assert leave_one_out_ridge(features, targets, weights) == min(RIDGES * 30, key=error)


def test_correction_takes_bias_off():
    """A function that is wrong by what the instrument can see: 0.5 sin(2x) is found in its residuals."""
    missed = []
    for seed in range(5):
        data, scales, rows = standardised(seed)
        correct = Correction(rows.inputs, rows.instruments, np.ones(1000), 0.1, np.random.RandomState(0))
        residuals = (data.y - 0.5 * np.sin(2 * data.X[:, 0])) / scales.y_scale
        features = correct.at(scales.inputs.apply(data.X_test))
        missed.append(scales.y_scale * correct.values(residuals, np.ones(1000), features) - 0.5 * data.h_test)
    # The bias without it is 0.5 sin(2x), of root mean square 0.33; a draw's noise is about 0.2.
    assert np.sqrt((np.mean(missed, axis=0) ** 2).mean()) < 0.15


def test_correction_beside_covariates():
    """sin(2x), all of it missed, where four covariates move x more than the instrument does.

    A kernel on all five columns without that on x alone leaves 0.58 of a root mean square of 0.71.
    """
    missed, grid = [], np.linspace(-1.8, 1.8, 50)
    for seed in range(3):
        random = np.random.default_rng(seed)
        z, v, own = random.standard_normal((3, 1000))
        W = random.standard_normal((1000, 4))
        x = z + 0.6 * W.sum(axis=1) + 0.5 * v
        data = check_rows(x, np.sin(2 * x) + 0.8 * v + 0.6 * own, z, W, None, None)
        scales = Scales.of(data)
        rows, ones = scales.apply(data), np.ones(1000)
        correct = Correction(rows.inputs, rows.instruments, ones, 0.1, np.random.RandomState(0), 4)
        points = scales.inputs.apply(np.column_stack([grid, np.zeros((50, 4))]))
        found = scales.y_scale * correct.values(rows.y, ones, correct.at(points))
        missed.append(scales.y_mean + found - np.sin(2 * grid))
    assert np.sqrt((np.mean(missed, axis=0) ** 2).mean()) < 0.35


def test_diagnosis_names_what_the_theorems_exclude():
    data = make_iv_curve(200, random_state=0)
    inside = F2BMLD(
        **FAST,
        solver="langevin",
        particle_bound=1.0,
        temperature_instrument=2.0,
        temperature=8.0,
        lambdas=(0.5,),
    )
    diagnosis = inside.fit(data.X, data.y, data.Z).diagnose()
    # 4 R³ λ / (σ1 σ2) = 2 / (2 * 8 / 3) < 1
    assert set(diagnosis.violated) <= {"bilevel gap"}
    assert str(diagnosis).count("\n") == len(diagnosis.conditions) - 1
    outside = inside.set_params(
        weight_decay_instrument=10.0,
        weight_decay=10.0,
        temperature_instrument=1e-4,
        particle_bound=None,
        inner_lr=0.2,
        learning_rate_init=0.2,
    )
    violated = outside.fit(data.X, data.y, data.Z).diagnose().violated
    assert {"step alpha", "step gamma", "bounded particles", "temperature"} <= set(violated)
    adam = F2BMLD(**FAST).fit(data.X, data.y, data.Z).diagnose()
    assert "temperature" in adam.violated
    axes = adam.plot()
    assert len(axes[0].lines) == 3
    matplotlib.pyplot.close("all")
