"""What has been measured, section by section, in `results.json`; RESULTS.md is written anew from all of it.

Each vendor of processors has a folder of its own (`results/amd`), for what is fast on one need not be on
another. So has a short run (--quick), so that it never replaces the figures of a full one.
"""

import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
VENDORS = HERE / "results"
QUICK = HERE.parent / "target" / "bench-quick"
PACKAGES = ("rfpcore", "numpy", "scikit-learn", "jax", "jaxlib", "torch")
LOAD = " ".join(f"{load:.1f}" for load in os.getloadavg())  # before anything is measured
FLAGS = ("avx", "avx2", "fma", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "asimd", "sve")


def folder(quick: bool) -> Path:
    place = QUICK if quick else VENDORS / vendor()
    place.mkdir(parents=True, exist_ok=True)
    return place


def load(place: Path) -> dict[str, Any]:
    path = place / "results.json"
    return json.loads(path.read_text()) if path.exists() else {}


def save(place: Path, section: str, found: Any, **with_it: Any) -> dict[str, Any]:
    """Replace one section, with the machine and the day it was measured on; all sections."""
    results = load(place)
    results[section] = {"found": found, "machine": machine(), **with_it}
    (place / "results.json").write_text(json.dumps(rounded(results), indent=1, ensure_ascii=False) + "\n")
    return results


def rounded(value: Any) -> Any:
    """Numbers to six digits: the rest is noise, and fills the file."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list | tuple) else value


def machine() -> dict[str, str]:
    """The machine as the system shows it, and the versions of what ran on it."""
    model, flags = _cpu()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {
        "CPU": f"{model}, {cores} cores",
        "instruction sets": " ".join(flag for flag in FLAGS if flag in flags),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()}, {platform.machine()}",
        "load before the run": LOAD,
        "day": time.strftime("%Y-%m-%d"),
        "commit": _says("git", "-C", str(HERE), "describe", "--always", "--dirty"),
        "Python": platform.python_version(),
        "rustc": _says("rustc", "--version").removeprefix("rustc "),
    }
    return found | {name: _version(name) for name in PACKAGES}


def vendor() -> str:
    """Who made the processor, in one word."""
    known = {"AuthenticAMD": "amd", "GenuineIntel": "intel"}
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "apple"
    return known.get(_fields().get("vendor_id", ""), platform.machine().lower())


def _fields() -> dict[str, str]:
    """What Linux says of its processor; nothing elsewhere."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _cpu() -> tuple[str, set[str]]:
    """Model name and feature flags."""
    fields = _fields()
    if not fields:
        return _says("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor(), set()
    name = fields.get("model name", platform.machine())
    about = [f"{key} {fields[key]}" for key in ("cpu family", "model") if key in fields]
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return f"{name} ({', '.join(about)})" if about else name, flags


def _says(*command: str) -> str:
    """What a program prints; nothing if it is not there."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def number(value: float | None, digits: int = 3) -> str:
    """Three digits that count, without exponents; a dash for what is not there."""
    if value is None:
        return "–"
    if value == 0 or abs(value) >= 10 ** (digits - 1):
        return f"{value:.0f}"
    return f"{value:.{digits}g}" if abs(value) >= 1e-3 else f"{value:.1e}"
