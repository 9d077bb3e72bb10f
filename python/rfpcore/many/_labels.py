"""Class labels that are texts, as the codes that the kernel takes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array, is_missing, label_array, shown
from ._data import require_pair
from ._model import Model

__all__ = ["coded", "coded_pair", "text_classes"]


def text_classes(y: Any, models: Sequence[Model]) -> NDArray[np.str_] | None:
    """The classes, sorted, where y holds texts; ValueError where a loss has no classes."""
    if not _has_texts(y):
        return None
    classes = np.unique(np.array(_texts(y, "y"), str))
    for loss in dict.fromkeys(model.loss for model in models):
        if loss not in ("softmax", "logistic"):
            raise ValueError(f"y holds texts; loss={loss!r} needs numbers, softmax and logistic do not")
        if loss == "logistic" and len(classes) > 2:
            raise ValueError(f"y has {len(classes)} classes; loss='logistic' is for two, 'softmax' for more")
    return classes


def coded(y: Any, classes: NDArray[np.str_], name: str) -> Array:
    """Each label's number among the classes."""
    texts = _texts(y, name)
    numbers = {label: code for code, label in enumerate(classes.tolist())}
    for row, label in enumerate(texts):
        if label not in numbers:
            raise ValueError(f"{name} holds {shown(label)} in row {row}, which is none of the classes of y")
    return np.array([numbers[label] for label in texts], np.float64)


def coded_pair(pair: Any, classes: NDArray[np.str_] | None, name: str) -> Any:
    """Rows that measure, with codes for labels where there are classes."""
    if pair is None or classes is None:
        return pair
    require_pair(pair, name)
    return pair[0], coded(pair[1], classes, f"{name}[1]")


def _has_texts(y: Any) -> bool:
    """Whether the first label that is there is a text."""
    if isinstance(y, str) or not hasattr(y, "__len__"):
        return False
    try:
        labels = label_array(y)
    except (TypeError, ValueError):  # which the check of numbers words
        return False
    if labels.dtype.kind in "UT":
        return labels.ndim == 1 and labels.size > 0
    if labels.dtype.kind != "O" or labels.ndim != 1:
        return False
    return isinstance(next((label for label in labels.tolist() if not is_missing(label)), None), str)


def _texts(y: Any, name: str) -> list[str]:
    labels = label_array(y)
    if labels.ndim != 1:
        raise ValueError(f"{name} has shape {labels.shape}; one label a row is needed")
    listed: list[str] = labels.tolist()
    for row, label in enumerate(listed):
        if not isinstance(label, str):
            raise ValueError(f"{name} holds {shown(label)} in row {row}, among labels that are texts")
    return listed
