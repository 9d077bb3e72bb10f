"""Displays: what they compute, what they draw, and that matplotlib is there only for drawing."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose
from scipy.stats import gmean
from sklearn.linear_model import LogisticRegression

from rfpcore import MixedRegressor, MLPClassifier, RFPClassifier
from rfpcore.calibration import reliability_curve
from rfpcore.plotting import (
    DecisionBoundaryDisplay,
    LossCurveDisplay,
    RandomEffectsDisplay,
    ReliabilityDisplay,
    SpectralEnergyDisplay,
    WeightMatrixDisplay,
)
from rfpcore.spectral import component_energy, cumulative_energy, isotropic_energy, principal_components

mpl.use("agg")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 2))
Y = np.where(X @ [2.0, 1.0] + RNG.standard_normal(60) > 0, "yes", "no")


@pytest.fixture(autouse=True)
def _close_figures():
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


@pytest.fixture(scope="module")
def classifier():
    return LogisticRegression().fit(X, Y)


@pytest.fixture(scope="module")
def network():
    return RFPClassifier(hidden_layer_sizes=(4, 3), max_iter=5, random_state=0).fit(
        X, Y, np.arange(len(X)) % 5
    )


def test_matplotlib_is_imported_for_drawing_only():
    code = (
        "import sys; from rfpcore.plotting import LossCurveDisplay as L; d = L([1], {'a': [1.0]});"
        "assert 'matplotlib' not in sys.modules; sys.modules['matplotlib.pyplot'] = None; d.plot()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "LossCurveDisplay.plot draws with matplotlib: pip install 'rfpcore[plot]'" in done.stderr


def test_reliability(classifier):
    display = ReliabilityDisplay.from_estimator(classifier, X, Y, n_bins=4)
    expected = reliability_curve(Y, classifier.predict_proba(X), n_bins=4, classes=["no", "yes"])
    assert_allclose(display.reliability.confidence, expected.confidence)
    assert display.plot() is display
    assert_allclose(display.line_.get_xydata(), np.column_stack([expected.confidence, expected.accuracy]))
    ReliabilityDisplay.from_predictions(Y, classifier.predict_proba(X), classes=["no", "yes"]).plot(
        display.ax_, name="again"
    )
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["perfectly calibrated", "LogisticRegression", "again"]  # one diagonal for both


def test_length_of_a_straight_boundary(classifier):
    """Where the linear function is zero, between the sides of the rectangle; the grid is exact on lines."""
    display = DecisionBoundaryDisplay.from_estimator(classifier, X, grid_resolution=400, eps=1.0)
    (a, b), c = classifier.coef_[0], classifier.intercept_[0]
    low, high = X.min(axis=0) - 1, X.max(axis=0) + 1
    ends = [-(b * x1 + c) / a for x1 in (low[1], high[1])]
    assert all(low[0] < end < high[0] for end in ends)  # so it leaves through the bottom and the top
    expected = np.hypot(ends[1] - ends[0], high[1] - low[1])
    # The probability is a curved function of the score, interpolated linearly over 1/400 of the side.
    assert_allclose(display.boundary_length(), expected, rtol=1e-3)


def test_boundary_takes_frames_without_a_warning(classifier):
    plain = DecisionBoundaryDisplay.from_estimator(classifier, X, grid_resolution=5).response
    for frame in (pd.DataFrame(X, columns=["u", "v"]), pl.DataFrame(X, schema=["u", "v"])):
        named = LogisticRegression().fit(frame, Y)
        assert_allclose(
            DecisionBoundaryDisplay.from_estimator(named, frame, grid_resolution=5).response, plain
        )


def test_boundary_drawn(classifier):
    display = DecisionBoundaryDisplay.from_estimator(classifier, X, grid_resolution=20).plot(X=X, y=Y)
    points = display.ax_.collections[-1]
    assert_allclose(points.get_offsets(), X)
    assert set(points.get_array()) == {0, 1}
    flat = DecisionBoundaryDisplay.from_function(lambda points: np.zeros(len(points)), X)
    assert flat.boundary_length() == 0
    flat.plot(X=X)


def test_boundary_needs_two_classes_in_the_plane(classifier):
    three = LogisticRegression().fit(X, np.arange(60) % 3)
    with pytest.raises(ValueError, match="estimator has 3 classes; 2 are needed"):
        DecisionBoundaryDisplay.from_estimator(three, X)
    with pytest.raises(ValueError, match="X has 1 features"):
        DecisionBoundaryDisplay.from_function(len, X[:, :1])
    with pytest.raises(ValueError, match=r"function\(points\) has shape \(40000, 2\)"):
        DecisionBoundaryDisplay.from_function(lambda points: points, X)
    with pytest.raises(ValueError, match=r"shapes \(2, 2\), \(2, 2\) and \(3,\)"):
        DecisionBoundaryDisplay(np.ones((2, 2)), np.ones((2, 2)), np.ones(3))


def test_loss_curves(network):
    curves = {"train": RNG.random((3, 4)), "held out": RNG.random(4)}
    display = LossCurveDisplay([1, 2, 5, 9], curves).plot()
    assert_allclose(display.lines_[0].get_ydata(), curves["train"].mean(axis=0))
    logarithmic = LossCurveDisplay([1, 2, 5, 9], curves).plot(log=True)
    assert_allclose(logarithmic.lines_[0].get_ydata(), gmean(curves["train"], axis=0))
    assert logarithmic.ax_.get_yscale() == "log"
    assert_allclose(display.lines_[1].get_xydata()[:, 0], [1, 2, 5, 9])
    assert len(display.ax_.collections) == 1  # the band of the three models
    kept = LossCurveDisplay.from_estimator(network)
    assert_allclose(kept.curves["RFPClassifier"][0], network.loss_curve_)
    with pytest.raises(ValueError, match=r"train has shape \(3, 4\); there are 2 steps"):
        LossCurveDisplay([1, 2], curves)
    with pytest.raises(ValueError, match=r"steps has shape \(\)"):
        LossCurveDisplay(1, curves)


def test_what_a_loss_curve_counts(network):
    """Epochs of an MLP, of scikit-learn's too, were called steps."""
    epochs = MLPClassifier((3,), max_iter=4, random_state=0).fit(X, Y)
    for estimator, name in ((network, "outer steps"), (epochs, "epochs")):
        assert LossCurveDisplay.from_estimator(estimator).plot().ax_.get_xlabel() == name
    assert LossCurveDisplay([1, 2], {"a": [1.0, 2.0]}).plot().ax_.get_xlabel() == "steps"


def test_a_narrow_matrix_has_whole_ticks():
    figure = WeightMatrixDisplay(np.ones((16, 1))).plot().figure_
    figure.draw_without_rendering()
    shown = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert all("." not in text for text in shown)


def test_spectral_energy():
    rows, start, weights = RNG.standard_normal((30, 5)), RNG.random((5, 3)), RNG.random((2, 5, 3))
    display = SpectralEnergyDisplay.from_weights(weights, start, rows, steps=[10, 20]).plot()
    expected = cumulative_energy(component_energy(weights - start, principal_components(rows).components))
    assert_allclose(display.share, expected)
    assert_allclose(display.ax_.lines[0].get_ydata(), isotropic_energy(5))
    assert_allclose([line.get_ydata() for line in display.lines_], expected)
    assert [line.get_color() for line in display.lines_] == display.colours_
    red, blue = np.array(display.colours_)[[0, -1], :3]
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    with pytest.raises(ValueError, match=r"share has 2 moments, so \(2,\)"):
        SpectralEnergyDisplay(expected, [10])


def test_weight_matrix(network):
    display = WeightMatrixDisplay.from_estimator(network).plot()
    assert display.weights.shape == (4, 3)
    assert_allclose(display.image_.get_array(), network.net_.unflatten(network.theta_)[1][0])
    low, high = display.image_.get_clim()
    assert (-low, high) == (np.abs(display.weights).max(),) * 2  # zero in the middle of the colours
    assert len(display.figure_.axes) == 2
    assert WeightMatrixDisplay([[0.0, 0.1, -0.1, 1.0]]).zero_share(tolerance=0.1) == 0.75
    with pytest.raises(ValueError, match="layer=3 is too large; at most 2"):
        WeightMatrixDisplay.from_estimator(network, layer=3)


SCHOOLS = np.array([f"school {i % 6}" for i in range(60)])


def level_of_schools(groups=SCHOOLS, **parameters):
    y = X[:, 0] + np.arange(60) % 6 + 0.1 * RNG.standard_normal(60)
    return MixedRegressor(mean="linear", **parameters).fit(X, y, groups)


def test_random_effects_are_drawn_in_order_with_their_intervals():
    model = level_of_schools()
    found, display = model.random_effects_, RandomEffectsDisplay.from_estimator(model)
    assert display.order("intercept").tolist() == list(range(6))
    display.plot(level=0.5)
    points, _, (bars,) = display.points_
    assert_allclose(points.get_xdata(), found.effects[:, 0])
    half = 0.6744897501960817 * found.std_error[:, 0]  # the normal distribution's upper quartile
    ends = np.array([segment[:, 0] for segment in bars.get_segments()])
    assert_allclose(ends, np.column_stack([found.effects[:, 0] - half, found.effects[:, 0] + half]))
    assert [tick.get_text() for tick in display.ax_.get_yticklabels()] == [f"school {i}" for i in range(6)]


def test_random_effects_of_groups_within_clusters_and_of_slopes():
    nested = np.column_stack([np.arange(60) % 6 // 2, SCHOOLS])
    model = level_of_schools(nested, effects=("intercept", "slopes"), effect_columns=[1])
    display = RandomEffectsDisplay.from_estimator(model, level=1).plot(name="x1")
    assert len(display.order("x1")) == 6
    assert display.ax_.get_xlabel() == "effect: x1"
    assert " / school " in display.ax_.get_yticklabels()[0].get_text()


def test_many_clusters_are_counted_rather_than_named():
    model = MixedRegressor(mean="linear").fit(
        np.tile(X, (2, 1)), np.arange(120) % 50 + RNG.standard_normal(120), np.arange(120) % 50
    )
    display = RandomEffectsDisplay.from_estimator(model).plot()
    assert display.ax_.get_ylabel() == "50 clusters"
    assert not display.ax_.get_yticklabels()


def test_random_effects_in_wrong_hands(network):
    with pytest.raises(TypeError, match="RFPClassifier without random_effects_"):
        RandomEffectsDisplay.from_estimator(network)
    with pytest.raises(TypeError, match="random_effects is a list"):
        RandomEffectsDisplay([1.0])
    display = RandomEffectsDisplay.from_estimator(level_of_schools())
    with pytest.raises(ValueError, match="name='x0' is no effect of the clusters; one of 'intercept'"):
        display.plot(name="x0")
    with pytest.raises(ValueError, match="level=1 is too large"):
        RandomEffectsDisplay.from_estimator(level_of_schools(), level=1)
    smooth = MixedRegressor(mean="gp", effects="smooth").fit(X, X[:, 0], SCHOOLS)
    with pytest.raises(ValueError, match="smooth only"):
        RandomEffectsDisplay.from_estimator(smooth)
