"""What y is: class labels or numbers, as the network's targets and back from its outputs."""

from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from .._arrays import Array, as_floats, is_masked, is_missing, label_array, require_finite
from .._scaling import Scaling
from ..losses import Known, Loss, RegressionLoss, read


class Targets:
    """What both kinds share: where an output bias starts."""

    @property
    def _known(self) -> Known:
        raise NotImplementedError

    @property
    def _loss(self) -> Loss:
        """The loss, as the kernel takes it."""
        return self._known.text

    def _first_bias(self, y: Array, sample_weight: Array | None) -> Array:
        """The output bias that suits outcomes (N, columns) best while nothing else is known."""
        known = self._known
        return known.kind.first_bias(y, sample_weight, known.parameters)


class ClassTargets(Targets):
    """Class labels: one logit for two classes, a softmax over more."""

    classes_: Array

    def _require_outcomes(self, y: Any) -> None:
        require_labels(y)

    @property
    def _known(self) -> Known:
        return read("logistic" if len(self.classes_) == 2 else "softmax")

    @property
    def _n_network_outputs(self) -> int:
        return 1 if len(self.classes_) == 2 else len(self.classes_)

    def _learn_targets(self, y: Any) -> None:
        classes = np.unique(_labels(y))
        if len(classes) < 2:
            raise ValueError(
                f"a classifier needs at least 2 classes; y has only one class, {classes.tolist()[0]!r}"
            )
        if hasattr(self, "classes_") and classes.tolist() != self.classes_.tolist():
            raise ValueError(
                f"warm_start needs the classes of the earlier fit, {self.classes_}; y has {classes}"
            )
        self.classes_ = classes

    def _encode_targets(self, y: Any) -> Array:
        """Indices in `classes_`, (N,) as floats."""
        labels = _labels(y)
        unique, inverse = np.unique(labels, return_inverse=True)
        codes = {label: code for code, label in enumerate(self.classes_.tolist())}
        found = np.array([codes.get(label, -1) for label in unique.tolist()], np.float64)[inverse]
        if (found < 0).any():
            row = int(np.argmax(found < 0))
            raise ValueError(
                f"y holds {labels[row]!s} in row {row}, which is none of the {len(codes)} classes "
                f"{self.classes_}"
            )
        return found

    def _decisions(self, outputs: Array) -> Array:
        """What `decision_function` returns, from the network's linear outputs."""
        return outputs[:, 0] if self._loss == "logistic" else outputs

    def _probabilities(self, outputs: Array) -> Array:
        if len(self.classes_) == 2:
            outputs = np.hstack([-outputs, outputs])
        return self._known.kind.mean(outputs)

    def _means(self, outputs: Array) -> Array:
        return self._probabilities(outputs)

    def _predictions(self, outputs: Array) -> Array:
        best = outputs.argmax(axis=1) if self._loss == "softmax" else (outputs[:, 0] > 0).astype(np.intp)
        labels: Array = self.classes_[best]
        return labels


def regression_loss(value: Any, name: str) -> Known:
    """A loss of numbers by its name."""
    return read(value, name, regression=True)


class NumberTargets(Targets):
    """Numbers or counts, one or several a row."""

    loss: RegressionLoss
    n_outputs_: int
    y_scaling_: Scaling
    _y_ndim: int
    _fit_loss: RegressionLoss

    @property
    def _known(self) -> Known:
        return read(self.loss, regression=True)

    @property
    def _n_network_outputs(self) -> int:
        return self.n_outputs_

    def _learn_targets(self, y: Any) -> None:
        outcomes = as_floats(y, "y")
        self._y_ndim = outcomes.ndim
        self.n_outputs_ = outcomes.shape[1] if outcomes.ndim > 1 else 1
        if not hasattr(self, "theta_"):
            self._fit_loss = self._loss

    def _encode_targets(self, y: Any) -> Array:
        outcomes = as_floats(y, "y")
        columns = outcomes[:, None] if outcomes.ndim == 1 else outcomes
        if not hasattr(self, "y_scaling_") or columns.shape[1:] != (self.n_outputs_,):
            return outcomes  # of another shape they are refused elsewhere
        return self.y_scaling_.apply(columns).reshape(outcomes.shape)

    def _means(self, outputs: Array) -> Array:
        means = read(self._fit_loss).kind.mean(outputs)
        return self.y_scaling_.undo(means) if hasattr(self, "y_scaling_") else means

    def _predictions(self, outputs: Array) -> Array:
        """What `predict` returns, from the network's linear outputs."""
        with np.errstate(over="ignore"):
            means = self._means(outputs)
        require_finite(means, "the mean exp(output)", axis="row")
        return means[:, 0] if self._y_ndim == 1 else means


def _labels(y: Any) -> Array:
    """Class labels as a vector; ValueError where they are no classes."""
    require_labels(y)
    labels: Array = column_or_1d(y, warn=True)
    if labels.dtype.kind == "f":
        require_finite(labels, "y")
    check_classification_targets(labels)
    return labels


def require_labels(y: Any) -> None:
    """There are labels, none is missing, and they are of one kind, so that they can be sorted."""
    if is_masked(y):
        masked = np.flatnonzero(np.ma.getmaskarray(y))
        raise ValueError(f"y is masked in row {masked[0]}; leave out the {len(masked)} rows without a class")
    labels = label_array(y)
    if labels.size == 0:
        raise ValueError("y has no rows; labels of at least 2 classes are needed")
    if labels.dtype.kind not in "OT" or labels.ndim > 2:
        return
    flat = labels.ravel().tolist()
    missing = [row for row, label in enumerate(flat) if is_missing(label)]
    if missing:
        raise ValueError(
            f"y holds {flat[missing[0]]!r} in row {missing[0]}; {len(missing)} of {len(flat)} rows have no "
            "class. Leave them out, or give them a label"
        )
    kinds = [_kind(label) for label in flat]
    other = next((row for row, kind in enumerate(kinds) if kind != kinds[0]), None)
    if other is not None:
        raise ValueError(
            f"y holds {flat[0]!r} in row 0 and {flat[other]!r} in row {other}; labels of one kind are "
            "needed, all numbers or all strings"
        )
    try:
        sorted(set(flat))
    except TypeError:
        raise TypeError(
            f"y holds labels of type {type(flat[0]).__name__}; they have to be hashable and in an order"
        ) from None


def _kind(label: Any) -> type:
    return float if isinstance(label, bool | int | float | np.number | np.bool_) else type(label)
