"""Points of a sweep: fields of `Model`, and which rows a model sees."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _files
from .._arrays import matrix, shown
from .._options import integer
from ..many import Model, require_pair, row_lists, row_numbers

__all__ = ["DATA", "ROWS", "PointRows", "listed_points", "models_of"]

ROWS = {"rows": "X", "held_out_rows": "held_out", "test_rows": "test"}
"""Keys of points that list rows, and of what."""

DATA = (*ROWS, "n_rows")
"""Keys of points that are no fields of a model."""

Rows = NDArray[np.int64]


def listed_points(points: Any) -> list[dict[str, Any]]:
    """The points, one dict each."""
    if isinstance(points, Mapping):
        for name, values in points.items():
            if isinstance(values, str) or not hasattr(values, "__len__"):
                raise TypeError(f"points[{name!r}]={shown(values)}; a sequence of values is needed in a grid")
        listed = [dict(zip(points, values, strict=True)) for values in itertools.product(*points.values())]
    elif isinstance(points, Iterable) and not isinstance(points, str | np.ndarray):
        listed = [_point(index, point) for index, point in enumerate(points)]
    else:
        raise TypeError(
            f"points is a {type(points).__name__}; a dict of sequences or a sequence of dicts is needed"
        )
    if not listed:
        raise ValueError("points is empty; a sweep needs at least one point")
    return listed


def _point(index: int, point: Any) -> dict[str, Any]:
    if not isinstance(point, Mapping):
        raise TypeError(f"points[{index}]={shown(point)} is a {type(point).__name__}; a dict is needed")
    return dict(point)


def models_of(points: Sequence[Mapping[str, Any]], base: Model) -> list[Model]:
    """Each point's model."""
    known = [one.name for one in fields(Model)]
    found = []
    for index, point in enumerate(points):
        own = {name: value for name, value in point.items() if name not in DATA}
        unknown = [name for name in own if name not in known]
        if unknown:
            raise ValueError(
                f"points[{index}] has {unknown[0]!r}, which Model has not; its fields are "
                f"{', '.join(known)}; a point may also have {', '.join(DATA)}"
            )
        found.append(replace(base, **own))
    return found


class PointRows:
    """The rows of each point, where points have any.

    Parameters
    ----------
    points : sequence of dict
    tables : dict of str to table
        X, held_out and test as `sweep` takes them.
    shared : dict of str to row lists
        What the points without rows of their own have: one list for all, one for each, or None for all rows.

    Attributes
    ----------
    lists : dict of str to list of arrays
        For each of `ROWS` that points vary a list for each point.
    described : dict of str to list
        What a file says of them, for each point.
    """

    def __init__(
        self, points: Sequence[Mapping[str, Any]], tables: Mapping[str, Any], shared: Mapping[str, Any]
    ) -> None:
        self.points = points
        self._read: dict[tuple[str, int], Rows] = {}  # what many points share is read once
        self._first: dict[tuple[int, int], Rows] = {}
        self._digests: dict[int, str] = {}
        varied = {name: [name] for name in ROWS} | {"rows": ["rows", "n_rows"]}
        self.lists = {
            name: self._lists(name, of, tables[of], shared[name])
            for name, of in ROWS.items()
            if any(key in point for key in varied[name] for point in points)
        }
        self.described = {name: [self._digest(own) for own in lists] for name, lists in self.lists.items()}

    def _lists(self, name: str, of: str, table: Any, shared: Any) -> list[Rows]:
        """One list of row numbers for each point."""
        if table is None:
            raise ValueError(f"points have {name}, row numbers of {of}=(X, y), which is needed")
        if of != "X":
            require_pair(table, of)
        n_rows = len(matrix(table if of == "X" else table[0], of))
        given, every = row_lists(shared, len(self.points), n_rows, name, of), np.arange(n_rows)
        found = []
        for index, point in enumerate(self.points):
            if name in point:
                own = self._own(point[name], f"points[{index}][{name!r}]", n_rows, of)
            else:
                common = given[index % len(given)]
                own = every if common is None else common
            if name == "rows" and "n_rows" in point:
                own = self._some(own, point["n_rows"], f"points[{index}]['n_rows']")
            found.append(own)
        return found

    def _own(self, values: Any, name: str, n_rows: int, of: str) -> Rows:
        key = (of, id(values))
        if key not in self._read:
            self._read[key] = row_numbers(values, name, n_rows, of)
        return self._read[key]

    def _some(self, rows: Rows, count: Any, name: str) -> Rows:
        """The first so many."""
        n = integer(count, name, 1, len(rows))
        return self._first.setdefault((id(rows), n), rows[:n])

    def _digest(self, rows: Rows) -> str:
        if id(rows) not in self._digests:
            self._digests[id(rows)] = f"{list(rows.shape)} {_files.digest(rows)[:16]}"
        return self._digests[id(rows)]
