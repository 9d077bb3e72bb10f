"""Checks of the numbers that formulas and simulations share."""

from typing import Any, Literal

import numpy as np

from .._arrays import Array, as_floats, require_finite
from .._options import at_least, integer, items

Feature = Literal["relu", "erf"]
"""Activations of random features."""

MAX_COUNT = 2**53  # whole numbers are exact in float64 up to here
_MAX_ENTRIES = 2**28  # of one matrix: 2 GiB
MAX_ENERGY = 1e100  # of signals, noises, penalties: products of a few of them stay finite


def counts(values: Any, name: str) -> Array:
    """Whole numbers of at least 1, as float64 of any shape."""
    array = as_floats(values, name).astype(np.float64, copy=False)
    require_finite(np.atleast_1d(array), name, axis="index")
    bad = (array < 1) | (array > MAX_COUNT) | (array != np.floor(array))
    if bad.any():
        raise ValueError(f"{name} holds {array[bad][0]:g}; whole numbers from 1 to {MAX_COUNT:g} are needed")
    return array


def between(values: Any, name: str, low: float, high: float) -> Array:
    """Numbers in a range, as float64 of any shape."""
    array = as_floats(values, name).astype(np.float64, copy=False)
    require_finite(np.atleast_1d(array), name, axis="index")
    bad = (array < low) | (array > high)
    if bad.any():
        raise ValueError(f"{name} holds {array[bad][0]:g}; numbers from {low:g} to {high:g} are needed")
    return array


def energies(values: Any, name: str) -> Array:
    """Signals, variances of noise and penalties: at least 0, and small enough to be multiplied."""
    return between(values, name, 0.0, MAX_ENERGY)


def finite_vector(values: Any, name: str) -> Array:
    """Finite numbers (length,), at least one, float64."""
    array = as_floats(values, name).astype(np.float64, copy=False)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; one dimension with at least one number is needed")
    require_finite(array, name, axis="index")
    if np.abs(array).max() > MAX_ENERGY:
        raise ValueError(f"{name} is up to {np.abs(array).max():.3g}; at most {MAX_ENERGY:g} is possible")
    return array


def times(values: Any, name: str = "times") -> Array:
    """Times (T,), at least 0."""
    array = finite_vector(values, name)
    if array.min() < 0:
        raise ValueError(f"{name} holds {array.min():g}; numbers of at least 0 are needed")
    return array


def together(**arrays: Array) -> tuple[Array, ...]:
    """The arrays in one shape; ValueError with all their shapes where there is none."""
    try:
        return np.broadcast_arrays(*arrays.values())
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"no shape fits all of {shapes}; each dimension must agree or be 1") from None


def rising(values: Any, name: str, most: int) -> list[int]:
    """At least two whole numbers from 1 to `most` that rise: the points of an axis."""
    found = [integer(value, f"{name}[{i}]", 1, most) for i, value in enumerate(items(values, name))]
    if len(found) < 2 or (np.diff(found) <= 0).any():
        raise ValueError(f"{name}={found}; at least two numbers that rise are needed")
    return found


def energy_of(value: Any, name: str) -> float:
    """A number from 0 to what can be multiplied."""
    number = at_least(value, name, 0.0)
    if number > MAX_ENERGY:
        raise ValueError(f"{name}={number:g}; at most {MAX_ENERGY:g} is possible")
    return number


def require_room(rows: int, columns: int) -> None:
    """ValueError for data sets of which a single one is too large."""
    if rows * columns > _MAX_ENTRIES:
        raise ValueError(
            f"one data set takes {rows} × {columns} numbers; at most {_MAX_ENTRIES} in all are possible"
        )
