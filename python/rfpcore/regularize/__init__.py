"""Regularizers as small values that compose: `L2(1e-3) + Dropout(0.4)`.

A specification says what training does besides descending the loss of a batch. It is frozen, hashable and
printable, and goes to JSON and back, so that it can be a point of a grid, a key of a table and a line of a
file. It trains nothing itself: whatever takes a `regularization` reads it.

The terms follow Praturu (2026), "Regularization", where that note has them; each names its source.
"""

from ._data import InputNoise, LabelSmoothing, Mixup, Shifts
from ._layers import BatchNorm, Dropout
from ._norms import ClipNorm, MaxNorm
from ._penalties import L1, L2
from ._stopping import EarlyStopping
from ._terms import Regularization, Term

__all__ = [
    "L1",
    "L2",
    "BatchNorm",
    "ClipNorm",
    "Dropout",
    "EarlyStopping",
    "InputNoise",
    "LabelSmoothing",
    "MaxNorm",
    "Mixup",
    "Regularization",
    "Shifts",
    "Term",
]
