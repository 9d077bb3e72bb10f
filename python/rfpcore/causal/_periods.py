"""Periods: which comes first, and how far apart two of them are.

The order is that of numbers, dates, or an ordered Categorical; never the alphabet's.
"""

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array, group_codes
from .._order import is_unordered_categorical, own_order
from .._warn import warn
from ..exceptions import DesignWarning
from ._calendar import (
    EPS,
    TimePoints,
    coded_date,
    date_points,
    duration_points,
    number_points,
    period_points,
    text_points,
)

NEEDED = (
    "give numbers, dates (2020-01-31) or an ordered Categorical, as pandas.Categorical(values, categories, "
    "ordered=True) or a polars Enum"
)


@dataclass(frozen=True, eq=False)
class Periods:
    """The periods in their order.

    Attributes
    ----------
    labels : ndarray (T,)
        As given.
    names : list of str
        The same as text.
    places : list of numbers or None
        Where each is on the calendar, in `unit`s; None where only the order is known.
    unit : str
        "year", "day", …; "" for numbers, and where periods are counted.
    digits : int
        After the point, of times between periods that are no whole numbers.
    """

    labels: Array
    names: list[str]
    places: Sequence[float] | None
    unit: str
    digits: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def since(self, period: int, start: int) -> float:
        """Time from one period to another, in units of the calendar or in periods; an int if it is whole."""
        if self.places is None:
            return period - start
        gap = self.places[period] - self.places[start]
        gap = gap if isinstance(gap, int) else round(gap, self.digits)
        return int(gap) if gap == int(gap) else gap

    def event(self, since: float) -> str:
        """The name of an event time, with its unit where there is one."""
        unit = f" {self.unit}" if self.unit else ""
        count = str(since) if isinstance(since, int) else f"{since:.10g}"
        return f"event time {count}{unit}{'s' if unit and abs(since) != 1 else ''}"

    @property
    def axis(self) -> str:
        """What event times count."""
        if self.unit:
            return f"{self.unit}s since adoption"
        counted = self.places is None or all(b - a == 1 for a, b in pairwise(self.places))
        return "periods since adoption" if counted else "time since adoption"


def read_periods(values: Any, n_rows: int, name: str = "time") -> tuple[Periods, NDArray[np.intp]]:
    """The periods (T,) and the period of each row (N,); ValueError where labels have no order."""
    labels, codes = group_codes(values, n_rows, name)
    given = own_order(values) is not None
    try:
        found = _points(labels)
    except _NoOrder as error:
        if not given:
            hint = " (the Categorical given has no order)" if is_unordered_categorical(values) else ""
            raise ValueError(f"{name} has {error}{hint}; {NEEDED}") from None
        found = TimePoints([], None)
    if given:
        known = found.places is not None and all(a < b for a, b in pairwise(found.places))
        return _periods(labels, found if known else TimePoints([], None)), codes
    order = sorted(range(len(labels)), key=found.keys.__getitem__)
    _require_distinct(labels, found.keys, order, name)
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(len(order))
    if found.places is not None:
        found = found._replace(places=[found.places[i] for i in order])
    return _periods(labels[order], found), rank[codes]


def _periods(labels: Array, found: TimePoints) -> Periods:
    return Periods(labels, _names(labels), found.places, found.unit if found.places else "", found.digits)


def warn_of_codes(periods: Periods) -> None:
    """`DesignWarning` where numbers seem to be dates, whose distances are none of time."""
    what = None if periods.unit or periods.places is None else coded_date(periods.places)
    if what is not None:
        warn(
            f"time looks like {what} in one number, {periods.names[0]} to {periods.names[-1]}: event times "
            "are differences of these numbers. Give dates, as 2019-12 or 2019-12-31, or periods of pandas",
            DesignWarning,
        )


class _NoOrder(Exception):
    """Labels that no rule brings into order; the message says what they are."""


def _points(labels: Array) -> TimePoints:
    """What orders the labels, and where they are on the calendar."""
    kind = labels.dtype.kind
    if kind in "biuf":
        return _of_numbers(labels.tolist(), float(np.finfo(labels.dtype).eps) if kind == "f" else EPS)
    if kind == "M":
        return date_points(labels)
    if kind == "m":
        return duration_points(labels)
    values = labels.tolist()
    if all(isinstance(v, str) for v in values):
        return _of_text(values)
    if all(isinstance(v, numbers.Real | Decimal) for v in values):
        return _of_numbers(values, EPS)
    if all(isinstance(v, date) for v in values):
        return _of_dates(values)
    if all(isinstance(v, timedelta) for v in values):
        return duration_points(np.array([_plain(v, "to_timedelta64", np.timedelta64) for v in values]))
    if all(hasattr(v, "ordinal") and hasattr(v, "freqstr") for v in values):
        return _of_period_objects(values)
    return _of_pairs(values)


def _of_numbers(values: list[Any], eps: float) -> TimePoints:
    found = number_points([v + 0 if isinstance(v, bool) else v for v in values], eps)
    if found is None:
        raise _NoOrder(f"numbers that are not finite, {_shown(values)}")
    return found


def _of_text(values: list[str]) -> TimePoints:
    found = text_points(values)
    if found is None:
        raise _NoOrder(f"text labels, {_shown(values)}, and the alphabet is no order in time")
    return found


def _of_dates(values: list[Any]) -> TimePoints:
    """Dates and times; of time zones, the clock on the wall tells how far apart they are."""
    try:
        order = sorted(range(len(values)), key=values.__getitem__)
    except TypeError:
        raise _NoOrder(f"dates of several kinds, {_shown(values)}") from None
    walls = np.array([_plain(v, "to_datetime64", np.datetime64) for v in (_wall(v) for v in values)])
    keys = [order.index(i) for i in range(len(values))]
    if (walls[order][1:] > walls[order][:-1]).all():
        return date_points(walls)._replace(keys=keys)
    return TimePoints(keys, None)


def _wall(value: Any) -> Any:
    return value.replace(tzinfo=None) if getattr(value, "tzinfo", None) is not None else value


def _plain(value: Any, method: str, kind: Any) -> Any:
    """A pandas or standard date or duration as NumPy's."""
    return getattr(value, method)() if hasattr(value, method) else kind(value)


def _of_period_objects(values: list[Any]) -> TimePoints:
    if len({v.freqstr for v in values}) > 1:
        raise _NoOrder(f"periods of several lengths, {_shown(values)}")
    return period_points([v.ordinal for v in values], values[0].freqstr)


def _of_pairs(values: list[Any]) -> TimePoints:
    """Tuples of numbers, as (year, quarter), and intervals that do not overlap: ordered, and counted."""
    if all(isinstance(v, tuple) and all(isinstance(x, numbers.Real) and x == x for x in v) for v in values):
        return TimePoints(values, None)
    if all(hasattr(v, "left") and hasattr(v, "right") for v in values):
        ordered = sorted(values, key=lambda v: v.left)
        for earlier, later in pairwise(ordered):
            if later.left < earlier.right:
                raise _NoOrder(f"intervals that overlap, {earlier!s} and {later!s}")
        return TimePoints([v.left for v in values], None)
    kinds = sorted({type(v).__name__ for v in values})
    raise _NoOrder(
        f"labels of the type{'s' if len(kinds) > 1 else ''} {' and '.join(kinds)}, {_shown(values)}"
    )


def _shown(values: Sequence[Any]) -> str:
    return ", ".join(repr(v) for v in values[:5]) + (", ..." if len(values) > 5 else "")


def _require_distinct(labels: Array, keys: Sequence[Any], order: list[int], name: str) -> None:
    for a, b in pairwise(order):
        if not keys[a] < keys[b]:
            first, second = (repr(str(labels[i])) for i in (a, b))
            raise ValueError(
                f"{name} writes one period as {first} and as {second}; write it alike everywhere"
            )


def _names(labels: Array) -> list[str]:
    """Periods as text: days without the hour where all are at midnight."""
    if labels.dtype.kind == "M":
        return [str(name) for name in np.datetime_as_string(labels, unit="auto")]
    if labels.dtype.kind == "m":
        return [str(label.astype("m8[us]").item()) for label in labels]
    if all(isinstance(label, datetime) and label.time() == time.min for label in labels):
        return [label.date().isoformat() for label in labels]
    return [str(label) for label in labels]
