"""Train many models in one call."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .._arrays import shown
from .._dask import require_client, threads_of_each
from .._frames import require_aligned
from .._options import shows
from .._progress import make_progress
from .._warn import warn
from ..exceptions import DivergenceWarning
from ..regularize import EarlyStopping
from ._batches import batch_lists
from ._data import Table, initial_parameters, require_pair, row_lists, table, weight_lines
from ._labels import coded, coded_pair, text_classes
from ._model import Model
from ._record import Record
from ._result import ManyResult, ModelResult
from ._work import ManyModels, Rows, Work

__all__ = ["fit_many"]


def fit_many(
    X: Any,
    y: Any,
    models: Model | Sequence[Model],
    *,
    rows: Any = None,
    row_weights: Any = None,
    batches: Any = None,
    theta: Any = None,
    held_out: tuple[Any, Any] | None = None,
    held_out_rows: Any = None,
    test: tuple[Any, Any] | None = None,
    test_rows: Any = None,
    record: Record | None = None,
    n_outputs: int | None = None,
    n_jobs: int | None = None,
    dtype: Any = None,
    on_finished: Callable[[int, ModelResult], Any] | None = None,
    verbose: int = 0,
    scheduler: Any = None,
) -> ManyResult:
    """Train every model on mini-batches of rows, as many models at a time as there are threads.

    A model's result depends on nothing but its own `Model`, its data and its seed: it has the same bits alone
    or among others, in any order, with any number of threads. Models may repeat a seed.

    Parameters
    ----------
    X : array or frame (N, d)
    y : array (N,) or (N, n_outputs)
        With the softmax loss class codes 0, 1, …; with the logistic loss values in [0, 1]; with the Poisson
        loss counts. Or texts, with the softmax loss or two of them with the logistic one: codes are their
        places in `ManyResult.classes`.
    models : Model or sequence of Model
    rows : array of int, or a sequence of them, optional
        Row numbers of X that a model is trained on, for all models alike or one array for each; repeated
        numbers count as often, so that a bootstrap copies nothing. None: all rows.
    row_weights : array (N,) or (n_models, N), optional
        Weights of the rows of X, at least 0. A row of weight 0 is left out. The loss of a batch is Σ wᵢ lᵢ
        over the number of its rows times the mean weight of the model's rows, whose mean over batches is the
        weighted mean.
    batches : array of int (n_batches, batch_size), or sequence of arrays of int, optional
        The rows of X that each step sees, instead of drawn ones: gone through in order, and again from the
        first when they end. Arrays of a sequence may differ in length, and a row may come several times. For
        all models alike, or one level deeper such for each model: an array (n_models, n_batches,
        batch_size), or a sequence of what is possible for all. `n_epochs` of a model counts passes over the
        batches; its batch_size is not used, and its replacement must be False. `rows` must be None: what is
        recorded is of all rows of X. Rows of weight 0 must be in no batch.
    theta : array (P,), (n_models, P) or sequence of arrays, optional
        Parameters to start from, instead of `MLP.init(model.seed)`.
    held_out : (X, y), optional
        Rows that only measure: for `record` and `EarlyStopping`.
    held_out_rows : array of int, or a sequence of them, optional
        As `rows`, of the held-out rows: which of them measure a model. Several tables, such as labels drawn
        anew for each seed, are one X and y, one below the other, and `rows` that point into it.
    test : (X, y), optional
        Rows that `record` measures beside those of `held_out`, and nothing else looks at: of a model that is
        chosen or stopped by its held-out loss they tell the error.
    test_rows : array of int, or a sequence of them, optional
        As `held_out_rows`, of the test rows.
    record : Record, optional
        What to record on the way.
    n_outputs : int, optional
        Outputs of the networks: by default the columns of y, or with the softmax loss its largest code plus
        one, at least two.
    n_jobs : int, optional
        Threads; -1 for all cores. Each trains one model at a time; a model that is alone shares its products
        with the others where its layers are wide (512 units and more). No result depends on it.
    dtype : {float32, float64}, optional
        Of the training; by default that of X, with float64 for other numbers. float32 is about twice as fast.
    on_finished : callable(index, result), optional
        Called with each model's index and `ModelResult` as it is done, on this thread: a place to save. An
        exception it raises stops the training and is passed on.
    verbose : int, default=0
        1 shows progress on standard error, as a bar if `rich` is installed.
    scheduler : dask.distributed.Client, optional
        Train on its workers, in jobs of some models each, with the same result (the same bits, if all
        machines have the same instructions). `n_jobs` is then of each job, by default 1. Jobs of a worker
        that dies are trained anew by others.

    Returns
    -------
    result : ManyResult

    Raises
    ------
    ValueError, TypeError
        For misuse, before any work.
    KeyboardInterrupt
        On Ctrl-C, within about 0.1 s. Models done until then have been given to `on_finished`.

    Warns
    -----
    DivergenceWarning
        If a model's loss stopped being finite, or its parameters grew so large that nothing of where they
        started is left (by 2⁵³); its status, step and loss are in the result.

    Examples
    --------
    Ten seeds of a small network:

    >>> import numpy as np
    >>> from rfpcore.many import Model, fit_many
    >>> from rfpcore.optimizers import SGD
    >>> X = np.linspace(-2, 2, 40)[:, None]
    >>> models = [Model((8,), optimizer=SGD(0.05), n_epochs=200, seed=seed) for seed in range(10)]
    >>> result = fit_many(X, np.sin(X), models)
    >>> result.thetas.shape, result.predict(X).shape
    ((10, 25), (10, 40, 1))
    >>> bool(result.loss_curves[:, -1].max() < 0.005)
    True

    An epoch in a given order of batches, and in its reverse, each of a model:

    >>> batches = np.arange(40).reshape(4, 10)
    >>> model = Model((8,), optimizer=SGD(0.05), n_epochs=1)
    >>> pair = fit_many(X, np.sin(X), [model, model], batches=[batches, batches[::-1]])
    >>> pair.n_steps.tolist()
    [4, 4]
    """
    several = _models(models)
    if on_finished is not None and not callable(on_finished):
        raise TypeError(f"on_finished is a {type(on_finished).__name__}; a callable(index, result) is needed")
    line = row_weights if getattr(row_weights, "ndim", 0) == 1 else None  # two dimensions: models by rows
    require_aligned(X=X, y=y, row_weights=line)
    visible = shows(verbose)
    classes = text_classes(y, several)
    if classes is not None:
        y = coded(y, classes, "y")
        held_out, test = coded_pair(held_out, classes, "held_out"), coded_pair(test, classes, "test")
    data = table(X, y, several, dtype, n_outputs)
    aside, aside_rows = _measured(held_out, held_out_rows, several, data, "held_out")
    if aside is None:
        for index, model in enumerate(several):
            if (stopping := model.terms.get(EarlyStopping)) is not None:
                raise ValueError(f"models[{index}] has {stopping!r}, which needs held_out=(X, y)")
    nets = [model.net(data.X.shape[1], data.n_outputs) for model in several]
    weights = weight_lines(row_weights, len(several), len(data.X), data.X.dtype)
    given = batch_lists(batches, several, rows, weights, len(data.X))
    starts = initial_parameters(theta, several, nets, data.X.dtype)
    own_rows = row_lists(rows, len(several), len(data.X))
    tested, test_rows = _measured(test, test_rows, several, data, "test")
    options = (None, None, [False] * 6) if record is None else _options(record)
    client = require_client(scheduler)
    work = Work(data, aside, tested, options, threads_of_each(client, n_jobs))
    of = ManyModels(several, nets, starts, own_rows, weights, given, aside_rows, test_rows)
    with make_progress("fit_many", len(several), "models", visible) as progress:
        done = itertools.count(1)

        def finished(index: int, result: ModelResult) -> None:
            if on_finished is not None:
                on_finished(index, result)
            if visible:
                note = f"loss {result.loss_curve[-1]:.4g}" if len(result.loss_curve) else result.status
                progress.update(next(done), note)

        told = finished if visible or on_finished is not None else None
        found = work.train(of, told) if client is None else work.train_on(client, of, told)
    _warn_of_divergence(found)
    return ManyResult(found, classes)


def _models(models: Any) -> tuple[Model, ...]:
    if isinstance(models, Model):
        return (models,)
    if not isinstance(models, Iterable) or isinstance(models, str | np.ndarray):
        raise TypeError(f"models is a {type(models).__name__}; a Model or a sequence of them is needed")
    several = tuple(models)
    for index, model in enumerate(several):
        if not isinstance(model, Model):
            raise TypeError(f"models[{index}] is a {type(model).__name__}; a Model is needed")
    if not several:
        raise ValueError("models is empty; at least one Model is needed")
    return several


def _measured(
    pair: Any, rows: Any, models: Sequence[Model], data: Table, name: str
) -> tuple[Table | None, Rows]:
    """Rows that measure."""
    if pair is None:
        if rows is not None:
            raise ValueError(f"{name}_rows are row numbers of {name}=(X, y), which is needed")
        return None, [None]
    require_pair(pair, name)
    require_aligned(**{f"{name}[0]": pair[0], f"{name}[1]": pair[1]})
    aside = table(pair[0], pair[1], models, None, None, like=data)
    return aside, row_lists(rows, len(models), len(aside.X), f"{name}_rows", name)


def _options(record: Any) -> tuple[int | None, list[int] | None, list[bool]]:
    if not isinstance(record, Record):
        raise TypeError(
            f"record={shown(record)} is a {type(record).__name__}; a Record is needed, "
            "such as Record(every=10)"
        )
    return record.options()


def _warn_of_divergence(found: Sequence[ModelResult]) -> None:
    diverged = [index for index, result in enumerate(found) if result.status == "diverged"]
    if diverged:
        first = found[diverged[0]]
        warn(
            f"{len(diverged)} of {len(found)} models diverged; the first is model {diverged[0]}, at step "
            f"{first.n_steps}, with loss {first.diverged_loss}. A smaller lr or ClipNorm helps",
            DivergenceWarning,
        )
