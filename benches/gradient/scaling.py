"""How time and memory grow: clusters, rows a cluster, width, depth, inner steps, threads. rfpcore alone.

Each point has a process of its own. Writes scaling.png, which docs/cost-model.md shows too, and its section
of RESULTS.md.
"""

import argparse
import shutil
from collections.abc import Iterator
from typing import Any

from .. import figures, report, results
from ..peers import Contestant, cores, window
from .workloads import B, D, Workload

SMALL = Workload("clusters", 1, 5, 4, (16, 16), 1)
"""Of this there are up to a million."""


def clusters(quick: bool) -> Iterator[tuple[int, Workload]]:
    for power in range(2, 5 if quick else 7):
        yield 10**power, SMALL.with_(clusters=10**power)


def rows(quick: bool) -> Iterator[tuple[int, Workload]]:
    """The same number of rows in ever larger clusters, up to a single one."""
    total = 10_000 if quick else 100_000
    for n in (1, 3, 10, 30, 100, 1000, 10_000, 100_000):
        if n <= total:
            yield n, D.with_(name="rows", clusters=total // n, rows=n)


def widths(quick: bool) -> Iterator[tuple[int, Workload]]:
    for power in range(3, 8 if quick else 11):
        yield 2**power, D.with_(name="width", hidden=(2**power, 2**power))


def depths(quick: bool) -> Iterator[tuple[int, Workload]]:
    for n in range(1, 9):
        yield n, D.with_(name="depth", hidden=(64,) * n)


def inner_steps(quick: bool) -> Iterator[tuple[int, Workload]]:
    for k in (1, 3, 10, 30, 100, 300, 1000):
        if k <= (100 if quick else 1000):
            yield k, D.with_(name="k", clusters=50, rows=25, steps=k)


def threads(quick: bool) -> Iterator[tuple[int, Workload]]:
    """All powers of two, and all cores."""
    every = cores()
    for n in sorted({*(2**p for p in range(every.bit_length()) if 2**p <= every), every}):
        yield n, B


# Panel: its points, what the horizontal axis counts, and the fixed part in words.
PANELS: dict[str, tuple[Any, str, str]] = {
    "clusters": (clusters, "clusters", "5 rows each, d 4, 16-16, k 1"),
    "rows": (rows, "rows a cluster", "100,000 rows in all, d 10, 64-64, k 1"),
    "width": (widths, "width of both hidden layers", "200 × 50 rows, d 10, k 1"),
    "depth": (depths, "hidden layers", "200 × 50 rows, d 10, width 64, k 1"),
    "k": (inner_steps, "inner steps k", "50 × 25 rows, d 10, 64-64"),
    "threads": (threads, "threads", f"workload B: {B.shape}"),
}


def measure(panel: str, quick: bool) -> list[dict[str, Any]]:
    points, _, _ = PANELS[panel]
    measured = []
    for at, work in points(quick):
        count = at if panel == "threads" else cores()
        contestant = Contestant("rfpcore", work, "float32", count, extra={"forget_peak": True})
        print(f"{panel} {at}", flush=True)
        [found] = window([contestant], 2 if quick else 5, 0.05 if quick else 0.3)
        measured.append(found | {"at": at, "clusters": work.clusters, **sizes(work)})
    return measured


def sizes(work: Workload) -> dict[str, float]:
    """Rows, and the megabytes of X and y."""
    n = int(work.sizes().sum())
    return {"n_rows": n, "data_mb": 4 * n * (work.n_inputs + 1) / 2**20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short, into target/bench-quick")
    parser.add_argument("--only", choices=list(PANELS), nargs="*", help="panels; the rest stays")
    options = parser.parse_args()
    place = results.folder(options.quick)
    known = results.load(place).get("scaling", {}).get("found", {})
    found = known | {panel: measure(panel, options.quick) for panel in options.only or PANELS}
    results.save(place, "scaling", found, quick=options.quick)
    words = {name: (axis, what) for name, (_, axis, what) in PANELS.items()}
    figures.scaling(found, words, place / "scaling.png")
    if not options.quick:
        shutil.copy(place / "scaling.png", results.HERE.parent / "docs" / "scaling.png")
    report.write(place)


if __name__ == "__main__":
    main()
