"""Sweeps over models: a grid or a list of points, trained together, kept in a file, resumed from it."""

import time
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array, as_floats, has_entries, shown
from .._frames import require_aligned
from .._options import choice, file_path, items, shows
from .._progress import NoProgress, make_progress
from .._warn import warn
from ..exceptions import InterruptedWarning
from ..many import (
    ManyResult,
    Model,
    ModelResult,
    Record,
    Score,
    coded,
    coded_pair,
    fit_many,
    text_classes,
)
from . import _sweep_file
from ._sweep_best import BestPoint, best_points
from ._sweep_points import ROWS, PointRows, listed_points, models_of
from ._train import Where

__all__ = ["BestPoint", "SweepResult", "sweep"]

Keep = Literal["scores", "parameters"]

# Writing may take this share of a sweep's time: it is cheap beside the training, or done less often.
_WRITING_SHARE = 0.05
_WRITE_EVERY = 1.0  # seconds, at most so often

# Models in one call of `fit_many`, which holds all that it returns.
_AT_ONCE = 4096

# Options of `fit_many` of which there may be one for each model.
_EACH = (*ROWS, "row_weights")


def sweep(
    X: Any,
    y: Any,
    points: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]],
    base: Model | None = None,
    *,
    path: str | PathLike[str] | None = None,
    rows: Any = None,
    row_weights: Any = None,
    held_out: tuple[Any, Any] | None = None,
    held_out_rows: Any = None,
    test: tuple[Any, Any] | None = None,
    test_rows: Any = None,
    record: Record | None = None,
    keep: Sequence[Keep] = ("scores", "parameters"),
    n_outputs: int | None = None,
    n_jobs: int | None = None,
    dtype: Any = None,
    verbose: int = 0,
    scheduler: Any = None,
) -> "SweepResult":
    """Train a model at every point; what is finished is not lost.

    Ctrl-C ends a sweep with a warning, and what was finished is returned. With a `path` it is in the file
    too, and the same call goes on where it was interrupted: by Ctrl-C, or by a crash, which may cost the last
    seconds. As a model depends on nothing but its own data and settings, a resumed sweep has the bits of one
    that was not interrupted.

    Parameters
    ----------
    X, y : arrays (N, d), (N,) or (N, n_outputs)
    points : dict of str to sequence, or sequence of dict
        Fields of `Model` and their values: a dict of sequences is a grid, the last field varying fastest; a
        sequence of dicts lists the points. Beside fields of `Model` a point may have `rows`, `held_out_rows`
        and `test_rows`, row numbers as in `fit_many`, instead of those that all points share, and `n_rows`:
        the model sees the first so many of its rows.
    base : Model, optional
        Where the points start from: fields they do not name are as here. None: `Model()`.
    path : str or path, optional
        File to keep finished models in: shards of safetensors with JSON metadata, one after the other; what
        is written stays as it is. If it is there, it must be of the same sweep, and models found in it are
        not trained again. A torn end, as after a crash, is trained again.
    rows, row_weights, held_out, held_out_rows, test, test_rows, record, n_outputs, n_jobs, dtype, scheduler
        As in `fit_many`; rows and weights for all points alike, or one for each.
    keep : sequence of {"scores", "parameters"}, default=("scores", "parameters")
        What to keep of the models, in the result and the file. ("scores",) drops the parameters, also those
        recorded: what is left are curves, recorded losses and accuracies, steps and statuses, and nothing
        predicts.
    verbose : int, default=0
        1 shows progress on standard error, as a bar if `rich` is installed.

    Returns
    -------
    result : SweepResult

    Raises
    ------
    ValueError
        If a point names a field that `Model` has not, or the file is of another sweep; the message names the
        first difference. If the file is damaged, or somebody else writes to it.
    KeyboardInterrupt
        On Ctrl-C, if no model is finished.

    Warns
    -----
    InterruptedWarning
        On Ctrl-C, if some models are. If the file's end was torn.
    DivergenceWarning
        If a model's loss stopped being finite.

    Examples
    --------
    >>> from rfpcore import sweep
    >>> from rfpcore.datasets import make_noisy_moons
    >>> from rfpcore.many import Model
    >>> from rfpcore.regularize import L2
    >>> X, y, y_clean = make_noisy_moons(random_state=0)
    >>> grid = {"regularization": [L2(0.0), L2(0.01)], "seed": range(3)}
    >>> result = sweep(X, y, grid, Model((16,), loss="softmax", n_epochs=20))
    >>> len(result), result.points[-1]
    (6, {'regularization': L2(strength=0.01), 'seed': 2})
    >>> result.result.predict(X).shape
    (6, 250, 2)

    Sample sizes, with other rows for each seed:

    >>> import numpy as np
    >>> orders = [np.random.default_rng(seed).permutation(200) for seed in range(3)]
    >>> points = [{"n_rows": n, "rows": orders[s], "seed": s} for n in (50, 100, 200) for s in range(3)]
    >>> result = sweep(X[:200], y[:200], points, Model((16,), loss="softmax", n_epochs=20))
    >>> result.to_frame()["n_rows"].tolist()
    [50, 50, 50, 100, 100, 100, 200, 200, 200]
    """
    if base is not None and not isinstance(base, Model):
        raise TypeError(f"base is a {type(base).__name__}; a Model is needed")
    visible = shows(verbose)
    listed = listed_points(points)
    models = models_of(listed, Model() if base is None else base)
    classes = text_classes(y, models)
    if classes is not None:
        require_aligned(X=X, y=y)  # codes have no index
        y = coded(y, classes, "y")
        held_out, test = coded_pair(held_out, classes, "held_out"), coded_pair(test, classes, "test")
    if getattr(row_weights, "ndim", 0) == 2:  # a frame, or an array of another library: lines are taken out
        row_weights = as_floats(row_weights, "row_weights")
    options = {"rows": rows, "row_weights": row_weights, "held_out": held_out, "record": record}
    options |= {"held_out_rows": held_out_rows, "test": test, "test_rows": test_rows}
    options |= {"n_outputs": n_outputs, "dtype": dtype}
    options["keep"] = kept = _kept(keep, record)
    own = PointRows(listed, {"X": X, "held_out": held_out, "test": test}, options)
    file = None
    if path is not None:
        file = _sweep_file.SweepFile(file_path(path), models, X, y, options, own.described)
    options |= own.lists
    done: dict[int, ModelResult] = {} if file is None else file.results()
    with make_progress("sweep", len(models), "models", visible) as progress:
        progress.update(len(done), "")
        keeper = _Keeper(file, done, progress, "parameters" in kept)
        try:
            _train_missing(X, y, models, options, done, Where(n_jobs, scheduler), keeper)
        except KeyboardInterrupt:
            if not done:
                raise
        finally:
            keeper.write()
    if len(done) < len(models):
        warn(
            f"interrupted: {len(done)} of {len(models)} models are finished"
            + ("" if path is None else f" and in {path}; the same call goes on from there"),
            InterruptedWarning,
        )
    return SweepResult(listed, done, classes)


def _train_missing(
    X: Any,
    y: Any,
    models: Sequence[Model],
    options: Mapping[str, Any],
    done: Mapping[int, ModelResult],
    where: Where,
    keep: Callable[[int, ModelResult], None],
) -> None:
    """Train the models that are not done; `keep` is told each one's place among all models."""
    missing = [index for index in range(len(models)) if index not in done]
    for start in range(0, len(missing), _AT_ONCE):
        part = missing[start : start + _AT_ONCE]
        own = {name: value for name, value in options.items() if name != "keep"}
        own |= {name: _of(options[name], part, len(models)) for name in _EACH}
        fit_many(
            X,
            y,
            [models[index] for index in part],
            **own,
            n_jobs=where.n_jobs,
            scheduler=where.scheduler,
            on_finished=lambda position, result, part=part: keep(part[position], result),  # type: ignore[misc]
        )


def _kept(keep: Any, record: Record | None) -> list[str]:
    """What is to be kept, in the order of `Keep`."""
    asked = [choice(name, f"keep[{i}]", Keep) for i, name in enumerate(items(keep, "keep", "a sequence"))]
    if "scores" not in asked:
        raise ValueError(f"keep={shown(keep)}; 'scores' are always kept, and have to be named")
    parameters = isinstance(record, Record) and (record.thetas or record.gradients or record.intervals)
    if "parameters" not in asked and parameters:
        raise ValueError(f"{record!r} asks for parameters, which keep={shown(keep)} drops")
    return [name for name in get_args(Keep) if name in asked]


class _Keeper:
    """Keeps finished models, and writes them as often as is cheap."""

    def __init__(
        self,
        file: "_sweep_file.SweepFile | None",
        done: dict[int, ModelResult],
        progress: NoProgress,
        parameters: bool,
    ) -> None:
        self.file, self.done, self.progress, self.parameters = file, done, progress, parameters
        self.last, self.spent = time.monotonic(), 0.0
        self.new: dict[int, ModelResult] = {}

    def __call__(self, index: int, result: ModelResult) -> None:
        self.done[index] = self.new[index] = result if self.parameters else result.without_parameters()
        # A model that diverged in its first epoch has no losses.
        note = f"loss {result.loss_curve[-1]:.4g}" if len(result.loss_curve) else result.status
        self.progress.update(len(self.done), note)
        # Only how often is written depends on time; what is written does not.
        if time.monotonic() - self.last >= max(_WRITE_EVERY, self.spent / _WRITING_SHARE):
            self.write()

    def write(self) -> None:
        """Write those that are new."""
        if self.file is None or not self.new:
            return
        began = time.monotonic()
        self.file.append(self.new)
        self.new.clear()
        self.last = time.monotonic()
        self.spent = self.last - began


def _of(values: Any, missing: Sequence[int], n_models: int) -> Any:
    """What there is one of for each model, for the missing ones; anything else as it is."""
    several = isinstance(values, list | tuple) or (isinstance(values, np.ndarray) and values.ndim > 0)
    each = several and len(values) == n_models and has_entries(values[0])
    return [values[index] for index in missing] if each else values


class SweepResult:
    """What a sweep found.

    Attributes
    ----------
    points : list of dict
        All points, in order.
    finished : bool ndarray (n_points,)
        Which of them have a model: all, unless the sweep was interrupted.
    result : ManyResult
        The finished models, in the order of their points.
    classes : ndarray of str or None
        Where y holds texts: they are the outputs' order, and `result` predicts them.

    See Also
    --------
    rfpcore.many.ManyResult : arrays stacked over models, and predictions.
    """

    def __init__(
        self,
        points: list[dict[str, Any]],
        done: Mapping[int, ModelResult],
        classes: NDArray[np.str_] | None = None,
    ) -> None:
        self.points = points
        self.finished = np.isin(np.arange(len(points)), list(done))
        self.result = ManyResult([done[index] for index in sorted(done)], classes)
        self.classes = classes

    def __len__(self) -> int:
        return len(self.points)

    def __repr__(self) -> str:
        return f"SweepResult({int(self.finished.sum())} of {len(self)} models finished)"

    def matching(self, **values: Any) -> Array:
        """Where in `result` the models are whose points have these values.

        Examples
        --------
        >>> import numpy as np
        >>> from rfpcore import sweep
        >>> X = np.linspace(-1, 1, 20)[:, None]
        >>> found = sweep(X, X**2, {"batch_size": [5, 20], "seed": [0, 1]})
        >>> found.matching(batch_size=20)
        array([2, 3])
        """
        done = [point for point, is_done in zip(self.points, self.finished, strict=True) if is_done]
        for name in values:
            if not any(name in point for point in done):
                raise ValueError(f"no finished point has a value for {name!r}")
        return np.array(
            [
                i
                for i, point in enumerate(done)
                if all(name in point and _same(point[name], value) for name, value in values.items())
            ],
            np.intp,
        )

    def best(
        self, each: str | Sequence[str] = (), by: Score = "held_out_losses", among: Any = None
    ) -> list[BestPoint]:
        """The best point, by its mean score over seeds, for each value of some fields.

        Points that differ in nothing but seeds and lists of rows are one. The score is that of the parameters
        that are kept, as `ModelResult.kept` has it. Of equally good points the first is best, and one with a
        score of NaN, as of a model that diverged, is not. Only finished models count.

        Parameters
        ----------
        each : str or sequence of str
            Fields of the points: for each combination of their values one best point is found. By default
            one for the whole sweep.
        by : {"held_out_losses", "held_out_accuracies", ...}
            What is recorded; of losses the lowest is best, of accuracies the highest.
        among : array of int, optional
            Places in `result`, to which the choice is confined.

        Returns
        -------
        best : list of BestPoint
            In the order of the points. `at_edge` names fields whose value is the first or last of those
            tried, in the order of the points: list the values of a strength in rising order.

        Examples
        --------
        >>> import numpy as np
        >>> from rfpcore import sweep
        >>> from rfpcore.many import Model, Record
        >>> from rfpcore.regularize import L2
        >>> X = np.random.default_rng(0).normal(size=(80, 2))
        >>> y = X[:, 0] + np.random.default_rng(1).normal(size=80)
        >>> grid = {"hidden_layer_sizes": [(8,), (32,)], "regularization": [L2(0.0), L2(0.3), L2(9.0)]}
        >>> data = {"held_out": (X[40:], y[40:]), "record": Record(every=100)}
        >>> found = sweep(X[:40], y[:40], grid | {"seed": range(3)}, Model(n_epochs=400), **data)
        >>> [(one.values["hidden_layer_sizes"], one.at_edge) for one in found.best("hidden_layer_sizes")]
        [((8,), ('regularization',)), ((32,), ())]
        """
        done = [point for point, is_done in zip(self.points, self.finished, strict=True) if is_done]
        return best_points(done, self.result, each, by, among)

    def to_frame(self) -> Any:
        """A pandas DataFrame: the lines of `ManyResult.to_frame`, with a column for each field of the points.

        `model` counts points, also those without a model. Values that are specifications are written out. Of
        points with rows of their own there is the column `n_rows`, on how many a model was trained.
        """
        frame = self.result.to_frame()
        frame["model"] = np.flatnonzero(self.finished)[frame["model"].to_numpy()]
        points = [_shown_point(point) for point in self.points]
        names = dict.fromkeys(name for point in points for name in point)
        for at, name in enumerate(names, start=1):
            values = [_plain(points[model].get(name)) for model in frame["model"]]
            if name in frame:  # the seed
                frame[name] = values
            else:
                frame.insert(at, name, values)
        return frame


def _same(one: Any, other: Any) -> bool:
    """Whether a point has a value: an array is equal to none of them, as no field is one."""
    try:
        return bool(one == other)
    except (TypeError, ValueError, ArithmeticError):
        return False


def _shown_point(point: Mapping[str, Any]) -> dict[str, Any]:
    """A point with the number of its rows instead of their list."""
    shown = {name: value for name, value in point.items() if name not in ROWS}
    return ({"n_rows": len(point["rows"])} if "rows" in point else {}) | shown


def _plain(value: Any) -> Any:
    """A number or string as it is, anything else as text."""
    value = value.item() if isinstance(value, np.generic) else value
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
