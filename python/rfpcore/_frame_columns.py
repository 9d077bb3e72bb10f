"""Columns of a frame: which rows lack a value, which hold text, and labels as columns of zeros and ones."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._arrays import Array, group_codes, is_missing, label_array, shown
from ._order import is_unordered_categorical, own_order
from ._warn import warn

MOST_LABELS = 100  # of a column of text


class Encoded(NamedTuple):
    """A column (N, L - 1) for each label but the first, their names, and all L labels."""

    columns: Array
    names: list[str]
    labels: list[Any]


def is_frame(X: Any) -> bool:
    """Whether X has named columns (pandas, polars)."""
    return hasattr(X, "columns") and hasattr(X, "__getitem__")


def in_columns_of(X: Any, points: Array) -> Any:
    """Points (n, d), as a frame where X is one: what was fitted to it asks for the names of its columns."""
    if not is_frame(X) or not all(isinstance(name, str) for name in X.columns):
        return points
    return type(X)(dict(zip(X.columns, points.T, strict=True)))


def missing_in(values: Any) -> NDArray[np.bool_]:
    """(N,) whether a row has no value."""
    if isinstance(values, np.ma.MaskedArray):
        found = np.ma.getmaskarray(values) | missing_in(values.data)
    else:
        array = label_array(values)
        if array.dtype.kind in "fc":
            found = np.isnan(array)
        elif array.dtype.kind in "mM":
            found = np.isnat(array)
        elif array.dtype.kind in "OTV":
            found = np.array([is_missing(value) for value in array.ravel().tolist()], bool)
            found = found.reshape(array.shape)
        else:
            found = np.zeros(array.shape, bool)
    found = np.asarray(found)
    return np.asarray(found.reshape(len(found), -1).any(axis=1) if found.ndim else found.ravel())


def is_text(values: Any) -> bool:
    """Whether a frame's column holds labels and no numbers: text, or a Categorical of whatever."""
    if own_order(values) is not None or is_unordered_categorical(values):
        return True
    labels = label_array(values)
    if labels.dtype.kind != "O":
        return labels.dtype.kind in "UT"
    known = [value for value in labels.ravel().tolist() if not is_missing(value)]
    return bool(known) and all(isinstance(value, str) for value in known)


def encoded(values: Any, name: Hashable) -> Encoded:
    """A column of labels as columns of 0 and 1, one for each label but the first, the reference.

    Labels are in their own order, or sorted; columns are called name[label].
    """
    labels, codes = group_codes(values, len(values), f"column {name!r}")
    require_few(len(labels), f"column {name!r}")
    _warn_of_numbers(labels.tolist(), name)
    return _dummies(codes, name, labels.tolist())


def _warn_of_numbers(labels: list[Any], name: Hashable) -> None:
    """A column of numbers is one of labels where a single value is a sign for "missing", or has a comma."""
    odd = [label for label in labels if isinstance(label, str) and not _is_number(label)]
    numbers = [label for label in labels if isinstance(label, str) and _is_number(label.replace(",", ""))]
    if odd and len(numbers) > len(labels) / 2:
        warn(
            f"column {name!r} is taken for labels, each a column of 0 and 1, because {shown(odd[0])} is no "
            f"number; {len(numbers)} of its {len(labels)} labels look like numbers. If all are, mend it",
            UserWarning,
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def encoded_as(values: Any, name: Hashable, labels: Sequence[str]) -> Encoded:
    """The same columns for other rows; ValueError for a label that was not there."""
    found, codes = group_codes(values, len(values), f"column {name!r}")
    known = {label: i for i, label in enumerate(labels)}
    for i, label in enumerate(found.tolist()):
        if str(label) not in known:
            raise ValueError(
                f"column {name!r} holds {shown(label)} in {np.sum(codes == i)} of {len(codes)} rows, a label "
                f"that the model has not seen; it knows {', '.join(map(repr, labels))}"
            )
    position = np.array([known[str(label)] for label in found.tolist()], np.intp)
    return _dummies(position[codes], name, list(labels))


def require_few(n_labels: int, what: str) -> None:
    """ValueError where labels are so many that they name something else."""
    if n_labels > MOST_LABELS:
        raise ValueError(
            f"{what} has {n_labels} different labels, each of which would become a covariate of "
            f"its own; at most {MOST_LABELS} are possible. If they name clusters, give them as `groups`"
        )


def _dummies(codes: NDArray[np.intp], name: Hashable, labels: list[Any]) -> Encoded:
    columns = (codes[:, None] == np.arange(1, len(labels))).astype(np.float64)
    return Encoded(columns, [f"{name}[{label}]" for label in labels[1:]], labels)
