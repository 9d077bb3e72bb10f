"""Outer steps on the workers of a Dask cluster: what a second worker saves, and what a call costs.

    python -m benches.many.dask_steps [--clusters 20000] [--steps 60] [--workers 1,2] [--rounds 3]

Shards of clusters of ten rows, a network of two layers of 32, one inner step, workers of one thread each. For
every number of workers the median seconds of an outer step, over rounds in which they take turns; with the
efficiency (the time with one over the time with W, over W). And the same step without rows to speak of, for
networks of several sizes: what is left is communication. CPU milliseconds are those of this process, in which
the scheduler is too: what a step costs even where the cores are busy with other things.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow
from distributed import Client, LocalCluster
from pyarrow import parquet

from rfpcore import RFPRegressor
from rfpcore.sharded import ParquetShards, write_shards

ROWS = 10  # a cluster


def make(folder: Path, clusters: int, n_shards: int) -> ParquetShards:
    random = np.random.default_rng(0)
    n = clusters * ROWS
    columns = {f"x{j}": random.normal(size=n).astype("f4") for j in range(10)}
    columns |= {"y": np.sin(columns["x0"]), "zip": np.repeat(np.arange(clusters), ROWS)}
    folder.mkdir()
    parquet.write_table(pyarrow.table(columns), folder / "source.parquet")
    return write_shards(
        folder / "source.parquet", folder / "shards", y="y", groups="zip", rows_per_shard=-(-n // n_shards)
    )


def seconds(
    shards: ParquetShards, client: Client | None, steps: int, hidden: tuple[int, ...]
) -> tuple[float, float]:
    """Of a step, and CPU seconds here, from the tenth step on: by then every worker has its shards."""
    times: list[tuple[float, float]] = []
    RFPRegressor(
        hidden_layer_sizes=hidden,
        inner_lr=0.01,
        max_iter=steps,
        random_state=0,
        n_jobs=1,
        callbacks=lambda state: times.append((time.perf_counter(), time.process_time())),
    ).fit_shards(shards, scheduler=client, cache_bytes=2**31)
    wall, own = np.median(np.diff(times, axis=0), axis=0) / 10
    return float(wall), float(own)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clusters", type=int, default=20_000)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", default="1,2")
    given = parser.parse_args()
    counts = [int(count) for count in given.workers.split(",")]
    with tempfile.TemporaryDirectory() as name:
        large = make(Path(name) / "large", given.clusters, given.shards)
        small = make(Path(name) / "small", 2 * given.shards, given.shards)
        found = {count: [] for count in [0, *counts]}
        calls: dict[tuple[int, int], tuple[float, float]] = {}
        for turn in range(given.rounds):
            found[0].append(seconds(large, None, given.steps, (32, 32))[0])
            for count in counts:
                with (
                    LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None) as cluster,
                    Client(cluster) as client,
                ):
                    found[count].append(seconds(large, client, given.steps, (32, 32))[0])
                    for width in (8, 64, 256) if turn == 0 else ():
                        calls[count, width] = seconds(small, client, given.steps, (width, width))
        print(f"{len(large)} shards, {given.clusters * ROWS} rows; no workers: {1e3 * min(found[0]):.1f} ms")
        first = float(np.median(found[counts[0]])) * counts[0]
        for count in counts:
            own = float(np.median(found[count]))
            share = first / (own * count)
            each = ", ".join(f"{1e3 * one:.1f}" for one in found[count])
            print(f"{count} workers: {1e3 * own:.1f} ms a step ({each}), efficiency {share:.0%}")
        for (count, width), (own, cpu) in calls.items():
            size = 11 * width + width * (width + 1) + width + 1
            print(
                f"{count} workers, {size} parameters, next to no rows: {1e3 * own:.1f} ms a step, "
                f"{1e3 * cpu:.1f} ms of CPU here"
            )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
