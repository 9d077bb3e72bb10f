"""Weights of classes, which become weights of rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._arrays import Array, row_weights, shown
from .._options import at_least
from ._targets import ClassTargets

__all__ = ["WeighedClasses", "class_weight"]


def class_weight(value: Any, name: str) -> Any:
    """None, "balanced", or a weight for each label, as a dict."""
    if value is None or (isinstance(value, str) and value == "balanced"):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}={shown(value)}; 'balanced', a dict of labels' weights or None is needed")
    return {label: at_least(weight, f"{name}[{label!r}]", 0.0) for label, weight in value.items()}


class WeighedClasses(ClassTargets):
    """Class labels whose rows may weigh unequally.

    A weight is a row weight: fitting with `class_weight` and fitting with each row's weight times that of its
    class are the same, to the bit.
    """

    class_weight: Any
    class_weight_: Array

    def _weigh(self, y: Any, sample_weight: Any, learn: bool) -> Any:
        """The rows' weights times those of their classes."""
        if learn:
            self.__dict__.pop("class_weight_", None)  # of the fit before a warm start
            given = class_weight(self.class_weight, "class_weight")
            if given is None:
                return sample_weight
        elif not hasattr(self, "class_weight_"):
            return sample_weight
        codes = self._encode_targets(y).astype(np.intp)
        rows = np.ones(len(codes)) if sample_weight is None else row_weights(sample_weight, len(codes))
        if learn:
            self.class_weight_ = _weights(given, self.classes_, codes, rows)
        return rows * self.class_weight_[codes]


def _weights(given: Any, classes: Array, codes: Array, rows: Array) -> Array:
    """The weight of each class: "balanced" lets all classes weigh the same, n rows together."""
    if isinstance(given, str):
        totals = np.bincount(codes, rows, len(classes))
        if totals.min() <= 0:
            without = shown(classes.tolist()[totals.argmin()])
            raise ValueError(f"class_weight='balanced', but the rows of class {without} have no weight")
        balanced: Array = totals.sum() / (len(classes) * totals)
        return balanced
    labels = classes.tolist()
    unknown = [label for label in given if label not in labels]
    if unknown:
        raise ValueError(f"class_weight names {shown(unknown[0])}, which is none of the classes {classes}")
    return np.array([given.get(label, 1.0) for label in labels])
