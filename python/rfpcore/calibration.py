"""Whether a classifier is as often right as it says: reliability curves and the expected calibration error.

The confidence of a prediction is the probability of the class it predicts. Predictions are put into bins by
confidence, and each bin's mean confidence is compared with the share of its predictions that are right. With
`pos_label` it is the probability of one class, and the share of rows of that class.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ._arrays import (
    Array,
    as_floats,
    has_entries,
    is_masked,
    is_missing,
    label_array,
    require_finite,
    row_weights,
    shown,
)
from ._frames import require_aligned
from ._options import MAX_BINS, choice, integer

__all__ = ["Reliability", "confidences", "expected_calibration_error", "reliability_curve"]

Strategy = Literal["quantile", "uniform"]

# Of a row of probabilities from one: float32 softmax over thousands of classes stays well within.
_SUM_TOLERANCE = 1e-3
ROUNDING = 1e-9  # of a bin, where weights are summed


@dataclass(frozen=True)
class Reliability:
    """What `reliability_curve` returns: the bins that hold predictions, from least to most confident.

    Attributes
    ----------
    confidence : ndarray (B,)
        Mean confidence of each bin.
    accuracy : ndarray (B,)
        Share of right predictions in each bin; with `pos_label` of rows of that class.
    count : ndarray (B,) of int
        Predictions in each bin.
    weight : ndarray (B,) or None
        Their weights' sum, where they have weights.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    count: NDArray[np.intp]
    weight: NDArray[np.float64] | None = None

    @property
    def _size(self) -> NDArray[Any]:
        return self.count if self.weight is None else self.weight

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance between confidence and accuracy, each bin weighted by its predictions.

        With `pos_label` between probability and share of the class.
        """
        return float(np.average(np.abs(self.confidence - self.accuracy), weights=self._size))

    @property
    def overconfidence(self) -> float:
        """Mean confidence minus accuracy over all predictions; it does not depend on the bins."""
        return float(np.average(self.confidence - self.accuracy, weights=self._size))


def confidences(
    y_true: Any, probabilities: Any, classes: Any = None, *, pos_label: Any = None
) -> tuple[Array, NDArray[np.bool_]]:
    """How sure each prediction is, and whether it is right.

    Parameters
    ----------
    y_true : array (N,)
        True classes.
    probabilities : array (N, K) or (N,)
        Of each class; or only of the second of two.
    classes : array (K,), optional
        The class of each column, as `classes_` of an estimator. None: y_true holds the integers 0 to K − 1.
    pos_label : label, optional
        The class whose probability is asked for. None: that of the prediction, whichever it is.

    Returns
    -------
    confidence : ndarray (N,) of float64
        The largest probability, or that of `pos_label`.
    right : bool ndarray (N,)
        Whether its class, the first of several with that probability, is the true one.

    Raises
    ------
    ValueError
        If probabilities are outside [0, 1] or do not sum to 1, or y_true holds none of the classes.

    Examples
    --------
    >>> from rfpcore.calibration import confidences
    >>> confidence, right = confidences(["no", "yes"], [0.9, 0.7], classes=["no", "yes"])
    >>> confidence.tolist(), right.tolist()
    ([0.9, 0.7], [False, True])
    """
    require_aligned(y_true=y_true, probabilities=probabilities)
    p = _probabilities(probabilities)
    labels = np.arange(p.shape[1]) if classes is None else _labels(classes, "classes")
    if labels.shape != (p.shape[1],):
        raise ValueError(f"classes has shape {labels.shape}; there are probabilities of {p.shape[1]} classes")
    names = labels.tolist()
    if len(set(names)) < len(names):
        raise ValueError(f"classes holds {shown(names)}; each once is needed")
    truth = _labels(y_true, "y_true")
    if truth.ndim != 1:
        raise ValueError(f"y_true has shape {truth.shape}; ({len(p)},), one class a row, is needed")
    if len(truth) != len(p):
        raise ValueError(f"y_true has {len(truth)} rows; probabilities has {len(p)}")
    unknown = ~_is_one_of(truth, labels)
    if unknown.any():
        row = int(np.argmax(unknown))
        raise ValueError(
            f"y_true holds {shown(truth[row])} in row {row}, which is none of the classes "
            f"{shown(labels.tolist())}"
        )
    if pos_label is not None:
        column = _column(pos_label, labels)
        return np.ascontiguousarray(p[:, column]), truth == labels[column]
    best = p.argmax(axis=1)
    return p[np.arange(len(p)), best], labels[best] == truth


def _column(pos_label: Any, labels: Array) -> int:
    """The place of a class among all."""
    columns = {label: column for column, label in enumerate(labels.tolist())}
    try:
        return columns[pos_label]
    except (KeyError, TypeError):  # TypeError: what cannot be hashed is no class
        raise ValueError(
            f"pos_label={shown(pos_label)} is none of the classes {shown(labels.tolist())}"
        ) from None


def _labels(values: Any, name: str) -> Array:
    """Classes as an array, of whatever kind they are."""
    if is_masked(values):
        raise ValueError(f"{name} is masked in some places; a class is needed in each")
    try:
        flat = isinstance(values, list | tuple) and not any(np.ndim(value) for value in values)
        labels = label_array(values) if flat else np.asarray(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no array of classes: {error}") from None
    if labels.dtype == object and labels.ndim == 1:
        for row, label in enumerate(labels):
            if is_missing(label) or has_entries(label) or not isinstance(label, Hashable):
                raise ValueError(f"{name} holds {shown(label)} in row {row}; a class is needed in each")
    return labels


def _is_one_of(truth: Array, labels: Array) -> NDArray[np.bool_]:
    """Which entries are among the labels, also where NumPy would make numbers text to compare them."""
    if object in (truth.dtype, labels.dtype) or truth.dtype.kind != labels.dtype.kind:
        known = set(labels.tolist())
        return np.array([label in known for label in truth.tolist()], bool)
    return np.isin(truth, labels)


def _probabilities(values: Any) -> Array:
    """Rows of at least two probabilities that sum to 1, float64."""
    p = as_floats(values, "probabilities").astype(np.float64, copy=False)
    require_finite(p, "probabilities")
    if p.ndim == 1:
        p = np.column_stack([1 - p, p])
    if p.ndim != 2 or p.shape[0] == 0 or p.shape[1] < 2:
        raise ValueError(
            f"probabilities has shape {p.shape}; (N, K) with at least one row and two classes, "
            "or (N,) for the second of two classes, is needed"
        )
    off = np.abs(p.sum(axis=1) - 1)
    if p.min() < 0 or p.max() > 1 or off.max() > _SUM_TOLERANCE:
        row = int(np.argmax((p < 0).any(axis=1) | (p > 1).any(axis=1) | (off > _SUM_TOLERANCE)))
        raise ValueError(
            f"probabilities holds {p[row].tolist()} in row {row}; numbers in [0, 1] that sum to 1 are needed"
        )
    return p


def reliability_curve(
    y_true: Any,
    probabilities: Any,
    *,
    n_bins: int = 15,
    strategy: Strategy = "quantile",
    classes: Any = None,
    pos_label: Any = None,
    sample_weight: Any = None,
) -> Reliability:
    """Mean confidence and accuracy of predictions that are about equally sure [1]_, [2]_.

    Parameters
    ----------
    y_true, probabilities, classes, pos_label
        As in `confidences`.
    n_bins : int, default=15
        Bins, of which those without predictions are left out.
    strategy : {"quantile", "uniform"}, default="quantile"
        "quantile" puts as many predictions into each bin, up to one [1]_; equal confidences share a bin, so
        that the order of the rows does not matter. "uniform" divides [0, 1] into bins of equal width [2]_; a
        confidence on an edge belongs to the bin below.
    sample_weight : array (N,), optional
        Weights of the rows; quantiles are of the weight then. A row of weight 0 is left out.

    Returns
    -------
    Reliability

    References
    ----------
    .. [1] Praturu (2026), "Regularization", section 4.
    .. [2] Guo, Pleiss, Sun and Weinberger (2017), "On calibration of modern neural networks", section 2.

    Examples
    --------
    >>> from rfpcore.calibration import reliability_curve
    >>> curve = reliability_curve([1, 1, 0, 1], [0.9, 0.9, 0.8, 0.6], n_bins=2)
    >>> curve.confidence.round(3).tolist(), curve.accuracy.tolist(), curve.count.tolist()
    ([0.7, 0.9], [0.5, 1.0], [2, 2])
    >>> round(curve.expected_calibration_error, 3), round(curve.overconfidence, 3)
    (0.15, 0.05)
    """
    n_bins = integer(n_bins, "n_bins", 1, MAX_BINS)
    uniform = choice(strategy, "strategy", Strategy) == "uniform"
    confidence, right = confidences(y_true, probabilities, classes, pos_label=pos_label)
    if sample_weight is None:
        return _curve(confidence, right, None, n_bins, uniform)
    require_aligned(y_true=y_true, sample_weight=sample_weight)
    weights = _used_weights(sample_weight, len(confidence))
    used = weights > 0
    return _curve(confidence[used], right[used], weights[used], n_bins, uniform)


def _curve(confidence: Array, right: Array, weights: Array | None, n_bins: int, uniform: bool) -> Reliability:
    """The bins that hold predictions."""
    if uniform:
        bins = np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], confidence)
    elif weights is None:  # in whole numbers: where a quantile falls on a confidence, rounding would decide
        bins = np.searchsorted(np.sort(confidence), confidence) * n_bins // len(confidence)
    else:
        order = np.argsort(confidence, kind="stable")
        below = np.concatenate([[0.0], np.cumsum(weights[order])])
        share = below[np.searchsorted(confidence[order], confidence)] / below[-1]
        bins = np.minimum((share * n_bins + ROUNDING).astype(np.intp), n_bins - 1)
    count = np.bincount(bins, minlength=n_bins)
    used = count > 0
    rows = np.ones(len(bins)) if weights is None else weights
    size = np.asarray(np.bincount(bins, rows, n_bins), np.float64)
    return Reliability(
        confidence=np.bincount(bins, rows * confidence, n_bins)[used] / size[used],
        accuracy=np.bincount(bins, rows * right, n_bins)[used] / size[used],
        count=count[used],
        weight=None if weights is None else size[used],
    )


def _used_weights(values: Any, n_rows: int) -> NDArray[np.float64]:
    """Weights of rows over the largest, at least one above 0."""
    weights = row_weights(values, n_rows).astype(np.float64)
    largest = weights.max()
    if largest <= 0:
        raise ValueError(f"sample_weight is zero in all {n_rows} rows; at least one must be positive")
    return np.asarray(weights / largest)


def expected_calibration_error(
    y_true: Any,
    probabilities: Any,
    *,
    n_bins: int = 15,
    strategy: Strategy = "quantile",
    classes: Any = None,
    pos_label: Any = None,
    sample_weight: Any = None,
) -> float:
    """Mean distance between confidence and accuracy over the bins of `reliability_curve`.

    It is at least |overconfidence|, and grows with the number of bins by chance alone: with n rows a bin,
    by about 0.8 · sqrt(accuracy · (1 − accuracy)/n) for a classifier that is perfectly calibrated.

    Parameters
    ----------
    y_true, probabilities, n_bins, strategy, classes, pos_label, sample_weight
        As in `reliability_curve`.

    Returns
    -------
    error : float
        In [0, 1].

    Examples
    --------
    >>> from rfpcore.calibration import expected_calibration_error
    >>> round(expected_calibration_error([1, 1, 0, 1], [0.9, 0.9, 0.8, 0.6], n_bins=2), 3)
    0.15
    """
    return reliability_curve(
        y_true,
        probabilities,
        n_bins=n_bins,
        strategy=strategy,
        classes=classes,
        pos_label=pos_label,
        sample_weight=sample_weight,
    ).expected_calibration_error
