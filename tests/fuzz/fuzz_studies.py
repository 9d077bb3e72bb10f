"""Targets: exact risks and their simulation, the test of monotone curves, attributions."""

import functools

import numpy as np
from fuzz_target import Target, function, method

import rfpcore
from rfpcore import studies
from rfpcore.many import Model
from rfpcore.regularize import L2
from rfpcore.studies import attribution, simulation, theory

RANDOM = np.random.default_rng(0)
CURVES = RANDOM.standard_normal((4, 5))
VALUES = RANDOM.standard_normal((3, 4))
ROWS = RANDOM.standard_normal((6, 4))
BETA = RANDOM.standard_normal(4)
COUNTS = np.array([2.0, 5.0, 9.0])
DATA = studies.noisy_teacher(20, n_validation=10)
BASE = Model((2,), "relu", "softmax", n_steps=2)


@functools.lru_cache(maxsize=1)
def composed():
    factors = {"a": 0.5, "b": 1.0, "c": 2.0}
    return studies.compose(DATA, {"L2": L2(0.1)}, BASE, [2, 3], factors=factors, seeds=2)


@functools.lru_cache(maxsize=1)
def described():
    return studies.Descent(DATA, BASE, widths=[2, 3], seeds=2)


def curve(**options):
    found = studies.Descent(DATA, BASE, **options).curve()
    return found.test_errors, found.rise(), found.fall(), found.plot()


def regressed(base, **options):
    found = studies.Descent(studies.LinearTarget(6, 4), base, sizes=[3, 6], seeds=2, **options).curve()
    return found.test_errors, found.train_errors


def imaged(n_train, n_test):
    return studies.noisy_images(rfpcore.datasets.load_digits(), n_train, 10, n_test).draw(0)


def drawn(**arguments):
    return studies.NoisyLabels(**arguments).draw(0)


TARGETS: list[Target] = [
    # Infinite where theory says so: at the interpolation threshold.
    function(theory.ridgeless, lambda: {"n": COUNTS, "p": np.array([4.0])}, allowed={"nan": True}),
    function(theory.ridge, lambda: {"n": COUNTS, "p": 4, "penalty": 0.1}, allowed={"nan": True}),
    function(theory.optimal_ridge, lambda: {"n": COUNTS, "p": 4}, covers=("OptimalRidge",)),
    function(
        theory.random_features,
        lambda: {"psi1": COUNTS, "psi2": 2.0, "penalty": 0.1},
        allowed={"nan": True},
    ),
    function(theory.two_scales, lambda: {"n_fast": 3, "n_slow": 2}, covers=("TwoScales",)),
    function(theory.gradient_descent, lambda: {"X": ROWS, "coefficients": BETA, "times": COUNTS}),
    function(simulation.least_squares_risks, lambda: {"n": 6, "p": 4, "n_draws": 3}),
    function(
        simulation.random_feature_risks,
        lambda: {"n_units": 5, "n": 6, "d": 3, "n_test": 4, "n_draws": 2},
    ),
    function(
        simulation.descent_risks,
        lambda: {"n": 6, "coefficients": BETA, "times": COUNTS, "n_draws": 2},
    ),
    function(
        studies.monotonicity_test,
        lambda: {"curves": CURVES, "n_draws": 50},
        covers=("MonotonicityTest",),
    ),
    function(studies.holm, lambda: {"p_values": np.array([0.01, 0.5, 0.2])}),
    function(studies.shapley_values, lambda: {"values": VALUES}, covers=("ShapleyValues",)),
    function(studies.walsh_anova, lambda: {"values": VALUES}, covers=("WalshAnova",)),
    method(lambda: studies.walsh_anova(VALUES), "WalshAnova", "column"),
    function(attribution.subsets, lambda: {"names": ["a", "b"]}),
    Target(
        "NoisyLabels",
        drawn,
        lambda: {
            "X": ROWS,
            "y": np.arange(6) % 2,
            "X_test": ROWS,
            "y_test": np.arange(6) % 2,
            "n_train": 4,
            "n_validation": 2,
        },
        covers=("NoisyLabels.draw", "NoisyLabels.identity", "Draw"),
    ),
    function(studies.noisy_digits, dict),
    Target(
        "noisy_images",
        imaged,
        lambda: {"n_train": 50, "n_test": 100},
    ),
    function(studies.noisy_teacher, lambda: {"n_train": 20, "n_validation": 10}),
    function(studies.geometric, lambda: {"low": 2, "high": 9, "count": 3}),
    Target(
        "Descent",
        curve,
        lambda: {"widths": [2, 3], "seeds": 2},
        covers=("Curve", "Curve.test", "Curve.rise", "Curve.fall", "Curve.plot"),
    ),
    method(described, "Descent", "curve", lambda: {"axis": "widths"}),
    Target(
        "Descent.map",
        lambda **axes: studies.Descent(DATA, BASE, widths=[2, 3], epochs=[1, 2], seeds=2).map(**axes).plot(),
        lambda: {"axis": "widths", "other": "epochs"},
        covers=("RiskMap", "RiskMap.plot"),
    ),
    Target(
        "LinearTarget",
        lambda **given: studies.LinearTarget(**given).draw(0).y,
        lambda: {"n_train": 6, "n_features": 4, "scales": np.ones(4), "coefficients": BETA},
        covers=("LinearTarget.identity", "LinearTarget.draw"),
    ),
    Target(
        "LeastSquares",
        lambda **given: regressed(studies.LeastSquares(**given)),
        lambda: {"n_features": 3, "penalty": 0.1},
        covers=(
            "LeastSquares.errors",
            "LeastSquares.risk",
            "LeastSquares.n_parameters",
            "LeastSquares.require",
        ),
    ),
    Target(
        "LeastSquares, epochs",
        lambda **given: regressed(studies.LeastSquares(**given)),
        lambda: {"epochs": 3, "learning_rate": 0.01},
    ),
    Target(
        "RandomFeatures",
        lambda **given: regressed(studies.RandomFeatures(**given)),
        lambda: {"n_units": 5, "activation": "erf", "penalty": 0.1, "n_test": 4},
        covers=(
            "RandomFeatures.errors",
            "RandomFeatures.risk",
            "RandomFeatures.n_parameters",
            "RandomFeatures.require",
        ),
    ),
    function(studies.digits_techniques, dict),
    Target(
        "compose",
        lambda **given: studies.compose(DATA, base=BASE, **given).to_frame(),
        lambda: {"techniques": {"L2": L2(0.1)}, "widths": [2, 3], "seeds": 2},
        lambda: ({"factors": None, "chosen": None}, {}),
        covers=("Composition", "Composition.to_frame", "Verdict", "Tolerance"),
        allowed={"nan": True},
    ),
    method(composed, "Composition", "of", lambda: {"score": "test_error", "tuning": "a"}, fixed=("score",)),
    method(composed, "Composition", "curves", lambda: {"techniques": [], "tuning": "a"}, fixed=("score",)),
    method(composed, "Composition", "verdicts", lambda: {"tuning": "a"}),
    method(composed, "Composition", "tolerances"),
    method(composed, "Composition", "attribution", lambda: {"tuning": "a", "low": 2}),
    method(
        composed,
        "Composition",
        "tracking",
        lambda: {"tuning": "a", "width": 2},
        allowed={"nan": True, "warns": (Warning,)},
    ),
    Target("report", lambda folder: studies.report(folder, composed()), lambda: {"folder": "report"}),
]
