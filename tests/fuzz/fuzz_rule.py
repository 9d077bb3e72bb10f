"""The rule of fuzzing: a call ends in a finite result, or in an error of our own that says what is wrong.

What breaks it: a panic or any other exception that is no `Exception`; an exception of a kind that is not
documented; one that came out of NumPy, scikit-learn or another package instead of a check of ours; a warning
that is not ours; NaN or infinities in a result without a warning; a call that does not end, or does not stop
when it is told to.
"""

import ast
import contextlib
import dataclasses
import functools
import os
import resource
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd

import rfpcore
from rfpcore import exceptions

PACKAGE = str(Path(rfpcore.__file__).parent)
ERRORS = (ValueError, TypeError, MemoryError, exceptions.DivergenceError)
OUR_WARNINGS = tuple(
    kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Warning)
)
# Checks of scikit-learn that its users know, in the words they know: of rows, seeds, names of parameters.
KNOWN_CHECKS = {
    "check_is_fitted", "check_random_state", "set_params", "validate_data", "check_array", "check_X_y",
    "check_classification_targets", "column_or_1d", "check_consistent_length", "clone",
}  # fmt: skip
FEATURE_NAMES = "feature names"  # scikit-learn's warning about them

SECONDS = 20.0  # of the processor, for one call
WORK_SECONDS = 0.3  # where a count says how long to work
STOP_SECONDS = 5.0  # to stop after that
MEMORY = 3 << 30  # bytes that one call may ask for


Problem = tuple[str, str]  # a key that stays the same while lines and words move, and the words


class Finding(AssertionError):
    """What breaks the rule, and the call."""

    def __init__(self, key: str, detail: str, call: str) -> None:
        super().__init__(f"{key}: {detail}\n    {call}")
        self.key = key


class TooLong(BaseException):
    """The time of a call is over."""


def check(
    name: str,
    call: Callable[..., Any],
    arguments: Mapping[str, Any],
    changed: Mapping[str, Any],
    **allowed: Any,
) -> None:
    """Make a call; `Finding` if it breaks the rule. `changed` are the arguments that are hostile."""
    text = describe(name, changed)
    if journal := os.environ.get("RFPCORE_FUZZ_JOURNAL"):
        Path(journal).write_text(text, errors="replace")  # what was called, if the process dies of it
    problem = find_problem(call, arguments, **allowed)
    if problem:
        raise Finding(f"{name}: {problem[0]}", problem[1], text)


def find_problem(
    call: Callable[..., Any],
    arguments: Mapping[str, Any],
    *,
    raises: tuple[type[BaseException], ...] = (),
    foreign: tuple[str, ...] = (),
    warns: tuple[type[Warning], ...] = (),
    nan: bool = False,
    work: bool = False,
) -> Problem | None:
    """How a call breaks the rule, None if it does not."""
    limit = WORK_SECONDS if work else SECONDS
    began = time.process_time()
    error: BaseException | None = None
    result = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with limits(limit):
                result = call(**arguments)
        except BaseException as raised:
            if isinstance(raised, SystemExit | GeneratorExit):
                raise
            error = raised
    spent = time.process_time() - began
    if spent > limit + STOP_SECONDS:
        return "does not stop", f"{spent:.0f} s of the processor"
    if isinstance(error, TooLong | KeyboardInterrupt):
        return None if work else ("does not end", f"{limit:.0f} s of the processor")
    ours = (*OUR_WARNINGS, *warns)
    for warning in caught:
        text = str(warning.message)
        if not issubclass(warning.category, ours) and FEATURE_NAMES not in text:
            return f"warns {warning.category.__name__} in {place(warning.filename)}", text[:80]
    if error is not None:
        return wrong_error(error, raises, foreign)
    if not nan and not caught and (bad := not_finite(result)):
        return f"returns {bad}", "without a word"
    return None


def wrong_error(error: BaseException, raises: tuple[Any, ...], foreign: tuple[str, ...]) -> Problem | None:
    """Why an exception is not one of ours, None if it is."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1]
    told = f"{type(error).__name__} in {place(last.filename)}:{last.name}", first_line(error)
    if not isinstance(error, (*ERRORS, *raises)):
        return told
    if isinstance(error, MemoryError | OSError) or any(part in last.filename for part in foreign):
        return None
    if any(frame.name in KNOWN_CHECKS and "sklearn" in frame.filename for frame in frames):
        return None
    if str(error).startswith("object() takes no"):  # a callable of the caller's that raises: `object`
        return None
    own = last.filename.startswith(PACKAGE) and is_own(last.filename, last.lineno or 0, str(error))
    return None if own else (f"foreign {told[0]}", told[1])


def first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:80] if lines else ""


def place(filename: str) -> str:
    parts = Path(filename).parts
    return "/".join(parts[-2:])


def is_own(filename: str, line: int, message: str) -> bool:
    """Whether a line of ours raises, or the kernel it calls, and not since it could not take an argument."""
    statement = statement_at(filename, line)
    if isinstance(statement, ast.Raise):
        return True
    return "_rfpcore." in ast.unparse(statement) and not message.startswith("argument '")


def statement_at(filename: str, line: int) -> ast.stmt:
    """The innermost statement that a line belongs to."""
    around = [s for s in statements(filename) if s.lineno <= line <= (s.end_lineno or s.lineno)]
    return min(around, key=lambda s: (s.end_lineno or s.lineno) - s.lineno)


@functools.cache
def statements(filename: str) -> list[ast.stmt]:
    return [node for node in ast.walk(ast.parse(Path(filename).read_text())) if isinstance(node, ast.stmt)]


@contextlib.contextmanager
def limits(seconds: float) -> Iterator[None]:
    """Bounds on time and memory of a call; seconds of the processor, so that a busy machine fails nothing."""

    def stop(_: int, frame: FrameType | None) -> None:
        if frame is None or frame.f_code.co_name != "gc_callback":  # hypothesis': it swallows what is raised
            raise TooLong  # else at the next signal

    before = signal.signal(signal.SIGPROF, stop)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (address_space() + MEMORY, hard))
        signal.setitimer(signal.ITIMER_PROF, seconds, 1.0)
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def address_space() -> int:
    """Bytes this process has mapped."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[0]) * resource.getpagesize() if pages.exists() else 1 << 40


def not_finite(value: Any, depth: int = 0) -> str | None:
    """ "NaN" or "inf" if there is one somewhere in a result."""
    if isinstance(value, float | np.floating):
        return None if np.isfinite(value) else str(value)
    if isinstance(value, np.ndarray):
        if value.dtype.kind != "f" or np.isfinite(value).all():
            return None
        return "NaN" if np.isnan(value).any() else "inf"
    if depth > 4 or value is None or isinstance(value, str | bytes | type):
        return None
    if isinstance(value, pd.DataFrame):
        parts: Any = [column.to_numpy() for _, column in value.items()]
    elif isinstance(value, Mapping):
        parts = value.values()
    elif isinstance(value, list | tuple):
        parts = value
    elif dataclasses.is_dataclass(value):
        parts = [getattr(value, field.name) for field in dataclasses.fields(value)]
    else:
        return None
    return next((bad for part in parts if (bad := not_finite(part, depth + 1))), None)


def describe(name: str, arguments: Mapping[str, Any]) -> str:
    """The call, in a line."""
    return f"{name}({', '.join(f'{key}={short(value)}' for key, value in arguments.items())})"


def short(value: Any) -> str:
    try:
        text = " ".join(repr(value).split())
    except Exception:
        return f"<{type(value).__name__} without a repr>"
    if isinstance(value, np.ndarray):
        text = f"{text[:120]} {value.dtype}{value.shape}"
    return text if len(text) <= 200 else f"{text[:200]}..."
