"""What `rfpcore sweep` does: networks at every point of a grid, and how well each predicts rows held out."""

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit

from . import studies
from ._arrays import Array, matrix
from ._commands import features_of, labels_of, plain, require_no_outcome, rows_of_file
from ._options import MAX_STEPS, fraction, integer
from .many import Model, Record
from .optimizers import Adam
from .regularize import L1, L2, Dropout, Regularization, Term

SCALED = ("squared", "huber")  # losses of outcomes that may be moved and scaled
CLASSES = ("logistic", "softmax")
# Of a table: what LaTeX and plain text call the columns.
HEADS = {
    "loss": "held-out loss",
    "std_dev": "std dev",
    "r2": "R2",
    "accuracy": "accuracy",
    "models": "models",
}


class Divided(NamedTuple):
    """Rows to train on and rows held out, with outcomes as the loss takes them."""

    train: tuple[Array, Any]
    held_out: tuple[Array, Any]
    words: str


def sweep(options: Namespace) -> str:
    """Train the grid; a table with a line for each setting, over its seeds."""
    names = {"widths": options.widths, "l2": options.l2, "l1": options.l1}
    names |= {"dropout": options.dropout, "learning_rate": options.learning_rate}
    settings = [dict(zip(names, values, strict=True)) for values in product(*names.values())]
    seeds = range(integer(options.seeds, "--seeds", 1, 10_000))
    points = [_point(setting) | {"seed": seed} for setting in settings for seed in seeds]
    require_no_outcome(options)
    data = _divided(rows_of_file(options, options.clusters, *options.features), options)
    base = Model(loss=options.loss, n_epochs=options.epochs, batch_size=options.batch_size)
    found = studies.sweep(
        *data.train,
        points,
        base,
        held_out=data.held_out,
        record=Record(every=MAX_STEPS),  # that is, at the end
        keep=("scores",),
        n_jobs=options.jobs,
        path=options.save,
    )
    options.interrupted = not found.finished.all()
    lines = _lines(settings, found, len(seeds), _spread(data.held_out[1]))
    tried = {name: values for name, values in names.items() if len(values) > 1}
    words = f"{len(settings)} settings, {len(seeds)} seeds; {data.words}"
    return {"text": _text, "json": _json, "latex": _latex}[options.format](lines, tried, words)


def _point(setting: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `Model`."""
    strengths: dict[str, type[Term]] = {"l2": L2, "l1": L1, "dropout": Dropout}
    terms = [kind(setting[name]) for name, kind in strengths.items() if setting[name] != 0]  # type: ignore[call-arg]
    return {
        "hidden_layer_sizes": _sizes(setting["widths"]),
        "regularization": Regularization(tuple(terms)),
        "optimizer": Adam(setting["learning_rate"]),
    }


def _sizes(text: str) -> tuple[int, ...]:
    """Widths of layers: 64 or 64-64; 0 is a linear model."""
    try:
        sizes = tuple(int(part) for part in text.split("-"))
    except ValueError as error:
        raise ValueError(f"--widths {text}: numbers such as 64 or 64-64 are needed; 0 is linear") from error
    return () if sizes == (0,) else sizes


def _divided(frame: Any, options: Namespace) -> Divided:
    """Whole clusters are held out where there are clusters. Columns get mean 0 and variance 1."""
    labels = labels_of(frame, options.features)
    X = matrix(features_of(frame, options.features, labels)).astype(np.float64)
    y = frame[options.outcome].to_numpy()
    share = fraction(options.held_out, "--held-out")
    groups = None if options.clusters is None else frame[options.clusters].to_numpy()
    kind = ShuffleSplit if groups is None else GroupShuffleSplit
    split = kind(n_splits=1, test_size=share, random_state=options.seed)
    train, out = next(split.split(X, groups=groups))
    X = _standard(X, X[train])
    if options.loss in SCALED:
        y = y.astype(np.float64)
        y = _standard(y, y[train])
    words = f"trained on {len(train)} rows, {len(out)} held out"
    if groups is not None:
        words += f" ({len(set(groups[out]))} of {len(set(groups))} clusters)"
    return Divided((X[train], y[train]), (X[out], y[out]), words)


def _standard(values: Array, of: Array) -> Array:
    scale = of.std(axis=0)
    return np.asarray((values - of.mean(axis=0)) / np.where(scale > 0, scale, 1.0))


def _spread(y: Any) -> float:
    """The variance of outcomes, which R2 compares with; NaN of labels, and where all are one number."""
    return float(np.var(y)) or np.nan if np.asarray(y).dtype.kind == "f" else np.nan


def _lines(
    settings: Sequence[Mapping[str, Any]], found: studies.SweepResult, n_seeds: int, spread: float
) -> list[dict[str, Any]]:
    """Each setting with means over the seeds that are finished."""
    place = np.full(len(found), -1)
    place[found.finished] = np.arange(found.finished.sum())
    losses = found.result.kept("held_out_losses")
    hits = found.result.kept("held_out_accuracies")
    loss = found.result[0].model.loss
    lines = []
    for at, setting in enumerate(settings):
        models = place[at * n_seeds : (at + 1) * n_seeds]
        models = models[models >= 0]
        if not len(models):  # the sweep was interrupted
            continue
        mean = float(losses[models].mean())
        deviation = float(losses[models].std(ddof=1)) if len(models) > 1 else np.nan
        line = {**setting, "loss": mean, "std_dev": deviation}
        if loss == "squared":
            line["r2"] = 1 - mean / spread
        if loss in CLASSES:
            line["accuracy"] = float(hits[models].mean())
        lines.append(line | {"models": len(models)})
    return lines


def _best(lines: Sequence[Mapping[str, Any]], tried: Mapping[str, Sequence[Any]]) -> tuple[Any, list[str]]:
    """The setting with the lowest loss, and what of it is the first or last that was tried."""
    known = [line for line in lines if np.isfinite(line["loss"])]
    if not known:
        return None, []
    best = min(known, key=lambda line: float(line["loss"]))
    return best, [name for name, values in tried.items() if best[name] in _ends(values)]


def _ends(values: Sequence[Any]) -> Sequence[Any]:
    """The least and the greatest number, or the first and the last text, of at least three."""
    different = list(dict.fromkeys(values))
    if not isinstance(different[0], str):
        different.sort()
    return [different[0], different[-1]] if len(different) > 2 else []


def _cells(lines: Sequence[Mapping[str, Any]], tried: Mapping[str, Any]) -> list[list[str]]:
    """A table without columns that never change, heads first."""
    scores = [name for name in HEADS if name in lines[0]]
    table = [[*(name.replace("_", " ") for name in tried), *(HEADS[name] for name in scores)]]
    for line in lines:
        values = [line[name] for name in scores]
        shown = [f"{value:.4f}" if isinstance(value, float) else str(value) for value in values]
        table.append([*(str(line[name]) for name in tried), *(cell.replace("nan", "–") for cell in shown)])
    return table


def _text(lines: Sequence[Mapping[str, Any]], tried: Mapping[str, Any], words: str) -> str:
    table = _cells(lines, tried)
    sizes = [max(map(len, column)) for column in zip(*table, strict=True)]
    rows = ["  ".join(cell.rjust(size) for cell, size in zip(row, sizes, strict=True)) for row in table]
    best, at_edge = _best(lines, tried)
    ends = ["no loss is finite"]
    if best is not None:
        ends = [f"lowest loss: {', '.join(f'{name} {best[name]}' for name in tried) or 'the only setting'}"]
        ends += [f"{name} {best[name]} is at the edge of what was tried" for name in at_edge]
    return "\n".join([words, "", rows[0], "-" * len(rows[0]), *rows[1:], "", *ends])


def _json(lines: Sequence[Mapping[str, Any]], tried: Mapping[str, Any], words: str) -> str:
    best, at_edge = _best(lines, tried)
    points = [{name: plain(value) for name, value in line.items()} for line in lines]
    chosen = None if best is None else points[list(lines).index(best)]
    return json.dumps({"data": words, "settings": points, "best": chosen, "at_edge": at_edge}, indent=2)


def _latex(lines: Sequence[Mapping[str, Any]], tried: Mapping[str, Any], words: str) -> str:
    """A `tabular` with booktabs' rules."""
    head, *table = [
        [cell.replace("–", "--").replace("R2", "$R^2$") for cell in row] for row in _cells(lines, tried)
    ]
    body = [" & ".join(row) + r" \\" for row in table]
    start = [rf"\begin{{tabular}}{{{'r' * len(head)}}}", r"\toprule", " & ".join(head) + r" \\", r"\midrule"]
    note = rf"\multicolumn{{{len(head)}}}{{l}}{{\footnotesize {words}}} \\"
    return "\n".join([*start, *body, r"\bottomrule", note, r"\end{tabular}"])
