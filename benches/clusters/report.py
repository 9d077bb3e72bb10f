"""Tables of the lines of `run.py`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .designs import DESIGNS
from .methods import METHODS
from .real import SETS

Line = dict[str, Any]
Errors = dict[str, dict[str, dict[int, float]]]  # by name, method and seed

MEASURES = {
    "population": "Population function, all x of new clusters",
    "tail": "Population function, tails",
    "known": "Known clusters, new rows",
    "new": "New clusters after 5 labelled rows",
}
INTERVALS = {
    "band": "95 % band of E[f]",
    "new rows": "95 % intervals of outcomes in new clusters",
    "known rows": "95 % intervals of outcomes in known clusters",
}
SCORES = {
    "r2_new": "R², clusters never seen",
    "r2_half": "R², clusters never seen, half of the rows labelled",
}


class Ratio(NamedTuple):
    """Geometric mean over draws of a ratio of errors, its standard error, and how many draws."""

    value: float
    error: float
    draws: int

    @property
    def outcome(self) -> int:
        """1 if better by more than two standard errors, −1 if worse, 0 between."""
        z = np.log(self.value) / max(self.error / self.value, 1e-12)
        return int(np.sign(-z)) if abs(z) > 2 else 0


def tables(lines: Sequence[Line], reference: str = "mlp") -> str:
    """Everything that can be said of the lines, as Markdown."""
    parts = [failures(lines)]
    for measure, title in MEASURES.items():
        errors = values(lines, measure, DESIGNS)
        parts.append(ratios(errors, reference, title))
        parts.append(winners(errors))
    for name in ("mixed", "rfp_k1"):
        parts.append(against(lines, name))
    parts += [coverage(lines, kind, title) for kind, title in INTERVALS.items()]
    parts += [means(values(lines, score, SETS), title) for score, title in SCORES.items()]
    parts.append(means(values(lines, "seconds", DESIGNS), "Processor seconds of a fit, designs"))
    parts.append(means(values(lines, "seconds", SETS), "Processor seconds of five fits, real data"))
    return "\n\n".join(part for part in parts if part)


def values(lines: Sequence[Line], measure: str, names: Sequence[str]) -> Errors:
    """What was measured, of the last line of each case."""
    found: Errors = {}
    for line in lines:
        if line["name"] in names and measure in line:
            found.setdefault(line["name"], {}).setdefault(line["method"], {})[line["seed"]] = line[measure]
    return {name: found[name] for name in names if name in found}


def methods_of(errors: Errors) -> list[str]:
    there = {method for of_name in errors.values() for method in of_name}
    return [method for method in METHODS if method in there]


def ratio(errors: dict[int, float], base: dict[int, float]) -> Ratio | None:
    """Of the draws that both have; None without any."""
    seeds = sorted(errors.keys() & base.keys())
    if not seeds:
        return None
    logs = np.log([errors[seed] / base[seed] for seed in seeds])
    value = float(np.exp(logs.mean()))
    spread = logs.std(ddof=1) / np.sqrt(len(seeds)) if len(seeds) > 1 else np.inf
    return Ratio(value, value * float(spread), len(seeds))


def ratios(errors: Errors, reference: str, title: str) -> str:
    """A line a design: the reference's mean squared error, then ratios to it."""
    errors = {name: of_name for name, of_name in errors.items() if reference in of_name}
    others = [method for method in methods_of(errors) if method != reference]
    if not others:
        return ""
    rows, found = [], {method: [] for method in others}
    for name, of_name in errors.items():
        base = of_name[reference]
        row = [f"{name} ({len(base)})", f"{np.mean(list(base.values())):.4f}"]
        for method in others:
            one = ratio(of_name.get(method, {}), base)
            found[method] += [one] if one is not None else []
            row.append(ratio_text(one, len(base)))
        rows.append(row)
    rows.append(["**geometric mean**", "", *(f"**{geometric(found[method]):.2f}**" for method in others)])
    rows.append(["win/tie/loss (2 s.e.)", "", *(tally(found[method]) for method in others)])
    head = f"### {title}: ratio of mean squared errors to {reference}\n\n"
    return head + table(["design (draws)", reference, *others], rows)


def ratio_text(one: Ratio | None, draws: int) -> str:
    if one is None:
        return ""
    few = f" ({one.draws})" if one.draws < draws else ""
    spread = f" ± {one.error:.2f}" if np.isfinite(one.error) else ""
    return f"{one.value:.2f}{spread}{few}"


def geometric(found: Sequence[Ratio]) -> float:
    return float(np.exp(np.mean([np.log(one.value) for one in found]))) if found else float("nan")


def tally(found: Sequence[Ratio]) -> str:
    """Wins, ties and losses beyond two standard errors."""
    outcomes = [one.outcome for one in found]
    return "/".join(str(outcomes.count(which)) for which in (1, 0, -1))


def winners(errors: Errors) -> str:
    """For each design the method of the lowest error, and those within two standard errors of it."""
    rows = []
    for name, of_name in errors.items():
        most = max(len(draws) for draws in of_name.values())
        full = {method: draws for method, draws in of_name.items() if 2 * len(draws) > most}
        best = min(full, key=lambda method: np.mean(np.log(list(full[method].values()))))
        near = []
        for method in full:
            one = ratio(full[method], full[best])
            if method != best and one is not None and one.outcome == 0:
                near.append(f"{method} {one.value:.2f}")
        rows.append([name, f"{best} ({np.mean(list(full[best].values())):.4f})", ", ".join(near)])
    return table(["design", "best (its error)", "within 2 s.e. of it, ratio"], rows) if rows else ""


def against(lines: Sequence[Line], name: str) -> str:
    """One method against each other one: geometric mean of ratios over designs, wins, ties and losses."""
    rows = []
    for measure in MEASURES:
        errors = values(lines, measure, DESIGNS)
        others = [method for method in methods_of(errors) if method != name]
        row = [measure]
        for other in others:
            pairs = (ratio(of.get(name, {}), of.get(other, {})) for of in errors.values())
            found = [one for one in pairs if one is not None]
            row.append(f"{geometric(found):.2f} ({tally(found)})" if found else "")
        rows.append(row)
    if not any(any(row[1:]) for row in rows):
        return ""
    return f"### {name} against the others\n\n" + table(["measure", *others], rows)


def coverage(lines: Sequence[Line], kind: str, title: str) -> str:
    """Share covered in per cent and mean length, means over draws."""
    found: dict[str, dict[str, list[list[float]]]] = {}
    last = {(line["name"], line["seed"], line["method"]): line for line in lines}
    for line in last.values():
        if kind in line.get("coverage", {}):
            found.setdefault(line["name"], {}).setdefault(line["method"], []).append(line["coverage"][kind])
    methods = [method for method in METHODS if any(method in of_name for of_name in found.values())]
    rows = []
    for name in [name for name in (*DESIGNS, *SETS) if name in found]:
        row = [name]
        for method in methods:
            pairs = found[name].get(method)
            share, length = np.mean(pairs, axis=0) if pairs else (np.nan, np.nan)
            row.append(f"{100 * share:.1f} ({length:.3g})" if pairs else "")
        rows.append(row)
    head = f"### {title}: per cent covered, mean length in brackets\n\n"
    return head + table(["design", *methods], rows) if rows else ""


def means(errors: Errors, title: str) -> str:
    """Means over draws or splits, a line a design or data set."""
    methods = methods_of(errors)
    rows = [
        [name, *(f"{np.mean(list(of[m].values())):.3f}" if m in of else "" for m in methods)]
        for name, of in errors.items()
    ]
    return f"### {title}\n\n" + table(["", *methods], rows) if rows else ""


def failures(lines: Sequence[Line]) -> str:
    """What went wrong and was not repeated with success."""
    last = {(line["name"], line["seed"], line["method"]): line for line in lines}
    wrong = [line for line in last.values() if "error" in line]
    words = [f"- {line['name']}, seed {line['seed']}, {line['method']}: {line['error']}" for line in wrong]
    return "### Failures\n\n" + "\n".join(words) if words else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
