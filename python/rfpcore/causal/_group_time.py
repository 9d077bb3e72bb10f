"""Group-time effects: which clusters are compared when, and how the comparisons are averaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from ._nuisance import Models
from ._panel import NEVER, Long, difference_sample, widen
from ._parts import Part, make_part
from .results import Effect


@dataclass(frozen=True)
class Cell:
    """The effect in period `time` on the clusters that adopt in period `cohort`, as indices of periods."""

    cohort: int
    time: int
    part: Part

    @property
    def event(self) -> int:
        """Periods since adoption; below 0 before it."""
        return self.time - self.cohort


@dataclass(frozen=True)
class Average:
    """A mean of cells, each weighing as much as its cohort has treated rows."""

    kind: str
    name: str
    cells: NDArray[np.intp]


def require_cohorts(data: Long, start: NDArray[np.int64]) -> None:
    """ValueError where there is nobody to compare with."""
    if (start == NEVER).all():
        raise ValueError(f"none of the {len(start)} clusters is ever treated")
    always = np.flatnonzero(start == 0)
    if len(always) and (start[start != NEVER] == 0).all():
        raise ValueError(
            f"every treated cluster is treated from the first period on, {data.periods[0]!s}: there is no "
            "before"
        )
    if len(np.unique(start[start > 0])) < 2:
        raise ValueError("all clusters adopt in the same period: there are no controls")


def make_cells(
    data: Long,
    start: NDArray[np.int64],
    models: Models,
    comparison: str,
    base_period: str,
    cluster_columns: Any,
) -> list[Cell]:
    """The comparisons that the data allow: of each cohort in each period with controls."""
    wide, cells = widen(data), []
    for cohort in np.unique(start[(start > 0) & (start != NEVER)]):
        for t in range(len(data.periods)):
            base = cohort - 1
            if t < cohort and base_period == "varying":
                base = t - 1
            if t == base or base < 0:
                continue
            control = start == NEVER if comparison == "never" else start > max(t, base)
            arm = np.where(start == cohort, 1, np.where(control, 0, -1))
            sample = difference_sample(data, wide, arm, t, int(base), cluster_columns)
            if sample is not None:
                cells.append(Cell(int(cohort), t, make_part(sample, models)))
    if not any(cell.event >= 0 for cell in cells):
        raise ValueError("no cohort has a period before adoption and controls after it: nothing to compare")
    return cells


def make_averages(cells: Sequence[Cell], periods: Array) -> list[Average]:
    """Every average that `StaggeredEffect.aggregate` gives."""
    cohort, time = np.array([(cell.cohort, cell.time) for cell in cells]).T
    event = time - cohort
    after = event >= 0
    found = [Average("simple", "Average effect on the treated", np.flatnonzero(after))]
    for e in np.unique(event):
        found.append(Average("dynamic", f"event time {e}", np.flatnonzero(event == e)))
    for g in np.unique(cohort[after]):
        found.append(Average("group", f"adopted {periods[g]!s}", np.flatnonzero(after & (cohort == g))))
    for t in np.unique(time[after]):
        found.append(Average("calendar", f"period {periods[t]!s}", np.flatnonzero(after & (time == t))))
    for i, cell in enumerate(cells):
        name = f"adopted {periods[cell.cohort]!s}, period {periods[cell.time]!s}"
        found.append(Average("cells", name, np.array([i])))
    return found


def of_kind(averages: Sequence[Average], effects: Sequence[Effect], kind: str) -> list[Effect]:
    """The effects of one kind of average."""
    return [effect for average, effect in zip(averages, effects, strict=True) if average.kind == kind]
