"""Tables of the coverage study."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from .designs import CELLS

DEFAULTS = ("auto, jackknife", "group-time, jackknife")
HEAD = "| interval | data sets | coverage | mean length | median | bias | RMSE | ms |"


def by_cell(lines: Iterable[dict]) -> dict[str, dict[str, np.ndarray]]:
    """Rows (n, 4) of each interval in each cell: errors of the estimate, of both ends, and seconds."""
    found: dict[str, dict[str, list]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        for name, row in line.get("rows", {}).items():
            found[line["cell"]][name].append(row)
    return {
        cell.name: {name: np.array(rows) for name, rows in found[cell.name].items()}
        for cell in CELLS
        if cell.name in found
    }


def _refused(lines: Sequence[dict], cell: str) -> int:
    return sum("refused" in line for line in lines if line["cell"] == cell)


def _coverage(rows: np.ndarray) -> tuple[float, float]:
    """Share of intervals that hold the truth, and its Monte-Carlo error, in per cent."""
    share = float(np.mean((rows[:, 1] <= 0) & (rows[:, 2] >= 0)))
    return 100 * share, 100 * float(np.sqrt(max(share * (1 - share), 1e-4) / len(rows)))


def _line(name: str, rows: np.ndarray) -> str:
    length, error = rows[:, 2] - rows[:, 1], rows[:, 0]
    covered, spread = _coverage(rows)
    cells = (
        name,
        str(len(rows)),
        f"{covered:.1f} ± {spread:.1f}",
        f"{length.mean():.2f}",
        f"{np.median(length):.2f}",
        f"{error.mean():+.3f}",
        f"{np.sqrt(np.mean(error**2)):.3f}",
        f"{1e3 * np.median(rows[:, 3]):.0f}",
    )
    return "| " + " | ".join(cells) + " |"


def long_tables(lines: Sequence[dict]) -> str:
    """Every interval of every cell."""
    parts = []
    for cell, methods in by_cell(lines).items():
        parts.append(f"\n### {cell}: {_refused(lines, cell)} data sets refused\n\n{HEAD}")
        parts.append("| --- " * HEAD.count(" | ") + "| --- |")
        parts += [_line(name, rows) for name, rows in methods.items()]
    return "\n".join(parts)


def short_table(lines: Sequence[dict]) -> str:
    """Coverage and mean length of every interval, a line each, a column a cell; defaults first."""
    cells = by_cell(lines)
    parts = []
    for design in dict.fromkeys(cell.design for cell in CELLS):
        own = {name: methods for name, methods in cells.items() if name.startswith(design)}
        if own:
            parts.append(_short_of(design, own))
    return "\n".join(parts)


def _short_of(design: str, cells: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    names = list(dict.fromkeys(name for methods in cells.values() for name in methods))
    names.sort(key=lambda name: name not in DEFAULTS)
    lines = [
        f"\n### {design}: coverage in per cent, mean length in brackets\n",
        "| interval | " + " | ".join(cell.removeprefix(design + "-") for cell in cells) + " |",
        "| --- " * (1 + len(cells)) + "|",
    ]
    for name in names:
        found = []
        for methods in cells.values():
            rows = methods.get(name)
            if rows is None:
                found.append("")
            else:
                found.append(f"{_coverage(rows)[0]:.1f} ({np.mean(rows[:, 2] - rows[:, 1]):.2f})")
        lines.append(f"| {name} | " + " | ".join(found) + " |")
    return "\n".join(lines)
