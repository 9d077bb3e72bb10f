"""Subgroups that have an effect of their own, and those that have no rows for one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import group_codes
from .._warn import warn
from ..exceptions import DesignWarning
from ._nuisance import Models
from ._sample import Sample


def subgroup_masks(title: str, by: Any, n_rows: int) -> dict[str, NDArray[np.bool_]]:
    """All rows, then the rows of each subgroup, by name."""
    masks = {title: np.ones(n_rows, bool)}
    if by is not None:
        labels, codes = group_codes(by, n_rows, "by")
        names = [str(label) for label in labels]
        if len({*names, title}) <= len(names):  # 1 and "1", or a label that is the title
            names = [f"by={label!r}" for label in labels.tolist()]
        masks |= {name: codes == i for i, name in enumerate(names)}
    return masks


def empty_arms(sample: Sample, models: Models, mask: NDArray[np.bool_]) -> list[str]:
    """Kinds of rows that the effect on some rows needs, and that these have none of."""
    own = mask & (sample.weight > 0)
    needed = {"treated": own & sample.treated, "control": own & ~sample.treated}
    # An outcome model stands in for the controls, or for both arms.
    if models.estimation_method == "regression":
        needed = {"treated": needed["treated"]} if models.estimand == "att" else {"weighted": own}
    return [what for what, rows in needed.items() if not rows.any()]


def warn_of_empty(lacking: dict[str, list[str]]) -> None:
    """`DesignWarning` for each of them."""
    for name, arms in lacking.items():
        warn(
            f"there are no {' and no '.join(arms)} rows in {name!r}, so its effect is NaN",
            DesignWarning,
        )
