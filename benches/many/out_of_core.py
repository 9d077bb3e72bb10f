"""Clusters of ten rows that no memory holds: seconds and memory of dealing them and of one pass.

    python -m benches.many.out_of_core [--clusters 1e7] [--folder /tmp]

Four features and the outcome in float32, integer labels: 28 bytes a row, three times on disk while they are
dealt. One pass is as many outer steps as there are shards, each on one of them, kept nowhere. Peak memory is
that of the process, of which NumPy, scikit-learn and pyarrow take about 220 MiB.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow
from pyarrow import parquet

from rfpcore import RFPRegressor
from rfpcore.sharded import write_shards

PIECE = 10_000  # clusters written at a time
SCHEMA = pyarrow.schema([(name, "float32") for name in ("x0", "x1", "x2", "x3", "y")] + [("zip", "int64")])


def generate(path: Path, clusters: int) -> None:
    random, codes = np.random.default_rng(0), np.repeat(np.arange(PIECE), 10)
    with parquet.ParquetWriter(path, SCHEMA, compression="NONE", use_dictionary=False) as writer:
        for first in range(0, clusters, PIECE):
            x = random.standard_normal((5, len(codes)), dtype="f4")
            y = np.sin(x[0]) + 0.5 * random.standard_normal(PIECE, dtype="f4")[codes] + 0.3 * x[4]
            writer.write_table(pyarrow.table([*x[:4], y, codes + first], schema=SCHEMA))


def say(what: str, began: float) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"{what}: {time.time() - began:.0f} s; so far {used.ru_utime + used.ru_stime:.0f} s of CPU, "
        f"at most {used.ru_maxrss / 1024:.0f} MiB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clusters", type=float, default=1e7)
    parser.add_argument("--folder", default=None)
    given = parser.parse_args()
    clusters = int(given.clusters)
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        source, began = Path(name) / "source.parquet", time.time()
        generate(source, clusters)
        say(f"generated {10 * clusters} rows", began)
        began = time.time()
        shards = write_shards(source, Path(name) / "shards", y="y", groups="zip")
        say(f"dealt to {len(shards)} shards", began)
        source.unlink()
        began = time.time()
        model = RFPRegressor(
            hidden_layer_sizes=(16,),
            inner_lr=0.05,
            learning_rate_init=0.02,
            max_iter=len(shards),
            batch_size=clusters // len(shards),
            random_state=0,
            n_jobs=1,
        ).fit_shards(shards, cache_bytes=0)
        say(f"one pass of {model.n_iter_} steps", began)
        print(f"objective {model.loss_curve_[0]:.3f} -> {model.loss_curve_[-1]:.3f}")


if __name__ == "__main__":
    main()
