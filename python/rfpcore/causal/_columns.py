"""Arguments as arrays, or as names of columns of a frame."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from .._arrays import (
    Array,
    as_floats,
    group_codes,
    is_missing,
    label_array,
    matrix,
    require_finite,
    require_length,
    shown,
)
from .._frames import require_aligned
from .._options import is_integer, items
from .._order import is_unordered_categorical, own_order

LIST = "a list of columns or 'all'"
LARGEST = 1e300  # outcome
MOST_LABELS = 100  # of a column of text


def is_frame(X: Any) -> bool:
    """Whether X has named columns (pandas, polars)."""
    return hasattr(X, "columns") and hasattr(X, "__getitem__")


def column(X: Any, values: Any, name: str) -> Any:
    """The column of frame X that `values` names, or `values` itself where it is no name."""
    if not isinstance(values, str):
        return values
    if not is_frame(X):
        raise TypeError(
            f"{name}={values!r} names a column, but X is a {type(X).__name__} without column names"
        )
    _require_columns(X, [values], name)
    return X[values]


def read_columns(
    X: Any, given: Mapping[str, Any], covariates: Any
) -> tuple[dict[str, Any], Array, list[str]]:
    """The values of every argument given by name or as an array, the covariates, and their names.

    ValueError where pandas objects have different indexes.
    """
    columns = {name: column(X, values, name) for name, values in given.items()}
    require_aligned(X=X, **columns)
    rows, names = covariate_matrix(X, covariates, given)
    if len(rows) == 0:
        raise ValueError("X has 0 rows; at least one is needed")
    return columns, rows, names


def covariate_matrix(X: Any, covariates: Any, given: Mapping[str, Any]) -> tuple[Array, list[str]]:
    """The covariates (N, d) as floats, and their names.

    `covariates` lists columns of a frame by name, or of an array by number. "all" takes all columns that no
    argument `given` names, and so does None of an array. There may be none. A frame's columns of text are
    encoded.
    """
    if is_frame(X):
        return _frame_covariates(X, covariates, given)
    if X is None:
        raise TypeError(
            "X is None; an array (N, d) is needed, with d = 0 columns where there are no covariates"
        )
    array = as_floats(X, "X")
    if array.ndim == 2 and array.shape[1] == 0 and array.shape[0] > 0:
        return array.astype(np.float64), []
    array = matrix(X).astype(np.float64)
    chosen = array_columns(covariates, array.shape[1])
    return np.ascontiguousarray(array[:, chosen]), [f"x{i}" for i in chosen]


def array_columns(covariates: Any, n_columns: int) -> list[int]:
    """The numbers of the covariates among an array's columns."""
    if covariates is None or (isinstance(covariates, str) and covariates == "all"):
        return list(range(n_columns))
    covariates = [covariates] if isinstance(covariates, str) else items(covariates, "covariates", LIST)
    return [_index(i, n_columns) for i in covariates]


def chosen_columns(X: Any, covariates: Any, given: Mapping[str, Any]) -> list[Hashable]:
    """The names of a frame's covariates."""
    named = {value for value in given.values() if isinstance(value, str)}
    rest = [name for name in X.columns if name not in named]
    found: list[Hashable] = _chosen(covariates, rest)
    _require_columns(X, found, "covariates")
    for role in ("y", "treatment"):
        if isinstance(given[role], str) and given[role] in found:
            raise ValueError(f"covariates names the column {given[role]!r}, which is {role}")
    return found


def _frame_covariates(X: Any, covariates: Any, given: Mapping[str, Any]) -> tuple[Array, list[str]]:
    parts, names = [np.empty((len(X), 0))], []
    for name in chosen_columns(X, covariates, given):
        if is_text(X[name]):
            part, own, _ = encoded(X[name], name)
        else:
            part, own = as_floats(X[name], f"column {name!r}").astype(np.float64), [str(name)]
            require_finite(part, f"column {name!r}")
        parts.append(part)
        names += own
    return np.column_stack(parts), names


def is_text(values: Any) -> bool:
    """Whether a frame's column holds labels and no numbers: text, or a Categorical of whatever."""
    if own_order(values) is not None or is_unordered_categorical(values):
        return True
    labels = label_array(values)
    if labels.dtype.kind != "O":
        return labels.dtype.kind in "UT"
    known = [value for value in labels.ravel().tolist() if not is_missing(value)]
    return bool(known) and all(isinstance(value, str) for value in known)


def encoded(values: Any, name: Hashable) -> tuple[Array, list[str], str]:
    """A column of labels as columns of 0 and 1 (N, L - 1): one for each label but the first, the reference.

    Labels are in their own order, or sorted; columns are called name[label].
    """
    labels, codes = group_codes(values, len(values), f"column {name!r}")
    if len(labels) > MOST_LABELS:
        raise ValueError(
            f"column {name!r} has {len(labels)} different labels, each of which would become a covariate of "
            f"its own; at most {MOST_LABELS} are possible. If they name clusters, give them as `groups`"
        )
    columns = (codes[:, None] == np.arange(1, len(labels))).astype(np.float64)
    return columns, [f"{name}[{label}]" for label in labels[1:]], str(labels[0])


def _chosen(covariates: Any, rest: list[Hashable]) -> list[Hashable]:
    """The names asked for, of a frame whose columns without another part are `rest`."""
    if covariates is None and rest:
        raise ValueError(
            "covariates is None, but X is a frame: name its covariates, for one that the treatment moved "
            f"would bias the effect. Candidates are {_shown(rest)}; covariates='all' takes them all, "
            "covariates=[] none"
        )
    if isinstance(covariates, str) and covariates == "all":
        if "all" in rest:
            raise ValueError("covariates='all' is also the name of a column; give a list, as ['all']")
        return rest
    if covariates is None:
        return []
    return [covariates] if isinstance(covariates, str) else items(covariates, "covariates", LIST)


def _shown(names: Sequence[Hashable]) -> str:
    return ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")


def _index(value: Any, n_columns: int) -> int:
    if not is_integer(value) or not 0 <= value < n_columns:
        raise ValueError(
            f"covariates holds {shown(value)}; X has {n_columns} unnamed columns, so numbers 0 to "
            f"{n_columns - 1} are needed"
        )
    return int(value)


def _require_columns(X: Any, names: Sequence[Hashable], argument: str) -> None:
    known = list(X.columns)
    for name in names:
        if not _is_among(name, known):
            raise ValueError(
                f"{argument} names the column {shown(name)}, which is not there; X has {_shown(known)}"
            )
        if known.count(name) > 1:
            raise ValueError(f"{argument} names the column {name!r}, which X has {known.count(name)} times")


def _is_among(name: Any, known: Sequence[Hashable]) -> bool:
    try:
        return name in known
    except (TypeError, ValueError):  # an array or a missing value, equal to nothing
        return False


def outcomes(values: Any, n_rows: int) -> Array:
    """The outcome (N,), of a size whose sums can be taken."""
    y = number_vector(values, "y", n_rows)
    largest = float(np.abs(y).max(initial=0.0))
    if largest > LARGEST:
        raise ValueError(f"y reaches {largest:.3g}; at most {LARGEST:g} is possible: larger units are needed")
    return y


def number_vector(values: Any, name: str, n_rows: int) -> Array:
    """Finite numbers, one a row, as float64."""
    array = as_floats(values, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; ({n_rows},), one number a row, is needed")
    require_length(array, name, n_rows)
    require_finite(array, name)
    return array.astype(np.float64)
