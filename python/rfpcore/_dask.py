"""Independent jobs on the workers of a Dask cluster: one place for all that trains many at a time."""

import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextvars import ContextVar
from functools import wraps
from importlib.metadata import version
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, ParamSpec, TypeVar

from . import _rfpcore
from ._arrays import shown
from ._options import n_threads
from ._warn import warn

__all__ = [
    "current_client",
    "fits_on_scheduler",
    "on_workers",
    "require_client",
    "results_of",
    "shares",
    "threads_of_each",
]

JOBS_A_THREAD = 8  # so that the last to finish keeps the others waiting for a small part of the time
PAUSED = (
    "all workers of scheduler= are paused, close to their memory limit, and none is at work on a job; they "
    "need more memory, or less of other data"
)
PATIENCE = 10.0  # seconds without a job done, after which it is asked whether workers can take any

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
    if scheduler is not current_client():  # its workers have been asked
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
    n_threads = sum(worker["nthreads"] for worker in _workers(client))
    size = -(-n // (JOBS_A_THREAD * max(n_threads, 1)))
    return [range(first, min(first + size, n)) for first in range(0, n, size)]


def threads_of_each(client: Any, n_jobs: int | None) -> int:
    """`n_jobs` as a number of threads: of a job on a client's workers 1 by default, else all."""
    return n_threads(1 if client is not None and n_jobs is None else n_jobs)


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

    Raises
    ------
    MemoryError
        If all workers are paused, as they are too close to their memory limit to take a job.
    RuntimeError
        If several workers died at the same job, or the client is closed before all are done.
    """
    from distributed import KilledWorker

    if not _workers(client):  # a cluster that adapts has none before there is work
        warn("scheduler has no workers: the jobs wait for some to come", RuntimeWarning)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        # As a task, and not scattered: where all that hold it die it is sent again.
        held = client.submit(_same, shared, pure=False)
        futures = [client.submit(_run, work, held, job, pure=False) for job in jobs]
    place = {future.key: index for index, future in enumerate(futures)}
    try:
        for future in _as_they_end(client, futures):
            finished(place[future.key], future.result())
            future.release()
    except BaseException as error:
        if client.status == "running":
            client.cancel([held, *futures], force=True)
        elif isinstance(error, CancelledError | RuntimeError):
            raise RuntimeError("the client of scheduler= was closed before all jobs were done") from error
        if isinstance(error, KilledWorker):
            raise RuntimeError(
                "several workers died at the same job; it may need more memory than the "
                f"{error.last_worker.memory_limit} bytes of the last. More for each, or fewer threads, help"
            ) from error
        raise


def _as_they_end(client: Any, futures: Sequence[Any]) -> Iterator[Any]:
    """The futures as they are done; MemoryError where they never will be."""
    # Not `as_completed`, whose deadline is for all together, and which asks the default client.
    ended: SimpleQueue[Any] = SimpleQueue()
    for future in futures:
        future.add_done_callback(ended.put)
    left, stuck = len(futures), False
    while left:
        try:
            future = ended.get(timeout=PATIENCE)
        except Empty:
            before, stuck = stuck, _is_stuck(client)
            if before and stuck:
                raise MemoryError(PAUSED) from None
            continue
        yield future
        left, stuck = left - 1, False


def _workers(client: Any) -> list[Any]:
    return list(client.scheduler_info(n_workers=-1)["workers"].values())


def _is_stuck(client: Any) -> bool:
    """Whether every worker has stopped to take tasks for want of memory, and works on none."""
    workers = _workers(client)
    idle = [w["status"] == "paused" and not w["metrics"]["task_counts"].get("executing") for w in workers]
    return bool(workers) and all(idle)


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
