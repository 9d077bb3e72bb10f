"""What a file holds, checked by kind, shape and range before it becomes part of anything."""

import re
from itertools import pairwise
from typing import Any

import numpy as np

from ._arrays import F32, F64, Array, require_finite

__all__ = [
    "Document",
    "Tensors",
    "class_labels",
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
_LABEL_TYPES = {"b": bool, "i": int, "u": int, "f": float, "U": str, "O": str}


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


def labels_to_json(labels: Array, name: str) -> Document:
    """Labels with their dtype, so that predictions have it again."""
    listed = labels.tolist()
    if labels.dtype.kind not in "biufU" and not all(isinstance(label, str) for label in listed):
        raise ValueError(
            f"{name} has dtype {labels.dtype} and holds {listed[0]!r} of type {type(listed[0]).__name__}; "
            "a file holds bools, numbers and strings"
        )
    return {"dtype": labels.dtype.str, "labels": listed}


def class_labels(entry: Document) -> Array:
    """Two or more class labels in their order, in the dtype they had; of texts the longest says its size."""
    only(entry, "classes", {"dtype", "labels"})
    labels, name = listed(entry, "labels"), text(entry["dtype"], "the dtype of classes")
    match = _LABEL_DTYPES.fullmatch(name)
    if match is None:
        raise ValueError(f"classes have the dtype {name!r}; one of bools, numbers or strings is needed")
    kind = match["kind"] or match["text"] or match["object"]
    for label in labels:
        if type(label) is not _LABEL_TYPES[kind]:
            raise ValueError(f"classes hold {label!r}, a {type(label).__name__}, with the dtype {name!r}")
    if len(labels) < 2 or any(not low < high for low, high in pairwise(labels)):
        raise ValueError(f"classes are {labels[:5]!r}; at least 2 different ones in their order are needed")
    if kind in "UO":
        return np.array(labels, str if kind == "U" else object)
    array = np.array(labels, np.dtype(name))
    require_finite(array, "classes", axis="index")
    return array
