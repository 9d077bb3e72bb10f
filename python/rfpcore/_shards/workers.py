"""Shards on the workers of a Dask cluster: each keeps its own from one pass to the next.

Not as tasks of the scheduler, which cost some milliseconds each: a pass is one call to all workers, of which
each goes through its shards in a thread of its own and answers with their results.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from .._dask import require_client
from .parquet import ParquetShards
from .passes import Holder, Prepare, ShardError, Work

__all__ = ["There"]

SHARE = 0.4
"""Of a worker's memory limit that its shards may take, where nobody says more."""
LIMITLESS = 2**30  # bytes, where a worker has no limit
LOSSES = 3
"""Times that a shard may be lost with its worker."""
WAIT = 30.0  # seconds for a worker to come, where none is left

_held: dict[str, Holder] = {}
"""On a worker: of each training."""


class There:
    """Each worker goes through its own shards.

    Who has which is settled at first by their numbers of rows, and anew where a worker is lost: its shards
    are read again by the others, and by workers that have come since. Results do not depend on it.
    """

    def __init__(self, shards: ParquetShards, prepare: Prepare, room: int | None, client: Any) -> None:
        self.shards, self.prepare, self.room, self.client = shards, prepare, room, client
        self.token = uuid.uuid4().hex
        self.lost: set[str] = set()
        self.losses = [0] * len(shards)
        self.owners: dict[str, list[int]] = {}
        self._share_out(self._addresses())

    def map(self, work: Work, shared: Any, indices: Iterable[int]) -> Iterator[Any]:
        """`work(shard, shared)` of each, all at once; results in the shards' order."""
        wanted = sorted(indices)
        found: dict[int, Any] = {}
        if self.lost:
            self._let_in()
        while missing := _missing(wanted, found):
            found |= self._pass(work, shared, missing)
        for index in wanted:
            result = found.pop(index)
            if isinstance(result, ShardError):
                raise result.error
            yield result

    def close(self) -> None:
        """Have the workers let go of their shards, and of what they are at after the shard at hand."""
        try:
            self._release()
        except KeyboardInterrupt:  # a second one: it must not leave the workers with the shards
            self._release()
            raise

    def _release(self) -> None:
        if self.client.status == "running":
            with contextlib.suppress(Exception):  # whatever has become of the cluster, the fit is over
                self.client.run(_release, self.token, workers=list(self.owners), on_error="ignore")

    def _pass(self, work: Work, shared: Any, missing: set[int]) -> dict[int, Any]:
        """What comes of one call; shards of workers that are lost are missing in it."""
        jobs = {address: [i for i in own if i in missing] for address, own in self.owners.items()}
        jobs = {address: own for address, own in jobs.items() if own}
        answers = self._call(_go_through, work, shared, jobs, workers=list(jobs))
        found: dict[int, Any] = {}
        gone = []
        for address in jobs:
            answer = answers.get(address)
            if isinstance(answer, dict):
                found |= answer
            elif isinstance(answer, KeyError):  # it has not been told of this training: a new process there
                self._send([address])
            else:
                gone.append(address)
        if gone:
            self._lose(gone)
        return found

    def _call(self, function: Any, *arguments: Any, workers: list[str]) -> dict[str, Any]:
        self._require_open()
        answers: dict[str, Any] = self.client.run(
            function, self.token, *arguments, workers=workers, on_error="return"
        )
        return answers

    def _require_open(self) -> None:
        if self.client.status != "running":
            raise RuntimeError("the client of scheduler= was closed while shards were worked on; fit anew")

    def _addresses(self) -> list[str]:
        """Workers that are there and have not failed."""
        self._require_open()
        known = self.client.scheduler_info(n_workers=-1)["workers"]
        return sorted(address for address in known if address not in self.lost)

    def _let_in(self) -> None:
        """Share out anew if workers have come since one was lost."""
        addresses = self._addresses()
        if set(addresses) - set(self.owners):
            require_client(self.client)
            self._share_out(addresses)

    def _lose(self, gone: list[str]) -> None:
        """Give the shards of workers that do not answer to others."""
        self.lost.update(gone)
        lost = sorted(index for address in gone for index in self.owners.pop(address))
        for index in lost:
            self.losses[index] += 1
        often = next((index for index in lost if self.losses[index] >= LOSSES), None)
        if often is not None:
            raise RuntimeError(
                f"{self.shards.files[often]} was lost with its worker {LOSSES} times, the last at {gone[0]}; "
                "a worker that is killed has mostly met its memory limit: smaller shards (write_shards with "
                "fewer rows_per_shard), a smaller cache_bytes or more memory a worker help"
            )
        self._share_out(list(self.owners) or self._come())

    def _come(self) -> list[str]:
        """Workers that come where none is left, such as those that a nanny starts anew."""
        end = time.monotonic() + WAIT
        while not (addresses := self._addresses()):
            if time.monotonic() > end:
                raise RuntimeError(f"all workers are gone, and none has come for {WAIT:g} seconds")
            time.sleep(0.1)
        require_client(self.client)
        return addresses

    def _share_out(self, addresses: list[str]) -> None:
        """Large shards first, each to who has least; workers keep what they have where that is as good."""
        if not addresses:
            raise ValueError("scheduler has no workers")
        self.owners = {address: [] for address in addresses}
        rows = dict.fromkeys(addresses, 0)
        for index in sorted(range(len(self.shards)), key=lambda i: (-self.shards.n_rows[i], i)):
            least = min(addresses, key=lambda address: (rows[address], address))
            self.owners[least].append(index)
            rows[least] += self.shards.n_rows[index]
        self._send(addresses)

    def _send(self, addresses: list[str]) -> None:
        """Tell workers of the training and which shards are theirs."""
        own = {address: self.owners[address] for address in addresses}
        answers = self._call(_take, self.shards, self.prepare, self.room, own, workers=addresses)
        gone = [address for address in addresses if answers.get(address) is not None]
        if gone:
            self._lose(gone)


def _missing(wanted: list[int], found: dict[int, Any]) -> set[int]:
    """What is still to be done: after an error only what comes before it."""
    end = min((index for index, result in found.items() if isinstance(result, ShardError)), default=None)
    return {index for index in wanted if index not in found and (end is None or index < end)}


def _take(
    token: str,
    shards: ParquetShards,
    prepare: Prepare,
    room: int | None,
    own: dict[str, list[int]],
    dask_worker: Any = None,
) -> None:
    """On a worker: begin a training, or go on with other shards."""
    holder = _held.get(token)
    if holder is None:
        limit = dask_worker.memory_manager.memory_limit
        default = LIMITLESS if limit is None else int(SHARE * limit)
        holder = _held[token] = Holder(shards, prepare, default if room is None else room)
    holder.keep_only(own[dask_worker.address])


async def _go_through(
    token: str, work: Work, shared: Any, jobs: dict[str, list[int]], dask_worker: Any = None
) -> dict[int, Any]:
    """On a worker: work on its shards, away from the thread that keeps in touch."""
    holder = _held[token]
    return await asyncio.to_thread(_results, holder, work, shared, jobs[dask_worker.address])


def _results(holder: Holder, work: Work, shared: Any, indices: list[int]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for index in sorted(indices):
        if holder.closed:
            break
        try:
            found[index] = holder.work(work, shared, index)
        except Exception as error:
            found[index] = ShardError(error)
            break
    return found


def _release(token: str) -> None:
    """On a worker: let go."""
    holder = _held.pop(token, None)
    if holder is not None:
        holder.closed = True
        holder.held.clear()
