"""Formulas such as "rent ~ law + np.log(size) + C(region)", which the package formulaic reads.

Everything that is known of formulaic is here.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Number
from typing import Any

import numpy as np

from ._arrays import Array, as_floats, label_array, require_finite, shown
from ._frame_columns import is_frame, is_text, missing_in, require_few
from ._order import own_order

SHOWN = 20  # names of columns in a message
MODULES = {"np", "contr"}  # that formulas know; of "x.clip(0)" x is a column
NUMPY = re.compile(r"np\.\w+\(([^()]*)\)")  # around a number
QUOTED = re.compile("`([^`]*)`")  # names that are not Python's
COLOURS = re.compile("\x1b\\[[0-9;]*m|[\u29da\u29db]")  # with which formulaic marks a place


@dataclass(frozen=True)
class Formula:
    """A formula that has been read, its terms as formulaic has them.

    Attributes
    ----------
    text : str
    outcome : tuple of terms
        Left of the "~"; one, or none.
    terms : tuple of terms
        Right of it, without the intercept.
    fixed : tuple of str
        Columns behind a "|".
    """

    text: str
    outcome: tuple[Any, ...]
    terms: tuple[Any, ...]
    fixed: tuple[str, ...]

    @property
    def outcome_name(self) -> str:
        """As in the formula."""
        return str(self.outcome[0])

    def variables(self) -> set[str]:
        """Columns that outcome and terms are made of."""
        return _variables([*self.outcome, *self.terms])

    def without(self, name: str) -> "Formula":
        """Without the term that is the treatment; ValueError if it is part of another one."""
        rest = tuple(term for term in self.terms if str(term) != name)
        for term in rest:
            if name in _variables([term]):
                raise ValueError(
                    f"the term {str(term)!r} of {self.text!r} is made of the treatment {name!r}, so no "
                    "coefficient would be its effect; name it alone, or not at all"
                )
        return replace(self, terms=rest)

    def require_columns(self, X: Any) -> None:
        """ValueError for a name that is no column of the frame."""
        known = list(X.columns)
        unknown = sorted((self.variables() | set(self.fixed)) - set(known))
        if unknown:
            names = ", ".join(map(repr, known[:SHOWN])) + (", ..." if len(known) > SHOWN else "")
            raise ValueError(
                f"the formula {self.text!r} names {unknown[0]!r}, which is no column; X has {names}"
            )


@dataclass(frozen=True)
class DesignColumns:
    """Columns (N, k) made of a frame, and how to make them of another one.

    Attributes
    ----------
    columns : ndarray (N, k)
    names : list of str
    references : dict
        By factor, the label that has no column of its own.
    spec
        formulaic's ModelSpec: labels, and what functions such as `center` and `bs` have learnt.
    """

    columns: Array
    names: list[str]
    references: dict[str, str]
    spec: Any


def is_formula(X: Any, y: Any) -> bool:
    """Whether y is a formula, and not a column with such a name."""
    return isinstance(y, str) and "~" in y and not (is_frame(X) and y in list(X.columns))


def outcome_formula(X: Any, text: str) -> Formula:
    """Of the form "outcome ~ covariates" or "outcome ~ covariates | fixed effects"."""
    if not is_frame(X):
        raise TypeError(f"{text!r} names columns, but X is a {type(X).__name__} without column names")
    found = _read(text)
    if len(found.outcome) != 1 or str(found.outcome[0]) == "1":
        raise ValueError(
            f"the formula {text!r} has {len(found.outcome)} outcomes; one is needed, left of '~'"
        )
    both = _variables(found.outcome) & _variables(found.terms)
    if both:
        raise ValueError(f"the formula {text!r} has {sorted(both)[0]!r} on both sides")
    found.require_columns(X)
    return found


def feature_formula(text: str) -> Formula:
    """Of the form "x + C(region)", with or without a "~" before it."""
    found = _read(text)
    if found.outcome or found.fixed:
        raise ValueError(f"the formula {text!r} is of features: no outcome and no '|' are possible")
    if not found.terms:
        raise ValueError(f"the formula {text!r} has no features; at least one is needed")
    return found


def design(formula: Formula, X: Any) -> DesignColumns:
    """The terms' columns, without an intercept; ValueError where a row has no value."""
    if not formula.terms:
        return DesignColumns(np.empty((len(X), 0)), [], {}, None)
    frame = _pandas(X, _variables(formula.terms))
    with _explained(formula.text):
        matrix = _terms(["1", *formula.terms]).get_model_matrix(frame, output="pandas", na_action="ignore")
    spec = matrix.model_spec
    for name, (_, state) in spec.encoder_state.items():
        require_few(len(state.get("categories", ())), str(name))
    names, columns = _without_intercept(matrix)
    return DesignColumns(columns, names, _references(formula.terms, spec), spec)


def design_again(formula: Formula, spec: Any, X: Any) -> Array:
    """The same columns of other rows; ValueError for a label that was not there."""
    from formulaic.errors import DataMismatchWarning

    formula.require_columns(X)
    frame = _pandas(X, _variables(formula.terms))
    with _explained(formula.text), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", DataMismatchWarning)
        matrix = spec.get_model_matrix(frame)
    return _without_intercept(matrix)[1]


def outcome_column(formula: Formula, X: Any) -> Array:
    """The outcome (N,)."""
    frame = _pandas(X, _variables(formula.outcome))
    with _explained(formula.text):
        matrix = _terms(["0", *formula.outcome]).get_model_matrix(frame, output="pandas", na_action="ignore")
    if matrix.shape[1] != 1:
        raise ValueError(
            f"the outcome {formula.outcome_name!r} holds labels, and becomes {matrix.shape[1]} columns; "
            "numbers are needed"
        )
    return np.asarray(matrix.to_numpy(), np.float64)[:, 0]


def _read(text: str) -> Formula:
    formulaic = _formulaic()
    with _explained(text):
        parsed = formulaic.Formula(text)
    parts = parsed._structure if hasattr(parsed, "_structure") else {"root": parsed}
    if not parts.keys() <= {"lhs", "rhs", "root"}:
        raise ValueError(f"the formula {text!r} has stages in brackets, which are not read")
    right = parts["rhs"] if "rhs" in parts else parts["root"]
    right = right if isinstance(right, tuple) else (right,)
    if len(right) > 2 or isinstance(parts.get("lhs"), tuple):
        raise ValueError(f"the formula {text!r} has too many parts; one '|', right of the '~', is possible")
    if not any(str(term) == "1" for term in right[0]):
        raise ValueError(
            f"the formula {text!r} leaves the intercept out; these models always have one: leave out '- 1', "
            "'+ 0' or '0 +'"
        )
    fixed = tuple(str(term) for term in right[1] if str(term) != "1") if len(right) > 1 else ()
    return Formula(text, tuple(parts.get("lhs", ())), _but_one(right[0]), fixed)


def _but_one(terms: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(term for term in terms if str(term) != "1")


def _formulaic() -> Any:
    try:
        import formulaic
    except ImportError as error:
        raise ImportError("formulas are read by formulaic: pip install 'rfpcore[formula]'") from error
    return formulaic


def _terms(terms: Sequence[Any]) -> Any:
    return _formulaic().Formula([str(term) if isinstance(term, str) else term for term in terms])


def _variables(terms: Sequence[Any]) -> set[str]:
    """Names of columns; formulaic's own list lacks those inside of functions that learn, as `center(x)`."""
    return {name for term in terms for factor in term.factors for name in _names_in(factor)}


def _names_in(factor: Any) -> set[str]:
    kind = factor.eval_method.value
    if kind == "lookup":
        return {str(factor.expr)}
    if kind != "python":
        return set()
    quoted = QUOTED.findall(factor.expr)
    tree = ast.parse(QUOTED.sub("0", factor.expr), mode="eval")
    nodes = list(ast.walk(tree))
    functions = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    names = {node.id for node in nodes if isinstance(node, ast.Name) and id(node) not in functions}
    return (names - MODULES) | set(quoted)


@contextmanager
def _explained(text: str) -> Iterator[None]:
    """Errors of formulaic as ValueErrors that say which formula it is."""
    from formulaic.errors import DataMismatchWarning, FormulaicError

    try:
        with np.errstate(all="ignore"):  # the logarithm of 0 is refused as not finite, by name
            yield
    except (FormulaicError, SyntaxError) as error:
        words = " ".join(COLOURS.sub("", str(error)).split())
        if words.startswith("The `.` operator"):
            words = "'.' stands for all other columns, which have to be named"
        raise ValueError(f"the formula {shown(text)}: {words}") from None
    except TypeError as error:
        raise TypeError(
            f"the formula {shown(text)}: {error}; what is no number, as a date, has to be a label: C(...)"
        ) from None
    except DataMismatchWarning as error:
        labels = NUMPY.sub(r"\1", str(error).rpartition(": {")[2].partition("}")[0])
        raise ValueError(
            f"the formula {shown(text)}: a column holds {labels}, which no row had when it was fitted"
        ) from None


def _pandas(X: Any, variables: set[str]) -> Any:
    """The columns in use as formulaic takes them: numbers, or Categoricals of the labels that rows have."""
    import pandas

    columns = {}
    for name in sorted(variables):
        lacking = np.flatnonzero(missing_in(X[name]))
        if len(lacking):
            raise ValueError(
                f"column {name!r} has no value in row {lacking[0]}, one of {len(lacking)} such rows of "
                f"{len(X)}; give it one, or leave the rows out"
            )
        columns[name] = _categories(X[name]) if is_text(X[name]) else _plain(X[name], name)
    return pandas.DataFrame(columns, index=pandas.RangeIndex(len(X)))


def _plain(values: Any, name: str) -> Array:
    """The column as it is; numbers in a column of objects, which formulaic takes for labels, as numbers."""
    array = np.asarray(values)
    if array.dtype.kind != "O" or not all(isinstance(value, Number) for value in array.tolist()):
        return array
    found = np.array(array.tolist())
    return found if found.dtype.kind in "biuf" else as_floats(array, f"column {name!r}")


def _categories(values: Any) -> Any:
    """Labels in their own order, or sorted."""
    import pandas

    own = own_order(values)
    if own is None:
        return pandas.Categorical(label_array(values))
    labels, codes = own
    return pandas.Categorical.from_codes(codes, labels).remove_unused_categories()


def _without_intercept(matrix: Any) -> tuple[list[str], Array]:
    names = [str(name) for name in matrix.columns]
    columns = np.asarray(matrix.to_numpy(), np.float64)
    chosen = [i for i, name in enumerate(names) if name != "Intercept"]
    names, columns = [names[i] for i in chosen], np.ascontiguousarray(columns[:, chosen])
    require_finite(columns, "the formula's columns", names)
    return names, columns


def _references(terms: Sequence[Any], spec: Any) -> dict[str, str]:
    """Of factors that are terms of their own, with treatment contrasts."""
    found, alone = {}, {str(term) for term in terms}
    for name, (_, state) in spec.encoder_state.items():
        contrasts: Any = getattr(state.get("contrasts"), "contrasts", None)
        if str(name) not in alone or type(contrasts).__name__ != "TreatmentContrasts":
            continue
        base, labels = contrasts.base, state["categories"]
        found[str(name)] = str(base if base in labels else labels[0])
    return found
