"""Where equations come from: each against a computation of its own."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp

from rfpcore import MLP, Clusters, value_and_grad
from rfpcore.implicit import (
    ActivationRidge,
    BatchVariance,
    DropoutCurvature,
    Equations,
    GradientMatching,
    SquaredGradient,
)
from rfpcore.regularize import L2

RANDOM = np.random.default_rng(0)
NET = MLP(3, (6,), 1, "tanh")
DATA = Clusters(RANDOM.standard_normal((40, 3)), RANDOM.standard_normal(40))
THETAS = np.array([NET.init(seed) for seed in range(3)])


def gradient(theta, data=DATA):
    return value_and_grad(NET, theta, data, 1.0, 0)[1]


def test_endpoints_are_the_gradients_negated():
    equations = Equations.endpoint(NET, THETAS, DATA)
    assert_allclose(equations.targets, [-gradient(theta) for theta in THETAS], rtol=1e-14)
    other = Clusters(DATA.X[:10], DATA.y[:10])
    several = Equations.endpoint(NET, THETAS[:2], [DATA, other], groups=["a", "a"])
    assert_allclose(several.targets, [-gradient(THETAS[0]), -gradient(THETAS[1], other)], rtol=1e-14)
    assert several.n_groups == 1


def test_endpoints_need_data_for_each():
    with pytest.raises(ValueError, match="data has 1 Clusters; there are 3 endpoints"):
        Equations.endpoint(NET, THETAS, [DATA])
    with pytest.raises(TypeError, match="data is a int"):
        Equations.endpoint(NET, THETAS, 5)
    with pytest.raises(ValueError, match=r"thetas has shape \(3, 4\); \(31,\) or \(E, 31\) is needed"):
        Equations.endpoint(NET, THETAS[:, :4], DATA)


def test_ridge_in_closed_form():
    """|λ̂ − λ| ≤ 1e-13 for λ of 1e-5 to 1: rounding of the gradient is what is left."""
    net = MLP(10, (), 1)
    for seed in range(20):
        random = np.random.default_rng(seed)
        X, y = random.standard_normal((100, 10)), random.standard_normal(100)
        A = np.column_stack([X, np.ones(100)])
        for strength in (1e-5, 1e-3, 1e-1, 1.0):
            theta = np.linalg.solve(2 * A.T @ A / 100 + strength * np.eye(11), 2 * A.T @ y / 100)
            found = GradientMatching([L2(1)]).fit(Equations.endpoint(net, theta, Clusters(X, y)))
            assert abs(found.coef_[0] - strength) <= 1e-13


def test_flow_is_the_solution_of_its_differential_equation():
    h = 0.2
    equations = Equations.flow(NET, THETAS, DATA, h, substeps=20)
    for theta, target in zip(THETAS, equations.targets, strict=True):
        end = solve_ivp(lambda t, at: -gradient(at), (0, h), theta, rtol=1e-12, atol=1e-13).y[:, -1]
        # The difference is divided by h, and RK4 with 20 substeps is exact to about 1e-12.
        assert_allclose(target, (end - theta) / h + gradient(theta), atol=1e-10)


def test_two_substeps_are_enough():
    coarse, fine = (Equations.flow(NET, THETAS, DATA, 0.1, substeps=s).targets for s in (2, 50))
    assert np.linalg.norm(coarse - fine) < 1e-4 * np.linalg.norm(fine)


def test_finite_steps_add_a_quarter_of_the_step():
    """h/4 with an error below ½ h λ_max and of first order, which extrapolation takes away."""
    lam = max(np.linalg.eigvalsh(hessian(theta))[-1] for theta in THETAS)
    penalty = SquaredGradient(NET, DATA)
    h = 0.06 / lam
    ratio = {
        s: GradientMatching([penalty]).fit(Equations.flow(NET, THETAS, DATA, s)).coef_[0] / (s / 4)
        for s in (h, h / 2)
    }
    assert abs(ratio[h] - 1) <= 0.5 * 0.06
    assert abs(2 * ratio[h / 2] - ratio[h] - 1) < 0.1 * abs(ratio[h] - 1)


def hessian(theta, step=1e-5):
    lines = [
        (gradient(theta + step * e) - gradient(theta - step * e)) / (2 * step) for e in np.eye(len(theta))
    ]
    return np.array(lines)


def test_epochs_of_an_order_and_its_reverse_by_hand():
    h, batches = 0.05, [np.arange(0, 10), np.arange(10, 20), np.arange(20, 30), np.arange(30, 40)]
    parts = [Clusters(DATA.X[b], DATA.y[b]) for b in batches]
    equations = Equations.epochs(NET, THETAS[0], DATA, batches, h, pairs=2, substeps=20, random_state=3)
    random, ends = np.random.RandomState(3), []
    for _ in range(2):
        order = random.permutation(4)
        for one in (order, order[::-1]):
            at = THETAS[0]
            for i in one:
                at = at - h * gradient(at, parts[i])
            ends.append(at)
    end = solve_ivp(lambda t, at: -gradient(at), (0, 4 * h), THETAS[0], rtol=1e-12, atol=1e-13).y[:, -1]
    assert_allclose(equations.targets[0], (end - np.mean(ends, axis=0)) / (4 * h), atol=1e-9)


def test_epochs_add_a_quarter_of_the_step_for_both_terms():
    """|∇L|² and the batches' variance apart, each within 10 % of ε/4; two pairs are enough."""
    h = 1e-3
    equations = Equations.epochs(NET, THETAS, DATA, 10, h, pairs=3, random_state=0)
    penalties = [SquaredGradient(NET, DATA), BatchVariance(NET, DATA, 10)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the two are nearly the same at some starts
        found = GradientMatching(penalties).fit(equations)
    assert_allclose(found.coef_ / (h / 4), 1, atol=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Equations.flow(NET, THETAS, DATA, 0.0), "step"),
        (lambda: Equations.flow(NET, THETAS, DATA, 0.1, substeps=0), "substeps=0 is too small"),
        (lambda: Equations.epochs(NET, THETAS, DATA, 7, 0.1), "batches=7 does not divide"),
        (lambda: Equations.epochs(NET, THETAS, DATA, 10, 0.1, pairs=0), "pairs=0 is too small"),
        (lambda: Equations.dropout(NET, THETAS, DATA, 1.0), "rate=1.0"),
        (lambda: Equations.dropout(NET, THETAS, DATA, 0.1, n_draws=1), "n_draws=1 is too small"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_dropout_of_inputs_in_a_linear_model_is_the_activation_ridge():
    """The expectation over masks is exact: p/(1 − p) within four standard errors of 4000 draws."""
    net, theta = MLP(3, (), 1), np.array([1.0, -2.0, 0.5, 0.3])
    equations = Equations.dropout(net, theta, DATA, 0.0, inputs=0.3, n_draws=4000, random_state=0)
    found = GradientMatching([ActivationRidge(net, DATA)]).fit(equations)
    assert_allclose(found.coef_, 0.3 / 0.7, rtol=0.02)
    assert found.explained_ > 0.99


def test_dropout_in_a_deep_net_is_its_curvature():
    """To leading order in the rate; at 5 % within a tenth."""
    equations = Equations.dropout(NET, THETAS, DATA, 0.05, n_draws=4000, random_state=0)
    found = GradientMatching([DropoutCurvature(NET, DATA)]).fit(equations)
    assert_allclose(found.coef_, 0.05 / 0.95, rtol=0.1)
    assert found.explained_ > 0.95
    ridge = GradientMatching([L2(1)]).fit(equations)
    assert ridge.explained_ < 0.5


def test_dropout_draws_depend_on_the_seed_alone():
    options = {"rate": 0.2, "n_draws": 10, "random_state": 5}
    one, other = (Equations.dropout(NET, THETAS, DATA, n_jobs=n_jobs, **options) for n_jobs in (1, 2))
    assert (one.targets == other.targets).all()
