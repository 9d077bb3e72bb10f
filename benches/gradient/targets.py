"""What rfpcore has set itself to show, and whether it did."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from ..peers import ratio
from ..results import number
from .workloads import KINDS, WIDTHS, WORKLOADS, wide

JAX = {"A": 4.0, "B": 10.0, "C": 4.5, "D": 6.0, "E": 8.0}
TORCH = {"A": 12.0, "B": 10.0, "C": 5.0, "D": 8.0}
SHARE = {"A": 0.70, "B": 0.70, "C": 0.80, "D": 0.75, "E": 0.70}
SPEED_UP, F64, AVX2_SHARE, KIND, ODD_WIDTH = 1.85, 0.85, 0.65, 1.25, 1.35
SMALL_CALL_US, RSS_MB, MILLION_MB = 5.0, 60.0, 150.0
# Training many networks: times another peer's form takes longer.
MANY = {
    "T1 × 16": {"jax": 4.0, "torch eager": 30.0, "sklearn": 20.0},
    "T1 × 1": {"jax": 4.0},
    "T2 × 16": {"jax": 2.0, "torch eager": 6.0},
}
SWEEP_MB = 200.0

Results = dict[str, Any]
Found = dict[str, Any]


class Target(NamedTuple):
    """One line of the table; `value` None: not measured."""

    what: str
    at_least: bool
    bound: float
    value: float | None
    unit: str = ""

    @property
    def reached(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def row(self) -> list[str]:
        verdict = {True: "yes", False: "**no**", None: "not measured"}[self.reached]
        sign = "≥" if self.at_least else "≤"
        return [self.what, f"{sign} {self._words(self.bound)}", self._words(self.value), verdict]

    def _words(self, value: float | None) -> str:
        if value is None:
            return "–"
        return f"{100 * value:.1f} %" if self.unit == "%" else f"{number(value)} {self.unit}"


def window(results: Results, name: str) -> list[Found]:
    """A window's contestants that were measured."""
    return [one for one in results.get(f"window {name}", {}).get("found", []) if "ms" in one]


def choose(found: list[Found], peer: str, **conditions: Any) -> Found | None:
    """The fastest of a peer's contestants."""
    conditions["peer"] = peer
    right = [one for one in found if all(one[key] == wanted for key, wanted in conditions.items())]
    return min(right, key=lambda one: one["ms"], default=None)


def all_threads(found: list[Found], **conditions: Any) -> Found | None:
    """Rfpcore on all cores."""
    most = max((f["threads"] for f in found), default=1)
    return choose(found, "rfpcore", threads=most, **conditions)


def targets(results: Results) -> list[Target]:
    rest = [*_against_itself(results), *_small(results), *_memory(results), *_many(results)]
    return [*_beside_peers(results), *rest]


def _beside_peers(results: Results) -> Iterator[Target]:
    # The bounds go back to times of eager vmap; against the faster form, often the compiled one, they are
    # stricter.
    torch = ("torch.func, its fastest form", TORCH, {"peer": "torch"})
    eager = ("torch.func eager", TORCH, {"peer": "torch", "form": "eager"})
    for words, needed, which in (("JAX's faster form", JAX, {"peer": "jax"}), torch, eager):
        for name, bound in needed.items():
            found = window(results, f"{name} float32")
            own, other = all_threads(found), choose(found, **which)
            value = ratio(other, own) if own and other else None
            yield Target(f"{name}: ratio to {words}", True, bound, value, "×")
    for name, bound in SHARE.items():
        own = all_threads(window(results, f"{name} float32")) or {}
        yield Target(f"{name}: share of the FMA peak", True, bound, own.get("share"), "%")


def _against_itself(results: Results) -> Iterator[Target]:
    for name in "BCDE":
        found = window(results, f"{name} float32")
        most, one = all_threads(found), choose(found, "rfpcore", threads=1)
        # A target for two threads; with more it says less.
        gain = ratio(one, most) if one and most and most["threads"] == 2 else None
        yield Target(f"{name}: speed-up of two threads", True, SPEED_UP, gain, "×")
    kinds = window(results, "C kinds")
    single, double = (all_threads(kinds, dtype=dtype, isa="") for dtype in ("float32", "float64"))
    value = 2 / ratio(double, single) if single and double else None
    yield Target("C: float64 rate over half the float32 rate", True, F64, value, "%")
    avx2 = all_threads(kinds, isa="avx2") or {}
    yield Target("C: AVX2 forced, share of the AVX2 peak", True, AVX2_SHARE, avx2.get("share"), "%")
    for window_name, what, base, bound in _variants():
        by_name = {one["workload"]: one for one in window(results, window_name)}
        both = what in by_name and base in by_name
        value = ratio(by_name[what], by_name[base]) if both else None
        yield Target(f"{what}: time over that of {base}", False, bound, value, "×")


def _variants() -> Iterator[tuple[str, str, str, float]]:
    yield from (("D kinds", kind.name, "D", KIND) for kind in KINDS)
    yield from (("D widths", wide(odd).name, wide(even).name, ODD_WIDTH) for odd, even in WIDTHS.items())


def _small(results: Results) -> Iterator[Target]:
    found = results.get("small", {}).get("found", {}).get("float32", {})
    value = found.get("rfpcore.value_and_grad", {}).get("median")
    yield Target("one cluster, 10 rows, 1-8-1, k 1, from Python", False, SMALL_CALL_US, value, "µs")


def _memory(results: Results) -> Iterator[Target]:
    for name in WORKLOADS:
        own = all_threads(window(results, f"{name} float32"))
        value = own["peak_mb"] - own["idle_mb"] if own else None
        yield Target(f"{name}: peak memory beyond an idle import", False, RSS_MB, value, "MB")
    points = results.get("scaling", {}).get("found", {}).get("clusters", [])
    million = next((p for p in points if p["at"] == 10**6 and "peak_mb" in p), None)
    value = million["peak_mb"] - million["idle_mb"] - million["data_mb"] if million else None
    what = "a million clusters: peak memory beyond an idle import and the data"
    yield Target(what, False, MILLION_MB, value, "MB")


def _many(results: Results) -> Iterator[Target]:
    section = results.get("many", {})
    for run, bounds in MANY.items():
        found = [one for one in section.get("found", {}).get(run, []) if "ms" in one]
        own = choose(found, "rfpcore")
        for other, bound in bounds.items():
            peer, _, form = other.partition(" ")
            theirs = choose([one for one in found if not form or one["form"] == form], peer)
            value = ratio(theirs, own) if own and theirs else None
            yield Target(f"{run} models, mini-batches: ratio to {other}", True, bound, value, "×")
    peak = section.get("sweep", {}).get("peak_mb")
    yield Target("a sweep of 1000 models of T1: peak memory", False, SWEEP_MB, peak, "MB")
