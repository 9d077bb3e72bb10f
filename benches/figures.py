"""The figures: times beside peers, share of the FMA peak, scaling."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

COLOURS = {"rfpcore": "#0072b2", "jax": "#d55e00", "torch": "#999999"}
NAMES = {"rfpcore": "rfpcore", "jax": "JAX, its fastest form", "torch": "torch.func, its fastest form"}


def compared(rows: dict[str, dict[str, dict[str, Any]]], path: Path) -> None:
    """Best of each peer by workload: milliseconds, and share of the FMA peak."""
    figure, (times, shares) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    width = 0.27
    for at, (peer, colour) in enumerate(COLOURS.items()):
        present = [(i, best[peer]) for i, best in enumerate(rows.values()) if peer in best]
        place = [i + (at - 1) * width for i, _ in present]
        bars = times.bar(place, [found["ms"] for _, found in present], width, color=colour)
        times.bar_label(bars, [f"{found['ms']:.3g}" for _, found in present], fontsize=7, padding=1)
        percent = [100 * found.get("share", 0) for _, found in present]
        shares.bar(place, percent, width, color=colour, label=NAMES[peer])
    times.set_yscale("log")
    times.margins(y=0.12)
    times.set_ylabel("milliseconds")
    times.set_title("One outer value and gradient, float32, all cores", loc="left", fontsize=10)
    shares.set(ylim=(0, 125), yticks=range(0, 101, 20), ylabel="% of the measured FMA peak")
    shares.set_title("Share of what the hardware can do", loc="left", fontsize=10)
    shares.legend(frameon=False, fontsize=8, loc="upper right", ncols=3)
    for axes in (times, shares):
        axes.set_xticks(range(len(rows)), list(rows))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=130)
    plt.close(figure)


UNITS = {
    "clusters": ("µs a cluster", lambda found: 1e3 * found["ms"] / found["at"]),
    "rows": ("µs a row", lambda found: 1e3 * found["ms"] / found["n_rows"]),
    "threads": ("speed-up", lambda found: 1 / found["ms"]),
}
RATE = ("GFLOP/s", lambda found: found["gflops"])


def scaling(found: dict[str, list[dict[str, Any]]], words: dict[str, tuple[str, str]], path: Path) -> None:
    """One log-log panel for each thing that grows."""
    figure, panels = plt.subplots(2, 3, figsize=(13, 7.5), layout="constrained")
    for axes, (name, (axis, what)) in zip(panels.flat, words.items(), strict=True):
        axes.set_title(what, loc="left", fontsize=9)
        points = [point for point in found.get(name, []) if "ms" in point]
        if points:
            panel(axes, name, axis, points)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def panel(axes: Axes, name: str, axis: str, points: list[dict[str, Any]]) -> None:
    unit, of = UNITS.get(name, RATE)
    at, values = [point["at"] for point in points], [of(point) for point in points]
    if name == "threads":
        values = [value / values[0] for value in values]
        axes.plot(at, at, ":", color="#999999")
    axes.loglog(at, values, "o-", color=COLOURS["rfpcore"], markersize=4)
    axes.set(xlabel=axis, ylabel=unit)
    few = len(at) <= 10 and at[-1] <= 200 * at[0]
    if few:
        axes.set_xticks(at, [str(value) for value in at])
        axes.xaxis.set_minor_formatter(NullFormatter())
    a_decade(axes, values)
    axes.grid(alpha=0.3, which="major" if few else "both")
    axes.spines["top"].set_visible(False)
    axes.spines["right"].set_visible(name == "clusters")
    if name == "clusters":
        memory = axes.twinx()
        beyond = [point["peak_mb"] - point["idle_mb"] for point in points]
        memory.loglog(at, beyond, "s--", color=COLOURS["jax"], markersize=4)
        memory.set_ylabel("MB beyond an idle import, data included", color=COLOURS["jax"])
        a_decade(memory, beyond)
        memory.spines["top"].set_visible(False)


def a_decade(axes: Axes, values: list[float]) -> None:
    """Show at least a factor of ten, or noise looks like a trend."""
    middle = (min(values) * max(values)) ** 0.5
    reach = max(1.2 * (max(values) / min(values)) ** 0.5, 10**0.5)
    axes.set_ylim(middle / reach, middle * reach)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
