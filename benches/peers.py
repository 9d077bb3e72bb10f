"""Peers' processes, and windows in which they take turns."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from .gradient.workloads import Workload
from .peak import Peak

ROOT = Path(__file__).parents[1]
MODULES = {peer: f"benches.gradient.peer_{peer}" for peer in ("rfpcore", "jax", "torch")}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PJRT_NPROC", "NPROC")
TOLERANCE = {"float32": 1e-3, "float64": 1e-9}
PAUSE = 0.02  # seconds, in which the last peer's threads go to sleep


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class PeerError(Exception):
    """A peer failed, died or did not answer in time."""


@dataclass(frozen=True)
class Contestant:
    """What one process measures: `form` says how a peer does it, `isa` forces an instruction set."""

    peer: str
    workload: Workload | None
    dtype: str
    threads: int
    form: str = ""
    isa: str = ""
    module: str = ""
    extra: dict[str, Any] = field(default_factory=dict, hash=False)
    tolerance: float | None = 0.0
    """Of the relative difference from the first contestant's gradient; 0: the dtype's, None: any."""

    @property
    def name(self) -> str:
        return " ".join(word for word in (self.peer, self.form, self.isa, f"{self.threads}t") if word)

    def environment(self) -> dict[str, str]:
        """Threads, for libraries that read them when they are loaded; no caches of compiled code."""
        own = dict.fromkeys(THREAD_VARIABLES, str(self.threads))
        own |= {"JAX_PLATFORMS": "cpu", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}
        return os.environ | own | ({"RFPCORE_ISA": self.isa} if self.isa else {})

    def request(self) -> dict[str, Any]:
        request = {"op": "setup", "dtype": self.dtype, "threads": self.threads, "form": self.form}
        work = {"workload": self.workload.as_json()} if self.workload else {}
        return request | work | self.extra


class Peer:
    """One contestant's process."""

    def __init__(self, contestant: Contestant, timeout: float = 600.0) -> None:
        self.timeout = timeout
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed with the process
        self.process = subprocess.Popen(
            [sys.executable, "-m", contestant.module or MODULES[contestant.peer]],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=contestant.environment(),
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request, wait for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        alarm = threading.Timer(self.timeout, self.process.kill)
        alarm.start()
        began = time.monotonic()
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            alarm.cancel()
        if not line:
            late = time.monotonic() - began >= self.timeout
            raise PeerError(f"no answer in {self.timeout:.0f} s" if late else self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer

    def _last_words(self) -> str:
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return f"the process ended: {lines[-1] if lines else 'nothing on stderr'}"

    def close(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died already
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.errors.close()


class Entry:
    """A contestant within a window: its process and what has been measured so far."""

    def __init__(self, contestant: Contestant) -> None:
        self.contestant, self.peer = contestant, Peer(contestant)
        self.checksum = np.empty(0)
        self.rounds: list[float] = []
        self.times: list[float] = []
        self.cores: list[float] = []
        self.cpu: list[float] = []
        told = ("name", "peer", "form", "threads", "isa", "dtype")
        self.found: dict[str, Any] = {key: getattr(contestant, key) for key in told}
        if contestant.workload:
            self.found |= {"workload": contestant.workload.name, "gflop": contestant.workload.flops() / 1e9}

    def attempt(self, what: str, *arguments: Any) -> None:
        """Run a method of this entry; a failure ends its part, not the window."""
        if "error" not in self.found:
            try:
                getattr(self, what)(*arguments)
            except PeerError as error:
                self.found["error"] = str(error)

    def setup(self) -> None:
        answer = self.peer.ask(**self.contestant.request())
        self.checksum = np.array(answer.pop("checksum"))
        self.found |= answer

    def compare(self, reference: "Entry") -> None:
        """The gradient's relative difference from the reference's, estimated from the checksums."""
        if not len(reference.checksum):
            raise PeerError("there is no reference to compare with")
        scale = np.sqrt(np.mean(reference.checksum**2))
        difference = float(np.sqrt(np.mean((self.checksum - reference.checksum) ** 2)) / scale)
        self.found["difference"] = difference
        if not difference <= (self.contestant.tolerance or TOLERANCE[self.contestant.dtype]):
            raise PeerError(f"another gradient: relative difference {difference:.1e}")

    def round(self, seconds: float) -> None:
        answer = self.peer.ask(op="round", seconds=seconds)
        self.times += answer["ms"]
        self.rounds.append(median(answer["ms"]))
        self.cores.append(answer["cores"])
        self.cpu.append(answer["cpu_ms"])
        time.sleep(PAUSE)

    def finish(self) -> None:
        self.found |= self.peer.ask(op="memory")
        self.found |= {"ms": median(self.times), "min_ms": min(self.times), "max_ms": max(self.times)}
        self.found |= {"rounds": self.rounds, "cores": median(self.cores), "cpu_ms": median(self.cpu)}


def window(
    contestants: Sequence[Contestant], rounds: int, seconds: float, peaks: Sequence[Peak] = ()
) -> list[dict[str, Any]]:
    """All contestants and the machine's FMA peaks by turns; what was measured of each.

    The first contestant is the one whose gradient the others' are compared with, if their workload and dtype
    are the same. A contestant's share of peak is that of its own dtype, threads and instruction set, in the
    same window.
    """
    entries = []
    for contestant in contestants:
        entries.append(Entry(contestant))
        entries[-1].attempt("setup")
        print(f"    {contestant.name}: {_first_words(entries[-1].found)}", flush=True)
    first = entries[0]
    for entry in entries:
        one = entry.contestant
        same = (one.workload, one.dtype) == (first.contestant.workload, first.contestant.dtype)
        if same and one.tolerance is not None:
            entry.attempt("compare", first)
    for turn in range(rounds):
        for at in range(len(entries)):
            entries[(at + turn) % len(entries)].attempt("round", seconds)
        for peak in peaks:
            peak.round(min(seconds, 0.05))
    for entry in entries:
        entry.attempt("finish")
        entry.peer.close()
    return [entry.found | _rates(entry.found, peaks) for entry in entries]


def _first_words(found: dict[str, Any]) -> str:
    return found.get("error") or f"first call {found['first_ms']:.0f} ms"


def _rates(found: dict[str, Any], peaks: Sequence[Peak]) -> dict[str, float]:
    if "ms" not in found or "gflop" not in found:
        return {}
    rates = {"gflops": found["gflop"] / found["ms"] * 1e3}
    for peak in peaks:
        if peak.suits(found):
            rates |= {"peak_gflops": peak.gflops, "share": rates["gflops"] / peak.gflops}
    return rates


def ratio(other: dict[str, Any], own: dict[str, Any]) -> float:
    """How many times longer the other takes: the median over rounds of the ratio within a round."""
    pairs = zip(other["rounds"], own["rounds"], strict=True)
    return median(theirs / ours for theirs, ours in pairs)
