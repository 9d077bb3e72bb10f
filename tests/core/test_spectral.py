"""Spectral energy against scikit-learn's PCA, torch and closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA

from rfpcore.spectral import component_energy, cumulative_energy, isotropic_energy, principal_components


@given(st.integers(2, 30), st.integers(1, 8), st.integers(0, 99))
def test_components_are_those_of_scikit_learn(n, d, seed):
    X = np.random.default_rng(seed).standard_normal((n, d)) * np.arange(1, d + 1)
    components, variances = principal_components(X)
    assert_allclose(components @ components.T, np.eye(d), atol=1e-12)
    assert (np.diff(variances) <= 0).all()
    pca = PCA(svd_solver="full").fit(X)
    rank = min(n - 1, d)
    scale = variances[0] + 1e-300
    assert_allclose(variances[:rank] / scale, pca.explained_variance_[:rank] / scale, atol=1e-12)
    assert_allclose(variances[rank:] / scale, 0, atol=1e-12)
    # The directions themselves agree up to sign where no variance is close to another.
    gaps = np.diff(variances / scale)
    apart = [k for k in range(rank) if all(abs(g) > 1e-3 for g in gaps[max(k - 1, 0) : k + 1])]
    overlap = np.abs((components[apart] * pca.components_[apart]).sum(axis=1))
    assert_allclose(overlap, 1, atol=1e-8)


def test_energy_is_the_squared_projection():
    """E_k = sum over units of (w_i · v_k)², with torch's einsum and torch's own PCA basis."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    X, change = rng.standard_normal((50, 6)), rng.standard_normal((4, 3, 6, 5))
    _, _, basis = torch.linalg.svd(torch.tensor(X - X.mean(axis=0)), full_matrices=True)
    expected = torch.einsum("abdu,kd->abuk", torch.tensor(change), basis).square().sum(dim=2)
    energy = component_energy(change, principal_components(X).components)
    assert_allclose(energy, expected.numpy(), rtol=1e-10)
    assert_allclose(energy.sum(axis=-1), np.square(change).sum(axis=(-1, -2)), rtol=1e-12)


def test_a_change_along_one_component():
    X = np.random.default_rng(1).standard_normal((20, 4)) * [4, 3, 2, 1]
    components = principal_components(X).components
    energy = component_energy(np.outer(components[2], [1.0, -2.0]), components)
    assert_allclose(energy, [0, 0, 5, 0], atol=1e-14)
    assert_allclose(cumulative_energy(energy), [0, 0, 1, 1], atol=1e-14)


def test_an_isotropic_change_is_the_reference():
    """A random orthogonal change has the same energy along every component."""
    components = principal_components(np.random.default_rng(2).standard_normal((30, 7))).components
    change = np.linalg.qr(np.random.default_rng(3).standard_normal((7, 7)))[0]
    share = cumulative_energy(component_energy(change, components))
    assert_allclose(share, isotropic_energy(7), rtol=1e-12)


def test_gradient_descent_on_least_squares_has_the_known_energy():
    """With a quadratic loss the components do not mix: after t steps (1 − (1 − 2 η λ_k)^t)² b_k²."""
    rng = np.random.default_rng(4)
    X = rng.standard_normal((40, 3)) * [2.0, 1.0, 0.3]
    X -= X.mean(axis=0)
    y = rng.standard_normal(40)
    components, variances = principal_components(X)
    moments, lr, steps = variances * 39 / 40, 0.05, 30
    w = np.zeros(3)
    for _ in range(steps):
        w -= lr * 2 / 40 * X.T @ (X @ w - y)
    best = components @ np.linalg.lstsq(X, y, rcond=None)[0]
    expected = np.square((1 - (1 - 2 * lr * moments) ** steps) * best)
    assert_allclose(component_energy(w[:, None], components), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: principal_components([[1.0, 2.0]]), "X has 1 row; at least 2"),
        (lambda: principal_components([1.0, 2.0]), r"X has shape \(2,\)"),
        (lambda: component_energy(np.ones((3, 2)), np.eye(4)), r"change has shape \(3, 2\); .* 4 features"),
        (lambda: component_energy(np.ones(4), np.eye(4)), r"so \(\.\.\., 4, units\)"),
        (lambda: component_energy([[np.inf]], [[1.0]]), "change must be finite"),
        (lambda: cumulative_energy([[1.0, 1], [0, 0]]), r"energy is 0 in every component at \[1\]"),
        (lambda: cumulative_energy([0.0, 0.0]), "energy is 0 in every component at all"),
        (lambda: cumulative_energy([1.0, -1.0]), "energy is -1 at its lowest"),
        (lambda: cumulative_energy(1.0), r"energy has shape \(\)"),
    ],
)
def test_misuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()
