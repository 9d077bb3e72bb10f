"""Instructions of the kernel's passes, counted by callgrind and compared with those that are stored.

    python -m benches.instructions            fails where a pass takes 3 % more than instructions.json says
    python -m benches.instructions --write    stores what is counted now

Counts do not jitter, but they depend on the compiler: those of another one are not compared. Valgrind knows
no AVX-512, so the AVX2 and the portable code are counted, on x86-64.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
STORED = Path(__file__).parent / "instructions.json"
BUDGET = 0.03
SETS = {"avx2": None, "portable": ("outer A", "outer D")}
"""Instruction sets and the cases that are counted with each; None: all."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="store what is counted now")
    options = parser.parse_args()
    if missing := obstacle():
        print(f"instructions are not counted: {missing}")
        return 0
    stored = json.loads(STORED.read_text()) if STORED.exists() else {"rustc": None, "counts": {}}
    compiler = rustc()
    if not options.write and stored["rustc"] != compiler:
        print(
            f"instructions are not compared: those of {STORED.name} are of rustc {stored['rustc']}, this is "
            f"{compiler}; set RUSTUP_TOOLCHAIN to it, or store new ones with --write"
        )
        return 0
    counts = measure(build())
    print(report(counts, stored["counts"]))
    if options.write:
        STORED.write_text(json.dumps({"rustc": compiler, "counts": counts}, indent=1) + "\n")
        return 0
    return 1 if faults(counts, stored["counts"]) else 0


def obstacle() -> str:
    """What keeps this machine from counting; empty if nothing does."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return f"they are stored for x86-64, this is {platform.machine()}"
    for program, remedy in {"cargo": "install Rust", "valgrind": "it is a package of the system"}.items():
        if shutil.which(program) is None:
            return f"{program} is missing ({remedy})"
    return ""


def rustc() -> str:
    """The compiler's version, with the commit it was built from."""
    said = subprocess.run(["rustc", "--version"], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return said.stdout.strip().removeprefix("rustc ")


def build() -> Path:
    command = "cargo build --release --package rfp-benches --bin counted --message-format json"
    built = subprocess.run(command.split(), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    artifacts = (json.loads(line) for line in built.stdout.splitlines())
    return Path(next(a["executable"] for a in artifacts if a.get("executable")))


def measure(program: Path) -> dict[str, int]:
    """Instructions of one call, by case and instruction set."""
    said = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True)
    names = said.stdout.splitlines()
    cases = [(name, isa) for isa, only in SETS.items() for name in names if only is None or name in only]
    return {f"{name} {isa}": run(program, isa, name, 2) - run(program, isa, name, 1) for name, isa in cases}


def run(program: Path, isa: str, name: str, calls: int) -> int:
    """Instructions of a process that calls a case so many times."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, name, str(calls)]
    environment = {**os.environ, "RFPCORE_ISA": isa}
    said = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment)
    found = re.search(r"Collected : (\d+)", said.stderr)
    if said.returncode or found is None:
        raise SystemExit(f"callgrind failed on {name}, {isa}:\n{said.stderr}")
    return int(found[1])


def faults(counts: dict[str, int], stored: dict[str, int]) -> list[str]:
    """Cases over the budget, and those that only one side knows."""
    over = [case for case in counts if case in stored and counts[case] > (1 + BUDGET) * stored[case]]
    return over + sorted(counts.keys() ^ stored.keys())


def report(counts: dict[str, int], stored: dict[str, int]) -> str:
    """A line a case, and what to do."""
    lines = [f"{'instructions of a call':26}{'stored':>14}{'now':>14}"]
    for case in sorted(counts.keys() | stored.keys()):
        before, now = stored.get(case), counts.get(case)
        change = f"{now / before - 1:+9.2%}" if before and now else ""
        lines.append(f"{case:26}{before or '-':>14}{now or '-':>14}{change}")
    if wrong := faults(counts, stored):
        lines.append(f"over the budget of {BUDGET:.0%}, or not stored: {', '.join(wrong)}")
    if any(now < (1 - BUDGET) * stored.get(case, 0) for case, now in counts.items()):
        lines.append("some are fewer by more than the budget: store them, so that they stay so")
    if wrong or len(lines) > len(counts.keys() | stored.keys()) + 1:
        lines.append("what is meant to be so is stored by: python -m benches.instructions --write")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
