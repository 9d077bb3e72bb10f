"""What a file holds, checked by kind, shape and range before it becomes part of anything."""

import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np

from ._arrays import F32, F64, Array, require_finite

__all__ = [
    "Document",
    "Tensors",
    "class_labels",
    "labels_from_json",
    "labels_to_json",
    "listed",
    "object_of",
    "only",
    "require_used",
    "tensor",
    "text",
]

Tensors = dict[str, Array]
Document = dict[str, Any]

_LABEL_DTYPES = re.compile(r"[<>|=]?(?P<kind>[biuf])[1248]|[<>|=]?(?P<text>U)\d+|[<>|=]?(?P<object>O)8?")
_TIME_DTYPES = re.compile(r"[<>=][mM]8\[(\d+)?(Y|M|W|D|h|m|s|ms|us|ns)\]")
_LABEL_TYPES = {"b": bool, "i": int, "u": int, "f": float, "U": str, "O": str}


# Labels that are objects: the type, and how they are written and read.
_OBJECTS: dict[str, tuple[type, Any, Any]] = {
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat),
    "date": (date, date.isoformat, date.fromisoformat),
    "timedelta": (
        timedelta,
        lambda gap: [gap.days, gap.seconds, gap.microseconds],
        lambda gap: timedelta(*gap),
    ),
    "decimal": (Decimal, str, Decimal),
}


def object_of(document: Document, name: str) -> Document:
    """An entry that is an object."""
    value = document[name]
    if not isinstance(value, dict):
        raise ValueError(f"{name} is a {type(value).__name__}; an object is needed")
    return value


def listed(document: Document, name: str) -> list[Any]:
    """An entry that is a list."""
    value = document[name]
    if not isinstance(value, list):
        raise ValueError(f"{name} is a {type(value).__name__}; a list is needed")
    return value


def text(value: Any, name: str) -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is a {type(value).__name__}; a string is needed")
    return value


def only(document: Document, name: str, allowed: set[str]) -> None:
    """No entries but these."""
    odd = sorted(set(document) - allowed)
    if odd:
        raise ValueError(f"{name} has the entry {odd[0]!r}, which has no meaning there")


def tensor(
    tensors: Tensors, name: str, *shape: int | None, nan: bool = False, dtype: np.dtype[Any] | None = None
) -> Array:
    """Take out an array of a shape, None standing for any length.

    Parameters
    ----------
    tensors : dict of arrays
        Those not taken out yet.
    name : str
    *shape : int or None
    nan : bool
        Whether it need not be finite.
    dtype : dtype, optional
        The only one that will do; None: float32 or float64.
    """
    allowed = (F32, F64) if dtype is None else (dtype,)
    array = tensors.pop(name)
    fits = array.ndim == len(shape) and all(
        needed in (None, found) for needed, found in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype not in allowed:
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        kind = "floats" if dtype is None else dtype
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}; {kind}, ({wanted}), are needed")
    if not nan:
        require_finite(array.ravel(), name, axis="index")
    return array


def require_used(tensors: Tensors) -> None:
    """No array is left over."""
    if tensors:
        raise ValueError(f"there is an array {min(tensors)!r}, which has no meaning here")


def labels_to_json(labels: Array, name: str, of_classes: bool = False) -> Document:
    """Labels with their dtype, so that they are the same again; those of classes are numbers or texts."""
    kind, listed = labels.dtype.kind, labels.tolist()
    if kind in "mM" and not of_classes:
        listed = labels.astype(np.int64).tolist()
    elif kind == "O" and not (of_classes and any(type(label) is not str for label in listed)):
        listed = [_label_to_json(label, name) for label in listed]
    elif kind not in "biufU":
        raise ValueError(
            f"{name} has dtype {labels.dtype} and holds {listed[0]!r} of type {type(listed[0]).__name__}; "
            "a file holds bools, numbers and strings"
        )
    return {"dtype": labels.dtype.str, "labels": listed}


def _label_to_json(label: Any, name: str) -> Any:
    if label is None or type(label) in (bool, int, float, str):
        return label
    if type(label) is tuple:
        return {"tuple": [_label_to_json(part, name) for part in label]}
    for kind, (cls, write, _) in _OBJECTS.items():
        if type(label) is cls:
            return {kind: write(label)}
    if hasattr(label, "freqstr") and hasattr(label, "ordinal"):  # of pandas, which need not be there
        return {"period": [label.ordinal, label.freqstr]}
    if isinstance(label, np.generic):
        return _label_to_json(label.item(), name)
    known = ", ".join(_OBJECTS)
    raise ValueError(
        f"{name} holds {label!r} of type {type(label).__name__}; a file holds bools, numbers, strings, "
        f"{known}, periods of pandas and tuples of them"
    )


def labels_from_json(entry: Any, name: str, n: int | None = None) -> Array:
    """The labels again; `n`: how many there have to be."""
    entry = object_of({name: entry}, name)
    only(entry, name, {"dtype", "labels"})
    labels, dtype = listed(entry, "labels"), text(entry["dtype"], f"the dtype of {name}")
    if n is not None and len(labels) != n:
        raise ValueError(f"{name} has {len(labels)} labels; {n} are needed")
    match = _LABEL_DTYPES.fullmatch(dtype)
    if match is not None and match["object"]:
        array = np.empty(len(labels), object)
        array[:] = [_label_from_json(label) for label in labels]
        return array
    if _TIME_DTYPES.fullmatch(dtype):
        return _of_one_type(labels, "i", name, "<i8").astype(dtype)
    if match is None:
        raise ValueError(f"{name} has the dtype {dtype!r}; one of bools, numbers, strings or dates is needed")
    return _of_one_type(labels, match["kind"] or "U", name, dtype)


def _of_one_type(labels: list[Any], kind: str, name: str, dtype: str) -> Array:
    for label in labels:
        if type(label) is not _LABEL_TYPES[kind]:
            raise ValueError(f"{name} holds {label!r}, a {type(label).__name__}, with the dtype {dtype!r}")
    return np.array(labels, str if kind == "U" else dtype)  # of texts the longest says the size


def _label_from_json(label: Any) -> Any:
    if not isinstance(label, dict):
        return label
    ((kind, value),) = label.items()
    if kind == "period":
        from pandas import Period

        return Period(ordinal=value[0], freq=value[1])
    return tuple(map(_label_from_json, value)) if kind == "tuple" else _OBJECTS[kind][2](value)


def class_labels(entry: Document) -> Array:
    """Two or more class labels in their order, in the dtype they had; of texts the longest says its size."""
    array = labels_from_json(entry, "classes")
    labels = array.tolist()
    if array.dtype.kind == "O":
        _of_one_type(labels, "O", "classes", array.dtype.str)
    elif array.dtype.kind != "U":
        require_finite(array, "classes", axis="index")
    if array.dtype.kind in "mM" or len(labels) < 2 or any(not low < high for low, high in pairwise(labels)):
        raise ValueError(f"classes are {labels[:5]!r}; at least 2 different ones in their order are needed")
    return array
