"""Everything that `make bench` measures. Writes RESULTS.md, results.json and figures into results/VENDOR.

From the repository's root:

    python -m benches.run                     all of it
    python -m benches.run --quick             the same in short form, into target/bench-quick
    python -m benches.run --only A,B          these workloads, and nothing else
    python -m benches.run --peers rfpcore,jax
"""

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import peak, report, results
from .gradient.workloads import KINDS, WIDTHS, WORKLOADS, C, D, Workload, wide
from .peers import MODULES, Contestant, cores, window

OTHERS = ("gradient.small_calls", "gradient.scaling", "gradient.train", "many.fit_many", "cost")
STUDIES = ("clusters.run",)  # hours, so that only their short form is run from here


def contestants(work: Workload, dtype: str, peers: list[str], quick: bool) -> list[Contestant]:
    """Every peer in every form that a user would try, with one thread and with all."""
    every = cores()
    counts = [every] if quick or every == 1 else [every, 1]
    found = [Contestant("rfpcore", work, dtype, n) for n in counts]
    if "jax" in peers:
        forms = ["unrolled"] if quick else ["unrolled", "scan"]
        found += [Contestant("jax", work, dtype, n, form) for form in forms for n in counts]
    if "torch" in peers and work.rows is not None:
        found += [Contestant("torch", work, dtype, n, "eager") for n in counts]
        found += [] if quick else [Contestant("torch", work, dtype, every, "compile")]
    return found


def compare(options: argparse.Namespace, program: Path | None) -> None:
    """One window for each workload and dtype: all peers by turns."""
    every = cores()
    for name in options.only:
        for dtype in ["float32"] if options.quick else ["float32", "float64"]:
            print(f"{name}, {dtype}", flush=True)
            ceilings = peak.peaks(program, [dtype], sorted({1, every}))
            taking_part = contestants(WORKLOADS[name], dtype, options.peers, options.quick)
            run_window(options, f"{name} {dtype}", taking_part, ceilings)


def vary(options: argparse.Namespace, program: Path | None) -> None:
    """Rfpcore against itself: element type and instruction set, activations and losses, odd widths."""
    every = cores()
    plain = Contestant("rfpcore", C, "float32", every)
    forced = [replace(plain, isa=isa) for isa in peak.sets(program) if isa == "avx2"]
    ceilings = peak.peaks(program, ["float32", "float64"], [every], ["avx2"])
    run_window(options, "C kinds", [plain, replace(plain, dtype="float64"), *forced], ceilings)

    plain = replace(plain, workload=D)
    run_window(options, "D kinds", [plain, *(replace(plain, workload=kind) for kind in KINDS)], [])

    widths = sorted({*WIDTHS, *WIDTHS.values()})
    run_window(options, "D widths", [replace(plain, workload=wide(width)) for width in widths], [])


def run_window(
    options: argparse.Namespace, name: str, taking_part: list[Contestant], peaks: list[peak.Peak]
) -> None:
    rounds, seconds = (3, 0.05) if options.quick else (15, 0.25)
    print(f"  window {name}: {rounds} rounds", flush=True)
    found = window(taking_part, rounds, seconds, peaks)
    results.save(options.place, f"window {name}", found, quick=options.quick)
    for one in found:
        words = one.get("error") or f"{one['ms']:.3g} ms, {one['gflops']:.3g} GFLOP/s"
        share = f", {one['share']:.0%} of peak" if "share" in one else ""
        print(f"    {one['name']:24}{one['workload']:10}{words}{share}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short, into target/bench-quick")
    parser.add_argument(
        "--only", type=_list(WORKLOADS), help="workloads such as A,B; nothing else is measured"
    )
    parser.add_argument("--peers", type=_list(MODULES), default=list(MODULES), help="such as rfpcore,jax")
    options = parser.parse_args()
    options.all = options.only is None
    options.only = options.only or list(WORKLOADS)
    options.place = results.folder(options.quick)
    return options


def _list(known: Any) -> Any:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} not in {', '.join(known)}")
        return names

    return parse


def main() -> int:
    options = arguments()
    program = peak.build()
    compare(options, program)
    failed = []
    if options.all:
        vary(options, program)
        for module in [*OTHERS, *(STUDIES if options.quick else ())]:
            print(module, flush=True)
            command = [sys.executable, "-m", f"benches.{module}", *(["--quick"] if options.quick else [])]
            code = subprocess.run(command, cwd=results.HERE.parent).returncode
            failed += [f"{module} ended with code {code}"] if code else []
    everything = results.load(options.place)
    print(f"wrote {report.write(options.place)}, and results.json and figures beside it")
    wrong = report.failures(everything)
    for line in [*wrong, *failed]:
        print(line)
    return 1 if wrong or failed else 0


if __name__ == "__main__":
    sys.exit(main())
