"""Targets: data sets, calibration, spectra and figures."""

import functools
import tempfile
from pathlib import Path

import numpy as np
from fuzz_core import X, Y
from fuzz_target import Target, function, method

from rfpcore import MixedRegressor, MLPClassifier, MLPRegressor, calibration, datasets, plotting, spectral

CLASSES = (Y > 0).astype(int)
P = np.linspace(0.05, 0.95, 18)
WEIGHTS = np.arange(12.0).reshape(2, 2, 3)
SQUARE = np.arange(9.0).reshape(3, 3) / 9
DRAWN = {"foreign": ("matplotlib",)}  # what matplotlib is given as it is, it refuses in its own words
STYLE = ("ax",)


@functools.lru_cache(maxsize=1)
def classifier():
    return MLPClassifier((3,), max_iter=3, tol=0, random_state=0).fit(X, CLASSES)


@functools.lru_cache(maxsize=1)
def regressor():
    return MLPRegressor(hidden_layer_sizes=(3,), max_iter=3, tol=0, random_state=0).fit(X, Y)


def drawn(made, owner, fixed=(), base=dict):
    """`plot`, after which the figure is closed."""
    import matplotlib.pyplot as plt

    own = method(made, owner, "plot", base, fixed=(*STYLE, *fixed), allowed=DRAWN)

    def call(**arguments):
        try:
            own.call(**arguments)
        finally:
            plt.close("all")

    return Target(own.name, call, own.base, own.signature, own.fixed, own.allowed)


@functools.lru_cache(maxsize=1)
def mixed():
    return MixedRegressor(mean="linear").fit(X, Y, np.arange(len(X)) % 6)


def caterpillar():
    return plotting.RandomEffectsDisplay.from_estimator(mixed())


@functools.lru_cache(maxsize=1)
def image_file():
    path = Path(tempfile.mkdtemp(prefix="rfpcore-fuzz-")) / "images.npz"
    pixels, classes = np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8)
    np.savez(path, x_train=pixels, y_train=classes, x_test=pixels, y_test=classes)
    return str(path)


def images():
    return {"path": image_file()}


def tuples(*names):
    """Results with names: nothing is checked where one is made by hand."""
    return [Target(name, dict, dict) for name in names]


CURVE = calibration.reliability_curve(CLASSES, P)
BOUNDARY = plotting.DecisionBoundaryDisplay
TARGETS: list[Target] = [
    function(datasets.make_vee, lambda: {"n_clusters": 4, "n_per_cluster": 3, "random_state": 0}),
    function(datasets.make_policy, lambda: {"n_clusters": 8, "n_per_cluster": 3, "random_state": 0}),
    function(datasets.make_demand, lambda: {"n_samples": 10, "random_state": 0}),
    function(datasets.make_iv_curve, lambda: {"n_samples": 10, "random_state": 0}),
    function(datasets.make_sprites, lambda: {"n_samples": 3, "size": 8, "random_state": 0}),
    function(datasets.make_noisy_moons, lambda: {"n_samples": 10, "random_state": 0}),
    function(datasets.flip_labels, lambda: {"y": CLASSES, "share": 0.5, "n_classes": 2, "random_state": 0}),
    function(
        datasets.jitter_images,
        lambda: {"X": np.ones((4, 9)), "image_shape": (3, 3), "canvas_shape": (7, 7), "max_shift": 1},
    ),
    function(datasets.load_digits, dict),
    function(datasets.load_benefits, dict),
    # Never with download=True: nothing here touches the network.
    function(datasets.load_mnist, images, fixed=("download",), allowed={"raises": (OSError,)}),
    function(
        datasets.load_fashion_mnist,
        images,
        fixed=("download",),
        allowed={"raises": (OSError,)},
    ),
    *tuples("Images", "InstrumentData", "NoisyMoons", "PolicyData", "VeeData", "PrincipalComponents"),
    function(calibration.confidences, lambda: {"y_true": CLASSES, "probabilities": P}),
    function(calibration.reliability_curve, lambda: {"y_true": CLASSES, "probabilities": P}),
    function(calibration.expected_calibration_error, lambda: {"y_true": CLASSES, "probabilities": P}),
    Target("Reliability", lambda: (CURVE.expected_calibration_error, CURVE.overconfidence), dict),
    function(spectral.principal_components, lambda: {"X": X}),
    function(spectral.component_energy, lambda: {"change": WEIGHTS, "components": np.eye(2)}),
    function(spectral.cumulative_energy, lambda: {"energy": np.array([3.0, 1.0])}),
    function(spectral.isotropic_energy, lambda: {"n_components": 4}),
    function(BOUNDARY, lambda: {"xx0": SQUARE, "xx1": SQUARE, "response": SQUARE}),
    function(BOUNDARY.from_estimator, lambda: {"estimator": classifier(), "X": X, "grid_resolution": 5}),
    function(
        BOUNDARY.from_function,
        lambda: {"function": lambda p: p[:, 0] * 0 + 0.5, "X": X, "grid_resolution": 5},
    ),
    method(lambda: BOUNDARY(SQUARE.T, SQUARE, SQUARE), "DecisionBoundaryDisplay", "boundary_length"),
    drawn(lambda: BOUNDARY(SQUARE.T, SQUARE, SQUARE), "DecisionBoundaryDisplay", ("levels", "cmap")),
    function(plotting.LossCurveDisplay, lambda: {"steps": np.arange(3.0), "curves": {"a": np.arange(3.0)}}),
    function(plotting.LossCurveDisplay.from_estimator, lambda: {"estimator": regressor()}),
    drawn(
        lambda: plotting.LossCurveDisplay([1, 2], {"a": [[1.0, 2], [2, 3]]}), "LossCurveDisplay", ("ylabel",)
    ),
    function(plotting.RandomEffectsDisplay, lambda: {"random_effects": mixed().random_effects_}),
    function(plotting.RandomEffectsDisplay.from_estimator, lambda: {"estimator": mixed()}),
    method(caterpillar, "RandomEffectsDisplay", "order", lambda: {"name": "intercept"}),
    drawn(caterpillar, "RandomEffectsDisplay"),
    function(plotting.ReliabilityDisplay, lambda: {"reliability": CURVE}),
    function(
        plotting.ReliabilityDisplay.from_estimator, lambda: {"estimator": classifier(), "X": X, "y": CLASSES}
    ),
    function(plotting.ReliabilityDisplay.from_predictions, lambda: {"y_true": CLASSES, "probabilities": P}),
    drawn(lambda: plotting.ReliabilityDisplay(CURVE), "ReliabilityDisplay", ("name",)),
    function(plotting.SpectralEnergyDisplay, lambda: {"share": np.ones((2, 3)), "steps": np.arange(2.0)}),
    function(
        plotting.SpectralEnergyDisplay.from_weights,
        lambda: {"weights": WEIGHTS, "start": -np.ones((2, 3)), "X": X, "steps": np.arange(2.0)},
    ),
    drawn(lambda: plotting.SpectralEnergyDisplay([[0.5, 1.0]], [1.0]), "SpectralEnergyDisplay"),
    function(plotting.WeightMatrixDisplay, lambda: {"weights": SQUARE}),
    function(plotting.WeightMatrixDisplay.from_estimator, lambda: {"estimator": regressor()}),
    method(lambda: plotting.WeightMatrixDisplay(SQUARE), "WeightMatrixDisplay", "zero_share"),
    drawn(lambda: plotting.WeightMatrixDisplay(SQUARE), "WeightMatrixDisplay"),
]
