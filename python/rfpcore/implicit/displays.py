"""Figures of estimated penalties, after scikit-learn's displays: computed first, then drawn."""

from typing import Any

import numpy as np

from .._arrays import shown
from .._axes import BLUE, GREY, ORANGE, axes, pyplot
from ._checks import Floats, lines
from .matching import GradientMatching
from .validation import Validation

__all__ = ["CoefficientDisplay", "MatrixDisplay", "PathDisplay", "RetrainingDisplay"]


class CoefficientDisplay:
    """Estimated coefficients beside true ones, on logarithmic axes.

    Parameters
    ----------
    true, estimated : dict of str to array
        By penalty: one number a run.
    """

    def __init__(self, true: dict[str, Any], estimated: dict[str, Any]) -> None:
        for name, given in (("true", true), ("estimated", estimated)):
            if not isinstance(given, dict) or not given:
                raise TypeError(
                    f"{name}={shown(given)} is a {type(given).__name__}; a dict of arrays by name is needed"
                )
        if set(true) != set(estimated):
            raise ValueError(
                f"true has {list(true)} and estimated {list(estimated)}; the same names are needed"
            )
        self.true = {name: lines(values, f"true[{name!r}]")[0] for name, values in true.items()}
        self.estimated = {
            name: lines(values, f"estimated[{name!r}]")[0] for name, values in estimated.items()
        }

    def plot(self, ax: Any = None) -> "CoefficientDisplay":
        """Draw the points and the diagonal; estimates that are not positive lie on the lower edge.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        self
        """
        ax = axes(self, ax)
        values = np.concatenate(list(self.true.values()))
        low, high = values[values > 0].min() / 3, values.max() * 3
        ax.plot([low, high], [low, high], color=GREY, lw=1)
        for (name, true), colour in zip(
            self.true.items(), [BLUE, ORANGE, "tab:green", "tab:purple"], strict=False
        ):
            found = self.estimated[name]
            ax.plot(true, np.clip(found, low, high), "o", color=colour, alpha=0.5, ms=4, label=name)
        ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
        ax.set(xlabel="true coefficient", ylabel="estimated coefficient")
        ax.legend(frameon=False)
        return self


class PathDisplay:
    """Coefficients over training, with their intervals.

    Parameters
    ----------
    times, coefficients, low, high : ndarrays (T,), (T, J), (T, J), (T, J)
    names : list of str
    """

    def __init__(
        self, times: Floats, coefficients: Floats, low: Floats, high: Floats, names: list[str]
    ) -> None:
        self.times, self.coefficients, self.low, self.high, self.names = times, coefficients, low, high, names

    @classmethod
    def from_estimator(cls, estimator: GradientMatching, level: float = 0.95) -> "PathDisplay":
        """Of an estimator with several pieces.

        Parameters
        ----------
        estimator : fitted GradientMatching
        level : float, default=0.95
            Of the intervals.

        Returns
        -------
        PathDisplay
        """
        _require_estimator(estimator)
        count = len(estimator.pieces_)
        low, high = estimator.confidence_interval(level).T
        names = [name.split(" [")[0] for name in estimator.names_[: len(estimator.names_) // count]]
        found, low, high = (values.reshape(count, -1) for values in (estimator.coef_, low, high))
        return cls(estimator.pieces_.mean(axis=1), found, low, high, names)

    def plot(self, ax: Any = None) -> "PathDisplay":
        """Draw lines and bands.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        self
        """
        ax = axes(self, ax)
        for j, name in enumerate(self.names):
            (line,) = ax.plot(self.times, self.coefficients[:, j], "o-", ms=3, label=name)
            ax.fill_between(
                self.times, self.low[:, j], self.high[:, j], color=line.get_color(), alpha=0.2, lw=0
            )
        ax.axhline(0, color=GREY, lw=0.8)
        ax.set(xlabel="step", ylabel="coefficient")
        ax.legend(frameon=False)
        return self


class MatrixDisplay:
    """Matrices of quadratic penalties as heat maps of one scale.

    Parameters
    ----------
    matrices : dict of str to array (p, p)
    """

    def __init__(self, matrices: dict[str, Any]) -> None:
        if not isinstance(matrices, dict) or not matrices:
            raise TypeError(f"matrices={shown(matrices)}; a dict of at least one matrix by name is needed")
        self.matrices = {name: lines(matrix, f"matrices[{name!r}]") for name, matrix in matrices.items()}

    def plot(self, axs: Any = None) -> "MatrixDisplay":
        """Draw one map for each.

        Parameters
        ----------
        axs : sequence of matplotlib Axes, optional
            As many as matrices.

        Returns
        -------
        self
        """
        plt = pyplot("MatrixDisplay.plot")
        if axs is None:
            count = len(self.matrices)
            _, axs = plt.subplots(1, count, figsize=(3 * count, 3), squeeze=False, layout="constrained")
        several = np.ravel(axs)
        largest = max(float(np.abs(matrix).max()) for matrix in self.matrices.values()) or 1.0
        for ax, (name, matrix) in zip(several, self.matrices.items(), strict=True):
            image = ax.imshow(matrix, cmap="RdBu_r", vmin=-largest, vmax=largest)
            ax.set(title=name, xticks=[], yticks=[])
        several[0].figure.colorbar(image, ax=list(several), shrink=0.8)
        self.ax_ = several[0]
        self.figure_ = several[0].figure
        return self


class RetrainingDisplay:
    """How far retraining is from the procedure: without, with the estimate, and with another seed.

    Parameters
    ----------
    validation : Validation
    """

    def __init__(self, validation: Validation) -> None:
        if not isinstance(validation, Validation):
            raise TypeError(
                f"validation={shown(validation)} is a {type(validation).__name__}; a Validation is needed"
            )
        self.validation = validation

    def plot(self, ax: Any = None) -> "RetrainingDisplay":
        """Draw a bar for each way of training.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        self
        """
        ax = axes(self, ax)
        runs = {name: run for name, run in self.validation.runs.items() if name != "true"}
        heights = [run.distance for run in runs.values()]
        ax.bar(list(runs), heights, color=[GREY, BLUE, ORANGE])
        ax.set(ylabel="distance from the procedure's weights, relative")
        return self


def _require_estimator(estimator: Any) -> None:
    if not isinstance(estimator, GradientMatching) or not hasattr(estimator, "coef_"):
        raise TypeError(
            f"estimator={shown(estimator)} is a {type(estimator).__name__}; "
            "a fitted GradientMatching is needed"
        )
