"""How a fit goes through shards: on this machine, or by the workers of a Dask cluster."""

import copy
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np

from .._dask import require_client
from .._options import at_least
from .keys import Keys
from .parquet import ParquetShards, Rows
from .passes import Here, Passes, Prepare, Work
from .workers import There

__all__ = ["Way", "require_whole", "travelling"]

CACHE = 2**28
"""Bytes of shards kept from one pass to the next on this machine, where nobody says more."""


class Way:
    """How shards are gone through: here, or with a client by its workers.

    Parameters
    ----------
    shards : ParquetShards
    scheduler : Client or None
    cache_bytes : float or None
        What prepared shards may take here, or on each worker; None chooses.
    """

    def __init__(self, shards: Any, scheduler: Any, cache_bytes: Any) -> None:
        if not isinstance(shards, ParquetShards):
            raise TypeError(
                f"shards is a {type(shards).__name__}; rfpcore.sharded.ParquetShards, as write_shards "
                "returns, is needed"
            )
        self.shards, self.client = shards, require_client(scheduler)
        self.room = None if cache_bytes is None else int(at_least(cache_bytes, "cache_bytes", 0.0))

    def passes(self, prepare: Prepare, once: bool = False) -> Passes:
        """To go through shards prepared so; `once` keeps none."""
        room = 0 if once else self.room
        if self.client is None:
            return Here(self.shards, prepare, CACHE if room is None else room)
        return There(self.shards, prepare, room, self.client)

    def survey(self, work: Work, estimator: Any) -> list[Any]:
        """`work(rows, estimator)` of each shard's rows as they are read, in one pass."""
        with closing(self.passes(_as_read, once=True)) as passes:
            return list(passes.map(work, travelling(estimator), range(len(self.shards))))

    def n_threads(self, given: int, n_jobs: int | None) -> int:
        """Of the kernel: on workers, unless somebody says more, as many as the smallest has."""
        if self.client is None or n_jobs is not None:
            return given
        known = self.client.scheduler_info(n_workers=-1)["workers"].values()
        return max(1, min((int(worker["nthreads"]) for worker in known), default=1))


def _as_read(rows: Rows) -> Rows:
    return rows


def travelling(estimator: Any) -> Any:
    """The estimator as shards are read by it: with what it has learnt of them, and nobody to call back."""
    own = copy.copy(estimator)
    if "callbacks" in vars(own):
        own.callbacks = None
    own.__dict__.pop("_skl_callbacks", None)
    own.__dict__.pop("feature_names_in_", None)  # of arrays nobody asks for names
    return own


def require_whole(keys: Sequence[Keys], shards: ParquetShards) -> int:
    """How many clusters there are; ValueError if one lies in two shards."""
    every = np.sort(np.concatenate(keys))
    twice = np.flatnonzero(every[1:] == every[:-1])
    if len(twice):
        both = [file for file, own in zip(shards.files, keys, strict=True) if (own == every[twice[0]]).any()]
        raise ValueError(
            f"{len(twice)} clusters have rows in two shards, one of them in {' and '.join(both[:2])}; each "
            "shard needs whole clusters, as rfpcore.sharded.write_shards deals them"
        )
    return len(every)
