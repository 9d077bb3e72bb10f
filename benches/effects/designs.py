"""Data sets with a known effect: three designs, few or many clusters, strong or weak, constant or not."""

import itertools
from typing import NamedTuple

import numpy as np

from rfpcore.datasets import make_policy

PERIODS = 5
ADOPTION = (2, 3)  # of the cohorts that adopt, counted from 0


class Cell(NamedTuple):
    """One line of the table."""

    design: str
    n_clusters: int
    scale: float
    heterogeneity: float

    @property
    def name(self) -> str:
        strength = "strong" if self.scale > 0.3 else "weak"
        effect = "varying" if self.heterogeneity else "constant"
        return f"{self.design}-{self.n_clusters}-{strength}-{effect}"


CELLS = [
    Cell(design, n, scale, heterogeneity)
    for design, n, scale, heterogeneity in itertools.product(
        ("levels", "trend", "staggered"), (10, 20, 50), (0.5, 0.1), (0.0, 0.5)
    )
]


class Draw(NamedTuple):
    """One data set; `time` is None but in the staggered design.

    `truth` is the average effect on the treated rows, `truth_of_all` that on all rows (NaN if staggered).
    """

    X: np.ndarray
    y: np.ndarray
    treatment: np.ndarray
    groups: np.ndarray
    time: np.ndarray | None
    truth: float
    truth_of_all: float


def draw(cell: Cell, seed: int) -> Draw:
    """The data set of a cell and a seed."""
    if cell.design == "staggered":
        return _staggered(cell, np.random.default_rng([seed, 3]))
    data = make_policy(
        cell.n_clusters, cluster_scale=cell.scale, heterogeneity=cell.heterogeneity, random_state=seed
    )
    truth = float(data.effect[data.treatment == 1].mean())
    X, y = data.X, data.y
    if cell.design == "trend":
        # Rows come over time; each cluster has a trend of its own that no model is told of.
        random = np.random.default_rng([seed, 2])
        time = random.uniform(-1, 1, len(y))
        y = y + (2 * cell.scale * random.standard_normal(cell.n_clusters))[data.groups] * time
        X = np.column_stack([X, time])
    return Draw(X, y, data.treatment, data.groups, None, truth, float(data.effect.mean()))


def _staggered(cell: Cell, random: np.random.Generator) -> Draw:
    """One row a cluster and period: adoption and trends depend on Z, shocks follow a random walk."""
    n = cell.n_clusters
    z = random.standard_normal(n)
    while True:
        chance = random.uniform(size=n) < 1 / (1 + np.exp(-z))
        start = np.where(chance, random.choice(ADOPTION, n), PERIODS + 9)
        if min(np.sum(start == g) for g in ADOPTION) >= 2 and np.sum(~chance) >= 3:
            break
    t = np.arange(PERIODS)
    walk = cell.scale * random.standard_normal((n, PERIODS)).cumsum(axis=1)
    since = t - start[:, None]
    tau = (1 + cell.heterogeneity * (0.5 * since + 0.5 * z[:, None])) * (since >= 0)
    y = random.standard_normal((n, 1)) + 0.2 * t + 0.2 * z[:, None] * t + walk + tau
    y += 0.2 * random.standard_normal((n, PERIODS))
    cluster, period = np.repeat(np.arange(n), PERIODS), np.tile(t, n)
    treatment = (period >= start[cluster]).astype(int)
    truth = float(tau[since >= 0].mean())
    return Draw(z[cluster][:, None], y.ravel(), treatment, cluster, period, truth, float("nan"))
