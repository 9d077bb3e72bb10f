"""Rows without missing values."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._arrays import as_floats, group_codes, require_length
from .._formula import Formula
from .._frame_columns import is_frame, missing_in
from .._frames import require_aligned
from .._options import choice
from ._columns import array_columns, chosen_columns, column, formula_of

Missing = Literal["raise", "drop"]
Rows = NDArray[np.bool_]


class Complete(NamedTuple):
    """What `fit` goes on with.

    Attributes
    ----------
    X, given
        As they came, or without the rows that lack a value.
    n_dropped : int
        How many these are.
    """

    X: Any
    given: dict[str, Any]
    n_dropped: int

    def take(self, rows: NDArray[np.intp]) -> "Complete":
        """Some rows of everything."""
        given = {
            name: values if values is None or isinstance(values, str) else take_rows(values, rows)
            for name, values in self.given.items()
        }
        return self._replace(X=take_rows(self.X, rows), given=given)


def complete(
    X: Any, given: Mapping[str, Any], covariates: Any, missing: str, whole: str | None = None
) -> Complete:
    """Drop the rows with a missing value (NaN, None, NaT, NA) in a column that is used, if that is asked for.

    `whole` names a given column (units): all rows with a label of a row that is dropped are dropped too.
    """
    choice(missing, "missing", Missing)
    arguments = dict(given)
    formula = formula_of(X, given, covariates)
    named = {name: values for name, values in given.items() if name != "y" or formula is None}
    columns = {name: column(X, values, name) for name, values in named.items() if values is not None}
    require_aligned(X=X, **columns)
    if missing == "raise" or X is None:  # who reads it says what is needed
        return Complete(X, arguments, 0)
    lacking = {name: missing_in(values) for name, values in columns.items()}
    lacking |= _missing_covariates(X, covariates, given, formula)
    for name, mask in lacking.items():
        require_length(mask, name, len(X))
    keep = ~np.any(list(lacking.values()), axis=0)
    if whole is not None and whole in columns:
        keep &= ~_of_the_same(columns[whole], lacking[whole], ~keep)
    if not keep.any():
        counts = ", ".join(f"{name} {mask.sum()}" for name, mask in lacking.items() if mask.any())
        raise ValueError(
            f"missing='drop' leaves none of the {len(keep)} rows; without a value are, of {counts}"
        )
    rows = np.flatnonzero(keep)
    found = Complete(X, arguments, len(keep) - len(rows))
    return found.take(rows) if found.n_dropped else found


def _missing_covariates(
    X: Any, covariates: Any, given: Mapping[str, Any], formula: Formula | None
) -> dict[str, Rows]:
    if is_frame(X):
        names = sorted(formula.variables()) if formula else chosen_columns(X, covariates, given)
        return {f"column {name!r}": missing_in(X[name]) for name in names}
    array = as_floats(X, "X")
    if array.ndim != 2:
        return {"X": np.isnan(array).ravel()}
    chosen = array_columns(covariates, array.shape[1])
    return {"X": np.asarray(np.isnan(array[:, chosen]).any(axis=1))}


def _of_the_same(labels: Any, lacking: Rows, dropped: Rows) -> Rows:
    """(N,) whether a row has the label of one that is dropped."""
    known = np.flatnonzero(~lacking)
    names, codes = group_codes(take_rows(labels, known), len(known))
    bad = np.bincount(codes, dropped[known], len(names)) > 0
    found = np.zeros(len(lacking), bool)
    found[known] = bad[codes]
    return found


def take_rows(values: Any, rows: NDArray[np.intp]) -> Any:
    """Some rows, in the form in which the values came."""
    if hasattr(values, "iloc"):
        return values.iloc[rows]
    if not hasattr(values, "shape"):  # a list, a range
        return [values[row] for row in rows]
    return values[rows]
