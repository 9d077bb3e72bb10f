"""RESULTS.md, written anew from everything in results.json."""

from pathlib import Path
from typing import Any

from . import figures
from .gradient.targets import Found, Results, choose, targets, window
from .gradient.workloads import ALPHA, ETA, WORKLOADS
from .many.report import many
from .peers import ratio
from .report_sections import cost, gpu, notes, scaling, small, training
from .results import HERE, QUICK, VENDORS, load, number, table

NAMES = {"jax": "JAX", "torch": "torch.func"}

HEAD = f"""\
# Results

Written by `make bench`; [README.md](../../README.md) says what is measured and how. One call is one outer
value and gradient, α = {ALPHA}, η = {ETA}, squared loss, tanh. GFLOP/s count the operations of the matrix
products; the FMA peak is what register-only multiply-adds reached in the same window. Medians; ratios are
medians over rounds of the ratio within a round. Of each peer the fastest of its forms and numbers of threads
counts."""

INDEX = """\
# Results

What rfpcore has set itself to show, by vendor of the processor; `make bench` measures those of the machine
it runs on. Behind each vendor's name are all its figures, with the machine and the versions that they were
measured with.
[README.md](README.md) says what is measured and how."""

SHORT = "**A short run: few rounds of few calls. It shows that the harness works, no more.**"


def write(place: Path) -> Path:
    results = load(place)
    parts = [HEAD, *_quick(results), _machine(results), _targets(results)]
    parts += [_compared(results, dtype) for dtype in ("float32", "float64")]
    parts += [_forms(results), _variants(results), scaling(results), training(results), many(results)]
    parts += [small(results), cost(results)]
    parts += [gpu(results), notes(place / "notes.md")]
    rows = best(results, "float32")
    if rows:
        figures.compared(rows, place / "results.png")
    path = place / "RESULTS.md"
    path.write_text("\n\n".join(part for part in parts if part) + "\n")
    if place != QUICK:
        (HERE / "RESULTS.md").write_text(_index())
    return path


def _index() -> str:
    """The targets of all vendors side by side."""
    vendors = {path.parent.name: load(path.parent) for path in sorted(VENDORS.glob("*/results.json"))}
    found = {name: [target.row() for target in targets(results)] for name, results in vendors.items()}
    head = ["all cores, float32", "needed", *(f"[{name}](results/{name}/RESULTS.md)" for name in found)]
    rows = []
    for lines in zip(*found.values(), strict=True):
        cells = [f"{value}{' (**missed**)' if verdict == '**no**' else ''}" for *_, value, verdict in lines]
        rows.append([*lines[0][:2], *cells])
    return INDEX + "\n\n" + table(head, rows) + "\n"


def best(results: Results, dtype: str) -> dict[str, dict[str, Found]]:
    """By workload: of each peer, the contestant that counts."""
    rows: dict[str, dict[str, Found]] = {}
    for name in WORKLOADS:
        found = window(results, f"{name} {dtype}")
        picked = {peer: choose(found, peer) for peer in ("rfpcore", "jax", "torch")}
        if found:
            rows[name] = {peer: one for peer, one in picked.items() if one}
    return rows


def failures(results: Results) -> list[str]:
    """What went wrong, a line each."""
    return [
        f"{section.removeprefix('window ')}, {one['name']}: {one['error']}"
        for section, content in results.items()
        if section.startswith("window ")
        for one in content["found"]
        if "error" in one
    ]


def _quick(results: Results) -> list[str]:
    if any(section.get("quick") for section in results.values()):
        return [SHORT]
    return []


def _machine(results: Results) -> str:
    """That of the last section measured, and what differs in others; a GPU's stands beside its figures."""
    machines = {name: section["machine"] for name, section in results.items() if name != "gpu"}
    if not machines:
        return ""
    last = max(machines.values(), key=lambda one: one["day"])
    differs = {
        key: sorted({one.get(key, "") for one in machines.values()})
        for key in last
        if key != "load before the run" and len({one.get(key) for one in machines.values()}) > 1
    }
    rows = [(key, " / ".join(differs.get(key, [value]))) for key, value in last.items()]
    return "## Machine and versions\n\n" + table(["", ""], rows)


def _targets(results: Results) -> str:
    head = ["all cores, float32", "needed", "found", "reached"]
    return "## Targets\n\n" + table(head, [target.row() for target in targets(results)])


def _compared(results: Results, dtype: str) -> str:
    """The kernel by threads, beside the best of each peer that had no more threads."""
    rows = []
    for name, work in WORKLOADS.items():
        found = window(results, f"{name} {dtype}")
        for own in sorted((f for f in found if f["peer"] == "rfpcore"), key=lambda f: f["threads"]):
            allowed = [f for f in found if f["threads"] <= own["threads"]]
            rows.append(_row(f"{name}: {work.shape}", own, allowed))
    if not rows:
        return ""
    head = ["workload", "threads", "ms (least – most)", "GFLOP/s", "FMA peak", "share"]
    head += ["JAX, ms", "× JAX", "torch.func, ms", "× torch.func"]
    figure = "\n\n![times and shares](results.png)" if dtype == "float32" else ""
    return f"## Beside the peers, {dtype}\n\n" + table(head, rows) + figure


def _row(name: str, own: Found, allowed: list[Found]) -> list[Any]:
    cells: list[Any] = [name, own["threads"]]
    cells.append(f"**{number(own['ms'])}** ({number(own['min_ms'])} – {number(own['max_ms'])})")
    share = f"{100 * own['share']:.0f} %" if "share" in own else "–"
    cells += [number(own["gflops"]), number(own.get("peak_gflops")), share]
    for peer in NAMES:
        other = choose(allowed, peer)
        cells += [number(other["ms"]), f"{ratio(other, own):.1f}"] if other else ["–", "–"]
    return cells


def _forms(results: Results) -> str:
    """Every contestant: time, first call, memory, agreement."""
    rows = []
    for name in WORKLOADS:
        for dtype in ("float32", "float64"):
            for one in results.get(f"window {name} {dtype}", {}).get("found", []):
                rows.append([name, dtype, one["name"], *_form(one)])
    if not rows:
        return ""
    head = ["", "", "peer, form, threads", "ms", "processor ms", "cores used", "first call, ms"]
    head += ["idle import, MB", "peak, MB", "peak beyond idle, MB", "gradient differs by"]
    text = (
        "The first call includes tracing and compilation where there is any. Peak memory is the process's, "
        "idle that after its imports. Gradients differ from rfpcore's by a relative Euclidean norm."
    )
    return f"## Every form, first calls, memory\n\n{text}\n\n" + table(head, rows)


def _form(one: Found) -> list[str]:
    if "error" in one:
        return [one["error"], *[""] * 7]
    difference = f"{one['difference']:.0e}" if one.get("difference") else "–"
    numbers = [one["first_ms"], one["idle_mb"], one["peak_mb"], one["peak_mb"] - one["idle_mb"]]
    times = [number(one["ms"]), number(one.get("cpu_ms")), f"{one['cores']:.1f}"]
    return [*times, *map(number, numbers), difference]


def _variants(results: Results) -> str:
    parts = []
    words = {
        "C kinds": "Element type and instruction set",
        "D kinds": "Activations and losses",
        "D widths": "Widths that are not multiples of the vector length",
    }
    for name, title in words.items():
        found = window(results, name)
        rows = []
        for one in found:
            share = f"{100 * one['share']:.0f} %" if "share" in one else "–"
            what = f"{one['workload']} {one['isa']}".strip()
            cells = [what, one["dtype"], number(one["ms"]), number(one["gflops"]), share]
            rows.append([*cells, f"{ratio(one, found[0]):.2f}"])
        if rows:
            head = ["", "", "ms", "GFLOP/s", "share of peak", "time over the first line's"]
            parts.append(f"### {title}\n\n" + table(head, rows))
    return "\n\n".join(["## Variants", *parts]) if parts else ""
