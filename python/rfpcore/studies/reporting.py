"""One page on whether composing regularizers makes the curve monotone without tuning."""

import base64
import html
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import shown
from .._axes import pyplot
from .._options import file_path
from .composition import VALIDATED, Composition, Tolerance, Verdict
from .curves import Curve

__all__ = ["report"]

_ALPHA = 0.05
MODEL_DEPENDENT = ("L1", "L2")
STOPPING = "early stopping"


def report(
    folder: str | PathLike[str],
    composition: Composition,
    curve: Curve | None = None,
    tolerance: Composition | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write report.md, its figures, and report.html, which holds all of it.

    Each hypothesis of the proposal is put as a statement that can fail, with what was found, how sure it is,
    and what this scale cannot say.

    Parameters
    ----------
    folder : str or path
        Made where it is not there; files of earlier reports in it are replaced.
    composition : Composition
        Of `compose`, over all subsets. What a technique is, the hypotheses know by the names that
        `digits_techniques` gives: "L1" and "L2" are penalties of the model, "early stopping" stands apart.
    curve : Curve, optional
        Without regularization, for the first figure.
    tolerance : Composition, optional
        Of `compose` with factors that rise by a common step, for the fair test of tuning.
    notes : sequence of str
        Put at the end.

    Returns
    -------
    path : Path
        Of report.md.
    """
    if not isinstance(composition, Composition):
        raise TypeError(f"composition={shown(composition)} is no Composition; that of `compose` is needed")
    composition._require_all()
    place = file_path(folder, "folder")
    place.mkdir(parents=True, exist_ok=True)
    pages = _Pages(place)
    pages.text(f"# Double descent and composed regularizers: {composition.name}\n")
    if curve is not None:
        _first_curve(pages, curve)
    _hypotheses(pages, composition, tolerance)
    _counts(pages, composition)
    _best(pages, composition)
    _attributions(pages, composition)
    if tolerance is not None:
        _tolerances(pages, tolerance.tolerances())
    _not_said(pages, notes)
    return pages.close()


class _Pages:
    """The same text as Markdown and as HTML."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.markdown: list[str] = []
        self.html: list[str] = []

    def text(self, line: str) -> None:
        self.markdown.append(line)
        if line.startswith("#"):
            level = len(line) - len(line.lstrip("#"))
            self.html.append(f"<h{level}>{html.escape(line.strip('# '))}</h{level}>")
        else:
            self.html.append(f"<p>{html.escape(line)}</p>")

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        cells = [[str(cell) for cell in row] for row in rows]
        self.markdown += ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
        self.markdown += ["| " + " | ".join(row) + " |" for row in cells]
        self.markdown.append("")
        lines = [heads, *cells]
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in line) + "</tr>" for line in lines
        )
        self.html.append(f"<table>{body}</table>")

    def figure(self, name: str, draw: Callable[[Any], None], columns: int = 1) -> None:
        plt = pyplot("report")
        fig, axs = plt.subplots(1, columns, figsize=(5 * columns, 3.6), squeeze=False, layout="constrained")
        draw(axs[0] if columns > 1 else axs[0, 0])
        path = self.folder / f"{name}.png"
        fig.savefig(path, dpi=120)
        plt.close(fig)
        self.markdown.append(f"![{name}]({path.name})\n")
        data = base64.b64encode(path.read_bytes()).decode()
        self.html.append(f'<img alt="{name}" src="data:image/png;base64,{data}">')

    def close(self) -> Path:
        path = self.folder / "report.md"
        path.write_text("\n".join(self.markdown) + "\n", encoding="utf-8")
        style = (
            "body{max-width:60em;margin:auto;font-family:sans-serif}td{padding:.2em .6em}img{max-width:100%}"
        )
        page = f"<!doctype html><meta charset='utf-8'><style>{style}</style>" + "\n".join(self.html)
        (self.folder / "report.html").write_text(page, encoding="utf-8")
        return path


def _first_curve(pages: _Pages, curve: Curve) -> None:
    (rise, rise_error), (fall, fall_error) = curve.rise(), curve.fall()
    pages.text("## Without regularization\n")
    pages.text(
        f"The error rises by {rise:.3f} ({rise_error:.3f}) from the valley to the peak and falls by "
        f"{fall:.3f} ({fall_error:.3f}) to the largest network, standard errors over "
        f"{len(curve.test_errors)} seeds; "
        f"training errors are below 1 % from {curve.threshold:g} on.\n"
    )
    pages.figure("curve", curve.plot)


def _hypotheses(pages: _Pages, found: Composition, tolerance: Composition | None) -> None:
    pages.text("## The hypotheses\n")
    rows = [
        ("H1", "a model-dependent penalty alone, tuned, gives a monotone curve", _alone(found, True)),
        ("H2", "a data-dependent technique alone, tuned, does", _alone(found, False)),
        ("H2b", "a data-dependent technique alone, not tuned, does not", _untuned(found)),
        ("H3", "three or more techniques together are monotone without tuning", _together(found)),
        ("H4", "a composition is better than each of its members", _better(found)),
        ("H5", "each further technique helps less", _diminishing(found)),
        ("H6", "compositions have smaller norms, and those track the rise", _norms(found)),
    ]
    if tolerance is not None:
        rows.insert(
            4,
            (
                "H3′",
                "a composition bears a wider range of common strengths than its best member",
                _wider(tolerance),
            ),
        )
    pages.table(["", "statement", "found"], rows)


def _named(verdicts: Sequence[Verdict], names: Sequence[str]) -> Verdict | None:
    wanted = set(names)
    return next((one for one in verdicts if set(one.techniques) == wanted), None)


def _says(verdict: Verdict) -> str:
    edge = ", best strength at the edge of the grid" if verdict.at_edge else ""
    kind = "not monotone" if verdict.p_value <= _ALPHA else "not rejected"
    name = " + ".join(verdict.techniques) or "none"
    return f"{name} {kind} (p {verdict.p_value:.3f}, error {verdict.error:.3f}{edge})"


def _alone(found: Composition, model_dependent: bool) -> str:
    tuning = VALIDATED if VALIDATED in found.tunings else found.tunings[-1]
    verdicts = found.verdicts(tuning)
    names = [name for name in found.names if (name in MODEL_DEPENDENT) == model_dependent]
    several = [_named(verdicts, [name]) for name in names]
    return "; ".join(_says(one) for one in several if one is not None)


def _untuned(found: Composition) -> str:
    tuning = next(iter(found.factors))
    verdicts = found.verdicts(tuning)
    several = [_named(verdicts, [name]) for name in found.names if name not in MODEL_DEPENDENT]
    return f"{tuning}: " + "; ".join(_says(one) for one in several if one is not None)


def _together(found: Composition) -> str:
    parts = []
    for tuning in found.factors:
        for has, label in ((True, "with"), (False, "without")):
            several = [
                one
                for one in found.verdicts(tuning)
                if len(one.techniques) >= 3 and (STOPPING in one.techniques) == has
            ]
            bad = sum(one.p_value <= _ALPHA for one in several)
            holm = sum(one.p_holm <= _ALPHA for one in several)
            parts.append(
                f"{tuning}, {label} early stopping: {bad} of {len(several)} rejected ({holm} after Holm)"
            )
    return "; ".join(parts)


def _better(found: Composition) -> str:
    parts = []
    for tuning in found.tunings:
        last = {one.techniques: one for one in found.verdicts(tuning)}
        several = [names for names in last if len(names) >= 2]
        wins = [
            last[names].error < min(last[(name,)].error for name in names)
            for names in several
            if all((name,) in last for name in names)
        ]
        parts.append(f"{tuning}: {_share(wins)} at the largest width")
    return "; ".join(parts)


def _share(wins: Sequence[Any]) -> str:
    return f"{np.mean(wins):.0%} of {len(wins)}" if wins else "none of no"


def _diminishing(found: Composition) -> str:
    tuning = next(iter(found.factors))
    parts = []
    for has, label in ((True, "with"), (False, "without")):
        by_size: dict[int, list[float]] = {}
        for one in found.verdicts(tuning):
            if (STOPPING in one.techniques) == has:
                by_size.setdefault(len(one.techniques), []).append(one.error)
        means = " ".join(f"{np.mean(by_size[size]):.3f}" for size in sorted(by_size))
        parts.append(f"{tuning}, {label} early stopping, mean error by number of techniques: {means}")
    return "; ".join(parts)


def _norms(found: Composition) -> str:
    tuning = next(iter(found.factors))
    middle = int(found.widths[len(found.widths) // 2])
    at = len(found.widths) // 2
    jacobians = found.of("jacobian", tuning)[:, at].mean(axis=1)
    sizes = np.array([len(one) for one in found.subsets])
    means = " ".join(f"{np.exp(np.log(jacobians[sizes == k]).mean()):.1f}" for k in np.unique(sizes))
    tracks = ", ".join(f"{name} {value:+.2f}" for name, value in found.tracking(tuning, middle).items())
    return (
        f"{tuning}, width {middle}: geometric mean of the Jacobian's norm by number of techniques {means}; "
        f"Spearman's correlation with the rise: {tracks}"
    )


def _wider(found: Composition) -> str:
    several = found.tolerances()
    alone = {one.techniques[0]: one.octaves for one in several if len(one.techniques) == 1}
    wins = [
        one.octaves > max(alone[name] for name in one.techniques)
        for one in several
        if len(one.techniques) >= 2 and all(name in alone for name in one.techniques)
    ]
    longest = ", ".join(f"{name} {octaves:g}" for name, octaves in alone.items())
    return f"{_share(wins)} compositions; octaves of the single ones: {longest}"


def _counts(pages: _Pages, found: Composition) -> None:
    pages.text("## Compositions whose curve rises, by number of techniques\n")
    pages.text("Rejected at 5 %, and after Holm's correction over all compositions of a tuning.\n")
    sizes = sorted({len(one) for one in found.subsets})
    rows = []
    for tuning in found.tunings:
        for has, label in ((None, ""), (True, "with early stopping"), (False, "without")):
            several = [
                one for one in found.verdicts(tuning) if has is None or (STOPPING in one.techniques) == has
            ]
            cells = []
            for size in sizes:
                own = [one for one in several if len(one.techniques) == size]
                bad, holm = (sum(getattr(one, p) <= _ALPHA for one in own) for p in ("p_value", "p_holm"))
                cells.append(f"{bad}/{holm} of {len(own)}" if own else "")
            rows.append([f"{tuning} {label}".strip(), *cells])
    pages.table(["", *map(str, sizes)], rows)

    def draw(axs: Any) -> None:
        for ax, tuning in zip(np.ravel(axs), found.tunings, strict=True):
            errors = found.of("test_error", tuning).mean(axis=2)
            for size, colour in zip(sizes, _shades(len(sizes)), strict=True):
                chosen = [len(one) == size for one in found.subsets]
                ax.plot(found.widths, errors[chosen].mean(axis=0), "o-", ms=3, color=colour, label=str(size))
            ax.set(xscale="log", title=tuning, xlabel="width", ylabel="mean test error")
        np.ravel(axs)[0].legend(title="techniques", frameon=False, fontsize=7)

    pages.figure("curves", draw, len(found.tunings))


def _shades(count: int) -> list[Any]:
    import matplotlib

    scale = matplotlib.colormaps["viridis_r"]
    return [scale(0.05 + 0.9 * i / max(count - 1, 1)) for i in range(count)]


def _best(pages: _Pages, found: Composition) -> None:
    pages.text("## The ten best compositions\n")
    every = [one for tuning in found.tunings for one in found.verdicts(tuning)]
    rows = [
        [
            " + ".join(one.techniques) or "none", one.tuning, f"{one.error:.4f} ({one.error_std_error:.4f})",
            f"{one.rise:+.3f} ({one.rise_std_error:.3f})", f"{one.p_value:.3f}",
        ]
        for one in sorted(every, key=lambda one: one.error)[:10]
    ]  # fmt: skip
    pages.table(["techniques", "tuning", "error at the largest width", "cross-fitted rise", "p"], rows)


def _attributions(pages: _Pages, found: Composition) -> None:
    tuning = next(iter(found.factors))
    base = found.curves([], tuning).mean(axis=0)
    valley = int(np.argmin(base[: len(base) // 2 + 1]))
    peak = valley + int(np.argmax(base[valley:]))
    low, high, last = (int(found.widths[i]) for i in (valley, peak, -1))
    pages.text("## What each technique does\n")
    pages.text(
        f"Shapley values at {tuning} strength, with standard errors over seeds: of the height of the peak, "
        f"error at {high} minus at {low} (widths of the curve without regularization), and of the "
        f"error at {last}.\n"
    )
    height, last_error = found.attribution(tuning, low, high), found.attribution(tuning, last)
    rows = [
        [name, *(f"{s.values[i]:+.4f} ({s.std_errors[i]:.4f})" for s in (height[0], last_error[0]))]
        for i, name in enumerate(found.names)
    ]
    pages.table(["technique", "height of the peak", f"error at {last}"], rows)
    shares = " ".join(f"{share:.0%}" for share in height[1].shares_by_order[:3])
    pages.text(
        "Shares of the variance of the height by order of interaction (main effects, pairs, triples): "
        f"{shares}.\n"
    )


def _tolerances(pages: _Pages, several: Sequence[Tolerance]) -> None:
    pages.text("## How far the common strength may be off\n")
    pages.text(
        "All strengths of a composition times c: octaves of c on which the curve is monotone and the "
        "error at "
        "the largest width within a point of the composition's best.\n"
    )
    rows = [
        [
            " + ".join(one.techniques) or "none",
            f"{one.octaves:g}",
            f"{one.best_error:.3f}",
            f"{one.best_factor:g}" + (", the grid's end" if one.at_edge else ""),
        ]
        for one in sorted(several, key=lambda one: (len(one.techniques), -one.octaves))
    ]
    pages.table(["techniques", "octaves", "best error", "at c"], rows)


def _not_said(pages: _Pages, notes: Sequence[str]) -> None:
    pages.text("## What this does not say\n")
    for line in (
        "Small fully connected networks on small images: nothing here speaks of convolutions, "
        "attention, or large data.",
        "A high p is no proof of a monotone curve, and a curve may be monotone because nothing is learned: "
        "the error stands beside every verdict.",
        "More techniques at fixed strengths are more regularization in sum; the table of common strengths is "
        "the fair comparison.",
        *notes,
    ):
        pages.text(f"- {line}")
