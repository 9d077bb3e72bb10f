"""Curves of test error over the size of the network, the rows, or the epochs."""

from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._axes import BLUE, GREY, ORANGE, axes_of
from .._options import MAX_PARAMETERS, MAX_STEPS, choice, integer, shows
from ..many import Model
from ._checks import rising
from ._rises import steepest
from ._store import Store
from ._train import key_of, train
from .data import NoisyLabels, require_data
from .monotonicity import MonotonicityTest, monotonicity_test

__all__ = ["Curve", "Descent", "geometric"]

Axis = Literal["widths", "depths", "sizes", "epochs"]
_INTERPOLATES = 0.01  # training error below it


def geometric(low: int, high: int, count: int) -> list[int]:
    """Different whole numbers from `low` to `high`, each about the same factor above the last.

    Examples
    --------
    >>> from rfpcore.studies import geometric
    >>> geometric(3, 256, 12)
    [3, 4, 7, 10, 15, 23, 34, 51, 76, 114, 171, 256]
    """
    first, last = integer(low, "low", 1, MAX_PARAMETERS), integer(high, "high", 1, MAX_PARAMETERS)
    n = integer(count, "count", 2, 10**4)
    if last <= first:
        raise ValueError(f"high={last} is not above low={first}")
    return np.unique(np.geomspace(first, last, n).round().astype(int)).tolist()  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class Curve:
    """Errors over an axis.

    Attributes
    ----------
    axis : {"widths", "depths", "sizes", "epochs"}
    points : ndarray (W,)
    test_errors, train_errors : ndarrays (seeds, W)
        Shares of wrong classes: of clean test rows, and of the training rows with their noise.
    n_parameters : ndarray (W,)
    """

    axis: str
    points: NDArray[np.int64]
    test_errors: NDArray[np.float64]
    train_errors: NDArray[np.float64]
    n_parameters: NDArray[np.int64]

    @property
    def threshold(self) -> float:
        """The first point whose mean training error is below 1 %; NaN if none is."""
        below = np.flatnonzero(self.train_errors.mean(axis=0) < _INTERPOLATES)
        return float(self.points[below[0]]) if len(below) else float("nan")

    def test(self, **options: Any) -> MonotonicityTest:
        """The test that the curve never rises; options as in `monotonicity_test`."""
        return monotonicity_test(self.test_errors, **options)

    def rise(self) -> tuple[float, float]:
        """From the valley to the peak of the mean curve, and its standard error, paired by seed."""
        mean = self.test_errors.mean(axis=0)
        first, last = steepest(mean)
        return float(mean[last] - mean[first]), _paired(
            self.test_errors[:, last] - self.test_errors[:, first]
        )

    def fall(self) -> tuple[float, float]:
        """From the peak to the right end, and its standard error, paired by seed."""
        mean = self.test_errors.mean(axis=0)
        peak = steepest(mean)[1]
        return float(mean[peak] - mean[-1]), _paired(self.test_errors[:, peak] - self.test_errors[:, -1])

    def plot(self, ax: Any = None) -> Any:
        """Draw test and training errors with their standard errors, and where training interpolates.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        matplotlib Axes
        """
        ax = axes_of(type(self).__name__, ax)
        for name, errors, colour in (
            ("test", self.test_errors, BLUE),
            ("training", self.train_errors, ORANGE),
        ):
            mean, error = errors.mean(axis=0), errors.std(axis=0, ddof=1) / np.sqrt(len(errors))
            ax.plot(self.points, mean, "o-", ms=3, color=colour, label=name)
            ax.fill_between(self.points, mean - error, mean + error, color=colour, alpha=0.2, lw=0)
        if np.isfinite(self.threshold):
            ax.axvline(self.threshold, color=GREY, lw=0.8)
        ax.set(xscale="log", xlabel=_LABELS[self.axis], ylabel="error")
        ax.legend(frameon=False)
        return ax


_LABELS = {"widths": "width", "depths": "hidden layers", "sizes": "training rows", "epochs": "epochs"}


def _paired(differences: NDArray[np.float64]) -> float:
    return float(differences.std(ddof=1) / np.sqrt(len(differences)))


class Descent:
    """Does test error rise before it falls? Many networks over one axis, or two.

    Parameters
    ----------
    data : NoisyLabels
    base : Model
        How all are trained; its loss is "softmax" or "squared".
    widths : sequence of int, optional
        Of every hidden layer.
    depths : sequence of int, optional
        Hidden layers as wide as the first of `base`.
    sizes : sequence of int, optional
        Rows that are trained on, at most `data.n_train`.
    epochs : sequence of int, optional
        Each a training of its own, so that a schedule would see its own length.
    seeds : int, default=10
        Rows, label noise, initial weights and batches of each are their own.
    path : str or path, optional
        File of finished models: the same call goes on where it stopped, to the same bits.
    n_jobs, verbose
        As in `fit_many` and `sweep`.

    Examples
    --------
    >>> from rfpcore.many import Model
    >>> from rfpcore.optimizers import Adam
    >>> from rfpcore.studies import Descent, noisy_teacher
    >>> base = Model((8,), "relu", "softmax", Adam(0.01), batch_size=50, n_epochs=5)
    >>> curve = Descent(noisy_teacher(100), base, widths=[2, 8], seeds=2).curve()
    >>> curve.test_errors.shape, curve.n_parameters.tolist()
    ((2, 2), [57, 213])
    """

    def __init__(
        self,
        data: NoisyLabels,
        base: Model,
        *,
        widths: Any = None,
        depths: Any = None,
        sizes: Any = None,
        epochs: Any = None,
        seeds: int = 10,
        path: str | PathLike[str] | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        if not isinstance(base, Model):
            raise TypeError(f"base is a {type(base).__name__}; a Model is needed")
        if not base.hidden_layer_sizes:
            raise ValueError("base has no hidden layers; one is needed, whose width says how wide all are")
        self.data, self.base = require_data(data), base
        given = {"widths": widths, "depths": depths, "sizes": sizes, "epochs": epochs}
        most = {"widths": MAX_PARAMETERS, "depths": 1000, "sizes": data.n_train, "epochs": MAX_STEPS}
        self.axes = {
            name: rising(values, name, most[name]) for name, values in given.items() if values is not None
        }
        if not self.axes:
            raise ValueError("nothing varies; widths, depths, sizes or epochs are needed")
        self.seeds = integer(seeds, "seeds", 2, 10**6)
        self.n_jobs, self.verbose = n_jobs, shows(verbose)
        self.store = Store(path, data)

    def _model(self, seed: int, point: dict[str, int]) -> tuple[Model, int]:
        width = point.get("widths", self.base.hidden_layer_sizes[0])
        depth = point.get("depths", len(self.base.hidden_layer_sizes))
        model = replace(self.base, hidden_layer_sizes=(width,) * depth, seed=seed)
        if "epochs" in point:
            model = replace(model, n_epochs=point["epochs"], n_steps=None)
        return model, point.get("sizes", self.data.n_train)

    def curve(self, axis: str | None = None, **fixed: int) -> Curve:
        """The curve over one axis, the others at given points.

        Parameters
        ----------
        axis : {"widths", "depths", "sizes", "epochs"}, optional
            None: the only one, or the first that is not fixed.
        **fixed : int
            A value for each of the others, such as `epochs=100`.

        Returns
        -------
        Curve
        """
        free = [name for name in self.axes if name not in fixed]
        name = free[0] if axis is None and free else choice(axis, "axis", Axis)
        others = [other for other in free if other != name]
        if name not in self.axes or others:
            raise ValueError(
                f"the axes are {list(self.axes)}; the curve over {name!r} needs a value for {others}"
            )
        points = self.axes[name]
        models = [
            [self._model(seed, fixed | {name: point}) for point in points] for seed in range(self.seeds)
        ]
        train(self.data, [one for line in models for one in line], self.store, self.n_jobs, self.verbose)
        keys = [[key_of(*one) for one in line] for line in models]
        sizes = [model.net(self.data.X.shape[1], self.data.n_classes).n_parameters for model, _ in models[0]]
        return Curve(
            name,
            np.array(points),
            self.store.array(keys, "test_error"),
            self.store.array(keys, "train_error"),
            np.array(sizes),
        )

    def map(self, axis: str, other: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean test and training errors (W, V) over two axes."""
        curves = [self.curve(axis, **{other: point}) for point in self.axes[choice(other, "other", Axis)]]
        test, training = (
            np.stack([getattr(curve, name).mean(axis=0) for curve in curves], axis=1)
            for name in ("test_errors", "train_errors")
        )
        return test, training
