"""Where a curve rises most."""

import numpy as np

from .._arrays import Array

__all__ = ["steepest"]


def steepest(mean: Array) -> tuple[int, int]:
    """The points i < j of the largest rise."""
    last = int(np.argmax(mean[1:] - np.minimum.accumulate(mean)[:-1])) + 1
    return int(np.argmin(mean[:last])), last
