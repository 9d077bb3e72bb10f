"""What `Descent` varies: networks on noisy labels, and regressions on a linear target."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .._arrays import shown
from .._options import MAX_PARAMETERS, MAX_ROWS, MAX_STEPS
from .._progress import make_progress
from ..many import Model
from ._store import Store
from ._train import Where, key_of, train
from .curves import ERROR, SQUARES
from .data import NoisyLabels, require_data
from .regression import LeastSquares, LinearTarget, RandomFeatures, Regression, require_target

__all__ = ["Job", "Networks", "Regressions", "family_of"]

Point = dict[str, int]
Job = tuple[Any, int, int]
"""A model or a regression, its seed, and how many rows it is trained on."""


class Networks:
    """Of `Model`, by shares of wrong classes."""

    level, measure = 0.01, ERROR

    def __init__(self, data: NoisyLabels, base: Model) -> None:
        if not base.hidden_layer_sizes:
            raise ValueError("base has no hidden layers; one is needed, whose width says how wide all are")
        self.data, self.base = require_data(data), base
        self.most = {"widths": MAX_PARAMETERS, "depths": 1000, "sizes": data.n_train, "epochs": MAX_STEPS}

    def job(self, seed: int, point: Point) -> Job:
        """The network of a seed at a point."""
        width = point.get("widths", self.base.hidden_layer_sizes[0])
        depth = point.get("depths", len(self.base.hidden_layer_sizes))
        model = replace(self.base, hidden_layer_sizes=(width,) * depth, seed=seed)
        if "epochs" in point:
            model = replace(model, n_epochs=point["epochs"], n_steps=None)
        return model, seed, point.get("sizes", self.data.n_train)

    def key(self, job: Job) -> str:
        """What tells a job of a study from the others."""
        return key_of(job[0], job[2])

    def counts(self, job: Job) -> tuple[int, int]:
        """Parameters, and numbers that a squared loss fits: rows times outputs."""
        model, _, n = job
        net = model.net(self.data.X.shape[1], self.data.n_classes)
        return net.n_parameters, n * self.data.n_classes if model.loss == "squared" else 0

    def theory(self, job: Job, seeds: int) -> float:
        """There is none."""
        del job, seeds
        return float("nan")

    def train(self, jobs: Sequence[Job], store: Store, where: Where, verbose: bool) -> None:
        """Train what the store has not."""
        train(self.data, [(model, n) for model, _, n in jobs], store, where, verbose)


class Regressions:
    """Of `LeastSquares` and `RandomFeatures`, by squares."""

    measure = SQUARES

    def __init__(self, data: LinearTarget, base: Regression) -> None:
        self.data, self.base = require_target(data), base
        base.require(data)
        # Far above what rounding leaves of a fit that interpolates, far below any other.
        self.level = 1e-6 * (data.signal + data.noise)
        self.most = {"widths": MAX_ROWS, "sizes": data.n_train}
        if isinstance(base, LeastSquares):
            self.most |= {"widths": data.n_features, "epochs": MAX_ROWS}

    def job(self, seed: int, point: Point) -> Job:
        """The regression of a seed at a point."""
        width = "n_units" if isinstance(self.base, RandomFeatures) else "n_features"
        names = {"widths": width, "epochs": "epochs"}
        given: dict[str, Any] = {names[axis]: value for axis, value in point.items() if axis in names}
        one = replace(self.base, **given)  # type: ignore[type-var]  # every regression is a dataclass
        one.require(self.data)
        return one, seed, point.get("sizes", self.data.n_train)

    def key(self, job: Job) -> str:
        """What tells a job of a study from the others."""
        one, seed, n = job
        return f"{one!r} of seed {seed} on {n} rows"

    def counts(self, job: Job) -> tuple[int, int]:
        """Parameters, and numbers they fit."""
        one, _, n = job
        return one.n_parameters(self.data), n

    def theory(self, job: Job, seeds: int) -> float:
        """The excess risk that is known."""
        one, _, n = job
        return float(one.risk(self.data, seeds, n))

    def train(self, jobs: Sequence[Job], store: Store, where: Where, verbose: bool) -> None:
        """Fit what the store has not, seed by seed."""
        if where.scheduler is not None:
            raise ValueError("scheduler is for networks; regressions are fitted here")
        by_seed: dict[int, list[Job]] = {}
        for job in jobs:
            if self.key(job) not in store.scores:
                by_seed.setdefault(job[1], []).append(job)
        with make_progress("study", sum(map(len, by_seed.values())), "fits", verbose) as progress:
            done = 0
            for seed, several in by_seed.items():
                store.add({self.key(job): self._scores(job) for job in several})
                done += len(several)
                progress.update(done, f"seed {seed}")

    def _scores(self, job: Job) -> dict[str, Any]:
        one, seed, n = job
        test, training = one.errors(self.data, seed, n)
        return {"test_error": test, "train_error": training}


def family_of(data: Any, base: Any) -> Networks | Regressions:
    """The data and how they are learnt, checked against each other."""
    if isinstance(base, Model):
        return Networks(data, base)
    if isinstance(base, LeastSquares | RandomFeatures):
        return Regressions(data, base)
    raise TypeError(f"base={shown(base)} is a {type(base).__name__}; a Model or a Regression is needed")
