"""Confidence against accuracy."""

from typing import Any

from .._axes import axes, learnt
from .._frames import require_aligned
from .._options import boolean
from ..calibration import Reliability, Strategy, reliability_curve

__all__ = ["ReliabilityDisplay"]


class ReliabilityDisplay:
    """Mean accuracy against mean confidence, bin by bin; below the diagonal a classifier is too sure.

    Make one with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    reliability : Reliability
        From `rfpcore.calibration.reliability_curve`.
    name : str, optional
        For the legend.

    Attributes
    ----------
    line_ : matplotlib line
        The curve; after `plot`.
    ax_, figure_ : matplotlib axes and figure

    Examples
    --------
    >>> from rfpcore.plotting import ReliabilityDisplay
    >>> display = ReliabilityDisplay.from_predictions([0, 1, 1], [0.2, 0.7, 0.9], n_bins=1)
    >>> display.reliability.accuracy
    array([1.])
    """

    line_: Any
    ax_: Any
    figure_: Any

    def __init__(self, reliability: Reliability, *, name: str | None = None) -> None:
        if not isinstance(reliability, Reliability):
            raise TypeError(
                f"reliability is a {type(reliability).__name__}; what reliability_curve returns is needed"
            )
        self.reliability = reliability
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        n_bins: int = 15,
        strategy: Strategy = "quantile",
        name: str | None = None,
        pos_label: Any = None,
        sample_weight: Any = None,
    ) -> "ReliabilityDisplay":
        """Compute the curve of a fitted classifier.

        Parameters
        ----------
        estimator : classifier
            With `predict_proba` and `classes_`: of rfpcore, scikit-learn or others.
        X, y : arrays (N, d), (N,)
            Rows it was not trained on, and their classes.
        n_bins, strategy, pos_label, sample_weight
            As in `rfpcore.calibration.reliability_curve`.
        name : str, optional
            None takes the name of the estimator's class.
        """
        require_aligned(X=X, y=y, sample_weight=sample_weight)
        return cls.from_predictions(
            y,
            learnt(estimator, "predict_proba")(X),
            n_bins=n_bins,
            strategy=strategy,
            classes=learnt(estimator, "classes_"),
            name=type(estimator).__name__ if name is None else name,
            pos_label=pos_label,
            sample_weight=sample_weight,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        probabilities: Any,
        *,
        n_bins: int = 15,
        strategy: Strategy = "quantile",
        classes: Any = None,
        name: str | None = None,
        pos_label: Any = None,
        sample_weight: Any = None,
    ) -> "ReliabilityDisplay":
        """Compute the curve of predicted probabilities; parameters as in `reliability_curve`."""
        curve = reliability_curve(
            y_true,
            probabilities,
            n_bins=n_bins,
            strategy=strategy,
            classes=classes,
            pos_label=pos_label,
            sample_weight=sample_weight,
        )
        return cls(curve, name=name)

    def plot(
        self, ax: Any = None, *, name: str | None = None, ref_line: bool = True, **line_options: Any
    ) -> "ReliabilityDisplay":
        """Draw the curve, and the diagonal unless the axes have one.

        Parameters
        ----------
        ax : matplotlib axes, optional
        name : str, optional
            For the legend, instead of the display's.
        ref_line : bool, default=True
            The diagonal of perfect calibration.
        **line_options
            For matplotlib's `plot`.

        Returns
        -------
        self
        """
        diagonal_too = boolean(ref_line, "ref_line")
        ax = axes(self, ax)
        label = self.name if name is None else name
        diagonal = "perfectly calibrated"
        if diagonal_too and diagonal not in ax.get_legend_handles_labels()[1]:
            ax.plot([0, 1], [0, 1], color="0.6", linestyle="--", label=diagonal)
        options = {"marker": "o", "markersize": 4, "label": label} | line_options
        (self.line_,) = ax.plot(self.reliability.confidence, self.reliability.accuracy, **options)
        ax.set(xlabel="mean confidence", ylabel="accuracy")
        if ax.get_legend_handles_labels()[1]:  # without a name there is nothing to tell
            ax.legend(frameon=False)
        return self
