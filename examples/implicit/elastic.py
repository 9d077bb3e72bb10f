"""Networks trained with an elastic net, and three ways to its coefficients: figure 3 and appendix B."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

import rfpcore
from rfpcore.exceptions import DesignWarning
from rfpcore.implicit import Equations, GradientMatching
from rfpcore.many import Model, ModelResult, fit_many
from rfpcore.many import Record as Recording
from rfpcore.optimizers import SGD, Constant, Cosine
from rfpcore.regularize import L1, L2, EarlyStopping

ROUTES = ("endpoint", "windows", "windows, same batches")


class Design(NamedTuple):
    """Data and training."""

    n: int
    coefficient: float
    """Standard deviation of the true coefficients."""
    noise: float
    delta: float
    """Where |θ| turns quadratic."""
    lr: float
    advised: bool
    """A rate that falls to zero, and batches with replacement, whose order adds no penalty."""
    every: int
    patience: int | None = None
    """Epochs without a lower training loss, after which the run ends."""
    width: int = 200
    epochs: int = 200


AUTHORS = Design(4000, 5.0, 0.5, 1e-3, 1e-3, advised=False, every=50, patience=15)  # appendix H.2
ADVISED = Design(800, 1.0, 0.1, 1e-2, 1e-2, advised=True, every=5)


class Run(NamedTuple):
    """A trained network and its rows."""

    result: ModelResult
    data: rfpcore.Clusters


def train(design: Design, strengths: tuple[float, float], seeds: Sequence[int]) -> list[Run]:
    """One run a seed, on data of its own, as many at a time as there are processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda seed: _train(design, strengths, seed), seeds))


def _train(design: Design, strengths: tuple[float, float], seed: int) -> Run:
    random = np.random.default_rng(seed)
    X = random.standard_normal((design.n, 10))
    w = design.coefficient * random.standard_normal(10)
    y = X @ w + design.noise * random.standard_normal(design.n)
    epoch = -(-design.n // 32)
    steps = design.epochs * epoch
    terms = L1(strengths[0], smoothing=design.delta) + L2(strengths[1])
    if design.patience is not None:
        terms = terms + EarlyStopping(design.patience, every=epoch)
    model = Model(
        (design.width,),
        "relu",
        optimizer=SGD(design.lr, schedule=Cosine(steps) if design.advised else Constant()),
        regularization=terms,
        replacement=design.advised,
        n_steps=steps,
        seed=seed,
    )
    recorded = range(0 if design.patience else steps // 2, steps + 1, design.every)
    recording = Recording(
        steps=recorded, losses=False, metrics=False, thetas=True, gradients=True, intervals=True
    )
    # float64: weights that a penalty has brought down to subnormal numbers would make float32 slow.
    result = fit_many(X, y, model, held_out=(X, y), record=recording).results[0]
    return Run(result, rfpcore.Clusters(X, y))


def equations(run: Run, route: str) -> Equations:
    """What a run says of its penalty: its endpoint, or windows of the second half."""
    one = run.result
    if route == "endpoint":
        return Equations.endpoint(one.net, one.theta, run.data)
    start = int(one.steps[-1]) // 2
    if route == "windows":
        return Equations.trajectory(one, windows=10, baseline="full", start=start)
    if route == "windows, same batches":
        return Equations.trajectory(one, windows=10, baseline="batches", start=start)
    raise AssertionError(route)


def estimate(run: Run, route: str, delta: float, **options: Any) -> GradientMatching:
    """The two coefficients; ValueError where they cannot be told apart."""
    found = equations(run, route)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        return GradientMatching([L1(1, smoothing=delta), L2(1)], **options).fit(found)
