"""The FMA peak: the Rust program of `benches/kernel` that measures it, asked once a round."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]


def build() -> Path | None:
    """The program, compiled; None without a Rust toolchain."""
    if shutil.which("cargo") is None:
        print("no cargo: the FMA peak is not measured")
        return None
    command = "cargo build --release --package rfp-benches --bin peak --message-format json"
    built = subprocess.run(command.split(), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    artifacts = (json.loads(line) for line in built.stdout.splitlines())
    return Path(next(a["executable"] for a in artifacts if a.get("executable")))


class Peak:
    """One peak, of an instruction set, element type and number of threads, in GFLOP/s."""

    def __init__(self, program: Path, isa: str, dtype: str, threads: int, forced: bool = False) -> None:
        self.program, self.isa, self.dtype, self.threads, self.forced = program, isa, dtype, threads, forced
        self.rates: list[float] = []

    def round(self, seconds: float) -> None:
        self.rates.append(measure(self.program, seconds, self.isa, self.dtype, self.threads)[0]["gflops"])

    @property
    def gflops(self) -> float:
        return median(self.rates)

    def suits(self, found: dict[str, Any]) -> bool:
        """Whether it is the ceiling of what was measured: of the set it was forced to, or of the widest."""
        isa = found["isa"] == self.isa if self.forced else not found["isa"]
        return isa and (found["dtype"], found["threads"]) == (self.dtype, self.threads)


def measure(program: Path, seconds: float, *choice: Any) -> list[dict[str, Any]]:
    """Peaks of the chosen (isa, dtype, threads), or all."""
    command = [str(program), str(seconds), *map(str, choice)]
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def sets(program: Path | None) -> list[str]:
    """The instruction sets of this machine, the widest first."""
    return [found["isa"] for found in measure(program, 0.001, "any", "float32", 1)] if program else []


def peaks(
    program: Path | None, dtypes: Sequence[str], threads: Sequence[int], forced: Sequence[str] = ()
) -> list[Peak]:
    """Those of the widest instruction set, and of the sets that are forced."""
    known = sets(program)
    chosen = [(isa, False) for isa in known[:1]] + [(isa, True) for isa in forced if isa in known]
    return [
        Peak(program, isa, dtype, n, force)
        for isa, force in chosen
        for dtype in dtypes
        for n in threads
        if program
    ]
