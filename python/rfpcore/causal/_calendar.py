"""Dates and durations as whole numbers of the largest unit that divides all their distances."""

import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from .._arrays import Array

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
DATE = re.compile(r"\d{4}-\d{2}(-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?)?", re.ASCII)
PART_OF_YEAR = re.compile(r"(\d{4})[- ]?([QqMm])(\d{1,2})", re.ASCII)
OF_STEP = 7  # digits of a step between numbers
EPS = float(np.finfo(np.float64).eps)
MONTHS = ((12, "year"), (3, "quarter"), (1, "month"))
TICKS = (
    (7 * 24 * 3600 * 10**9, "week"),
    (24 * 3600 * 10**9, "day"),
    (3600 * 10**9, "hour"),
    (60 * 10**9, "minute"),
    (10**9, "second"),
    (10**6, "millisecond"),
    (10**3, "microsecond"),
    (1, "nanosecond"),
)
LENGTHS = {
    "Y": "year",
    "A": "year",
    "Q": "quarter",
    "M": "month",
    "W": "week",
    "D": "day",
    "B": "business day",
    "h": "hour",
    "H": "hour",
    "min": "minute",
    "T": "minute",
    "s": "second",
    "S": "second",
}


class TimePoints(NamedTuple):
    """Labels of time: what sorts them, their places on the calendar (None: only ordered), and the unit."""

    keys: Sequence[Any]
    places: Sequence[Any] | None
    unit: str = ""
    digits: int = 0
    """After the point, of what is no whole number."""


def date_points(dates: Array) -> TimePoints:
    """Dates in months, quarters or years where each is the same day of its month, or the last one.

    Others are in weeks, days or less.
    """
    if np.datetime_data(dates.dtype)[0] == "W":
        dates = dates.astype("M8[D]")
    months = dates.astype("M8[M]")
    into = dates - months.astype(dates.dtype)
    days = dates.astype("M8[D]")
    last = (dates == days.astype(dates.dtype)).all() and ((days + 1).astype("M8[M]") > months).all()
    if (into == into[0]).all() or last:
        found = _in_units([int(m) for m in months.astype(np.int64)], MONTHS)
    else:
        found = _in_units(_nanoseconds(dates - dates[0]), TICKS)
    return TimePoints([int(v) for v in dates.astype(np.int64)], *found)


def duration_points(durations: Array) -> TimePoints:
    """Durations in weeks, days or less; NumPy's months and years as they are."""
    unit, count = np.datetime_data(durations.dtype)
    if unit in ("Y", "M"):
        months = [int(v) * count * (12 if unit == "Y" else 1) for v in durations.astype(np.int64)]
        return TimePoints(months, *_in_units(months, MONTHS))
    ticks = _nanoseconds(durations)
    return TimePoints(ticks, *_in_units(ticks, TICKS))


def _nanoseconds(durations: Array) -> list[int]:
    """Exact, in Python's numbers: a thousand years of nanoseconds do not fit into 64 bits."""
    unit, count = np.datetime_data(durations.dtype)
    if unit == "generic":
        unit = "ns"
    one = {"W": TICKS[0][0], "D": TICKS[1][0], "h": TICKS[2][0], "m": TICKS[3][0]}
    one |= {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
    return [int(v) * count * one[unit] for v in durations.astype(np.int64)]


def _in_units(values: list[int], units: Sequence[tuple[int, str]]) -> tuple[list[int], str]:
    """Distances from the first value, in the largest unit that divides them all."""
    gaps = [value - values[0] for value in values]
    size, unit = next((size, unit) for size, unit in units if all(gap % size == 0 for gap in gaps))
    return [gap // size for gap in gaps], unit


def period_points(ordinals: list[int], frequency: str) -> TimePoints:
    """Periods of pandas, in their own length."""
    base = frequency.lstrip("0123456789").split("-")[0]
    return TimePoints(ordinals, ordinals, LENGTHS.get(base, "period"))


def number_points(values: list[Any], eps: float) -> TimePoints | None:
    """Numbers are their own places; of fractions, gaps are rounded to what their digits (eps) can tell.

    Fractions that are one step apart, or several, are counted: rounding would part gaps of as many steps, and
    make short steps one (days as parts of a year).
    """
    if not all(abs(v) < np.inf for v in values):
        return None
    if all(v == int(v) for v in values):
        return TimePoints(values, [int(v) for v in values])
    places = [float(v) for v in values]
    known = 8 * eps * max(map(abs, places))
    digits = int(-np.log10(known))
    counts, step = _steps(np.array(places), eps)
    if not step:
        least = min((b - a for a, b in pairwise(sorted(places))), default=np.inf)
        if known < least < np.inf:  # it is no rounding, and must not become 0
            digits = max(digits, int(np.ceil(-np.log10(least))))
        return TimePoints(values, places, digits=digits)
    return TimePoints(values, [step * n for n in counts], digits=max(digits, OF_STEP - int(np.log10(step))))


def _steps(places: Array, eps: float) -> tuple[list[int], float]:
    """How many steps each place is from the first in time, and the step; 0 where they are uneven."""
    order, rounding = np.argsort(places), 2 * eps * np.abs(places).max()
    with np.errstate(all="ignore"):
        since = places[order] - places[order[0]]
        gaps = np.diff(since)
        least = gaps.min(initial=np.inf)
        counts = np.concatenate([[0.0], np.cumsum(np.rint(gaps / least))])
        step = float(since[-1] / counts[-1])
        is_even = least > 0 and np.abs(since - counts * step).max() <= min(4 * rounding, step / 4)
    if not is_even:
        return [], 0.0
    found = np.empty(len(counts), np.int64)
    found[order] = counts
    return found.tolist(), _simplest(step, rounding / counts[-1])


def _simplest(value: float, error: float) -> float:
    """A fraction of small numbers, as 1 / 12, or one of few digits, that may be the value; else the value."""
    fractions = (float(Fraction(value).limit_denominator(most)) for most in (10, 100, 1000, 10000))
    rounded = (float(f"{value:.{digits}g}") for digits in range(1, 7))
    return next((near for near in (*fractions, *rounded) if near and abs(near - value) <= error), value)


def text_points(values: list[str]) -> TimePoints | None:
    """Text that is all numbers, all ISO dates (2020-01-31), or all quarters (2020Q1) or months (2020M1)."""
    if all(NUMBER.fullmatch(v.strip()) for v in values):
        whole = all(v.strip().lstrip("+-").isdigit() for v in values)
        return number_points([int(v) if whole else float(v) for v in values], EPS)
    if all(DATE.fullmatch(v) for v in values):
        try:
            return date_points(np.array([np.datetime64(v.replace(" ", "T")) for v in values]))
        except ValueError:  # 2020-13
            return None
    return _parts_of_years([PART_OF_YEAR.fullmatch(v) for v in values])


def _parts_of_years(found: list[re.Match[str] | None]) -> TimePoints | None:
    parts = [match.groups() for match in found if match]
    kinds = {kind.upper() for _, kind, _ in parts}
    if len(parts) < len(found) or len(kinds) > 1:
        return None
    size = {"Q": 4, "M": 12}[kinds.pop()]
    if any(not 1 <= int(number) <= size for _, _, number in parts):
        return None
    places = [size * int(year) + int(number) - 1 for year, _, number in parts]
    return TimePoints(places, places, {4: "quarter", 12: "month"}[size])


def coded_date(places: Sequence[Any]) -> str | None:
    """What numbers seem to be that are dates written as one (201912): their gaps over years mean nothing."""
    if not all(isinstance(place, int) for place in places):
        return None
    days, months = [p % 100 for p in places], [p // 100 for p in places]
    if _are_coded(months, 100, 12) and all(1 <= day <= 31 for day in days) and len(set(months)) > 1:
        return "year, month and day"
    for what, base, last in (("year and month", 100, 12), ("year and quarter", 10, 4)):
        if _are_coded(places, base, last) and len({p // base for p in places}) > 1:
            return what
    return None


def _are_coded(places: Sequence[int], base: int, last: int) -> bool:
    """Whether each is a year of these centuries, then a number from 1 to `last`."""
    return all(1900 <= p // base <= 2100 and 1 <= p % base <= last for p in places)
