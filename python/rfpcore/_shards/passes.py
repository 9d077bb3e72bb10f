"""Work on one shard after the other, on this machine; what both ways to go through shards share."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from .parquet import ParquetShards, Rows

__all__ = ["Here", "Passes", "Prepare", "ShardError"]

Work = Callable[[Any, Any], Any]
"""Takes a shard as it was prepared and what is the same for all; a module's function, so that it travels."""
Prepare = Callable[[Rows], Any]
"""Makes of a shard's rows what is worked on; travels too. What it returns says its size in `nbytes`."""


class ShardError(NamedTuple):
    """What work on a shard raised, as a value: of several the first in the shards' order counts."""

    error: Exception


class Passes(Protocol):
    """A way to go through shards: results come in the shards' order, whoever does the work."""

    def map(self, work: Work, shared: Any, indices: Iterable[int]) -> Iterator[Any]:
        """`work(shard, shared)` of each."""

    def close(self) -> None:
        """Let go of what is held."""


class Holder:
    """Prepared shards, as many as there is room for; the others are read again each time."""

    def __init__(self, shards: ParquetShards, prepare: Prepare, room: int) -> None:
        self.shards, self.prepare, self.room = shards, prepare, room
        self.held: dict[int, Any] = {}
        self.closed = False

    def work(self, work: Work, shared: Any, index: int) -> Any:
        """`work(shard, shared)` of a shard. ValueError or TypeError that names its file."""
        try:
            return work(self._get(index), shared)
        except (ValueError, TypeError) as error:  # not of its own kind, which may take other arguments
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{self.shards.files[index]}: {error}") from None

    def _get(self, index: int) -> Any:
        if index in self.held:
            return self.held[index]
        found = self.prepare(self.shards.read(index))
        if found.nbytes <= self.room:
            self.room -= found.nbytes
            self.held[index] = found
        return found

    def keep_only(self, indices: Iterable[int]) -> None:
        """Drop the others, for which somebody else cares now."""
        for index in set(self.held) - set(indices):
            self.room += self.held.pop(index).nbytes


class Here:
    """One shard after the other on this machine."""

    def __init__(self, shards: ParquetShards, prepare: Prepare, room: int) -> None:
        self.holder = Holder(shards, prepare, room)

    def map(self, work: Work, shared: Any, indices: Iterable[int]) -> Iterator[Any]:
        """`work(shard, shared)` of each."""
        for index in sorted(indices):
            yield self.holder.work(work, shared, index)

    def close(self) -> None:
        """Let go of what is held."""
        self.holder.held.clear()
