"""Exact risks beside simulations of them, beside other forms of the formulas, and where they have no value.

Tolerances of simulations are 3 standard errors, of fixed seeds: over thirty points fresh seeds would cross
them in a tenth of all runs.
"""

import math
import re

import numpy as np
import pytest

from rfpcore.studies import simulation, theory
from rfpcore.studies._least_squares import least_squares
from rfpcore.studies.theory import _features
from rfpcore.studies.theory._features import MOMENTS

P, NOISE = 60, 0.25


def z_score(draws, risk):
    return (draws.mean() - risk) / (draws.std(ddof=1) / math.sqrt(len(draws)))


@pytest.mark.parametrize("n", [10, 30, 50, 70, 90, 120, 240])
def test_ridgeless_is_the_mean_of_draws(n):
    """Ten rows or more from the peak, where the variance exists and the skew is small."""
    draws = simulation.least_squares_risks(n, P, n_draws=400, random_state=1)
    assert abs(z_score(draws, theory.ridgeless(n, P, noise=NOISE))) < 3


@pytest.mark.parametrize(("n", "p"), [(40, 15), (40, 28), (40, 80), (40, 120)])
def test_features_left_out_are_noise(n, p):
    draws = simulation.least_squares_risks(n, p, n_features=120, n_draws=400, random_state=2)
    assert abs(z_score(draws, theory.ridgeless(n, p, n_features=120))) < 3


def test_the_median_risk_is_largest_at_the_threshold():
    """There the mean does not exist; the median does."""
    rows = [48, 54, 57, 60, 63, 66, 72]
    medians = [np.median(simulation.least_squares_risks(n, P, n_draws=200, random_state=3)) for n in rows]
    assert rows[int(np.argmax(medians))] == P


def test_ridgeless_has_no_mean_beside_the_threshold_unless_there_is_no_noise():
    risk = theory.ridgeless(P, [P - 2, P - 1, P, P + 1, P + 2])
    assert np.isinf(risk).tolist() == [False, True, True, True, False]
    assert theory.ridgeless(P, [P - 1, P]).shape == (2,)
    without = theory.ridgeless(P, [P - 1, P, P + 1, 2 * P], noise=0.0)
    np.testing.assert_allclose(without, [0, 0, 1 - P / (P + 1), 0.5], rtol=1e-12)


def test_ridgeless_of_two_rows_by_hand():
    """One feature and three rows: E σ²/Σx² = σ²/(3 − 2)."""
    assert theory.ridgeless(4, 1, noise=1.0) == pytest.approx(0.5)
    assert theory.ridgeless(1, 4, signal=2.0, noise=1.0) == pytest.approx(2 * 0.75 + 0.5)


def test_all_arguments_broadcast():
    rows, used = np.arange(1, 200, 7)[:, None], np.array([1, 20, 100])
    risk = theory.ridgeless(rows, used, signal=[1.0, 2.0, 0.5], n_features=150)
    assert risk.shape == (29, 3)
    alone = theory.ridgeless(int(rows[5, 0]), 20, signal=2.0, n_features=150)
    assert risk[5, 1] == alone
    assert np.ndim(alone) == 0
    assert theory.ridge(rows, used, 0.1).shape == (29, 3)
    assert theory.ridge(50, 20, [0.1, 1.0]).shape == (2,)
    assert theory.random_features(np.ones((4, 1)), [1.5, 2.0], 0.1).shape == (4, 2)


def test_mis_specified_model_has_the_best_size_beyond_the_threshold():
    """Weak features, little noise: the second descent ends below the first valley (Belkin, Hsu and Xu)."""
    sizes = np.arange(1, 2001)
    risk = theory.ridgeless(40, sizes, noise=0.01, n_features=2000)
    assert risk[-1] < risk[:40].min()


@pytest.mark.parametrize("n", [15, 40, 60, 80, 150])
@pytest.mark.parametrize("factor", [1.0, 0.1])
def test_ridge_is_the_mean_of_draws(n, factor):
    """The formula is the limit: at 60 features off by half a percent, half the error of 400 draws."""
    penalty = factor * theory.optimal_ridge(n, P).penalty
    draws = simulation.least_squares_risks(n, P, penalty, n_draws=400, random_state=0)
    assert abs(z_score(draws, theory.ridge(n, P, penalty))) < 3


def stieltjes(gamma, penalty):
    """m(−λ) of the Marchenko–Pastur law as an integral over its density, and its derivative."""
    low, high = (1 - math.sqrt(gamma)) ** 2, (1 + math.sqrt(gamma)) ** 2
    # x = middle + half·cos(t) makes the square roots at both ends smooth; the midpoint rule is then exact.
    t = (np.arange(4000) + 0.5) * math.pi / 4000
    half, x = (high - low) / 2, (high + low) / 2 + (high - low) / 2 * np.cos(t)
    weight = half**2 * np.sin(t) ** 2 / (2 * math.pi * gamma * x) * math.pi / 4000
    atom = max(0.0, 1 - 1 / gamma)
    return (weight / (x + penalty)).sum() + atom / penalty, (
        weight / (x + penalty) ** 2
    ).sum() + atom / penalty**2


@pytest.mark.parametrize("gamma", [0.1, 0.9, 1.1, 4.0])
@pytest.mark.parametrize("penalty", [0.01, 0.3, 20.0])
def test_ridge_is_the_integral_over_the_spectrum(gamma, penalty):
    """Signal λ²∫(x + λ)⁻², noise γ∫x(x + λ)⁻², by quadrature."""
    m, slope = stieltjes(gamma, penalty)
    expected = 1.5 * penalty**2 * slope + 0.4 * gamma * (m - penalty * slope)
    risk = theory.ridge(1000, round(1000 * gamma), penalty, signal=1.5, noise=0.4)
    assert risk == pytest.approx(expected, rel=1e-9)


def test_ridge_without_a_penalty_is_the_limit_of_ridgeless():
    rows = np.array([10_000, 40_000, 70_000])
    np.testing.assert_allclose(theory.ridge(rows, 30_000, 0.0), theory.ridgeless(rows, 30_000), rtol=3e-4)
    assert theory.ridge(50, 50, 0.0) == np.inf
    assert theory.ridge(50, 50, 0.0, noise=0.0) == 0
    assert theory.ridge(50, 50, 1e90, signal=2.0) == pytest.approx(2.0)


def test_optimal_ridge_is_the_best_and_its_own_formula():
    for n in (20, 60, 200):
        risk, penalty = theory.optimal_ridge(n, P, signal=2.0, noise=0.3)
        m, _ = stieltjes(P / n, float(penalty)) if n != P else (None, None)
        if m is not None:
            assert risk == pytest.approx(0.3 * P / n * m, rel=1e-9)
        others = theory.ridge(n, P, penalty * np.geomspace(0.01, 100, 201), signal=2.0, noise=0.3)
        assert risk <= others.min() * (1 + 1e-12)


def test_optimal_ridge_falls_in_rows_and_in_features():
    """At every whole number: no double descent is left."""
    assert (np.diff(theory.optimal_ridge(np.arange(1, 400), P).risk) < 0).all()
    assert (np.diff(theory.optimal_ridge(100, np.arange(1, 301), n_features=300).risk) < 0).all()
    assert np.diff(theory.ridgeless(100, np.arange(1, 99), n_features=300)).max() > 0


def test_moments_of_the_activations_by_quadrature():
    x, w = np.polynomial.hermite_e.hermegauss(100)
    erf = np.vectorize(math.erf)(x)
    w = w / w.sum()
    linear = (w * erf * x).sum()
    assert MOMENTS["erf"].linear == pytest.approx(linear, rel=1e-9)
    assert MOMENTS["erf"].rest == pytest.approx((w * erf**2).sum() - linear**2, rel=1e-7)
    grid = np.linspace(0, 12, 100_001)  # the kink of ReLU is at its end
    density = np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi)
    mean, linear, square = (12 / 100_000 * (grid**k * density).sum() for k in (1, 2, 2))  # 0 at both ends
    assert MOMENTS["relu"].linear == pytest.approx(linear, rel=1e-8)
    assert MOMENTS["relu"].rest == pytest.approx(square - mean**2 - linear**2, rel=1e-8)


@pytest.mark.parametrize("activation", ["relu", "erf"])
@pytest.mark.parametrize(("ratio", "penalty"), [(0.5, 0.0), (1.5, 1e-3), (5.0, 0.0), (5.0, 0.1)])
def test_random_features_are_the_mean_of_draws(activation, ratio, penalty):
    """100 inputs, 300 rows, 30 draws; half as many features as inputs from the threshold, or more."""
    draws = simulation.random_feature_risks(
        round(ratio * 100), 300, 100, penalty, activation, noise=0.2, n_test=1000, random_state=0
    )
    risk = theory.random_features(ratio, 3.0, penalty, activation, noise=0.2)
    assert abs(z_score(draws, risk)) < 3
    assert draws.mean() == pytest.approx(risk, rel=0.06)


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_random_features_solve_the_equations_of_the_theorem(activation):
    """ν by damped iteration of the two fixed-point equations, as the paper states them."""
    zeta2 = MOMENTS[activation].ratio
    for psi1, psi2, penalty in [(0.5, 3.0, 0.1), (3.0, 3.0, 0.5), (8.0, 2.0, 0.03)]:
        xi = 1j * math.sqrt(psi1 * psi2 * penalty / MOMENTS[activation].rest)
        one = two = -1j
        for _ in range(5000):
            next_one = psi1 / (-xi - two - zeta2 * two / (1 - zeta2 * one * two))
            next_two = psi2 / (-xi - one - zeta2 * one / (1 - zeta2 * one * two))
            one, two = (one + next_one) / 2, (two + next_two) / 2
        chi = (one * two).real
        shape = (np.float64(psi1), np.float64(psi2))
        xi2 = np.float64(abs(xi) ** 2)
        assert -_features._root(*shape, xi2, zeta2) == pytest.approx(chi, rel=1e-10)


def test_random_features_without_a_penalty_have_the_closed_form():
    """χ of the ridgeless limit, as the paper has it, and the continuity of the risk there."""
    zeta2 = MOMENTS["relu"].ratio
    for psi1, psi2 in [(0.2, 3.0), (5.0, 3.0), (40.0, 0.1)]:
        b = min(psi1, psi2) * zeta2 - zeta2 - 1
        closed = -(math.sqrt(b * b + 4 * zeta2 * min(psi1, psi2)) + b) / (2 * zeta2)
        zero = np.float64(0.0)
        root = _features._root(np.float64(psi1), np.float64(psi2), zero, zeta2)
        assert -root == pytest.approx(closed, rel=1e-12)
        near, limit = theory.random_features(psi1, psi2, [1e-12, 0.0])
        assert near == pytest.approx(limit, rel=1e-6)
    assert theory.random_features(3.0, 3.0) == np.inf
    assert theory.random_features(3.0, 3.0, signal=0.0, noise=0.0) == 0


def test_random_features_predict_nothing_under_a_large_penalty():
    """The constant of the target is 0, so that its energy is the risk."""
    risk = theory.random_features(2.0, 3.0, 1e6, signal=1.5, nonlinear=0.5)
    assert risk == pytest.approx(2.0, rel=1e-4)


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_best_penalty_makes_random_features_fall_in_features_and_rows(activation):
    grid, penalties = np.geomspace(0.2, 30, 25), np.geomspace(1e-5, 1e2, 2001)
    for psi1, psi2 in ((grid, 3.0), (3.0, grid)):
        best = theory.random_features(
            np.reshape(psi1, (-1, 1)), np.reshape(psi2, (-1, 1)), penalties, activation
        ).min(axis=1)
        assert (np.diff(best) < 0).all()
    ridgeless = theory.random_features(grid, 3.0, 0.0, activation)
    assert np.diff(ridgeless).max() > 1


TIMES = np.unique(np.geomspace(1, 1e5, 60).round())


def test_two_scales_make_a_second_descent_in_time():
    scales, beta = theory.two_scales()
    X = np.random.default_rng(0).standard_normal((160, 120)) * scales
    for rate in (None, 0.3):
        risk = theory.gradient_descent(X, beta, TIMES, scales=scales, noise=0.1, learning_rate=rate)
        valley = int(np.argmin(risk[TIMES < 30]))
        peak = valley + int(np.argmax(risk[valley:]))
        assert risk[peak] > 1.4 * risk[valley]
        assert risk[-1] < 0.3 * risk[valley]


def test_one_scale_does_not_rise_twice():
    X = np.random.default_rng(0).standard_normal((160, 100))
    risk = theory.gradient_descent(X, np.full(100, 0.1), TIMES, noise=0.1)
    turn = int(np.argmin(risk))
    assert (np.diff(risk[turn:]) >= -1e-12).all()


def test_gradient_descent_is_what_steps_by_hand_do():
    """Steps of descent on 4000 noises at once; the mean is exact to the noise of the draws."""
    random = np.random.default_rng(0)
    n, d, rate, variance = 12, 8, 0.05, 0.3
    scales, beta = random.uniform(0.2, 1.5, d), random.standard_normal(d)
    X = random.standard_normal((n, d)) * scales
    y = (X @ beta)[:, None] + math.sqrt(variance) * random.standard_normal((n, 4000))
    b, risks = np.zeros((d, 4000)), []
    for _ in range(61):
        risks.append((((b - beta[:, None]) * scales[:, None]) ** 2).sum(axis=0))
        b -= rate * X.T @ (X @ b - y) / n
    for step in (0, 1, 10, 60):
        risk = theory.gradient_descent(X, beta, [step], scales=scales, noise=variance, learning_rate=rate)
        spread = risks[step].std() / math.sqrt(4000)
        assert abs(risks[step].mean() - risk[0]) < 3 * spread + 1e-12


def test_gradient_flow_is_the_limit_of_small_steps_and_ends_at_least_squares():
    random = np.random.default_rng(1)
    X, beta = random.standard_normal((10, 20)), random.standard_normal(20)
    flow = theory.gradient_descent(X, beta, [0.5, 3.0, 1e6], noise=0.2)
    steps = theory.gradient_descent(X, beta, [5000, 30_000], noise=0.2, learning_rate=1e-4)
    np.testing.assert_allclose(flow[:2], steps, rtol=1e-3)
    inverse = np.linalg.pinv(X)
    end = np.square(inverse @ X @ beta - beta).sum() + 0.2 * np.square(inverse).sum()
    assert flow[2] == pytest.approx(end, rel=1e-9)


def test_paths_of_descent_have_the_mean_of_the_exact_risks():
    scales, beta = theory.two_scales(20, 5)
    paths = simulation.descent_risks(40, beta, [0, 5, 100], scales=scales, noise=0.1, n_draws=400)
    exact = np.array(
        [
            theory.gradient_descent(
                np.random.default_rng(i).standard_normal((40, 25)) * scales,
                beta,
                [0, 5, 100],
                scales=scales,
                noise=0.1,
            )
            for i in range(400)
        ]
    )
    spread = np.hypot(paths.std(axis=0), exact.std(axis=0)) / 20
    assert (np.abs(paths.mean(axis=0) - exact.mean(axis=0)) <= 3 * spread + 1e-12).all()


def test_draws_are_seeded_and_do_not_depend_on_the_past():
    one, two = (simulation.least_squares_risks(5, 3, n_draws=7, random_state=3) for _ in range(2))
    assert (one == two).all()
    assert one.shape == (7,)
    assert (one != simulation.least_squares_risks(5, 3, n_draws=7, random_state=4)).all()


def test_draws_of_least_squares_are_the_pseudo_inverse_and_the_ridge():
    """The private solver against NumPy's, for more rows and for fewer, with and without a penalty."""
    random = np.random.default_rng(0)
    for n, p in [(7, 4), (4, 7), (5, 5)]:
        X, y = random.standard_normal((3, n, p)), random.standard_normal((3, n))
        least = np.stack([np.linalg.pinv(a) @ b for a, b in zip(X, y, strict=True)])
        np.testing.assert_allclose(least_squares(X, y, 0.0), least, rtol=1e-9)
        eye = 0.3 * np.eye(p)
        damped = np.stack([np.linalg.solve(a.T @ a + eye, a.T @ b) for a, b in zip(X, y, strict=True)])
        np.testing.assert_allclose(least_squares(X, y, 0.3), damped, rtol=1e-9)
    X = np.array([[[1.0, 1.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0]]])
    least = least_squares(X, X.sum(axis=2), 0.0)
    np.testing.assert_allclose(least, [[1.0, 1.0, 0.0]], atol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: theory.ridgeless(0, 3), "n holds 0; whole numbers from 1"),
        (lambda: theory.ridgeless(3, 2.5), "p holds 2.5; whole numbers"),
        (lambda: theory.ridgeless(3, 5, n_features=4), "p=5 is more than n_features=4"),
        (lambda: theory.ridgeless([1, 2], [1, 2, 3]), "no shape fits all of n (2,), p (3,)"),
        (lambda: theory.ridgeless(3, 5, noise=-1), "noise holds -1; numbers from 0 to 1e+100"),
        (lambda: theory.ridgeless([3, np.nan], 5), "n must be finite"),
        (lambda: theory.ridge(3, 5, -0.1), "penalty holds -0.1"),
        (lambda: theory.optimal_ridge(3, 5, signal=0), "signal is 0 at its lowest"),
        (lambda: theory.random_features(1e4, 1), "psi1 holds 10000; numbers from 0.001 to 1000"),
        (lambda: theory.random_features(1, 1, 0, "tanh"), "activation='tanh' is unknown"),
        (lambda: theory.gradient_descent(np.eye(2), [1.0], [1]), "coefficients has 1 numbers; X has 2"),
        (lambda: theory.gradient_descent(np.eye(2), [1, 1], [-1]), "times holds -1"),
        (
            lambda: theory.gradient_descent(np.eye(2), [1, 1], [0.5], learning_rate=0.1),
            "times holds 0.5; with a learning rate whole steps",
        ),
        (
            lambda: theory.gradient_descent(np.eye(2), [1, 1], [1], learning_rate=5.0),
            "learning_rate=5 diverges on X; below 4",
        ),
        (lambda: theory.gradient_descent(np.eye(2), [1, 1], [1], scales=[1]), "scales has shape (1,)"),
        (lambda: theory.two_scales(slow_scale=0), "slow_scale=0.0; a positive number"),
        (lambda: simulation.least_squares_risks(3, 5, n_features=2), "p=5 is more than n_features=2"),
        (lambda: simulation.least_squares_risks(10**6, 10**6), "one data set takes"),
        (lambda: simulation.random_feature_risks(3, 4, 2, penalty=-1), "penalty=-1"),
        (lambda: simulation.descent_risks(0, [1.0], [1]), "n=0 is too small"),
    ],
    ids=range(20),
)
def test_bad_input_is_refused_with_the_numbers(call, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        call()
