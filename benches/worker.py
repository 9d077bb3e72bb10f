"""The loop of a peer's own process: JSON requests on stdin, one line of JSON each as the answer.

    {"op": "setup", ...}                 build, call once -> first_ms, value, checksum, idle_mb
    {"op": "round", "seconds": 0.2}      call until the time is up -> ms of each, processor time
    {"op": "repeat", "times": 100}       so many calls -> ms of all, and the last one's value and vector
    {"op": "forget"}                     let the peak memory start again from now
    {"op": "memory"}                     -> peak_mb

Every peer has a process of its own, because the thread pools of several in one wake each other up. It stays
alive between rounds, so that peers can take turns within one window of the machine's mood.
"""

import contextlib
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[], Any]
"""One call; what it returns is ready, not a promise."""
Result = Callable[[Any], tuple[float, np.ndarray]]
"""Value and flat gradient (or parameters) of what a call returned."""
Build = Callable[[dict[str, Any]], tuple[Run, Result]]

PROJECTIONS = 16


def checksum(vector: np.ndarray) -> list[float]:
    """Random projections: the mean square of those of a difference estimates its squared length."""
    random = np.random.default_rng(2)
    vector = np.asarray(vector, np.float64).ravel()
    return [float(random.standard_normal(len(vector)) @ vector) for _ in range(PROJECTIONS)]


def resident_mb(field: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process; the peak everywhere where there is no /proc."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith(field))
        return int(line.split()[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def forget_peak() -> None:
    """Let VmHWM start again from what is resident now, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


class Worker:
    """What one process measures."""

    def __init__(self, build: Build) -> None:
        self.build = build
        self.idle_mb = resident_mb("VmRSS")
        self.last = 0.0
        self.run: Run
        self.result: Result

    def setup(self, request: dict[str, Any]) -> dict[str, Any]:
        self.run, self.result = self.build(request)
        before_mb = resident_mb("VmRSS")
        if request.get("forget_peak"):
            forget_peak()
        first = self._call()
        value, gradient = self.result(self.run())
        return {
            "first_ms": 1e3 * first,
            "value": value,
            "checksum": checksum(gradient),
            "idle_mb": self.idle_mb,
            "before_mb": before_mb,
        }

    def round(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.last < 0.5:
            self._call()  # the caches and threads went cold during the others' turns
        times: list[float] = []
        began, cpu = time.perf_counter(), time.process_time()
        while not times or time.perf_counter() - began < request["seconds"]:
            times.append(1e3 * self._call())
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        return {"ms": times, "cores": cpu / wall, "cpu_ms": 1e3 * cpu / len(times)}

    def repeat(self, request: dict[str, Any]) -> dict[str, Any]:
        began = time.perf_counter()
        for _ in range(request["times"]):
            found = self.run()
        seconds = time.perf_counter() - began
        value, vector = self.result(found)
        return {"ms": 1e3 * seconds, "value": value, "vector": vector.tolist()}

    def forget(self, request: dict[str, Any]) -> dict[str, Any]:
        forget_peak()
        return {}

    def memory(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"peak_mb": resident_mb("VmHWM"), "now_mb": resident_mb("VmRSS")}

    def _call(self) -> float:
        began = time.perf_counter()
        self.run()
        self.last = time.perf_counter() - began
        return self.last


def serve(build: Build) -> None:
    """Answer until stdin closes. What libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(build)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request["op"])(request)
        except Exception as error:  # the driver reports it, and the other peers go on
            traceback.print_exc()
            message = str(error).strip() or "no message"
            answer = {"error": f"{type(error).__name__}: {message.splitlines()[0]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
