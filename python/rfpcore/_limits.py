"""What an estimator's parameters may be: a table of checks, read in one place before any work."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from ._arrays import Array, as_floats, require_finite, shown
from ._options import MAX_STEPS, at_least, choice, integer, is_integer, items, n_threads, random_source, shows

Check = Callable[[Any, str], Any]
"""Takes a value and its name; returns it as it is used, or raises ValueError or TypeError that names it."""

Limits = dict[str, Check]
"""Of every parameter."""


class Limited:
    """An estimator whose class has a table of limits, with a line for each parameter."""

    _limits: ClassVar[Limits] = {}

    def _checked(self) -> dict[str, Any]:
        """Its parameters as they are used; ValueError or TypeError naming the first that is wrong."""
        return check(vars(self), self._limits)


def check(values: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """The values that a table names, as they are used."""
    return {name: limit(values[name], name) for name, limit in limits.items()}


def whole(low: int = 1, high: int = MAX_STEPS) -> Check:
    """An integer in a range."""
    return lambda value, name: integer(value, name, low, high)


def one_of(allowed: Any) -> Check:
    """One of the strings of a Literal type."""
    return lambda value, name: choice(value, name, allowed)


def optional(limit: Check) -> Check:
    """None, or what another check takes."""
    return lambda value, name: None if value is None else limit(value, name)


def not_negative(value: Any, name: str) -> float:
    """A finite number of at least 0."""
    return at_least(value, name, 0.0)


def auto_or_bool(value: Any, name: str) -> bool | None:
    """True, False, or None for "auto"."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, str) and value == "auto":
        return None
    raise ValueError(f"{name}={shown(value)}; 'auto', True or False is needed")


def wholes(low: int, high: int) -> Check:
    """A sequence of integers in a range, at least one."""

    def of(value: Any, name: str) -> list[int]:
        found = items(value, name, "a sequence of integers")
        if not found:
            raise ValueError(f"{name} is empty; at least one integer is needed")
        return [integer(each, f"{name}[{i}]", low, high) for i, each in enumerate(found)]

    return of


def positives(value: Any, name: str) -> list[float]:
    """A sequence of numbers above 0, at least one."""
    numbers: Array = as_floats(items(value, name, "a sequence of numbers"), name)
    require_finite(numbers, name, axis="index")
    if numbers.ndim != 1 or numbers.size == 0 or numbers.min() <= 0:
        raise ValueError(f"{name}={shown(value)}; at least one number, all above 0, is needed")
    return [float(number) for number in numbers]


def threads(value: Any, name: str) -> int:
    """`n_jobs` as a number of threads; 0 stands for the default pool."""
    return n_threads(value)


def randomness(value: Any, name: str) -> np.random.RandomState:
    """`random_state` as scikit-learn means it."""
    return random_source(value)


def seed(value: Any, name: str) -> int:
    """`random_state` as one integer: itself, or one drawn from what it stands for."""
    source = random_source(value)
    return int(value) if is_integer(value) else int(source.randint(2**31 - 1))


def shown_progress(value: Any, name: str) -> bool:
    """`verbose`: a number above 0, or True, asks for progress."""
    return shows(value)


def unchecked(value: Any, name: str) -> Any:
    """What is checked beside the data, or by the model that takes it."""
    return value
