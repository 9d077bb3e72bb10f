"""Effects as tables: text, data frames, LaTeX, HTML, and what maketables reads."""

import html
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from .._arrays import Array
from .._frames import pandas_for
from .._maketables import MakesTables
from .._options import boolean, fraction, integer

DASH = "–"
SIGN = re.compile(r"(?<![^\s\[(])-(?=\d)")  # a hyphen that is a number's minus
STARS = ((0.01, "***"), (0.05, "**"), (0.1, "*"))
DIGITS = 4  # after the point, in text and HTML
MOST = 1e9  # from which on numbers are too long for a table
TEXT_WIDTHS = (10, 10, 9, 9, 11, 12)  # of a text table's columns of numbers, at least
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "−": "$-$",
        "<": "$<$",
        ">": "$>$",
        **{character: "\\" + character for character in "&%$#_{}"},
    }
)


class Estimated(Protocol):
    """What a line of a table needs: an `Effect`."""

    @property
    def name(self) -> str:
        """What is estimated."""

    @property
    def estimate(self) -> float:
        """The number."""

    @property
    def std_error(self) -> float:
        """NaN where there is none."""

    @property
    def statistic(self) -> float:
        """The estimate over its standard error."""

    @property
    def p_value(self) -> float:
        """Of no effect."""

    def confidence_interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval of a level."""


class EffectTable(NamedTuple):
    """What a table shows besides the numbers of its effects."""

    title: str
    facts: Sequence[tuple[str, Any]]
    effects: Sequence[Estimated]
    notes: Sequence[str] = ()


class Tabulated(MakesTables):
    """Tables of whatever says what is in them."""

    def _table(self) -> EffectTable:
        raise NotImplementedError

    def summary(self, level: float = 0.95) -> str:
        """A table in the style of statsmodels, to be printed; intervals are pointwise.

        Parameters
        ----------
        level : float in (0, 1)

        Returns
        -------
        text : str
        """
        title, facts, effects, notes = self._table()
        return summary_table(title, facts, effects, level, notes)

    def to_latex(self, level: float = 0.95, *, digits: int = 3, stars: bool = False) -> str:
        r"""A table for a paper, of LaTeX's package booktabs.

        Parameters
        ----------
        level : float in (0, 1)
        digits : int
            After the point.
        stars : bool, default=False
            Whether \*, \*\* and \*\*\* mark p-values below .1, .05 and .01.

        Returns
        -------
        text : str
            A `tabular` environment; what there is no number for is a dash.
        """
        return latex_table(self._table(), level, digits, stars)

    def _html(self) -> str:
        return html_table(self._table())

    def _coefficients(self) -> Any:
        return to_frame(self._table().effects)


def rows_of(effects: Sequence[Estimated], level: float) -> list[dict[str, Any]]:
    """One line a effect, as the tables show it."""
    level = fraction(level, "level")
    rows = []
    for effect in effects:
        low, high = (
            (math.nan, math.nan) if math.isnan(effect.std_error) else effect.confidence_interval(level)
        )
        rows.append(
            {
                "effect": effect.name,
                "estimate": effect.estimate,
                "std_error": effect.std_error,
                "t": effect.statistic,
                "p_value": effect.p_value,
                "ci_low": low,
                "ci_high": high,
            }
        )
    return rows


def to_frame(
    effects: Sequence[Estimated], level: float = 0.95, columns: Mapping[str, Array] | None = None
) -> Any:
    """Effects as a pandas DataFrame, one a row, with columns of their own before the numbers."""
    pandas = pandas_for("to_frame")
    frame = pandas.DataFrame(rows_of(effects, level)).set_index("effect")
    for place, (name, values) in enumerate((columns or {}).items()):
        frame.insert(place, name, values)
    return frame


def summary_table(
    title: str,
    facts: Sequence[tuple[str, Any]],
    effects: Sequence[Estimated],
    level: float,
    notes: Sequence[str] = (),
) -> str:
    """A table in the style of statsmodels, with notes below it."""
    level = fraction(level, "level")
    rows = rows_of(effects, level)
    percent = f"{100 * level:g}%"
    titles = ["coef", "std err", "t", "P>|t|", f"[{percent}", "conf. int.]"]
    table = [text_cells(row) for row in rows]
    widths = [max(20, *(len(row["effect"]) + 2 for row in rows))]
    columns = zip(*table, strict=True)
    widths += [width_of(cells, least) for cells, least in zip(columns, TEXT_WIDTHS, strict=True)]
    head = line_of("", titles, widths)
    lines = [title.center(len(head)).rstrip(), "=" * len(head)]
    lines += [f"{name + ':':26}{value!s:>{len(head) - 26}}" for name, value in facts]
    lines += ["-" * len(head), head, "-" * len(head)]
    lines += [line_of(row["effect"], cells, widths) for row, cells in zip(rows, table, strict=True)]
    wrapped = [line for note in notes for line in textwrap.wrap(note, len(head), subsequent_indent="  ")]
    return "\n".join([*lines, "=" * len(head), *wrapped])


def line_of(name: str, cells: Sequence[str], widths: Sequence[int]) -> str:
    """A line of a text table: a name to the left, numbers to the right."""
    return f"{name:{widths[0]}}" + "".join(f"{cell:>{w}}" for cell, w in zip(cells, widths[1:], strict=True))


def width_of(cells: Sequence[str], least: int) -> int:
    """Of a column of a text table, in which numbers do not run into those before them."""
    longest = max(len(cell) for cell in cells)
    return least if longest < least else longest + 2


def text_cells(row: dict[str, Any]) -> list[str]:
    """The numbers of a line of the text table."""
    own = pattern(row)
    in_units = [f"{row[name]:{own}}" for name in ("estimate", "std_error", "ci_low", "ci_high")]
    return [*in_units[:2], f"{row['t']:.3f}", f"{row['p_value']:.3f}", *in_units[2:]]


def pattern(row: dict[str, Any]) -> str:
    """How numbers in units of the outcome are written: by powers of ten where digits after the point fail."""
    estimate, error = abs(row["estimate"]), row["std_error"]
    size = estimate if math.isnan(error) else error
    is_plain = size == 0 or (size >= 5 * 10.0**-DIGITS and max(size, estimate) < MOST)
    return f".{DIGITS}f" if is_plain else f".{DIGITS - 1}e"


def cells_of(row: dict[str, Any], own: str, stars: bool) -> list[str]:
    """The numbers of a line, those in units of the outcome in a form of their own; a dash for what is not."""
    mark = next((mark for bound, mark in STARS if row["p_value"] < bound), "") if stars else ""
    low, high = (number(row[name], own) for name in ("ci_low", "ci_high"))
    interval = DASH if math.isnan(row["ci_low"]) else f"[{low}, {high}]"
    p = "<0.001" if row["p_value"] < 0.0005 else number(row["p_value"], ".3f")
    error, t = number(row["std_error"], own), number(row["t"], ".2f")
    return [number(row["estimate"], own) + mark, error, t, p, interval]


def number(value: float, own: str) -> str:
    """With a true minus sign, which a hyphen is not; a dash for NaN."""
    return DASH if math.isnan(value) else f"{value:{own}}".replace("-", "−")


def latex_table(table: EffectTable, level: float, digits: int, stars: bool) -> str:
    """A `tabular` with booktabs' rules: effects, then facts, then notes."""
    digits = integer(digits, "digits", 0, 15)
    starred, rows = boolean(stars, "stars"), rows_of(table.effects, level)
    percent = f"{100 * fraction(level, 'level'):g}\\%"
    lines = [r"\begin{tabular}{lrrrrr}", r"\toprule"]
    lines.append(rf" & Estimate & Std. error & $t$ & $p$ & {percent} interval \\")
    lines.append(r"\midrule")
    for row in rows:
        cells = [cell.translate(LATEX).replace(DASH, "--") for cell in cells_of(row, f".{digits}f", starred)]
        lines.append(" & ".join([escaped(row["effect"]), *cells]) + r" \\")
    lines.append(r"\midrule")
    lines += [
        rf"{escaped(name)} & \multicolumn{{5}}{{r}}{{{escaped(value)}}} \\" for name, value in table.facts
    ]
    lines.append(r"\bottomrule")
    notes = [escaped(note) for note in table.notes]
    if starred:
        notes.append("*** $p<0.01$, ** $p<0.05$, * $p<0.1$")
    width = r"\multicolumn{6}{p{0.9\linewidth}}"
    lines += [rf"{width}{{\footnotesize {note}}} \\" for note in notes]
    return "\n".join([*lines, r"\end{tabular}"])


def escaped(value: Any) -> str:
    """Text in which LaTeX finds nothing to do; what is indented stays so."""
    text = str(value)
    indent = r"\quad " if text.startswith(" ") else ""
    return indent + SIGN.sub("−", text.strip()).translate(LATEX)


def html_table(table: EffectTable, level: float = 0.95) -> str:
    """A table for notebooks."""
    heads = ["", "Estimate", "Std. error", "t", "p", f"{100 * level:g} % interval"]
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = []
    for row in rows_of(table.effects, level):
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells_of(row, pattern(row), False))
        body.append(f"<tr><th style='text-align:left'>{html.escape(row['effect'])}</th>{cells}</tr>")
    facts = "".join(
        f"<tr><td style='text-align:left; white-space:pre'>{html.escape(name)}</td>"
        f"<td colspan='5'>{html.escape(str(value))}</td></tr>"
        for name, value in table.facts
    )
    notes = "".join(f"<p><small>{html.escape(note)}</small></p>" for note in table.notes)
    return (
        f"<table><caption>{html.escape(table.title)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody><tfoot>{facts}</tfoot></table>{notes}"
    )
