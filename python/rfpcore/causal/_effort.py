"""How many refits a jackknife may take, and the refits themselves, with their progress."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from .._progress import make_progress
from ._replicates import Estimates

MAX_REFITS = 1000  # by default
MANY_REFITS = 1_000_000_000
STEPS = 20  # of a progress line


@dataclass(frozen=True)
class Effort:
    """How many refits the jackknife may take, and whether to show them."""

    max_refits: int = MAX_REFITS
    verbose: bool = False

    def refit(
        self, title: str, estimates: Estimates, pieces: Iterable[NDArray[np.int64]], total: int
    ) -> Iterator[tuple[NDArray[np.int64], Array]]:
        """Counts and the estimates under them, (S, G) and (S, E), of pieces with `total` rows in all."""
        largest = -(-total // STEPS) if self.verbose else total
        began, done = time.monotonic(), 0
        with make_progress(title, total, "fits", self.verbose) as progress:
            for piece in pieces:
                for start in range(0, len(piece), largest):
                    counts = piece[start : start + largest]
                    yield counts, estimates(counts)
                    done += len(counts)
                    progress.update(done, f"{(time.monotonic() - began) * (total / done - 1):.0f} s left")


def effort_of(params: Mapping[str, Any]) -> Effort:
    """What an estimator's checked parameters allow."""
    return Effort(params["max_refits"], params["verbose"])
