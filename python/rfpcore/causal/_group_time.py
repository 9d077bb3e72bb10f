"""Group-time effects: which clusters are compared when, and how the comparisons are averaged."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from ._nuisance import Models
from ._panel import NEVER, Long, Wide, build_sample, difference_sample, followed, sections_of
from ._parts import Part, Sections, make_part, make_sections
from ._periods import Periods
from ._support import Support, support_of
from .results import Effect

OVERALL = {"dynamic": "event times", "group": "cohorts", "calendar": "periods"}
ROUNDED = 1e-6  # relative; times between periods that are fractions (1 / 12) are rounded


def is_felt(since: float, anticipation: float) -> bool:
    """Whether outcomes may answer to adoption at a time since then, so long before it at most."""
    return since >= -anticipation * (1 + ROUNDED)


@dataclass(frozen=True)
class Staggering:
    """What is compared with what.

    Attributes
    ----------
    comparison, base_period : str
    anticipation : float
        How long before adoption outcomes may already answer to it, as `Periods.since` counts time.
    """

    comparison: str
    base_period: str
    anticipation: float = 0.0

    def base(self, periods: Periods, cohort: int) -> int:
        """The last period before a cohort's adoption could be felt; -1 where there is none."""
        before = [t for t in range(cohort) if not is_felt(periods.since(t, cohort), self.anticipation)]
        return before[-1] if before else -1

    def controls(self, periods: Periods, start: NDArray[np.int64], t: int) -> NDArray[np.bool_]:
        """(G,) clusters whose adoption cannot be felt by period t."""
        found = np.asarray(start == NEVER)
        if self.comparison == "never":
            return found
        for cohort in np.unique(start[(start > t) & ~found]):
            if not is_felt(periods.since(t, int(cohort)), self.anticipation):
                found |= start == cohort
        return found


@dataclass(frozen=True)
class Cell:
    """The effect in period `time` on the clusters that adopt in period `cohort`, as indices of periods."""

    cohort: int
    time: int
    part: Part | Sections
    event: float
    """Time since adoption, as `Periods.since` counts it; below 0 before it."""


@dataclass(frozen=True, eq=False)
class Comparisons:
    """All cells, and who is in them.

    Attributes
    ----------
    cells : list of Cell
    treated : ndarray (G,) of bool
        Clusters that an effect since adoption is of.
    present : ndarray (G,) of bool
        Clusters in some cell, before adoption or as controls.
    rows : ndarray (N,) of bool
        Rows in some cell.
    references : set of float
        Times since adoption of the periods that effects since adoption are compared with.
    """

    cells: list[Cell]
    treated: NDArray[np.bool_]
    present: NDArray[np.bool_]
    rows: NDArray[np.bool_]
    references: set[float] = field(default_factory=set)


@dataclass(frozen=True)
class Average:
    """A mean of cells, each weighing as much as its cohort has treated rows; or a mean of such means.

    Attributes
    ----------
    kind, name : str
    cells : ndarray of int
        The cells behind it.
    parts : tuple of int
        The averages that it is a mean of, which come before it; () where it is one of cells. Cohorts weigh as
        much as they have treated rows, event times and periods the same.
    """

    kind: str
    name: str
    cells: NDArray[np.intp]
    parts: tuple[int, ...] = ()


def require_cohorts(data: Long, start: NDArray[np.int64], comparison: str) -> None:
    """ValueError where there is nobody to compare with."""
    if len(data.periods) < 2:
        raise ValueError(f"time has 1 period, {data.periods.names[0]}; at least 2 are needed")
    if (start == NEVER).all():
        raise ValueError(f"none of the {len(start)} clusters is ever treated")
    if (start[start != NEVER] == 0).all():
        raise ValueError(
            f"every treated cluster is treated from the first period on, {data.periods.names[0]}: there is "
            "no before"
        )
    if len(np.unique(start[start > 0])) < 2:
        raise ValueError("all clusters adopt in the same period: there are no controls")
    if comparison == "never" and not (start == NEVER).any():
        raise ValueError(
            f"comparison='never' needs clusters that never adopt, but all {len(start)} are treated in the "
            "end; comparison='not-yet' has those that adopt later as controls"
        )


def make_cells(
    data: Long,
    wide: Wide | None,
    start: NDArray[np.int64],
    models: Models,
    design: Staggering,
    cluster_columns: Any,
) -> Comparisons:
    """The comparisons that the data allow: of each cohort in each period with controls."""
    treated, present = np.zeros((2, len(start)), bool)
    made = Comparisons([], treated, present, np.zeros(len(data.y), bool))
    for cohort in np.unique(start[(start > 0) & (start != NEVER)]):
        last = design.base(data.periods, int(cohort))
        for t in range(len(data.periods)):
            base = t - 1 if t <= last and design.base_period == "varying" else last
            if t == base or base < 0:
                continue
            control = design.controls(data.periods, start, max(t, base))
            arm = np.where(start == cohort, 1, np.where(control, 0, -1))
            compared = _compare(data, wide, arm, t, base, models, cluster_columns)
            if compared is None:
                continue
            part, rows = compared
            made.cells.append(Cell(int(cohort), t, part, data.periods.since(t, int(cohort))))
            made.present[part.sample.arm >= 0] = True
            made.treated[(part.sample.arm == 1) & (t >= cohort)] = True
            made.rows[rows] = True
            made.references.add(data.periods.since(last, int(cohort)))
    if not made.treated.any():
        raise ValueError(
            "no cohort has a row before adoption, and one since adoption while there are controls: nothing "
            "to compare"
        )
    return made


def _compare(
    data: Long,
    wide: Wide | None,
    arm: NDArray[np.int64],
    t: int,
    base: int,
    models: Models,
    cluster_columns: Any,
) -> tuple[Part | Sections, NDArray[np.intp]] | None:
    """Period t with the base period, and the rows of both; None where an arm is empty."""
    if wide is not None:
        units = followed(data, wide, arm, t, base)
        sample = difference_sample(data, wide, arm, t, base, units, cluster_columns)
        if sample is None:
            return None
        return make_part(sample, models), wide.row[units][:, [t, base]].ravel()
    present, rows = sections_of(data, arm, t, base)
    if not ((present == 1).any() and (present == 0).any()):
        return None
    after, before = (
        build_sample(data, own, data.y[own], data.weight[own], data.codes[own], present, cluster_columns)
        for own in rows
    )
    return make_sections(after, before, models), np.concatenate(rows)


def make_averages(cells: Sequence[Cell], periods: Periods) -> list[Average]:
    """Every average that `StaggeredEffect.aggregate` gives."""
    names = periods.names
    cohort, time = np.array([(cell.cohort, cell.time) for cell in cells]).T
    event = np.array([cell.event for cell in cells], object)
    after = time >= cohort
    found = [Average("simple", "Average effect on the treated", np.flatnonzero(after))]
    for e in event_times(cells):
        found.append(Average("dynamic", periods.event(e), np.flatnonzero(event == e)))
    for g in np.unique(cohort[after]):
        found.append(Average("group", f"adopted {names[g]}", np.flatnonzero(after & (cohort == g))))
    for t in np.unique(time[after]):
        found.append(Average("calendar", f"period {names[t]}", np.flatnonzero(after & (time == t))))
    for i, cell in enumerate(cells):
        name = f"adopted {names[cell.cohort]}, period {names[cell.time]}"
        found.append(Average("cells", name, np.array([i])))
    return found + [_overall(found, kind, cells) for kind in OVERALL]


def _overall(averages: Sequence[Average], kind: str, cells: Sequence[Cell]) -> Average:
    """The mean of all averages of a kind since adoption."""
    parts = [
        i
        for i, average in enumerate(averages)
        if average.kind == kind and all(cells[c].event >= 0 for c in average.cells)
    ]
    behind = np.unique(np.concatenate([averages[i].cells for i in parts]))
    return Average(f"overall {kind}", f"Average over {OVERALL[kind]}", behind, tuple(parts))


def averaged(averages: Sequence[Average], values: Array, weights: Array) -> Array:
    """(S, E) the averages of cells with values and weights (S, C); a cell without a value has no weight."""
    own = np.where(np.isnan(values), 0.0, weights)
    values = np.nan_to_num(values)
    found = np.full((len(values), len(averages)), np.nan)
    for column, average in zip(found.T, averages, strict=True):
        if average.parts:
            sizes = np.ones((len(values), len(average.parts)))
            if average.kind == "overall group":
                groups = [averages[i].cells for i in average.parts]
                sizes = np.column_stack([weights[:, behind].mean(axis=1) for behind in groups])
            parts = found[:, list(average.parts)]
            column[:] = (sizes * parts).sum(axis=1) / sizes.sum(axis=1)
            continue
        total = own[:, average.cells].sum(axis=1)
        moment = (own[:, average.cells] * values[:, average.cells]).sum(axis=1)
        np.divide(moment, total, out=column, where=total > 0)
    return found


def columns_of(cells: Sequence[Cell], averages: Sequence[Average]) -> dict[str, Array]:
    """(E,) what cells of an average have in common, and how many clusters there are in each arm of them.

    Cohort and period are indices, -1 where cells differ, as is the event time NaN.
    """
    found: dict[str, Array] = {}
    for name, of, dtype, mixed in (
        ("event_time", "event", np.float64, np.nan),
        ("cohort", "cohort", np.int64, -1),
        ("period", "time", np.int64, -1),
    ):
        own = [{getattr(cells[i], of) for i in average.cells} for average in averages]
        found[name] = np.array([values.pop() if len(values) == 1 else mixed for values in own], dtype)
    for name, arm in (("n_treated", 1), ("n_controls", 0)):
        in_arm = np.array([cell.part.sample.arm == arm for cell in cells])
        found[name] = np.array([in_arm[average.cells].any(axis=0).sum() for average in averages], np.int64)
    return found


def adoption(start: NDArray[np.int64], periods: Array) -> Array:
    """(G,) the label of the period in which each cluster adopts, None where it never does."""
    found = np.empty(len(start), object)  # filled one by one: periods may be tuples
    found[:] = [None if s == NEVER else periods[s] for s in start]
    return found


def event_times(cells: Sequence[Cell]) -> list[float]:
    """The times since adoption that cells have."""
    return sorted({cell.event for cell in cells})


def support_of_averages(cells: Sequence[Cell], averages: Sequence[Average]) -> Support:
    """Which clusters each average hangs on: it is gone when all its cells are."""
    samples = [cell.part.sample for cell in cells]
    each = support_of([cell.part.behind() for cell in cells])
    arms = np.stack([[sample.arm == arm for sample in samples] for arm in (0, 1)])
    alone = np.array([each.alone[average.cells].all(axis=0) for average in averages])
    for i, average in enumerate(averages):
        if average.parts:  # gone when one of its parts is
            alone[i] = alone[list(average.parts)].any(axis=0)
    fewest = [arms[:, average.cells].any(axis=1).sum(axis=1).min() for average in averages]
    return Support(alone, np.array(fewest))


def clusters_of(cells: Sequence[Cell]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(G,) the clusters that are treated, and those that are controls, in some cell since adoption."""
    arms = np.stack([cell.part.sample.arm for cell in cells if cell.event >= 0])
    return (arms == 1).any(axis=0), (arms == 0).any(axis=0)


def of_kind(averages: Sequence[Average], effects: Sequence[Effect], kind: str) -> list[Effect]:
    """The effects of one kind of average."""
    return [effect for average, effect in zip(averages, effects, strict=True) if average.kind == kind]
