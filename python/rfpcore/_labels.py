"""Labels of two sources, such as those of a fit and of rows to predict, in one form."""

from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["comparable"]

Labels = NDArray[Any]


def comparable(one: Labels, other: Labels) -> tuple[list[Any], list[Any]]:
    """Labels of both as Python's objects, equal where they are: the unit of dates is no part of them."""
    both = [_dates(labels) for labels in (one, other)]
    kinds = {labels.dtype.kind for labels in both}
    if len(kinds) == 1 and kinds <= {"m", "M"}:
        unit = np.promote_types(both[0].dtype, both[1].dtype)
        one, other = (labels.astype(unit).view(np.int64) for labels in both)
    return one.tolist(), other.tolist()


def _dates(labels: Labels) -> Labels:
    """Objects that are all dates with a time as NumPy has them; anything else as it is."""
    plain = labels.dtype.kind == "O" and all(
        isinstance(label, datetime) and label.tzinfo is None and not getattr(label, "nanosecond", 0)
        for label in labels
    )
    return labels.astype("M8[us]") if plain else labels
