"""How often intervals for the effect of a cluster-level policy cover it, nominally 95 %.

    python benches/effect_coverage.py --draws 500 --workers 2           # goes on where it was interrupted
    python benches/effect_coverage.py --report                          # the table of what there is

Each data set is one line of `benches/effect_coverage.jsonl`, a function of its cell and seed alone, so that
the study can be interrupted, continued, and spread over machines. Data sets whose arms are separated by the
cluster covariate are refused by the estimators; they are counted and left out.
"""

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from effect_designs import CELLS, Cell, draw
from effect_methods import intervals

HERE = Path(__file__).parent


def one(cell: Cell, seed: int, wanted: set[str] | None, peers: bool) -> dict[str, object]:
    """Every interval of one data set, as errors of the estimate and of the interval's ends."""
    data = draw(cell, seed)
    line: dict[str, object] = {"cell": cell.name, "seed": seed}
    try:
        found = list(intervals(data, wanted, peers))
    except ValueError as error:
        return line | {"refused": str(error)[:80]}
    rows = {name: [e - data.truth, low - data.truth, high - data.truth, s] for name, e, low, high, s in found}
    return line | {"rows": rows}


def read(path: Path) -> list[dict]:
    """The lines there are; the last may be cut off by an interruption."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


def jobs(cells: Sequence[Cell], draws: int, done: Sequence[dict]) -> Iterator[tuple[Cell, int]]:
    """What is missing: a seed of every cell, then the next, so that a part of the study is a smaller one."""
    have = {(line["cell"], line["seed"]) for line in done}
    for seed in range(draws):
        for cell in cells:
            if (cell.name, seed) not in have:
                yield cell, seed


def run(
    path: Path, cells: Sequence[Cell], draws: int, workers: int, wanted: set[str] | None, peers: bool
) -> None:
    """Do what is missing and append it."""
    todo = list(jobs(cells, draws, read(path)))
    with path.open("a") as file, ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(one, cell, seed, wanted, peers) for cell, seed in todo]
        for count, future in enumerate(as_completed(futures), 1):
            file.write(json.dumps(future.result()) + "\n")
            file.flush()
            if count % 100 == 0:
                print(f"{count} of {len(todo)}", flush=True)


def table(lines: Sequence[dict]) -> str:
    """Coverage with its Monte-Carlo error, length, bias, RMSE and time of each cell and interval."""
    cells = defaultdict(lambda: defaultdict(list))
    refused: dict[str, int] = defaultdict(int)
    for line in lines:
        refused[line["cell"]] += "refused" in line
        for name, row in line.get("rows", {}).items():
            cells[line["cell"]][name].append(row)
    parts = []
    for cell in (c.name for c in CELLS if c.name in cells):
        n = max(len(rows) for rows in cells[cell].values())
        parts.append(f"\n### {cell}: {n} data sets, {refused[cell]} refused\n")
        parts.append(
            "| interval | coverage | mean length | bias | RMSE | ms |\n| --- | --- | --- | --- | --- | --- |"
        )
        for name, rows in cells[cell].items():
            error, low, high, seconds = np.array(rows).T
            covered = np.mean((low <= 0) & (high >= 0))
            spread = 100 * np.sqrt(max(covered * (1 - covered), 1e-4) / len(rows))
            length = f"{np.mean(high - low):.2f} (median {np.median(high - low):.2f})"
            numbers = (
                f"{error.mean():+.3f} | {np.sqrt(np.mean(error**2)):.3f} | {1e3 * np.median(seconds):.0f}"
            )
            parts.append(f"| {name} | {100 * covered:.1f} ± {spread:.1f} | {length} | {numbers} |")
    return "\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=500, help="data sets a cell (default 500)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--cells", nargs="*", help="names or beginnings of names; default all")
    parser.add_argument("--estimators", nargs="*", help="RFP, MLP, trees, linear, OLS, DoubleML; default all")
    parser.add_argument("--peers", action="store_true", help="DoubleML too, where it is installed")
    parser.add_argument("--output", type=Path, default=HERE / "effect_coverage.jsonl")
    parser.add_argument("--report", action="store_true", help="only print the table of what there is")
    options = parser.parse_args(arguments)
    cells = [c for c in CELLS if not options.cells or any(c.name.startswith(n) for n in options.cells)]
    if not cells:
        parser.error(f"no cell begins with {options.cells}; there are {', '.join(c.name for c in CELLS)}")
    if not options.report:
        wanted = set(options.estimators) if options.estimators else None
        run(options.output, cells, options.draws, options.workers, wanted, options.peers)
    print(table(read(options.output)))


if __name__ == "__main__":
    main()
