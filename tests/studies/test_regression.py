"""Curves of least squares and of random features beside exact theory.

Tolerances against theory are 3 standard errors over seeds, of fixed seeds, ten or more from the threshold,
where the variance of the risk exists.
"""

import matplotlib
import numpy as np
import pytest
from numpy.testing import assert_allclose

from rfpcore.many import Model
from rfpcore.studies import Descent, LeastSquares, LinearTarget, RandomFeatures, simulation, theory

matplotlib.use("agg")

SMALL = LinearTarget(20, 12)


def z_scores(curve):
    errors = curve.test_errors
    return (errors.mean(axis=0) - curve.theory) / (errors.std(axis=0, ddof=1) / np.sqrt(len(errors)))


class TestLeastSquares:
    def test_sizes_of_the_model_beside_theory(self):
        """Belkin, Hsu and Xu: features left out are noise; down, up to the threshold, and down again."""
        widths = [10, 30, 50, 60, 70, 90, 120]
        curve = Descent(LinearTarget(60, 120), LeastSquares(), widths=widths, seeds=300).curve()
        off = np.abs(curve.points - 60) >= 10
        assert np.abs(z_scores(curve)[off]).max() < 3
        assert_allclose(curve.theory[0], theory.ridgeless(60, 10, n_features=120))
        assert np.isinf(curve.theory[3])
        assert curve.threshold == curve.expected_threshold == 60
        assert curve.points[np.median(curve.test_errors, axis=0).argmax()] == 60
        assert (curve.n_parameters == widths).all()

    def test_sizes_of_the_sample_beside_theory(self):
        """More rows hurt up to n = p; from more than p on training interpolates no longer."""
        sizes = [20, 40, 50, 60, 70, 90, 150]
        curve = Descent(LinearTarget(150, 60), LeastSquares(), sizes=sizes, seeds=300).curve()
        off = np.abs(curve.points - 60) >= 10
        assert np.abs(z_scores(curve)[off]).max() < 3
        assert curve.threshold == curve.expected_threshold == 60
        assert curve.points[np.median(curve.test_errors, axis=0).argmax()] == 60
        assert (curve.n_targets == sizes).all()

    def test_the_best_penalty_leaves_no_rise(self):
        data, widths = LinearTarget(60, 120), [10, 30, 50, 60, 70, 90, 120]
        plain, tuned = (
            Descent(data, LeastSquares(penalty=penalty), widths=widths, seeds=50).curve()
            for penalty in (0.0, "optimal")
        )
        assert np.abs(z_scores(tuned)).max() < 3
        assert (np.diff(tuned.theory) < 0).all()
        assert tuned.test().p_value > 0.05
        assert tuned.rise()[0] < 0.02
        assert plain.rise()[0] > 1
        assert np.isnan(tuned.threshold)  # a penalty leaves residuals

    def test_two_scales_of_features_descend_twice_over_time(self):
        """Heckel and Yilmaz: the risk falls, rises and falls again, as theory has it given the rows."""
        scales, beta = theory.two_scales(100, 20)
        data = LinearTarget(160, 120, noise=0.1, scales=scales, coefficients=beta)
        curve = Descent(data, LeastSquares(), epochs=[1, 4, 40, 172, 2000, 38_000], seeds=20).curve()
        assert np.abs(z_scores(curve)).max() < 3
        peak, valley = curve.test_errors[:, 2].mean(), curve.test_errors[:, 0].mean()
        assert peak > 1.4 * valley
        assert curve.test_errors[:, -1].mean() < 0.3 * valley
        assert curve.rise()[0] > 4 * curve.rise()[1]

    def test_one_fit_by_hand(self):
        drawn = SMALL.draw(5)
        for n, p in [(20, 4), (8, 12)]:
            found, *_ = np.linalg.lstsq(drawn.X[:n, :p], drawn.y[:n], rcond=None)
            error = drawn.beta - np.append(found, np.zeros(12 - p))
            residuals = drawn.y[:n] - drawn.X[:n, :p] @ found
            expected = (error @ error, np.mean(residuals**2))
            assert_allclose(LeastSquares(p).errors(SMALL, 5, n), expected, rtol=1e-8, atol=1e-20)

    def test_long_descent_ends_at_the_least_norm(self):
        plain, descended = (
            one.errors(SMALL, 3, 8) for one in (LeastSquares(), LeastSquares(epochs=10**6, learning_rate=0.1))
        )
        assert_allclose(descended, plain, rtol=1e-6, atol=1e-12)


class TestRandomFeatures:
    @pytest.mark.parametrize("activation", ["relu", "erf"])
    def test_sizes_of_the_model_beside_theory(self, activation):
        """Mei and Montanari; half as many features as inputs from the threshold, or more."""
        data = LinearTarget(300, 100, noise=0.2)
        study = Descent(
            data, RandomFeatures(activation=activation), widths=[50, 150, 300, 500, 1000], seeds=15
        )
        curve = study.curve()
        off = curve.points != 300  # seeds share rows and features over widths: all points err together
        assert np.abs(z_scores(curve)[off]).max() < 3
        assert_allclose(curve.test_errors.mean(axis=0)[off], curve.theory[off], rtol=0.1)
        assert curve.threshold == curve.expected_threshold == 300
        assert curve.points[np.median(curve.test_errors, axis=0).argmax()] == 300

    def test_sizes_of_the_sample_beside_theory(self):
        data = LinearTarget(400, 50, noise=0.2)
        curve = Descent(data, RandomFeatures(100), sizes=[50, 100, 200, 400], seeds=20).curve()
        off = curve.points != 100
        assert np.abs(z_scores(curve)[off]).max() < 3
        assert curve.threshold == 100
        assert np.isinf(curve.theory[1])

    def test_a_penalty_takes_the_peak_away(self):
        data = LinearTarget(150, 50, noise=0.2)
        curve = Descent(data, RandomFeatures(penalty=0.1), widths=[75, 150, 300], seeds=20).curve()
        assert np.abs(z_scores(curve)).max() < 3
        assert curve.rise()[0] < 0.02

    def test_same_law_as_the_simulation(self):
        """Draws of both differ, their means by no more than noise of 4 standard errors."""
        ours = Descent(LinearTarget(60, 20), RandomFeatures(), widths=[30, 120], seeds=60).curve()
        other = simulation.random_feature_risks(120, 60, 20, n_draws=60, n_test=1000)
        both = ours.test_errors[:, 1]
        error = np.sqrt((both.var(ddof=1) + other.var(ddof=1)) / 60)
        assert abs(both.mean() - other.mean()) < 4 * error

    def test_features_and_rows_are_nested(self):
        """Points of a curve share what they can: rows of smaller samples are the first of larger ones."""
        small, large = LinearTarget(20, 12).draw(1), LinearTarget(20, 12).draw(1)
        assert (small.X == large.X).all()
        curve = Descent(SMALL, RandomFeatures(30), sizes=[5, 20], seeds=2).curve()
        alone = RandomFeatures(30).errors(SMALL, 1, 5)
        assert_allclose(curve.test_errors[1, 0], alone[0])


def test_label_noise_is_what_makes_the_peak():
    widths = [10, 30, 45]
    with_noise, without = (
        Descent(LinearTarget(30, 45, noise=noise), LeastSquares(), widths=widths, seeds=30).curve()
        for noise in (0.5, 0.0)
    )
    assert np.median(with_noise.test_errors, axis=0).argmax() == 1
    assert with_noise.test_errors[:, 1].mean() > without.test_errors[:, 1].mean()
    assert without.theory[2] == pytest.approx(1 - 30 / 45)


def test_resumed_to_the_same_bits(tmp_path):
    path = tmp_path / "curve.jsonl"
    whole = Descent(SMALL, LeastSquares(), widths=[2, 12], seeds=3).curve()
    Descent(SMALL, LeastSquares(), widths=[2, 12], seeds=2, path=path).curve()
    path.write_text(path.read_text()[:-30])  # as a crash leaves it
    resumed = Descent(SMALL, LeastSquares(), widths=[2, 12], seeds=3, path=path).curve()
    assert (resumed.test_errors == whole.test_errors).all()
    assert len(path.read_text().splitlines()) == 7
    for other in (LinearTarget(20, 12, noise=0.1), LinearTarget(20, 12, coefficients=np.ones(12))):
        with pytest.raises(ValueError, match="is of another study"):
            Descent(other, LeastSquares(), widths=[2, 12], seeds=2, path=path)


def test_figures():
    study = Descent(SMALL, LeastSquares(), widths=[2, 6, 12], sizes=[6, 10, 20], seeds=3)
    ax = study.curve("widths", sizes=10).plot()
    assert [line.get_label() for line in ax.get_lines()[:3]] == ["test", "training", "theory"]
    assert ax.get_yscale() == "log"
    found = study.map("widths", "sizes")
    assert found.test_errors.shape == (3, 3)
    assert found.plot().get_ylabel() == "training rows"


@pytest.mark.parametrize(
    ("base", "axes", "message"),
    [
        (LeastSquares(), {"depths": [1, 2]}, "depths do not vary with LeastSquares"),
        (RandomFeatures(), {"epochs": [1, 2]}, "epochs do not vary with RandomFeatures"),
        (LeastSquares(), {"widths": [2, 13]}, r"widths\[1\]=13 is too large; at most 12"),
        (LeastSquares(), {"sizes": [2, 21]}, r"sizes\[1\]=21 is too large; at most 20"),
        (LeastSquares(), {}, "nothing varies; widths, sizes, epochs can"),
        (LeastSquares(13), {"sizes": [2, 3]}, "n_features=13 is more than the 12 of the target"),
        (LeastSquares(penalty=1.0, epochs=3), {"sizes": [2, 3]}, "one of them is possible"),
        (LeastSquares(), {"widths": [2, 3], "seeds": 1}, "seeds=1 is too small"),
    ],
)
def test_refusals(base, axes, message):
    with pytest.raises(ValueError, match=message):
        Descent(SMALL, base, **axes)


def test_what_does_not_fit_together():
    with pytest.raises(TypeError, match="is no LinearTarget"):
        Descent(5, LeastSquares(), widths=[1, 2])
    with pytest.raises(TypeError, match="data is a LinearTarget; NoisyLabels is needed"):
        Descent(SMALL, Model((3,)), widths=[1, 2])
    with pytest.raises(TypeError, match="base='ridge' is a str; a Model or a Regression is needed"):
        Descent(SMALL, "ridge", widths=[1, 2])
    uneven = LinearTarget(20, 12, scales=np.arange(1, 13))
    assert Descent(uneven, LeastSquares(), widths=[2, 12], seeds=2).curve().theory is None
    for base in (RandomFeatures(), LeastSquares(penalty="optimal")):
        with pytest.raises(ValueError, match="of equal features"):
            Descent(uneven, base, sizes=[2, 12])
    with pytest.raises(ValueError, match="coefficients has 3 numbers; n_features=12"):
        LinearTarget(20, 12, coefficients=[1, 2, 3])
    with pytest.raises(ValueError, match="penalty='best' is unknown"):
        LeastSquares(penalty="best")
