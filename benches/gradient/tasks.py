"""Training problems that all peers share: the sine regression of the MAML paper, and one fold of the demo.

Finn, Abbeel and Levine (2017), "Model-Agnostic Meta-Learning", section 5.1: y = a sin(x + b), a in [0.1, 5],
b in [0, π], x in [-5, 5]; 10 rows adapt, 10 measure; network 1-40-40-1, relu, inner step 0.01, Adam 0.001, 25
tasks a step.
"""

from typing import NamedTuple

import numpy as np

from .workloads import Problem, Workload, problem

SINE = Workload("sine", 25, 20, 1, (40, 40), 1, activation="relu")
DEMO = Workload("demo", 430, None, 10, (32, 32), 1)
SHOTS = 10
SINE_ETA, SINE_RATE = 0.01, 1e-3
DEMO_ALPHA, DEMO_ETA, DEMO_RATE = 0.5, 0.05, 3e-3
CHUNK = 10
"""Outer steps of one timed call."""


class Tasks(NamedTuple):
    """Tasks by batch: X (batches, 25, 20, 1), y (batches, 25, 20); the first ten rows of a task adapt."""

    theta: np.ndarray
    X: np.ndarray
    y: np.ndarray


def sine(dtype: str, batches: int = 400, seed: int = 0) -> Tasks:
    random = np.random.default_rng(seed)
    shape = (batches, SINE.clusters, 2 * SHOTS)
    height, phase = (random.uniform(low, high, (*shape[:2], 1)) for low, high in ((0.1, 5.0), (0.0, np.pi)))
    x = random.uniform(-5.0, 5.0, shape)
    y = height * np.sin(x + phase)
    return Tasks(problem(SINE, dtype).theta, x[..., None].astype(dtype), y.astype(dtype))


def demo(dtype: str) -> Problem:
    """The districts of the demo's first training fold, standardized as there; rows sorted by district."""
    from sklearn.model_selection import GroupKFold
    from sklearn.preprocessing import StandardScaler

    from rfpcore.datasets import load_benefits

    schools = load_benefits()
    rows, _ = next(GroupKFold(5).split(schools.X, schools.y, schools.groups))
    rows = rows[np.argsort(schools.groups[rows], kind="stable")]
    X, y = StandardScaler().fit_transform(schools.X[rows]), schools.y[rows]
    _, sizes = np.unique(schools.groups[rows], return_counts=True)
    theta = problem(DEMO.with_(rows=1), dtype).theta
    return Problem(theta, X.astype(dtype), ((y - y.mean()) / y.std()).astype(dtype), sizes)
