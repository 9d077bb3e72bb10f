"""What `Descent` finds: curves over one axis, and maps over two."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._axes import BLUE, GREY, ORANGE, axes_of
from ._rises import steepest
from .monotonicity import MonotonicityTest, monotonicity_test

__all__ = ["Curve", "RiskMap"]

Floats = NDArray[np.float64]
LABELS = {"widths": "width", "depths": "hidden layers", "sizes": "training rows", "epochs": "epochs"}
ERROR = "error"
SQUARES = "squared error"


@dataclass(frozen=True, eq=False)
class Curve:
    """Errors over an axis.

    Attributes
    ----------
    axis : {"widths", "depths", "sizes", "epochs"}
    points : ndarray (W,)
    test_errors, train_errors : ndarrays (seeds, W)
        Of networks the shares of wrong classes: of clean test rows, and of the training rows with their
        noise. Of regressions mean squares: the distance from the truth on new rows, without the noise, and
        the residuals of the training rows.
    n_parameters : ndarray (W,)
    n_targets : ndarray (W,)
        Numbers that squared losses fit: training rows times outputs. 0 for other losses.
    theory : ndarray (W,) or None
        Exact risks, infinite where there is no mean; None where theory knows nothing.
    level : float
        The training error below which training interpolates.
    measure : {"error", "squared error"}
    """

    axis: str
    points: NDArray[np.int64]
    test_errors: Floats
    train_errors: Floats
    n_parameters: NDArray[np.int64]
    n_targets: NDArray[np.int64]
    theory: Floats | None
    level: float = 0.01
    measure: str = ERROR

    @property
    def threshold(self) -> float:
        """The interpolation threshold: the first point whose mean training error is below `level`.

        Over rows the last. NaN if no point is.
        """
        below = np.flatnonzero(self.train_errors.mean(axis=0) < self.level)
        if not len(below):
            return float("nan")
        return float(self.points[below[-1 if self.axis == "sizes" else 0]])

    @property
    def expected_threshold(self) -> float:
        """Where parameters are as many as numbers to fit, P = nK, between two points; NaN if nowhere.

        Of squared losses only: least squares interpolate from there on exactly, networks about there [1]_.

        References
        ----------
        .. [1] Belkin, Hsu, Ma and Mandal (2019), "Reconciling modern machine-learning practice and the
           classical bias–variance trade-off".
        """
        if not (self.n_targets > 0).all():
            return float("nan")
        gap = np.log(self.n_parameters / self.n_targets)
        if self.axis == "sizes":
            gap = -gap
        if gap[0] > 0 or gap[-1] < 0 or (np.diff(gap) <= 0).any():
            return float("nan")
        if len(exact := np.flatnonzero(gap == 0)):
            return float(self.points[exact[0]])
        return float(np.exp(np.interp(0.0, gap, np.log(self.points))))

    def test(self, **options: Any) -> MonotonicityTest:
        """The test that the curve never rises; options as in `monotonicity_test`."""
        return monotonicity_test(self.test_errors, **options)

    def rise(self) -> tuple[float, float]:
        """From the valley to the peak of the mean curve, and its standard error, paired by seed."""
        mean = self.test_errors.mean(axis=0)
        first, last = steepest(mean)
        return float(mean[last] - mean[first]), _paired(
            self.test_errors[:, last] - self.test_errors[:, first]
        )

    def fall(self) -> tuple[float, float]:
        """From the peak to the right end, and its standard error, paired by seed."""
        mean = self.test_errors.mean(axis=0)
        peak = steepest(mean)[1]
        return float(mean[peak] - mean[-1]), _paired(self.test_errors[:, peak] - self.test_errors[:, -1])

    def plot(self, ax: Any = None) -> Any:
        """Draw test and training errors with their standard errors, theory, and where training interpolates.

        The threshold by training error is a line, that by counting parameters a dotted one.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        matplotlib Axes
        """
        ax = axes_of(type(self).__name__, ax)
        for name, errors, colour in (
            ("test", self.test_errors, BLUE),
            ("training", self.train_errors, ORANGE),
        ):
            mean, error = errors.mean(axis=0), errors.std(axis=0, ddof=1) / np.sqrt(len(errors))
            ax.plot(self.points, mean, "o-", ms=3, color=colour, label=name)
            ax.fill_between(self.points, mean - error, mean + error, color=colour, alpha=0.2, lw=0)
        if self.theory is not None:
            finite = np.where(np.isfinite(self.theory), self.theory, np.nan)
            ax.plot(self.points, finite, "k--", label="theory")
        for threshold, style in ((self.threshold, "-"), (self.expected_threshold, ":")):
            if np.isfinite(threshold):
                ax.axvline(threshold, color=GREY, lw=0.8, ls=style)
        ax.set(xscale="log", xlabel=LABELS[self.axis], ylabel=self.measure)
        if self.measure == SQUARES:  # peaks are orders above the rest, and training errors fall to rounding
            ax.set(yscale="log")
            ax.set_ylim(bottom=self.test_errors.mean(axis=0).min() / 3)
        ax.legend(frameon=False)
        return ax


@dataclass(frozen=True, eq=False)
class RiskMap:
    """Mean errors over two axes.

    Attributes
    ----------
    axis, other : {"widths", "depths", "sizes", "epochs"}
    points, other_points : ndarrays (W,), (V,)
    test_errors, train_errors : ndarrays (W, V)
        Means over seeds, as `Curve` has them.
    level : float
        The training error below which training interpolates.
    measure : {"error", "squared error"}
    """

    axis: str
    other: str
    points: NDArray[np.int64]
    other_points: NDArray[np.int64]
    test_errors: Floats
    train_errors: Floats
    level: float = 0.01
    measure: str = ERROR

    def plot(self, ax: Any = None) -> Any:
        """Draw test errors as colours, and a line where training errors fall below `level`.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        matplotlib Axes
        """
        ax = axes_of(type(self).__name__, ax)
        values, training = self.test_errors.T, self.train_errors.T
        shown = ax.pcolormesh(
            self.points,
            self.other_points,
            values,
            shading="nearest",
            norm="log" if values.min() > 0 else None,
        )
        ax.figure.colorbar(shown, ax=ax, label=f"test {self.measure}")
        if training.min() < self.level < training.max():
            ax.contour(self.points, self.other_points, training, [self.level], colors="white", linewidths=1.5)
        ax.set(xscale="log", yscale="log", xlabel=LABELS[self.axis], ylabel=LABELS[self.other])
        return ax


def _paired(differences: Floats) -> float:
    return float(differences.std(ddof=1) / np.sqrt(len(differences)))
