"""Arguments as arrays, or as names of columns of a frame."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._arrays import Array, as_floats, matrix, require_finite, require_length, shown
from .._formula import Formula, design, is_formula, outcome_column, outcome_formula
from .._frame_columns import encoded, is_frame, is_text
from .._frames import require_aligned
from .._options import is_integer, items

LIST = "a list of columns or 'all'"
LARGEST = 1e300  # outcome


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


class Columns(NamedTuple):
    """Values of the arguments by name, covariates (N, d), their names, and the labels of text without one.

    `numbers` says which covariate has a number of its own: the place in an array, an integer that names a
    column of a frame; None where it has none.
    """

    values: dict[str, Any]
    rows: Array
    names: list[str]
    references: dict[str, str]
    numbers: list[int | None]


def read_columns(X: Any, given: Mapping[str, Any], covariates: Any) -> Columns:
    """The values of every argument given by name or as an array, and the covariates.

    Where y is a formula, outcome and covariates are what it says. ValueError where pandas objects have
    different indexes.
    """
    formula = formula_of(X, given, covariates)
    columns = {name: column(X, values, name) for name, values in given.items() if name != "y" or not formula}
    require_aligned(X=X, **columns)
    if formula is None:
        found = covariate_matrix(X, covariates, given)
    else:
        columns["y"] = outcome_column(formula, X)
        own = design(formula, X)
        found = Covariates(own.columns, own.names, own.references, [None] * len(own.names))
    if len(found.rows) == 0:
        raise ValueError("X has 0 rows; at least one is needed")
    return Columns(columns, *found)


def formula_of(X: Any, given: Mapping[str, Any], covariates: Any) -> Formula | None:
    """The formula that y is, without the treatment; None where it is none."""
    y, treatment = given["y"], given["treatment"]
    if is_formula(None, X):
        raise TypeError(f"X={shown(X)} is a formula; the frame comes first, then the formula in y's place")
    if not is_formula(X, y):
        return None
    if covariates is not None:
        raise ValueError(f"y={y!r} names the covariates; leave the argument `covariates` out")
    found = outcome_formula(X, y)
    if found.fixed and "absorb[0]" not in given:
        raise ValueError(
            f"the formula {y!r} has fixed effects, behind its '|', which are of linear_effect alone; as "
            f"covariates: + C({found.fixed[0]})"
        )
    return found.without(treatment) if isinstance(treatment, str) else found


class Covariates(NamedTuple):
    """The part of `Columns` that is of covariates."""

    rows: Array
    names: list[str]
    references: dict[str, str]
    numbers: list[int | None]


def covariate_matrix(X: Any, covariates: Any, given: Mapping[str, Any]) -> Covariates:
    """The covariates (N, d) as floats, their names, and the labels of text that have no column.

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
        return Covariates(array.astype(np.float64), [], {}, [])
    array = matrix(X).astype(np.float64)
    chosen = array_columns(covariates, array.shape[1])
    return Covariates(np.ascontiguousarray(array[:, chosen]), [f"x{i}" for i in chosen], {}, [*chosen])


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


def _frame_covariates(X: Any, covariates: Any, given: Mapping[str, Any]) -> Covariates:
    parts, found = [np.empty((len(X), 0))], Covariates(np.empty(0), [], {}, [])
    for name in chosen_columns(X, covariates, given):
        if is_text(X[name]):
            part, own, labels = encoded(X[name], name)
            found.references[str(name)] = str(labels[0])
        else:
            part, own = as_floats(X[name], f"column {name!r}").astype(np.float64), [str(name)]
            require_finite(part, f"column {name!r}")
        parts.append(part)
        found.names.extend(own)
        number = int(name) if isinstance(name, int | np.integer) and is_integer(name) else None
        found.numbers.extend([number] * len(own))
    return found._replace(rows=np.column_stack(parts))


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
