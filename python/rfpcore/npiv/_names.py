"""Names of a frame's columns, which have to be those of `fit`, in their order: values are paired by place."""

from collections.abc import Sequence
from typing import Any

from .._arrays import shown
from .._file_parts import Document, listed, text
from .._frame_columns import is_frame

Names = list[Any] | None


def names_of(values: Any) -> Names:
    """Of a frame's columns; None of whatever has no names, or one of them twice."""
    shape = getattr(values, "shape", None)  # a lazy frame has none, and is refused later
    if not isinstance(shape, tuple) or len(shape) != 2 or not is_frame(values):
        return None
    names = list(values.columns)
    return names if len(set(names)) == len(names) else None


def require_order(values: Any, name: str, before: Names, whose: str = "fit") -> None:
    """ValueError where columns have the names of others in another order."""
    names = names_of(values)
    if names is None or before is None or names == before or len(names) != len(before):
        return
    if all(column in before for column in names):
        raise ValueError(
            f"{name} has its columns in another order than {whose}, {_listed(names)} and not "
            f"{_listed(before)}: give {name}[{shown(before)}]"
        )


def require_names(values: Any, name: str, before: Names) -> None:
    """ValueError where columns are not those of `fit`, or not in their order; numbers are no names.

    A column that is alone may have any name.
    """
    require_order(values, name, before)
    names = names_of(values)
    if names is None or before is None or len(names) != len(before) or len(names) == 1:
        return
    unknown = [column for column in names if column not in before]
    if unknown and all(isinstance(column, str) for column in [*names, *before]):
        raise ValueError(
            f"{name} has the column {shown(unknown[0])}, which fit did not have; it had {_listed(before)}"
        )


def _listed(names: Sequence[Any]) -> str:
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")


def names_to_file(names: Names) -> Names:
    """Those that a file holds: text."""
    return names if names is not None and all(isinstance(name, str) for name in names) else None


def names_of_file(document: Document, key: str, length: int) -> Names:
    """None where the file has none, as older ones."""
    if document.get(key) is None:
        return None
    names = [text(name, "a column's name") for name in listed(document, key)]
    if len(names) != length or len(set(names)) < length:
        raise ValueError(f"{key} has {len(names)} names, some twice or not as many as the {length} columns")
    return names
