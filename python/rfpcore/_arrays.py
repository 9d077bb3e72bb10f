"""Arrays as users have them, to arrays as the kernel takes them. Every check of an array is here.

Errors name the argument, what was given and what is needed. Rows and columns count from 0.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

F32 = np.dtype(np.float32)
F64 = np.dtype(np.float64)


def as_floats(values: Any, name: str) -> Array:
    """Any real numbers as an array: float32 and float64 stay, other numbers become float64."""
    if hasattr(values, "tocsr"):
        raise TypeError(
            f"{name} is sparse ({type(values).__name__}); a dense array is needed: {name}.toarray()"
        )
    if hasattr(values, "collect") and hasattr(values, "lazy"):
        raise TypeError(f"{name} is lazy ({type(values).__name__}); its values are needed: {name}.collect()")
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of unequal lengths
        raise ValueError(f"{name} is not a rectangular array: {error}") from None
    if array.dtype.kind in "biu":
        return array.astype(np.float64)
    if array.dtype.kind == "O":
        return _objects_to_floats(array, name)
    if array.dtype.kind != "f":
        raise TypeError(
            f"{name} has dtype {array.dtype}; real numbers are needed (float32, float64, integers or bools)"
        )
    native = array.dtype.newbyteorder("=")
    return array.astype(native if native in (F32, F64) else F64, copy=False)


def _objects_to_floats(array: Array, name: str) -> Array:
    """Numbers stored as Python objects (mixed frames) to float64; a missing one becomes NaN."""
    floats = np.empty(array.shape, np.float64)
    for index, value in np.ndenumerate(array):
        try:
            if isinstance(value, str | bytes | complex):
                raise TypeError
            floats[index] = np.nan if is_missing(value) else float(value)
        except (TypeError, ValueError, OverflowError):
            raise TypeError(
                f"{name} has dtype object; {place(index)} holds {value!r}, a {type(value).__name__}; "
                "real numbers are needed"
            ) from None
    return floats


def is_missing(value: Any) -> bool:
    """None, NaN, NaT and pandas.NA."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:  # pandas.NA refuses to be a truth value
        return True
    except ValueError:  # an array in a cell: wrong, but not missing
        return False


def place(index: Sequence[int], columns: Sequence[Any] | None = None) -> str:
    """Where a value stands: "row 3, column 1", with the column's name where there is one."""
    if len(index) < 2:
        return f"row {index[0]}" if index else "the value"
    column = f"column {index[1]}" if columns is None else f"column {columns[index[1]]!r}"
    return f"row {index[0]}, {column}"


def require_finite(array: Array, name: str, columns: Sequence[Any] | None = None, axis: str = "row") -> None:
    """ValueError with the first bad place and how many there are."""
    # A sum is finite only if all its terms are: the one pass that nearly always suffices, without a mask.
    with np.errstate(all="ignore"):
        if np.isfinite(array.sum()):
            return
    bad = np.argwhere(~np.isfinite(array))
    if len(bad) == 0:
        return
    first = tuple(int(i) for i in bad[0])
    where = place(first, columns) if axis == "row" else f"{axis} {first[0]}"
    raise ValueError(
        f"{name} must be finite, but {len(bad)} of its {array.size} values "
        f"{'is' if len(bad) == 1 else 'are'} not; the first is {array[first]} in {where}. "
        "NaN and inf are not accepted"  # in the words that scikit-learn's checks look for
    )


def matrix(values: Any, name: str = "X", n_columns: int | None = None) -> Array:
    """A finite array (rows, columns), C-contiguous, at least one by one."""
    array = as_floats(values, name)
    columns = getattr(values, "columns", None)
    if array.ndim != 2:
        hint = f"; one feature: {name}.reshape(-1, 1)" if array.ndim == 1 else ""
        raise ValueError(f"{name} has shape {array.shape}; two dimensions (rows, features) are needed{hint}")
    if 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}; at least one row and one column are needed")
    if n_columns is not None and array.shape[1] != n_columns:
        raise ValueError(f"{name} has {array.shape[1]} features; the network has {n_columns} inputs")
    require_finite(array, name, None if columns is None else list(columns))
    return np.ascontiguousarray(array)


def targets(values: Any, n_rows: int) -> Array:
    """Finite outcomes (N, n_outputs); a vector becomes one column."""
    array = as_floats(values, "y")
    if array.ndim not in (1, 2):
        raise ValueError(f"y has shape {array.shape}; (N,) or (N, n_outputs) is needed")
    require_length(array, "y", n_rows)
    if array.ndim == 2 and array.shape[1] == 0:
        raise ValueError(f"y has shape {array.shape}; at least one column is needed")
    require_finite(array, "y")
    return np.ascontiguousarray(array.reshape(n_rows, -1))


def require_length(array: Array, name: str, n_rows: int) -> None:
    """As many entries as X has rows."""
    if len(array) != n_rows:
        raise ValueError(f"{name} has {len(array)} rows; X has {n_rows}")


def row_weights(values: Any, n_rows: int) -> Array:
    """Finite weights (N,), none negative."""
    array = as_floats(values, "sample_weight")
    if array.ndim != 1:
        raise ValueError(f"sample_weight has shape {array.shape}; ({n_rows},), one weight a row, is needed")
    require_length(array, "sample_weight", n_rows)
    require_finite(array, "sample_weight")
    if array.min() < 0:
        bad = np.flatnonzero(array < 0)
        raise ValueError(
            f"sample_weight must not be negative, but {len(bad)} of {n_rows} are; "
            f"the first is {array[bad[0]]} in row {bad[0]}"
        )
    return array


def row_mask(values: Any, n_rows: int, name: str = "query") -> NDArray[np.bool_]:
    """A boolean mask (N,)."""
    mask = np.asarray(values)
    if mask.dtype != np.bool_:
        raise TypeError(f"{name} has dtype {mask.dtype}; a boolean mask, one entry a row, is needed")
    if mask.ndim != 1:
        raise ValueError(f"{name} has shape {mask.shape}; ({n_rows},) is needed")
    require_length(mask, name, n_rows)
    return mask


def vector(values: Any, name: str, length: int, dtype: np.dtype[Any] | None = None) -> Array:
    """A finite vector of known length, contiguous, in `dtype` where one is given."""
    array = as_floats(values, name)
    if array.shape != (length,):
        raise ValueError(
            f"{name} has shape {array.shape}; the network has {length} parameters, so ({length},) is needed"
        )
    require_finite(array, name, axis="index")
    return cast(np.ascontiguousarray(array), dtype or array.dtype, name)


def cast(array: Array, dtype: np.dtype[Any], name: str) -> Array:
    """The array in another float type; ValueError where a finite value does not fit."""
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore", under="ignore"):
        result = array.astype(dtype)
    if dtype.itemsize < array.dtype.itemsize and not np.isfinite(result).all():
        largest = float(np.abs(array).max())
        raise ValueError(
            f"{name} has values up to {largest:.3g}; {dtype} holds at most {np.finfo(dtype).max:.3g}"
        )
    return result


def group_codes(values: Any, n_rows: int) -> tuple[Array, NDArray[np.intp]]:
    """Unique labels (C,), and the index of each row's label (N,).

    Labels of any hashable type; sorted where they can be compared, else in order of first appearance.
    """
    if values is None:
        return np.zeros(1, np.int64), np.zeros(n_rows, np.intp)
    labels = _label_array(values)
    if labels.ndim != 1:
        raise ValueError(f"groups has shape {labels.shape}; ({n_rows},), one label a row, is needed")
    require_length(labels, "groups", n_rows)
    if labels.dtype.kind in "OTV":
        return _object_codes(labels)
    if labels.dtype.kind in "fcmM" and (missing := np.flatnonzero(labels != labels)).size:
        raise _missing_label(int(missing[0]), len(missing))
    unique, codes = np.unique(labels, return_inverse=True)
    return unique, codes


def _label_array(values: Any) -> Array:
    """Labels as an array; a list becomes objects, lest NumPy turn [1, "a"] or [None, "a"] into strings."""
    if not isinstance(values, list | tuple):
        return np.asarray(values)
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _object_codes(labels: Array) -> tuple[Array, NDArray[np.intp]]:
    """`group_codes` of Python objects, by hashing."""
    index: dict[Any, int] = {}
    codes = np.empty(len(labels), np.intp)
    for row, label in enumerate(labels.tolist()):
        try:
            codes[row] = index.setdefault(label, len(index))
        except TypeError:
            raise TypeError(
                f"groups holds {label!r} of type {type(label).__name__} in row {row}; labels must be hashable"
            ) from None
    missing = [code for label, code in index.items() if is_missing(label)]
    if missing:
        rows = np.flatnonzero(np.isin(codes, missing))
        raise _missing_label(int(rows[0]), len(rows))
    unique = list(index)
    try:
        unique.sort()
    except TypeError:
        return _narrow(unique), codes
    rank = np.empty(len(unique), np.intp)
    rank[[index[label] for label in unique]] = np.arange(len(unique))
    return _narrow(unique), rank[codes]


def _narrow(labels: list[Any]) -> Array:
    """Labels all of one plain type as an array of that type, else as objects."""
    kind = type(labels[0])
    if issubclass(kind, bool | int | float | str | np.generic) and all(
        type(label) is kind for label in labels
    ):
        return np.asarray(labels)
    array = np.empty(len(labels), object)
    array[:] = labels
    return array


def _missing_label(row: int, count: int) -> ValueError:
    more = f" ({count} rows lack one)" if count > 1 else ""
    return ValueError(f"groups has no label in row {row}{more}; every row must belong to a cluster")


def cluster_weights(values: Any, labels: Array) -> NDArray[np.float64]:
    """How much each cluster counts, (C,), from an array in the order of `labels` or a dict by label."""
    if isinstance(values, dict):
        values = _by_label(values, labels.tolist())
    array = as_floats(values, "cluster_weight").astype(np.float64, copy=False)
    if array.shape != labels.shape:
        raise ValueError(
            f"cluster_weight has shape {array.shape}; "
            f"there are {len(labels)} clusters, so ({len(labels)},) is needed"
        )
    require_finite(array, "cluster_weight", axis="cluster")
    if array.min() < 0:
        bad = int(array.argmin())
        raise ValueError(
            f"cluster_weight must not be negative, but cluster {labels[bad]!s} has {array[bad]:g}"
        )
    if array.max() == 0:
        raise ValueError("cluster_weight is 0 for every cluster; at least one must be positive")
    return array.copy()  # Clusters makes it read-only


def _by_label(weights: dict[Any, Any], labels: Iterable[Any]) -> list[Any]:
    labels = list(labels)
    absent = [label for label in labels if label not in weights]
    if absent:
        raise ValueError(
            f"cluster_weight has no entry for {len(absent)} of {len(labels)} clusters; "
            f"the first is {absent[0]!r}"
        )
    unknown = set(weights) - set(labels)
    if unknown:
        raise ValueError(f"cluster_weight names {min(unknown, key=repr)!r}, which is no label in groups")
    return [weights[label] for label in labels]
