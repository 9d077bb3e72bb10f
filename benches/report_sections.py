"""The sections of RESULTS.md that other scripts measure."""

from pathlib import Path
from typing import Any

from .results import number, table

Results = dict[str, Any]

TRAINING = """\
Sine: the regression of the MAML paper, 1-40-40-1, 10 rows adapt and 10 measure, 25 tasks a step, α = 0, Adam,
float32. Demo: the demo's first fold, all districts each step, 32-32, k 1, α = 0.5, Adam, float64. `functions`
builds `rfpcore.Clusters` of new tasks each step and has its Adam in NumPy; `trainer` is the loop that `fit`
drives, on a pool of tasks; JAX scans ten steps in one compiled call (districts in buckets by size); the torch
loop goes over tasks with autograd, as learn2learn does. Seconds to the end are a fresh process's, compilation
included, imports and data not; those of the torch loop are told from its steps. Except for `trainer` on sine,
which draws its own batches, all were checked to have the same parameters after twenty steps. New tasks' loss
says that all learn, not who learns better: at k 5 ten other orders of the tasks gave each form .32 to .60,
and rounding alone moves it by as much."""


def scaling(results: Results) -> str:
    found = results.get("scaling", {}).get("found")
    if not found:
        return ""
    rows = []
    for panel, points in found.items():
        for one in points:
            if "error" in one:
                rows.append([panel, f"{one['at']:,}", one["error"], *[""] * 5])
                continue
            each = 1e3 * one["ms"] / (one["clusters"] if panel == "clusters" else one["n_rows"])
            memory = [one["data_mb"], one["before_mb"] - one["idle_mb"], one["peak_mb"] - one["before_mb"]]
            cells = [number(one["ms"]), number(each), number(one["gflops"])]
            rows.append([panel, f"{one['at']:,}", *cells, *map(number, memory)])
    head = ["", "", "ms", "µs a cluster (clusters) or row", "GFLOP/s", "X and y, MB", "held before, MB"]
    text = (
        "rfpcore alone, float32, all cores, a process for each point. Memory is beyond an idle import: what "
        "the data hold before the first call, and what the calls add to it at most."
    )
    picture = "![scaling](scaling.png)"
    return f"## Scaling\n\n{text}\n\n{picture}\n\n" + table([*head, "calls add, MB"], rows)


def training(results: Results) -> str:
    found = results.get("training", {}).get("found")
    if not found:
        return ""
    rows = []
    for run, contestants in found.items():
        fastest = min((one["step_ms"] for one in contestants if "step_ms" in one), default=1.0)
        for one in contestants:
            if "error" in one:
                rows.append([run, one["name"], one["error"], "", "", ""])
                continue
            about = "about " if one["peer"] == "torch" else ""
            cells = [number(one["step_ms"]), f"{one['step_ms'] / fastest:.1f}"]
            seconds = f"{about}{number(one.get('seconds'))} ({one['steps']} steps)"
            rows.append([run, one["name"], *cells, seconds, number(one.get("held_out"))])
    head = ["", "peer, form, threads", "ms a step", "× the fastest", "seconds to the end", "new tasks' loss"]
    return f"## Training, end to end\n\n{TRAINING}\n\n" + table(head, rows)


def small(results: Results) -> str:
    found = results.get("small", {}).get("found")
    if not found:
        return ""
    rows = [
        [dtype, form, *(f"{times[key]:.2f}" for key in ("median", "min", "p90"))]
        for dtype, forms in found.items()
        for form, times in forms.items()
    ]
    text = "One cluster, 10 rows, 1-8-1, k 1, from Python with ready arrays, microseconds a call."
    return f"## Small calls\n\n{text}\n\n" + table(["", "", "median", "least", "90th percentile"], rows)


def gpu(results: Results) -> str:
    section = results.get("gpu")
    title = "## Cross-check on a GPU"
    if not section:
        return f"{title}\n\n**Not run**: there was no CUDA device. `python -m benches.gradient.gpu` runs it."
    rows = [
        [one["workload"], one["dtype"], f"{one['difference']:.0e}"]
        + [number(one[key]) for key in ("kernel_ms", "reference_ms", "gpu_peak_mb")]
        for one in section["found"]
    ]
    head = ["", "", "largest difference, relative", "kernel, CPU, ms", "torch, GPU, ms", "GPU peak, MB"]
    machine = section["machine"]
    text = (
        f"The kernel beside `rfpcore.torch_reference` (torch {machine['torch']}) on {section['device']}; "
        f"the CPU is that machine's, {machine['CPU']}. Differences are of an entry of the gradient, "
        "relative to the largest entry; medians of 30 calls, outputs on the device."
    )
    return f"{title}\n\n{text}\n\n" + table(head, rows)


def cost(results: Results) -> str:
    found = results.get("cost", {}).get("found")
    if not found:
        return ""
    rows = []
    for one in found:
        batch = f", {one['batch_size']} clusters a step" if one["batch_size"] else ""
        what = f"{one['name']}: {one['shape']}{batch}"
        seconds = [number(one[key]) for key in ("estimated", "measured")]
        rows.append([what, one["dtype"], one["threads"], one["steps"], *seconds, f"{one['ratio']:.2f}"])
    head = ["", "", "threads", "outer steps", "estimated, s", "measured, s", "ratio"]
    text = (
        "`rfpcore.cost.estimated_seconds` beside the outer loop itself, by turns: medians, and the median of "
        "the turns' ratios. What is asked for is within 30 %."
    )
    return f"## Cost model\n\n{text}\n\n" + table(head, rows)


def notes(path: Path) -> str:
    """What people have to say about the figures, such as the profile behind a target that was missed."""
    return path.read_text().strip() if path.exists() else ""
