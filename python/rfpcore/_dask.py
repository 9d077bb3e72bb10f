"""Independent jobs on the workers of a Dask cluster: one place for all that trains many at a time."""

import pickle
import warnings
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import wraps
from importlib.metadata import version
from typing import Any, NamedTuple, ParamSpec, TypeVar

from . import _rfpcore
from ._arrays import shown
from ._warn import warn

__all__ = ["current_client", "fits_on_scheduler", "on_workers", "require_client", "results_of", "shares"]

JOBS_A_THREAD = 8  # so that the last to finish keeps the others waiting for a small part of the time

_client: ContextVar[Any] = ContextVar("_client", default=None)

Job = TypeVar("Job")
Result = TypeVar("Result")
P = ParamSpec("P")
Returned = TypeVar("Returned")


class Installed(NamedTuple):
    """What decides about bits."""

    version: str
    instruction_set: str


def installed() -> Installed:
    """Of this process."""
    return Installed(version("rfpcore"), _rfpcore.isa())


def require_client(scheduler: Any) -> Any:
    """A client that is open, whose workers have this package; None where there is none.

    Raises
    ------
    TypeError
        If it is no synchronous client of `distributed`.
    ValueError
        If it is closed, or a worker has another version of this package or none.
    """
    if scheduler is None:
        return None
    try:
        from distributed import Client
    except ImportError:
        raise TypeError(
            f"scheduler={shown(scheduler)}: it needs `distributed`, as pip install 'rfpcore[dask]' brings it"
        ) from None
    if not isinstance(scheduler, Client) or scheduler.asynchronous:
        kind = "an asynchronous Client" if isinstance(scheduler, Client) else type(scheduler).__name__
        raise TypeError(f"scheduler is {kind}; a synchronous dask.distributed.Client is needed")
    if scheduler.status != "running":
        raise ValueError(f"scheduler is a client that is {scheduler.status}; a running one is needed")
    _compare(scheduler)
    return scheduler


def _compare(client: Any) -> None:
    """ValueError where a worker has another version; a warning where its results have other last bits."""
    own = installed()
    found = client.run(installed, on_error="return")
    for address, theirs in found.items():
        if not isinstance(theirs, Installed):
            raise ValueError(f"worker {address} cannot use rfpcore: {type(theirs).__name__}: {theirs}")
        if theirs.version != own.version:
            raise ValueError(
                f"worker {address} has rfpcore {theirs.version}; this process has {own.version}, and both "
                "must have the same"
            )
    sets = sorted({own.instruction_set, *(theirs.instruction_set for theirs in found.values())})
    if len(sets) > 1:
        warn(
            f"the workers and this process use the instructions {', '.join(sets)}, whose results differ in "
            "their last bits; RFPCORE_ISA sets one for all",
            RuntimeWarning,
        )


def fits_on_scheduler(method: Callable[P, Returned]) -> Callable[P, Returned]:
    """A method with a keyword `scheduler`, whose refits go to the workers of that client.

    They lie many calls below the method, and no estimator may keep a client, which can be neither copied nor
    pickled. None leaves what is in force.
    """

    @wraps(method)
    def run(*args: P.args, **kwargs: P.kwargs) -> Returned:
        client = require_client(kwargs.get("scheduler"))
        if client is None:
            return method(*args, **kwargs)
        before = _client.set(client)
        try:
            return method(*args, **kwargs)
        finally:
            _client.reset(before)

    return run


def current_client() -> Any:
    """The client of the innermost method of `fits_on_scheduler` that has one, or None."""
    return _client.get()


def shares(client: Any, n: int) -> list[range]:
    """Numbers from 0 to n - 1 in ranges, some for each of the workers' threads."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    n_threads = sum(worker["nthreads"] for worker in workers)
    size = -(-n // (JOBS_A_THREAD * max(n_threads, 1)))
    return [range(first, min(first + size, n)) for first in range(0, n, size)]


def on_workers(
    client: Any,
    work: Callable[[Any, Job], Result],
    shared: Any,
    jobs: Sequence[Job],
    finished: Callable[[int, Result], None],
) -> None:
    """Run `work(shared, job)` for every job; `finished(index, result)`, on this thread, as each is done.

    What all jobs share is sent to a worker once. Jobs of a worker that dies are run anew by others. What
    `finished` raises, an error of a job, or Ctrl-C ends all: jobs not begun are dropped.
    """
    from distributed import as_completed

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        # As a task, and not scattered: where all that hold it die it is sent again.
        held = client.submit(_same, shared, pure=False)
        futures = [client.submit(_run, work, held, job, pure=False) for job in jobs]
    place = {future.key: index for index, future in enumerate(futures)}
    try:
        for future in as_completed(futures):
            finished(place[future.key], future.result())
            future.release()
    except BaseException:
        client.cancel([held, *futures], force=True)
        raise


def results_of(
    client: Any, work: Callable[[Any, Job], Result], shared: Any, jobs: Sequence[Job]
) -> list[Result]:
    """The results of `on_workers`, in the order of the jobs."""
    found: list[Any] = [None] * len(jobs)
    on_workers(client, work, shared, jobs, found.__setitem__)
    return found


def _run(work: Callable[[Any, Job], Result], shared: Any, job: Job) -> Result:
    # Arrays come as views into messages, at any address; the kernel needs those of their dtype. A pickle in
    # one piece makes them anew; that of distributed takes classes of a notebook too.
    from distributed.protocol.pickle import dumps

    return work(*pickle.loads(dumps((shared, job), protocol=5)))


def _same(shared: Any) -> Any:
    return shared
