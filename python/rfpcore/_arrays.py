"""Arrays as users have them, to arrays as the kernel takes them. Every check of an array is here.

Errors name the argument, what was given and what is needed. Rows and columns count from 0.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._labels import comparable
from ._order import own_order

Array = NDArray[Any]

F32 = np.dtype(np.float32)
F64 = np.dtype(np.float64)
I64 = np.dtype(np.int64)

# Of sums of weights: within it their products with losses and their inverses are finite.
WEIGHT_RANGE = 1e-100, 1e100


def as_floats(values: Any, name: str) -> Array:
    """Any real numbers as an array: float32 and float64 stay, other numbers become float64."""
    if hasattr(values, "tocsr"):
        raise TypeError(
            f"{name} is sparse ({type(values).__name__}); a dense array is needed: {name}.toarray()"
        )
    require_eager(values, name)
    require_no_times(values, name)
    array = as_array(_filled(values) if isinstance(values, np.ma.MaskedArray) else values, name)
    if array.dtype.kind in "biu":
        return array.astype(np.float64)
    if array.dtype.kind == "O":
        return _objects_to_floats(array, name, _column_names(values))
    if array.dtype.kind != "f":
        raise TypeError(
            f"{name} has dtype {array.dtype}; real numbers are needed (float32, float64, integers or bools)"
        )
    native = array.dtype.newbyteorder("=")
    with np.errstate(
        over="ignore", under="ignore"
    ):  # what is beyond float64 becomes infinite, and is refused as such
        return array.astype(native if native in (F32, F64) else F64, copy=False)


def require_eager(values: Any, name: str) -> None:
    """TypeError for a frame of polars that is not worked out."""
    if hasattr(values, "collect") and hasattr(values, "lazy") and not hasattr(values, "iloc"):
        raise TypeError(f"{name} is lazy ({type(values).__name__}); its values are needed: {name}.collect()")


def require_no_times(values: Any, name: str) -> None:
    """TypeError for dates and durations, of which NumPy and polars make numbers, in a unit of their own."""
    dtypes: Any = getattr(values, "schema", getattr(values, "dtypes", None))  # of polars, of pandas
    columns = dtypes.items() if hasattr(values, "columns") and hasattr(dtypes, "items") else ()
    found = [(f"column {column!r} of {name}", dtype) for column, dtype in columns if _is_time(dtype)]
    dtype = getattr(values, "dtype", None)
    found += [(name, dtype)] if _is_time(dtype) else []
    for what, kind in found:
        raise TypeError(
            f"{what} has dtype {kind}; real numbers are needed (float32, float64, integers or bools)"
        )


def _is_time(dtype: Any) -> bool:
    """Of NumPy and pandas by its kind, of polars by its own word."""
    is_temporal = getattr(dtype, "is_temporal", None)
    return bool(is_temporal()) if callable(is_temporal) else getattr(dtype, "kind", "") in ("m", "M")


def is_masked(values: Any) -> bool:
    """Whether an array lacks values; NumPy's own question takes a frame's column `_mask` for a mask."""
    return isinstance(values, np.ma.MaskedArray) and bool(np.ma.is_masked(values))


def _filled(values: Any) -> Array:
    """NaN where numbers are masked; what is no number is left to be refused."""
    if values.dtype.kind in "biuf":
        values = values.astype(np.float64)
    filled: Array = np.ma.filled(values, np.nan) if values.dtype.kind in "fO" else values.data
    return filled


def as_array(values: Any, name: str) -> Array:
    """What NumPy makes of values of any kind, where floats may lie: a field of packed records does not."""
    if is_masked(values):
        raise ValueError(f"{name} is masked in some places; values are needed in all")
    try:
        array = np.asarray(values)
        return array if array.flags.aligned else array.copy()
    except (
        ValueError,
        TypeError,
        OverflowError,
    ) as error:  # rows of unequal lengths, objects that are broken
        raise ValueError(f"{name} is not a rectangular array: {error}") from None


def float_dtype(dtype: Any) -> np.dtype[Any]:
    """float32 or float64, from whatever NumPy takes for one of them."""
    try:
        kind = np.dtype(dtype)
    except (TypeError, ValueError):
        raise TypeError(f"dtype={shown(dtype)}; float32 or float64 is needed") from None
    for known in (F32, F64):
        if kind == known:
            return known
    raise TypeError(f"dtype={kind}; float32 or float64 is needed")


def _column_names(values: Any) -> list[Any] | None:
    """Of a frame; `columns` of a table of pyarrow are not its names."""
    columns = getattr(values, "column_names", getattr(values, "columns", None))
    return None if columns is None else list(columns)


def _objects_to_floats(array: Array, name: str, columns: Sequence[Any] | None) -> Array:
    """Numbers stored as Python objects (mixed frames) to float64; a missing one becomes NaN."""
    floats = np.empty(array.shape, np.float64)
    for index, value in np.ndenumerate(array):
        try:
            if isinstance(value, str | bytes | complex | np.complexfloating):
                raise TypeError
            floats[index] = np.nan if is_missing(value) else float(value)
        except (TypeError, ValueError, OverflowError):
            raise TypeError(
                f"{name} has dtype object; {place(index, columns)} holds {shown(value)}, a "
                f"{type(value).__name__}; real numbers are needed"
            ) from None
    return floats


def shown(value: Any) -> str:
    """A value for a message: its `repr`, cut where it is long; of a huge integer only the size."""
    if isinstance(value, int) and abs(value) >= 10**50:
        sign = "-" if value < 0 else ""
        return f"an integer beyond {sign}1e{int(value.bit_length() * 0.30102)}"
    try:
        text = repr(value)
    except Exception:  # an object that is broken
        return f"<{type(value).__name__}>"
    return text if len(text) <= 100 else f"{text[:97]}..."


def has_entries(value: Any) -> bool:
    """Whether it is an array of one dimension or more, or a list: NumPy cannot tell of ragged ones."""
    return isinstance(value, list | tuple) or getattr(value, "ndim", 0) > 0


def is_missing(value: Any) -> bool:
    """None, NaN, NaT and pandas.NA."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:  # pandas.NA refuses to be a truth value
        return True
    except (ValueError, ArithmeticError):  # an array in a cell, a signalling NaN: wrong, but not missing
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


def matrix(
    values: Any, name: str = "X", n_columns: int | None = None, columns: Sequence[Any] | None = None
) -> Array:
    """A finite array (rows, columns), C-contiguous, at least one by one; a frame has names of its own."""
    array = as_floats(values, name)
    if array.ndim != 2:
        hint = f"; one feature: {name}.reshape(-1, 1)" if array.ndim == 1 else ""
        raise ValueError(f"{name} has shape {array.shape}; two dimensions (rows, features) are needed{hint}")
    if 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}; at least one row and one column are needed")
    if n_columns is not None and array.shape[1] != n_columns:
        raise ValueError(f"{name} has {array.shape[1]} features; the network has {n_columns} inputs")
    require_finite(array, name, _column_names(values) or columns)
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
    if array.ndim == 0:
        raise ValueError(f"{name} has shape (); ({n_rows},) is needed")
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
    mask = as_array(values, name)
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


def vectors(values: Any, name: str, length: int) -> Array:
    """Finite vectors of known length, one a row, at least one of them, C-contiguous."""
    array = as_floats(values, name)
    if array.ndim != 2 or array.shape[1] != length or len(array) == 0:
        raise ValueError(
            f"{name} has shape {array.shape}; the network has {length} parameters, so ({length},) or "
            f"(T, {length}), with T at least 1, is needed"
        )
    require_finite(array, name)
    return np.ascontiguousarray(array)


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


def group_codes(values: Any, n_rows: int, name: str = "groups") -> tuple[Array, NDArray[np.intp]]:
    """Unique labels (C,), and the index of each row's label (N,).

    Labels of any hashable type. Those of an ordered Categorical keep its order; others are sorted where they
    can be compared, else in order of first appearance.
    """
    if values is None:
        return np.zeros(1, np.int64), np.zeros(n_rows, np.intp)
    ordered = own_order(values)
    if ordered is not None:
        return _category_codes(*ordered, n_rows, name)
    labels = label_array(values)
    if labels.ndim != 1:
        if isinstance(values, str):
            raise ValueError(
                f"{name} is the text {shown(values)}; labels are needed, one a row: of a frame "
                f"its column X[{shown(values)}]"
            )
        raise ValueError(f"{name} has shape {labels.shape}; ({n_rows},), one label a row, is needed")
    require_length(labels, name, n_rows)
    if is_masked(values):
        masked = np.flatnonzero(np.ma.getmaskarray(values))
        raise _missing_label(int(masked[0]), len(masked), name)
    if labels.dtype.kind in "OTV":
        return _object_codes(labels, name)
    if labels.dtype.kind in "fcmM" and (missing := np.flatnonzero(labels != labels)).size:
        raise _missing_label(int(missing[0]), len(missing), name)
    unique, codes = np.unique(labels, return_inverse=True)
    return unique, codes


def _category_codes(
    categories: list[Any], codes: NDArray[np.intp], n_rows: int, name: str
) -> tuple[Array, NDArray[np.intp]]:
    """`group_codes` of categories: those that rows have, in the order of all."""
    require_length(codes, name, n_rows)
    missing = np.flatnonzero(codes < 0)
    if len(missing):
        raise _missing_label(int(missing[0]), len(missing), name)
    present, inverse = np.unique(codes, return_inverse=True)
    return _narrow([categories[code] for code in present]), inverse


def label_array(values: Any) -> Array:
    """Labels as an array; a list becomes objects, lest NumPy turn [1, "a"] or [None, "a"] into strings."""
    if not isinstance(values, list | tuple):
        return np.asarray(values)
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _object_codes(labels: Array, name: str) -> tuple[Array, NDArray[np.intp]]:
    """`group_codes` of Python objects, by hashing."""
    index: dict[Any, int] = {}
    codes = np.empty(len(labels), np.intp)
    for row, label in enumerate(labels.tolist()):
        try:
            codes[row] = index.setdefault(label, len(index))
        except TypeError:
            raise TypeError(
                f"{name} holds {label!r} of type {type(label).__name__} in row {row}; labels must be hashable"
            ) from None
    missing = [code for label, code in index.items() if _lacks(label)]
    if missing:
        rows = np.flatnonzero(np.isin(codes, missing))
        raise _missing_label(int(rows[0]), len(rows), name)
    unique = list(index)
    try:
        unique.sort()
    except TypeError:
        return _narrow(unique), codes
    rank = np.empty(len(unique), np.intp)
    rank[[index[label] for label in unique]] = np.arange(len(unique))
    return _narrow(unique), rank[codes]


def _lacks(label: Any) -> bool:
    """Whether a label is missing, or a part of one of several parts: NaN there equals no other."""
    return any(map(is_missing, label)) if isinstance(label, tuple) else is_missing(label)


def _narrow(labels: list[Any]) -> Array:
    """Labels all of one plain type as an array of that type, else as objects."""
    kind = type(labels[0])
    if issubclass(kind, bool | int | float | str | np.generic) and all(
        type(label) is kind for label in labels
    ):
        plain = np.asarray(labels)
        # Integers of both ends of 64 bits would become floats, and texts lose what is NUL at their ends.
        if kind not in (int, str) or plain.tolist() == labels:
            return plain
    array = np.empty(len(labels), object)
    array[:] = labels
    return array


def _missing_label(row: int, count: int, name: str) -> ValueError:
    more = f" ({count} rows lack one)" if count > 1 else ""
    need = "must belong to a cluster" if name == "groups" else "needs one"
    return ValueError(f"{name} has no label in row {row}{more}; every row {need}")


def cluster_weights(values: Any, labels: Array) -> NDArray[np.float64]:
    """How much each cluster counts, (C,): an array in the order of `labels`, or a dict or Series by label."""
    if hasattr(values, "iloc") and hasattr(values, "to_dict"):
        if values.index.has_duplicates:
            twice = values.index[values.index.duplicated()].tolist()[0]
            raise ValueError(
                f"cluster_weight has several entries for {shown(twice)}; one a cluster is needed"
            )
        values = values.to_dict()
    if isinstance(values, dict):
        keys, own = comparable(label_array(list(values)), labels)
        values = _by_label(dict(zip(keys, values.values(), strict=True)), own)
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
    require_total(array, "cluster_weight")
    return array.copy()  # Clusters makes it read-only


def require_total(weights: NDArray[np.float64], name: str) -> None:
    """ValueError where the weights' sum is so far out that shares of it overflow or vanish."""
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not WEIGHT_RANGE[0] <= total <= WEIGHT_RANGE[1]:
        raise ValueError(
            f"{name} adds up to {total:.3g}; a sum of {WEIGHT_RANGE[0]:g} to {WEIGHT_RANGE[1]:g} is needed"
        )


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
