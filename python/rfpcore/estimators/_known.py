"""Which of some clusters each row belongs to."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from .._labels import comparable

Unknown = Literal["raise", "population"]


def known_codes(
    labels: Array, codes: NDArray[np.intp], known: Array, unknown: str, whose: str
) -> NDArray[np.intp]:
    """Each row's position among `known` labels, -1 for others: unless `unknown` is "raise".

    Parameters
    ----------
    labels, codes : ndarray (K,), (N,)
        The rows' labels, and the index of each row's.
    known : ndarray (C,)
    unknown : {"raise", "population"}
    whose : str
        What the message calls the known ones, with a place for their number.
    """
    theirs, mine = comparable(known, labels)
    index: dict[Any, int] = {label: at for at, label in enumerate(theirs)}
    place = np.array([index.get(label, -1) for label in mine], np.intp)
    found: NDArray[np.intp] = place[codes]
    if unknown == "raise" and (place < 0).any():
        row = int(np.argmax(found < 0))
        label, n_unknown = labels.tolist()[codes[row]], int((place < 0).sum())
        raise ValueError(
            f"groups holds {label!r} in row {row}; {n_unknown} of its {len(place)} labels are not among "
            f"the {whose.format(len(index))}: adapt to them, or predict with unknown='population'"
        )
    return found
