"""What a fitted `GradientMatching` says, as a table."""

import math
from typing import Any

import numpy as np
from scipy.special import stdtr

from .._frames import pandas_for

__all__ = ["summary_of", "to_frame"]

_SHOWN = 40  # coefficients of a summary: a full matrix is for `to_frame`


def _rows(found: Any, level: float) -> list[dict[str, float]]:
    low, high = found.confidence_interval(level).T
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(found.std_error_ > 0, found.coef_ / found.std_error_, np.nan)
    p = np.where(np.isnan(t), np.nan, 2 * stdtr(np.maximum(found.degrees_, 1), -np.abs(t)))
    names = ("coef", "std_error", "t", "p_value", "ci_low", "ci_high", "vif")
    columns = (found.coef_, found.std_error_, t, p, low, high, found.vif_)
    return [dict(zip(names, map(float, row), strict=True)) for row in zip(*columns, strict=True)]


def to_frame(found: Any, level: float) -> Any:
    """A pandas DataFrame of the coefficients."""
    pandas = pandas_for("to_frame")
    return pandas.DataFrame(_rows(found, level), index=pandas.Index(found.names_, name="penalty"))


def summary_of(found: Any, level: float) -> str:
    """A table in the style of statsmodels."""
    width = max(20, *(len(name) + 2 for name in found.names_[:_SHOWN]))
    percent = f"[{100 * level:g}%"
    heads = ("coef", "std err", "t", "P>|t|", percent, "conf. int.]", "VIF")
    head = f"{'':{width}}" + "".join(f"{name:>{w}}" for name, w in zip(heads, _WIDTHS, strict=True))
    lines = ["Gradient matching".center(len(head)).rstrip(), "=" * len(head)]
    lines += [f"{name + ':':26}{value:>{len(head) - 26}}" for name, value in _facts(found)]
    lines += ["-" * len(head), head, "-" * len(head)]
    for name, row in list(zip(found.names_, _rows(found, level), strict=True))[:_SHOWN]:
        cells = [
            " " * w if math.isnan(x) else f"{x:>{w}.{d}}"
            for x, w, d in zip(row.values(), _WIDTHS, _DIGITS, strict=True)
        ]
        lines.append(f"{name:{width}}" + "".join(cells))
    if len(found.names_) > _SHOWN:
        lines.append(f"… and {len(found.names_) - _SHOWN} more: to_frame() has all")
    return "\n".join([*lines, "=" * len(head), *_notes(found)])


_WIDTHS = (12, 11, 9, 9, 12, 12, 8)
_DIGITS = ("4g", "3g", "2f", "3f", "4g", "4g", "3g")


def _facts(found: Any) -> list[tuple[str, str]]:
    return [
        ("Numbers matched", str(found._n_numbers)),
        ("Groups", str(found.n_groups_)),
        ("Share explained", f"{found.explained_:.4f}"),
        ("Condition number", f"{found.condition_number_:.3g}"),
        ("Effective parameters", f"{found.effective_parameters_:.3g}"),
        ("Covariance", found.covariance),
    ]


def _notes(found: Any) -> list[str]:
    notes = []
    if found.n_groups_ == 1:
        notes.append("One group: there are no standard errors; windows or several runs give them.")
    if found.covariance == "classical":
        notes.append("Classical errors take all numbers for independent: the intervals are far too narrow.")
    if found.constraint is not None:
        notes.append(f"Constraint {found.constraint!r}: coefficients it holds have no standard errors.")
    return notes
