"""Records of a study as lines of JSON, appended one by one, so that it goes on where it was stopped."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def read(path: Path) -> list[dict[str, Any]]:
    """The records there are; the last may be cut off by an interruption."""
    records = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def append(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Add records as they come; a line that an interruption has cut off is ended first, and stays unread."""
    torn = path.exists() and not path.read_text().endswith("\n") and path.stat().st_size > 0
    with path.open("a") as file:
        if torn:
            print(file=file)
        for record in records:
            print(json.dumps(record), file=file, flush=True)


def within(seconds: float, cases: Iterable[T]) -> Iterable[T]:
    """The cases that are begun before the time is up."""
    stop = time.perf_counter() + seconds
    for case in cases:
        if time.perf_counter() >= stop:
            return
        yield case


def study(
    path: Path, one: Callable[..., dict[str, Any]], cases: Iterable[tuple[Any, ...]], seconds: float
) -> list[dict[str, Any]]:
    """Append what `one` makes of each case until the time is up; all records."""
    append(path, (one(*case) for case in within(seconds, cases)))
    return read(path)
