"""What the scripts of this folder share: cells that are kept in a file, claims, options."""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

Record = dict[str, Any]
Verdict = Literal["holds", "holds with a condition", "does not hold"]

BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#b22222", "#7b3294", "#777777"


class Claim(NamedTuple):
    """What the paper says, what came out here, and whether it holds."""

    paper: str
    here: str
    verdict: Verdict


class Script(NamedTuple):
    """A script: `study(size, path)` computes cells, `claims` reads them, `draw(records, path)` shows them."""

    name: str
    doc: str
    full: Any
    quick: Any
    study: Callable[[Any, Path | None], list[Record]]
    claims: Callable[[list[Record]], list[Claim]]
    draw: Callable[[list[Record], Path], None]


class Outcome(NamedTuple):
    """Of a run: its claims, its records, and the processor seconds of their cells."""

    claims: list[Claim]
    records: list[Record]
    seconds: float


def cells(path: Path | None, one: Callable[..., Record], cases: Iterable[Record]) -> list[Record]:
    """What `one` finds for each case, arguments and findings together; cells on file are not run again.

    Each finished cell is a line of JSON at once, so that a study goes on where it was stopped; after a change
    of the code the file has to go.
    """
    known = {line["key"]: line["record"] for line in _lines(path)}
    found = []
    for case in cases:
        key = json.dumps([one.__name__, case], sort_keys=True)
        if key not in known:
            start = time.process_time()
            result = one(**case)
            known[key] = {
                "cell": one.__name__,
                **case,
                **result,
                "seconds": round(time.process_time() - start, 3),
            }
            if path is not None:
                with path.open("a") as file:
                    print(json.dumps({"key": key, "record": known[key]}), file=file, flush=True)
        found.append(known[key])
    return found


def _lines(path: Path | None) -> list[Record]:
    """Finished cells; a last line that an interruption has cut off is dropped from the file."""
    if path is None or not path.exists():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)
    return [json.loads(line) for line in whole.splitlines()]


def select(records: Iterable[Record], cell: str, **values: Any) -> list[Record]:
    """The records of a cell with these values."""
    return [
        one
        for one in records
        if one["cell"] == cell and all(one[name] == value for name, value in values.items())
    ]


def column(records: Iterable[Record], name: str) -> np.ndarray:
    """One thing of all records."""
    return np.array([one[name] for one in records], dtype=float)


def each(records: Iterable[Record], name: str) -> list[Any]:
    """The different values, in order."""
    return sorted({one[name] for one in records})


def run(script: Script, arguments: Sequence[str] | None = None) -> Outcome:
    """Compute, print and draw what the options of the command line ask for."""
    parser = argparse.ArgumentParser(description=script.doc.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few seconds: small sizes, few seeds")
    parser.add_argument(
        "--out", type=Path, default=Path("implicit"), help="folder of figure and numbers (default implicit)"
    )
    if hasattr(script.full, "mnist"):
        parser.add_argument("--mnist", help="npz file, or folder with IDX files; digits without it")
    options = parser.parse_args(arguments)
    size = script.quick if options.quick else script.full
    if hasattr(script.full, "mnist"):
        size = size._replace(mnist=options.mnist)
    options.out.mkdir(parents=True, exist_ok=True)
    stem = options.out / (script.name + ("_quick" if options.quick else ""))
    records = script.study(size, stem.with_suffix(".jsonl"))
    script.draw(records, stem.with_suffix(".png"))
    found = script.claims(records)
    for claim in found:
        print(f"{claim.verdict.upper()}: {claim.paper}\n    {claim.here}")
    seconds = sum(one["seconds"] for one in records)
    print(f"Wrote {stem.with_suffix('.png')}; the cells took {seconds:.0f} processor seconds.")
    return Outcome(found, records, seconds)


def verdict(holds: Any, condition: Any = True) -> Verdict:
    """Whether a claim holds, and whether without a condition."""
    if not holds:
        return "does not hold"
    return "holds" if condition else "holds with a condition"


def tidy(figure: Any) -> None:
    """Axes as all figures here have them."""
    for ax in figure.axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.title.set_fontsize(10)


def save(figure: Any, path: Path) -> None:
    """Write the figure and let it go."""
    import matplotlib.pyplot as plt

    figure.savefig(path, dpi=120)
    plt.close(figure)
