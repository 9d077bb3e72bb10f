"""The designs with an instrument: known moments, valid instruments, confounded outcomes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from rfpcore.datasets import make_demand, make_iv_curve, make_sprites


def test_demand_has_the_moments_of_the_published_design():
    """Of 200,000 published draws: P 17.77 (3.73), Y -194.4 (158.3), variance of h on the grid 32,644."""
    data = make_demand(200_000, random_state=0)
    # Standard errors of the means: 0.008 and 0.35; of the deviations a little less.
    assert_allclose([data.X.mean(), data.X.std()], [17.77, 3.73], atol=0.03)
    assert_allclose([data.y.mean(), data.y.std()], [-194.4, 158.3], atol=1.2)
    assert data.h_test.var() == pytest.approx(32_644, rel=1e-4)
    assert set(np.unique(data.covariates[:, 1])) == set(range(1, 8))


@pytest.mark.parametrize("make", [make_demand, make_iv_curve])
def test_noise_is_scaled_and_confounded_as_asked(make):
    """The noise is y less the same draw's y without noise: its deviation, and who it goes with."""
    n = 50_000
    quiet, loud = (make(n, confounding=0.6, noise=noise, random_state=3) for noise in (0, 10))
    assert_array_equal(quiet.X, loud.X)
    noise = (loud.y - quiet.y) / 10
    # Standard errors of about 1 / sqrt(n) = 0.0045.
    assert noise.std() == pytest.approx(1, abs=0.02)
    assert np.corrcoef(noise, loud.Z[:, 0])[0, 1] == pytest.approx(0, abs=0.02)
    assert np.corrcoef(noise, loud.X[:, 0])[0, 1] > 0.1


def test_curves_are_the_structural_functions():
    for curve, h in (("sin", lambda x: np.sin(2 * x)), ("linear", lambda x: x)):
        data = make_iv_curve(100, curve=curve, noise=0, random_state=0)
        assert_allclose(data.y, h(data.X[:, 0]))
        assert_allclose(data.h_test, h(data.X_test[:, 0]))
    data = make_iv_curve(1000, curve="log", random_state=0)
    assert ((data.X > 0) & (data.X < 1)).all()
    assert_allclose(data.h_test[[0, -1]], [-np.log(8.2), np.log(8.2)])


def test_sprites_move_grow_and_confound():
    data = make_sprites(2000, size=32, random_state=0)
    images = data.X_test.reshape(7, 7, 3, 4, 32, 32)  # horizontal, vertical, scale, orientation
    assert set(np.unique(images)) == {0.0, 1.0}
    centres = (images * np.arange(32)).sum(axis=(-2, -1)) / images.sum(axis=(-2, -1))
    assert (np.diff(centres.mean(axis=(1, 2, 3))) > 0).all()
    assert (np.diff(images.sum(axis=(-2, -1)).mean(axis=(0, 1, 3))) > 0).all()
    assert data.h_test.mean() == pytest.approx(0, abs=1e-9)
    # The vertical position, -16 to 15, is in the outcome and in the image, but not in the instruments.
    lit = (data.X > 0.5).reshape(-1, 32, 32)
    heights = (lit * np.arange(32)[:, None]).sum(axis=(1, 2)) / lit.sum(axis=(1, 2))
    assert np.corrcoef(heights, data.y)[0, 1] > 0.5
    assert np.abs(np.corrcoef(data.Z.T, heights)[-1, :-1]).max() < 0.1


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (make_demand, {"n_samples": 0}, "n_samples=0 is too small; at least 1"),
        (make_demand, {"confounding": 1.5}, r"confounding=1\.5; a correlation"),
        (make_iv_curve, {"noise": -1}, "noise=-1; a standard deviation"),
        (make_iv_curve, {"curve": "cos"}, "curve='cos' is unknown"),
        (make_sprites, {"size": 4}, "size=4 is too small; at least 8"),
    ],
)
def test_misuse(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
