"""Long calls of linear algebra that Ctrl-C need not wait for."""

import atexit
from collections.abc import Callable
from threading import Event, Thread, current_thread, main_thread
from typing import Any, TypeVar

T = TypeVar("T")

WAIT = 0.05
"""Seconds between looks at whether Ctrl-C was pressed."""
LEAVE = 10.0
"""Seconds that the end of the process waits for what was interrupted, at most."""


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
    done = Event()  # a thread whose join was interrupted passes for ended in some versions of Python

    def run() -> None:
        try:
            results.append(work(*args, **kwargs))
        except BaseException as error:  # raised again below, in the thread that asked
            errors.append(error)
        done.set()

    try:
        Thread(target=run, daemon=True).start()
        while not done.wait(WAIT):
            pass
    except KeyboardInterrupt:
        atexit.register(done.wait, LEAVE)  # a process that ends under linear algebra at work crashes
        raise
    if errors:
        raise errors[0]
    return results[0]
