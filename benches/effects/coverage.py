"""How often intervals for the effect of a cluster-level policy cover it, nominally 95 %.

    python -m benches.effects.coverage --draws 500 --workers 2           # goes on where it was interrupted
    python -m benches.effects.coverage --scheduler tcp://there:8786      # on the workers of a Dask cluster
    python -m benches.effects.coverage --report                          # the tables of what there is

Each data set is one line of `benches/effects/coverage.jsonl`, a function of its cell and seed alone, so that
the study can be interrupted, continued, and spread over machines. What is cheap is there for every data set,
and what costs more (bootstraps, other outcome models, other packages) for the first `--others` of each cell.
Data sets whose arms are separated by the cluster covariate are refused by the estimators; they are counted
and left out.
"""

import argparse
import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from rfpcore._dask import on_workers, require_client

from ..jsonl import append, read
from .designs import CELLS, Cell, draw
from .methods import intervals
from .report import long_tables, short_table

HERE = Path(__file__).parent


class Job(NamedTuple):
    """What is asked of one data set."""

    cell: Cell
    seed: int
    wanted: frozenset[str] | None
    others: bool


def one(job: Job) -> dict[str, object]:
    """Every interval of one data set, as errors of the estimate and of the interval's ends."""
    data = draw(job.cell, job.seed)
    line: dict[str, object] = {"cell": job.cell.name, "seed": job.seed, "others": job.others}
    try:
        found = list(intervals(data, job.wanted, job.others))
    except ValueError as error:
        return line | {"refused": str(error)[:80]}
    rows = {i.name: [i.estimate - i.truth, i.low - i.truth, i.high - i.truth, i.seconds] for i in found}
    return line | {"rows": rows}


def jobs(
    cells: Sequence[Cell], draws: int, others: int, wanted: frozenset[str] | None, done: Sequence[dict]
) -> Iterator[Job]:
    """What is missing: a seed of every cell, then the next, so that a part of the study is a smaller one."""
    have = {(line["cell"], line["seed"]) for line in done}
    for seed in range(draws):
        for cell in cells:
            if (cell.name, seed) not in have:
                yield Job(cell, seed, wanted, seed < others)


def run(path: Path, todo: Sequence[Job], workers: int, scheduler: str | None = None) -> None:
    """Do what is missing, here or on the workers of a Dask cluster, and append it."""
    number = itertools.count(1)

    def done(_: int, line: dict[str, object]) -> None:
        append(path, [line])
        if (count := next(number)) % 100 == 0:
            print(f"{count} of {len(todo)}", flush=True)

    if scheduler is not None:
        from distributed import Client

        with Client(scheduler) as client:
            on_workers(require_client(client), _one_of_all, None, todo, done)
        return
    with ProcessPoolExecutor(workers) as pool:
        for future in as_completed([pool.submit(one, job) for job in todo]):
            done(0, future.result())


def _one_of_all(_: None, job: Job) -> dict[str, object]:
    return one(job)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=500, help="data sets a cell (default 500)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--scheduler", help="address of a Dask scheduler, whose workers can import benches")
    parser.add_argument("--cells", nargs="*", help="names or beginnings of names; default all")
    parser.add_argument("--others", type=int, default=100, help="data sets a cell for costly rivals")
    parser.add_argument("--estimators", nargs="*", help="names as in methods.py; default all")
    parser.add_argument("--output", type=Path, default=HERE / "coverage.jsonl")
    parser.add_argument("--report", action="store_true", help="only print the table of what there is")
    options = parser.parse_args(arguments)
    cells = [c for c in CELLS if not options.cells or any(c.name.startswith(n) for n in options.cells)]
    if not cells:
        parser.error(f"no cell begins with {options.cells}; there are {', '.join(c.name for c in CELLS)}")
    if not options.report:
        wanted = frozenset(options.estimators) if options.estimators else None
        todo = list(jobs(cells, options.draws, options.others, wanted, read(options.output)))
        run(options.output, todo, options.workers, options.scheduler)
    lines = read(options.output)
    print(short_table(lines))
    print(long_tables(lines))


if __name__ == "__main__":
    main()
