"""Training of a study's models, seed by seed, a few hundred at a time."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._progress import make_progress
from ..exceptions import DivergenceError
from ..many import Model, ModelResult, fit_many
from ..regularize import EarlyStopping
from ._store import Store
from .data import Draw, NoisyLabels

__all__ = ["SCORES", "key_of", "train"]

SCORES = ("test_error", "train_error", "validation_error", "weights", "hidden", "jacobian", "n_steps")
_AT_ONCE = 256  # models whose parameters are in memory together, and are lost by a crash
_ROWS = 100  # for norms


def key_of(model: Model, n_rows: int) -> str:
    """What tells a model of a study from the others, its seed included."""
    return f"{model!r} on {n_rows} rows"


class Where(NamedTuple):
    """Where models are trained: threads of this process or of each job, a client of Dask or None."""

    n_jobs: int | None
    scheduler: Any


def train(
    data: NoisyLabels,
    wanted: Sequence[tuple[Model, int]],
    store: Store,
    where: Where,
    verbose: bool,
) -> None:
    """Train all models that the store has not, each on the first so many rows of its seed's draw."""
    missing = {key_of(model, n): (model, n) for model, n in wanted if key_of(model, n) not in store.scores}
    by_seed: dict[int, list[tuple[str, Model, int]]] = {}
    for key, (model, n) in missing.items():
        by_seed.setdefault(model.seed, []).append((key, model, n))
    for _, model, _ in next(iter(by_seed.values()), []):  # what no seed can train is refused before any work
        model.kernel(model.net(data.X.shape[1], data.n_classes))
    with make_progress("study", len(missing), "models", verbose) as progress:
        done = 0
        for seed, several in by_seed.items():
            draw = data.draw(seed)
            for start in range(0, len(several), _AT_ONCE):
                part = several[start : start + _AT_ONCE]
                found = _scores(draw, part, data.n_classes, where)
                store.add(found)
                _require_all(part, found)
                done += len(part)
                progress.update(done, f"seed {seed}")


def _scores(
    draw: Draw, several: Sequence[tuple[str, Model, int]], n_classes: int, where: Where
) -> dict[str, dict[str, Any]]:
    y, y_validation = (_outcomes(one, several, n_classes) for one in (draw.y, draw.y_validation))
    stops = any(model.terms.get(EarlyStopping) is not None for _, model, _ in several)
    found = fit_many(
        draw.X,
        y,
        [model for _, model, _ in several],
        rows=[np.arange(n) for _, _, n in several],
        held_out=(draw.X_validation, y_validation) if stops else None,
        n_outputs=n_classes,
        n_jobs=where.n_jobs,
        scheduler=where.scheduler,
        dtype=np.float32,
    )
    return {
        key: _score(draw, result, n)
        for (key, _, n), result in zip(several, found.results, strict=True)
        if result.status != "diverged"
    }


def _require_all(several: Sequence[tuple[str, Model, int]], found: Mapping[str, Any]) -> None:
    """DivergenceError where a network has no errors of class."""
    lost = [key for key, _, _ in several if key not in found]
    if lost:
        raise DivergenceError(
            f"{len(lost)} of {len(several)} networks diverged, and have no curve; the first is {lost[0]}. A "
            "smaller lr or ClipNorm helps",
            n_diverged=len(lost),
        )


def _outcomes(labels: Any, several: Sequence[tuple[str, Model, int]], n_classes: int) -> Any:
    """Codes, or for the squared loss the classes as columns of 0 and 1."""
    losses = {model.loss for _, model, _ in several}
    if losses == {"softmax"}:
        return labels
    if losses == {"squared"}:
        return np.eye(n_classes)[labels]
    raise ValueError(f"the loss is {sorted(losses)}; 'softmax' or 'squared' is needed, the same for all")


def _score(draw: Draw, result: ModelResult, n_rows: int) -> dict[str, Any]:
    """Errors of class, and norms, at the parameters that training gives."""
    parts = {
        "test_error": (draw.X_test, draw.y_test),
        "train_error": (draw.X[:n_rows], draw.y[:n_rows]),
        "validation_error": (draw.X_validation, draw.y_validation),
    }
    found: dict[str, Any] = {}
    for name, (X, labels) in parts.items():
        outputs = result.predict(X)
        found[name] = float(np.mean(outputs.argmax(axis=1) != labels))
    norms = result.norms(draw.X_test[:_ROWS])
    found |= {
        "weights": float(np.linalg.norm(norms.weights)),
        "hidden": float(norms.hidden[-1]),
        "jacobian": norms.jacobian,
        "n_steps": result.best_step,
    }
    return found
