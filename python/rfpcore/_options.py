"""Checks of everything that is not an array, and the options that become kernel objects."""

import math
import operator
import os
from collections.abc import Sequence, Set
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from . import _rfpcore
from ._arrays import F64, Array, as_floats, require_finite, shown, vector

Activation = Literal["identity", "tanh", "relu", "softplus", "silu", "gelu", "elu"]
Order = Literal["exact", "first"]
Layers = Literal["all", "last"]
OnDivergence = Literal["raise", "skip"]
DType = Literal["auto", "float32", "float64"]

# The largest counts there are: what is above is refused before any work. The first two are what
# the kernel can count, the others are far beyond what anyone means.
MAX_STEPS = 2**31 - 1  # the kernel reports the step of a divergence as an int32
MAX_PARAMETERS = 2**48  # more than memories hold, while its bytes and squares of widths still fit 64 bits
MAX_JOBS = 1024  # threads
MAX_LAYERS = 1000  # hidden layers of a network
MAX_ROWS = 10**8  # rows that a generator draws
MAX_DRAWS = 10**7  # bootstraps, wild and randomization draws, draws of masks
MAX_MEMBERS = 10**5  # networks of an ensemble, replicates that are trained
MAX_BINS = 10**6  # bins, knots, components, points of a grid


def choice(value: Any, name: str, allowed: Any) -> str:
    """One of the strings of a Literal type."""
    choices = get_args(allowed)
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(map(repr, choices))
        raise ValueError(f"{name}={shown(value)} is unknown; one of {listed} is needed")
    return value


def integer(value: Any, name: str, low: int, high: int) -> int:
    """An integer in a range; a bool or a float is none."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}={shown(value)} is a {type(value).__name__}; an integer is needed") from None
    if number < low:
        raise ValueError(f"{name}={shown(number)} is too small; at least {low} is needed")
    if number > high:
        raise ValueError(f"{name}={shown(number)} is too large; at most {high} is possible")
    return number


def folds_of_clusters(n_folds: Any, n_clusters: int) -> int:
    """How many folds clusters are dealt to."""
    number = integer(n_folds, "n_folds", 2, MAX_PARAMETERS)
    if number > n_clusters:
        raise ValueError(
            f"n_folds={number} is too large: a fold needs a cluster, of which there are {n_clusters}"
        )
    return number


def layer_sizes(hidden: Any) -> tuple[int, ...]:
    """Widths of hidden layers."""
    series = hasattr(hidden, "to_numpy") and hasattr(hidden, "__len__")  # NaT has the one, too
    sized = series or isinstance(hidden, Sequence | np.ndarray | Set)
    if isinstance(hidden, str | bytes) or not sized or getattr(hidden, "ndim", 1) != 1:
        raise TypeError(
            f"hidden_layer_sizes={shown(hidden)}; a sequence of integers is needed, such as (64, 64)"
        )
    if len(hidden) > MAX_LAYERS:
        raise ValueError(f"hidden_layer_sizes has {len(hidden)} layers; at most {MAX_LAYERS} are possible")
    return tuple(integer(w, f"hidden_layer_sizes[{i}]", 1, MAX_PARAMETERS) for i, w in enumerate(hidden))


def is_integer(value: Any) -> bool:
    """Whether it is an integer; a bool, a float and a duration (which NumPy makes one) are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64)


def real(value: Any, name: str, needed: str = "a finite number") -> float:
    """A finite number; strings and arrays are none."""
    if isinstance(value, str | bytes):
        raise TypeError(f"{name}={shown(value)} is a {type(value).__name__}; {needed} is needed")
    try:
        # What `float` takes though it is no number: an array of one entry, a duration, a complex number.
        kind = getattr(getattr(value, "dtype", None), "kind", "f")
        if getattr(value, "ndim", 0) != 0 or kind not in "biufO":
            raise TypeError
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} is {shown(value)}; {needed} is needed") from None
    except (TypeError, ValueError):
        raise TypeError(f"{name} is a {type(value).__name__}; {needed} is needed") from None
    if not math.isfinite(number):
        raise ValueError(f"{name}={number}; {needed} is needed")
    return number + 0.0  # no −0.0, of which NumPy says that it is below 0


def at_least(value: Any, name: str, low: float) -> float:
    """A finite number of at least `low`."""
    number = real(value, name, f"a number of at least {low:g}")
    if number < low:
        raise ValueError(f"{name}={number}; a number of at least {low:g} is needed")
    return number


def positive(value: Any, name: str) -> float:
    """A finite number above zero."""
    number = real(value, name, "a positive number")
    if number <= 0:
        raise ValueError(f"{name}={number}; a positive number is needed")
    return number


def fraction(value: Any, name: str) -> float:
    """A number strictly between 0 and 1."""
    number = real(value, name, "a number in (0, 1)")
    if not 0 < number < 1:
        raise ValueError(f"{name}={number}; a number in (0, 1) is needed")
    return number


def below_one(value: Any, name: str) -> float:
    """A number from 0 to 1, without 1."""
    number = real(value, name, "a number in [0, 1)")
    if not 0 <= number < 1:
        raise ValueError(f"{name}={number}; a number in [0, 1) is needed")
    return number


def boolean(value: Any, name: str) -> bool:
    """True or False; nothing else stands for them."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}={shown(value)} is a {type(value).__name__}; True or False is needed")
    return bool(value)


def shows(verbose: Any) -> bool:
    """Whether `verbose` asks for progress: a number above 0, or True."""
    if isinstance(verbose, bool | np.bool_):
        return bool(verbose)
    return integer(verbose, "verbose", 0, MAX_STEPS) > 0


def check_alpha(value: Any, name: str = "alpha") -> float:
    """The weight of the loss before adaptation, in [0, 1]."""
    if type(value) is float and 0.0 <= value <= 1.0:  # the fast way through; NaN fails it
        return value
    number = real(value, name, "a number in [0, 1]")
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{name}={number}; a number in [0, 1] is needed")
    return number


def items(value: Any, name: str, needed: str = "a sequence") -> list[Any]:
    """The entries of a sequence, an array or a Series; text, a set and an iterator are none."""
    listed = isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)
    series = hasattr(value, "to_numpy") and hasattr(value, "__len__")  # NaT has the one, too
    if not (listed or series or isinstance(value, np.ndarray)):
        raise TypeError(f"{name}={shown(value)} is a {type(value).__name__}; {needed} is needed")
    shape = getattr(value, "shape", (0,))
    if len(shape) != 1:
        raise ValueError(f"{name} has shape {shape}; {needed} is needed")
    return list(value)


def random_source(value: Any) -> np.random.RandomState:
    """`random_state` as scikit-learn means it."""
    from sklearn.utils import check_random_state  # the functions on arrays do without scikit-learn

    if isinstance(value, np.random.Generator):
        raise TypeError("random_state is a Generator; an integer, a RandomState or None is needed")
    legacy = value is None or value is np.random or isinstance(value, np.random.RandomState)
    source = value if legacy else integer(value, "random_state", 0, 2**32 - 1)
    random: np.random.RandomState = check_random_state(source)
    return random


def file_path(value: Any, name: str = "path") -> Path:
    """A path that the file system can take; whether something is there is another question."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name}={shown(value)} is a {type(value).__name__}; a str or path is needed")
    text = os.fspath(value)
    if not isinstance(text, str) or not text or "\0" in text:
        raise ValueError(f"{name}={shown(value)}; a str or path that is not empty, without NUL, is needed")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise ValueError(f"{name}={shown(value)} cannot be a file's name on this system") from None
    return Path(text)


def n_threads(n_jobs: Any) -> int:
    """`n_jobs` as joblib means it, to a number of threads; 0 stands for the default pool."""
    if n_jobs is None:
        return 0
    jobs = integer(n_jobs, "n_jobs", -MAX_JOBS, MAX_JOBS)
    if jobs == 0:
        raise ValueError(
            "n_jobs=0 has no meaning; a positive number of threads, -1 (all cores) or None is needed"
        )
    return jobs if jobs > 0 else max(1, n_cpus() + 1 + jobs)


def n_cpus() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def inner_loop(
    n_parameters: int, inner_steps: Any, inner_lr: Any, inner_momentum: Any, adapt_layers: Any, order: Any
) -> _rfpcore.Inner:
    """The kernel's `Inner` for these options; a scalar step's is built once and kept."""
    # bool is no int here and an array no float, so whatever passes is hashable and of the right kind.
    numbers = type(inner_steps) is int and type(inner_lr) is float and type(inner_momentum) is float
    if numbers and type(adapt_layers) is str and type(order) is str:
        return _scalar_inner(inner_steps, inner_lr, inner_momentum, adapt_layers, order)
    steps = integer(inner_steps, "inner_steps", 0, MAX_STEPS)
    momentum = real(inner_momentum, "inner_momentum", "a number in [0, 1)")
    choice(adapt_layers, "adapt_layers", Layers)
    choice(order, "order", Order)
    lr = check_inner_lr(inner_lr, n_parameters)
    if isinstance(lr, float) and type(adapt_layers) is str and type(order) is str:
        return _scalar_inner(steps, lr, momentum, adapt_layers, order)
    return _build_inner(steps, lr, momentum, adapt_layers, order)


def check_inner_lr(inner_lr: Any, n_parameters: int) -> float | Array:
    """A positive finite step, or one for each parameter as (P,) float64."""
    if isinstance(inner_lr, str):
        raise ValueError(f"inner_lr={inner_lr!r} is unknown; a positive number, an array or 'auto' is needed")
    array = as_floats(inner_lr, "inner_lr").astype(np.float64, copy=False)
    if array.ndim == 0:
        number = real(array, "inner_lr", "a positive number")
        if number <= 0:
            raise ValueError(f"inner_lr={number}; a positive number is needed")
        return number
    if array.shape != (n_parameters,):
        raise ValueError(
            f"inner_lr has shape {array.shape}; the network has {n_parameters} parameters, "
            f"so a number or shape ({n_parameters},) is needed"
        )
    require_finite(array, "inner_lr", axis="index")
    if array.min() <= 0:
        bad = np.flatnonzero(array <= 0)
        raise ValueError(
            f"inner_lr must be positive, but {len(bad)} of its {len(array)} values are not; "
            f"the first is {array[bad[0]]} at index {bad[0]}"
        )
    return vector(array, "inner_lr", n_parameters, F64)


@lru_cache(maxsize=512)
def _scalar_inner(steps: int, lr: float, momentum: float, adapt_layers: Any, order: Any) -> _rfpcore.Inner:
    integer(steps, "inner_steps", 0, MAX_STEPS)
    return _build_inner(steps, check_inner_lr(lr, 0), momentum, adapt_layers, order)


def _build_inner(
    steps: int, lr: float | Array, momentum: float, adapt_layers: Any, order: Any
) -> _rfpcore.Inner:
    if not 0.0 <= momentum < 1.0:
        raise ValueError(f"inner_momentum={momentum}; a number in [0, 1) is needed")
    head_only = choice(adapt_layers, "adapt_layers", Layers) == "last"
    first_order = choice(order, "order", Order) == "first"
    return _rfpcore.Inner(steps, lr, momentum, head_only, first_order)
