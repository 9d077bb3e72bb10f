"""Curves of test error over the size of what is fitted, the rows, or the epochs."""

from os import PathLike
from typing import Any, Literal

import numpy as np

from .._arrays import shown
from .._options import MAX_PARAMETERS, choice, integer, shows
from ..many import Model
from ._checks import rising
from ._families import Networks, Regressions, family_of
from ._store import Store
from ._train import Where
from .curves import Curve, RiskMap
from .data import NoisyLabels
from .regression import LinearTarget, Regression

__all__ = ["Descent", "geometric"]

Axis = Literal["widths", "depths", "sizes", "epochs"]


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


class Descent:
    """Does test error rise before it falls? Many fits over one axis, or two.

    Parameters
    ----------
    data : NoisyLabels or LinearTarget
    base : Model, LeastSquares or RandomFeatures
        How all are trained: networks on noisy labels, whose loss is "softmax" or "squared", or regressions on
        a linear target, whose risk theory knows.
    widths : sequence of int, optional
        Of every hidden layer; of regressions features that are used, or random features.
    depths : sequence of int, optional
        Hidden layers as wide as the first of `base`.
    sizes : sequence of int, optional
        Rows that are trained on, at most `data.n_train`.
    epochs : sequence of int, optional
        Each a training of its own, so that a schedule would see its own length; of `LeastSquares` steps of
        gradient descent.
    seeds : int, default=10
        Rows, label noise, initial weights and batches of each are their own.
    path : str or path, optional
        File of finished models: the same call goes on where it stopped, to the same bits.
    n_jobs, verbose, scheduler
        As in `fit_many` and `sweep`; regressions have the threads of LAPACK, and no scheduler.

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
        data: NoisyLabels | LinearTarget,
        base: Model | Regression,
        *,
        widths: Any = None,
        depths: Any = None,
        sizes: Any = None,
        epochs: Any = None,
        seeds: int = 10,
        path: str | PathLike[str] | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        scheduler: Any = None,
    ) -> None:
        self.family: Networks | Regressions = family_of(data, base)
        self.data, self.base = data, base
        axes = {"widths": widths, "depths": depths, "sizes": sizes, "epochs": epochs}
        given = {name: values for name, values in axes.items() if values is not None}
        most = self.family.most
        if other := [name for name in given if name not in most]:
            raise ValueError(f"{other[0]} do not vary with {base!r}; {', '.join(most)} do")
        self.axes = {name: rising(values, name, most[name]) for name, values in given.items()}
        if not self.axes:
            raise ValueError(f"nothing varies; {', '.join(most)} can")
        self.seeds = integer(seeds, "seeds", 2, 10**6)
        self.where, self.verbose = Where(n_jobs, scheduler), shows(verbose)
        self.store = Store(path, data)

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
        fixed = {other: self._value(other, value, name) for other, value in fixed.items()}
        points, family = self.axes[name], self.family
        jobs = [[family.job(seed, fixed | {name: point}) for point in points] for seed in range(self.seeds)]
        known = [family.theory(job, self.seeds) for job in jobs[0]]  # refuses what it cannot, before any work
        family.train([one for line in jobs for one in line], self.store, self.where, self.verbose)
        keys = [[family.key(one) for one in line] for line in jobs]
        n_parameters, n_targets = np.array([family.counts(job) for job in jobs[0]]).T
        return Curve(
            name,
            np.array(points),
            self.store.array(keys, "test_error"),
            self.store.array(keys, "train_error"),
            n_parameters,
            n_targets,
            None if np.isnan(known).any() else np.array(known),
            family.level,
            family.measure,
        )

    def _value(self, axis: str, value: Any, varied: str) -> int:
        """Where an axis stands that a curve over another does not vary."""
        if axis == varied or axis not in self.family.most:
            others = [name for name in self.family.most if name != varied]
            raise ValueError(f"{axis}={shown(value)}: a curve over {varied!r} takes values of {others}")
        return integer(value, axis, 1, self.family.most[axis])

    def map(self, axis: str, other: str) -> RiskMap:
        """Mean errors over two axes.

        Parameters
        ----------
        axis, other : {"widths", "depths", "sizes", "epochs"}

        Returns
        -------
        RiskMap
        """
        second = choice(other, "other", Axis)
        if second not in self.axes:
            raise ValueError(f"the axes are {list(self.axes)}; other={second!r} is none of them")
        curves = [self.curve(axis, **{second: point}) for point in self.axes[second]]
        test, training = (
            np.stack([getattr(curve, name).mean(axis=0) for curve in curves], axis=1)
            for name in ("test_errors", "train_errors")
        )
        points, first = np.array(self.axes[second]), curves[0]
        return RiskMap(first.axis, second, first.points, points, test, training, first.level, first.measure)
