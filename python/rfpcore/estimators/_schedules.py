"""Schedules that an estimator has names for."""

from collections.abc import Mapping
from typing import Any

from .._arrays import shown
from ..optimizers import Schedule


def schedule_of(given: Any, named: Mapping[str, Schedule]) -> Schedule:
    """`learning_rate`: a schedule, or one of the estimator's by its name."""
    if isinstance(given, Schedule):
        return given
    if not isinstance(given, str) or given not in named:
        listed = ", ".join(map(repr, named))
        raise ValueError(
            f"learning_rate={shown(given)} is unknown; one of {listed} or a schedule of rfpcore.optimizers "
            "is needed"
        )
    return named[given]
