"""Long calls of linear algebra that Ctrl-C need not wait for."""

from collections.abc import Callable
from threading import Thread, current_thread, main_thread
from typing import Any, TypeVar

T = TypeVar("T")

WAIT = 0.05
"""Seconds between looks at whether Ctrl-C was pressed."""


def interruptible(work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """What `work(*args, **kwargs)` returns or raises, done in a thread of its own.

    LAPACK answers no signal, and Python raises KeyboardInterrupt in the main thread only: that one waits
    here. Interrupted, it goes on at once, and what was being computed ends unseen; `work` must not write
    anywhere.

    Examples
    --------
    >>> from rfpcore.npiv._background import interruptible
    >>> interruptible(divmod, 7, 2)
    (3, 1)
    """
    if current_thread() is not main_thread():  # no signal arrives here
        return work(*args, **kwargs)
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work(*args, **kwargs))
        except BaseException as error:  # raised again below, in the thread that asked
            errors.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(WAIT)
    if errors:
        raise errors[0]
    return results[0]
