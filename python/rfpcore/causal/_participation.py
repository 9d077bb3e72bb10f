"""Which clusters take part in the comparisons of a staggered policy, and why others do not."""

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from .._scaling import named
from .._warn import warn
from ..exceptions import DesignWarning
from ._group_time import Comparisons, Staggering
from ._panel import NEVER, Long
from ._periods import Periods

ALWAYS = "treated from the first period on"
NO_CONTROLS = "no controls from their adoption on"
ANTICIPATED = "adoption may have been anticipated from the first period on"
BY_DESIGN = (ALWAYS, NO_CONTROLS, ANTICIPATED)
SHOWN = 20  # labels in a message


def left_out(data: Long, start: NDArray[np.int64], made: Comparisons, design: Staggering) -> dict[str, Array]:
    """The clusters without an effect since adoption, and never adopters in no comparison, by reason."""
    seen = np.zeros((len(start), len(data.periods)), bool)
    seen[data.codes, data.period] = True
    reasons: dict[str, list[int]] = {}
    for c in np.flatnonzero(~np.where(start == NEVER, made.present, made.treated)):
        reasons.setdefault(_reason(int(start[c]), seen[c], start, data.periods, design), []).append(int(c))
    return {reason: data.labels[clusters] for reason, clusters in reasons.items()}


def _reason(
    own: int, seen: NDArray[np.bool_], start: NDArray[np.int64], periods: Periods, design: Staggering
) -> str:
    if own == NEVER:
        return "never treated, without rows in periods that are compared"
    if own == 0:
        return ALWAYS
    base = design.base(periods, own)
    if base < 0:
        return ANTICIPATED
    before = "before their adoption" + (" could be anticipated" if design.anticipation else "")
    if not seen[:own].any():
        return "treated when first seen"
    if not seen[base]:
        return f"no row in the period {before}"
    if not design.controls(periods, start, own).any():
        return NO_CONTROLS
    return f"no row in the period {before} and a later one with controls, of the same unit"


def warn_of_missing_rows(out: dict[str, Array], n_clusters: int) -> None:
    """`DesignWarning` for clusters that would count, had they all their rows."""
    for reason, labels in out.items():
        if reason not in BY_DESIGN:
            many = len(labels) != 1
            warn(
                f"{len(labels)} of {n_clusters} clusters drop{'' if many else 's'} out of the effects since "
                f"adoption ({reason}): {named(labels, SHOWN)}",
                DesignWarning,
            )


def notes(out: dict[str, Array]) -> list[str]:
    """A line a reason, for a summary."""
    return [
        f"Left out: {len(labels)} cluster{'' if len(labels) == 1 else 's'}, {reason}: {named(labels, SHOWN)}"
        for reason, labels in out.items()
    ]
