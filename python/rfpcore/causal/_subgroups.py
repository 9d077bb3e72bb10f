"""Subgroups that have an effect of their own, and those that have no rows for one."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import group_codes
from .._warn import warn
from ..exceptions import DesignWarning
from ._nuisance import Models
from ._sample import Sample
from .results import Effect


def subgroup_masks(
    title: str, by: Any, n_rows: int, column: str | None = None
) -> dict[str, NDArray[np.bool_]]:
    """All rows, then the rows of each subgroup, by name: a text, or the number of a column."""
    masks = {title: np.ones(n_rows, bool)}
    if by is not None:
        labels, codes = group_codes(by, n_rows, "by")
        names = [f"{column} = {label}" if is_bare(label, column) else str(label) for label in labels.tolist()]
        if len({*names, title}) <= len(names):  # 1 and "1", or a label that is the title
            names = [f"by={label!r}" for label in labels.tolist()]
        masks |= {name: codes == i for i, name in enumerate(names)}
    return masks


def is_bare(label: Any, column: str | None) -> bool:
    """Whether it says nothing without the name of its column: 0 and 1, True and False."""
    return column is not None and isinstance(label, int | float)


def arm_counts(sample: Sample, masks: Iterable[NDArray[np.bool_]]) -> dict[str, NDArray[np.int64]]:
    """(E,) treated clusters and controls with rows in each subgroup."""
    codes = [sample.codes[mask & (sample.weight > 0)] for mask in masks]
    present = np.array([np.bincount(own, minlength=sample.n_clusters) > 0 for own in codes])
    return {
        name: (present & (sample.arm == arm)).sum(axis=1).astype(np.int64)
        for name, arm in (("n_treated", 1), ("n_controls", 0))
    }


def empty_arms(sample: Sample, models: Models, mask: NDArray[np.bool_]) -> list[str]:
    """Kinds of rows that the effect on some rows needs, and that these have none of."""
    own = mask & (sample.weight > 0)
    needed = {"treated": own & sample.treated, "control": own & ~sample.treated}
    # An outcome model stands in for the controls, or for both arms.
    if models.estimation_method == "regression":
        needed = {"treated": needed["treated"]} if models.estimand == "att" else {"weighted": own}
    return [what for what, rows in needed.items() if not rows.any()]


def one_each(names: Sequence[str], effects: Iterable[Effect]) -> list[Effect]:
    """Effects in the order of names; NaN where there is none, for lack of rows."""
    found, nan = {effect.name: effect for effect in effects}, float("nan")
    return [found.get(name, Effect(name, nan, nan, nan, "no rows")) for name in names]


def warn_of_empty(lacking: dict[str, list[str]]) -> None:
    """`DesignWarning` for each of them."""
    for name, arms in lacking.items():
        warn(
            f"there are no {' and no '.join(arms)} rows in {name!r}, so its effect is NaN",
            DesignWarning,
        )
