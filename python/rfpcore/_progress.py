"""The progress of a fit or a sweep, on standard error: a bar where `rich` is installed, else a plain line."""

import sys
from types import TracebackType
from typing import Any

__all__ = ["NoProgress", "PlainProgress", "RichProgress", "make_progress"]


class NoProgress:
    """Shows nothing."""

    def __enter__(self) -> "NoProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was found."""

    def update(self, done: int, note: str) -> None:
        """How much is done, and what to say beside."""


class PlainProgress(NoProgress):
    """One line, rewritten; written once a step of 5 % where standard error is no terminal."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.shown = -1

    def update(self, done: int, note: str) -> None:
        """Rewrite the line."""
        terminal = sys.stderr.isatty()
        share = 20 * done // self.total
        if not terminal and share == self.shown:
            return
        self.shown = share
        line = f"{self.title}: {done}/{self.total} {self.unit}, {note}"
        sys.stderr.write(f"\r{line:<79}" if terminal else line + "\n")
        sys.stderr.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the line."""
        if self.shown >= 0 and sys.stderr.isatty():
            sys.stderr.write("\n")


class RichProgress(NoProgress):
    """A bar with the time left."""

    def __init__(self, title: str, total: int, rich_progress: Any, rich_console: Any) -> None:
        self.bar = rich_progress.Progress(
            *rich_progress.Progress.get_default_columns(),
            rich_progress.TextColumn("{task.fields[note]}"),
            console=rich_console.Console(stderr=True),
        )
        self.task = self.bar.add_task(title, total=total, note="")

    def __enter__(self) -> "RichProgress":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing."""
        self.bar.stop()

    def update(self, done: int, note: str) -> None:
        """Move the bar."""
        self.bar.update(self.task, completed=done, note=note)


def make_progress(title: str, total: int, unit: str, verbose: bool) -> NoProgress:
    """What suits `verbose` and what is installed; `total` is a number of units, which is plural."""
    if not verbose:
        return NoProgress()
    try:
        import rich.console
        import rich.progress
    except ImportError:
        return PlainProgress(title, total, unit)
    return RichProgress(title, total, rich.progress, rich.console)
