"""Clustered data with a known population function E[f]: seventeen designs.

A row of cluster c is x = centre_c + spread · N(0, 1), and y = f(x) + the cluster's effect at x + noise. The
effect has mean zero, so f is what a cluster never seen is to be predicted by.
"""

import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Random = np.random.Generator
Mean = Callable[[np.ndarray], np.ndarray]
Effect = Callable[
    [np.ndarray, np.ndarray, np.ndarray], np.ndarray
]  # of x, its distance to the centre, cluster

NEW_CLUSTERS, NEW_ROWS = 200, 10  # of the population
KNOWN_ROWS = 10  # of each known cluster
FEW_CLUSTERS, LABELLED, QUERIES = 40, 5, 20  # new clusters of which some rows are labelled
FREQUENCIES = 200  # of the random Fourier features of a cluster's path
LENGTH = 0.3  # scale of the paths
HEAVY = 2.5  # degrees of freedom of heavy effects


class Rows(NamedTuple):
    """Rows whose outcomes are known."""

    X: np.ndarray
    y: np.ndarray
    groups: np.ndarray

    def of(self, chosen: np.ndarray) -> "Rows":
        return Rows(self.X[chosen], self.y[chosen], self.groups[chosen])


class Draw(NamedTuple):
    """One data set, and what is true of new rows: `y` are outcomes, `f` are without noise."""

    train: Rows
    X_population: np.ndarray  # rows of clusters never seen, with E[f] and which of them are far out
    f_population: np.ndarray
    tail: np.ndarray
    y_population: np.ndarray
    X_known: np.ndarray  # new rows of the clusters in `train`, with their own functions
    groups_known: np.ndarray
    f_known: np.ndarray
    y_known: np.ndarray
    few: Rows  # of new clusters, and other rows of the same clusters to be predicted
    X_query: np.ndarray
    groups_query: np.ndarray
    f_query: np.ndarray


class Design(NamedTuple):
    """How clusters lie, what is common to them, what is their own."""

    sizes: tuple[int, ...]
    centres: Callable[[Random, int], np.ndarray]
    spread: float | tuple[float, ...]
    mean: Mean
    effects: Callable[[Random, int, int], Effect]
    noise: float = 0.3
    binary: bool = False

    def target(self, common: np.ndarray, own: np.ndarray) -> np.ndarray:
        return logistic(common + own) if self.binary else common + own

    def population(self, X: np.ndarray) -> np.ndarray:
        """E[f] over clusters at the rows of X."""
        common = self.mean(X)
        if not self.binary:
            return common
        nodes, weights = np.polynomial.hermite_e.hermegauss(40)
        return logistic(common[:, None] + nodes) @ weights / weights.sum()

    def observed(self, random: Random, target: np.ndarray) -> np.ndarray:
        if self.binary:
            return (random.uniform(size=len(target)) < target).astype(float)
        return target + self.noise * random.standard_normal(len(target))


def logistic(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


# Where clusters lie.


def apart(random: Random, n: int) -> np.ndarray:
    """Half in the middle, half far out and by turns on either side, as in `make_vee`."""
    return _apart(random, (-1.0) ** np.arange(n // 2), n)


def apart_anyhow(random: Random, n: int) -> np.ndarray:
    """The same with sides at random."""
    return _apart(random, random.choice([-1.0, 1.0], n // 2), n)


def _apart(random: Random, sides: np.ndarray, n: int) -> np.ndarray:
    middle, far = random.uniform(-1, 1, n - len(sides)), random.uniform(1.5, 4, len(sides))
    return np.concatenate([middle, sides * far])[:, None]


def around(d: int, scale: float = 1.0) -> Callable[[Random, int], np.ndarray]:
    return lambda random, n: scale * random.standard_normal((n, d))


def policies(random: Random, n: int) -> np.ndarray:
    """A policy D and its cause w, both of the cluster, and a column that varies inside."""
    w = random.standard_normal(n)
    D = random.uniform(size=n) < logistic(2 * w)
    return np.column_stack([D, w, np.zeros(n)])


# What is a cluster's own.


def lines(random: Random, n: int, d: int) -> Effect:
    """An intercept and slopes about the cluster's centre."""
    return _lines(0.5 * random.standard_normal(n), 0.5 * random.standard_normal((n, d)) / np.sqrt(d))


def heavy_lines(random: Random, n: int, d: int) -> Effect:
    return _lines(0.3 * random.standard_t(HEAVY, n), 0.3 * random.standard_t(HEAVY, (n, d)))


def levels(random: Random, n: int, d: int) -> Effect:
    return _lines(0.5 * random.standard_normal(n), np.zeros((n, d)))


def unit_levels(random: Random, n: int, d: int) -> Effect:
    """Of variance one, which `Design.population` takes for the logit."""
    return _lines(random.standard_normal(n), np.zeros((n, d)))


def nothing(random: Random, n: int, d: int) -> Effect:
    return _lines(np.zeros(n), np.zeros((n, d)))


def paths(random: Random, n: int, d: int) -> Effect:
    """A draw of a Gaussian process with an RBF kernel for each cluster, by random Fourier features."""
    omega = random.standard_normal((d, FREQUENCIES)) / LENGTH
    phase = random.uniform(0, 2 * np.pi, FREQUENCIES)
    weights = 0.5 * random.standard_normal((n, FREQUENCIES)) * np.sqrt(2 / FREQUENCIES)
    return lambda X, away, code: (np.cos(X @ omega + phase) * weights[code]).sum(axis=1)


def _lines(intercept: np.ndarray, slope: np.ndarray) -> Effect:
    return lambda X, away, code: intercept[code] + (slope[code] * away).sum(axis=1)


# What is common.


def vee(X: np.ndarray) -> np.ndarray:
    return np.abs(X[:, 0])


def shifted(X: np.ndarray) -> np.ndarray:
    return np.abs(X[:, 0] - 0.5)


def sine(X: np.ndarray) -> np.ndarray:
    return np.sin(2 * X[:, 0])


def additive(X: np.ndarray) -> np.ndarray:
    return np.abs(X[:, 0]) + np.sin(1.5 * X[:, 1])


def policy(X: np.ndarray) -> np.ndarray:
    return X[:, 0] + np.sin(2 * X[:, 1]) + np.abs(X[:, 2])


def logit(X: np.ndarray) -> np.ndarray:
    return 1.5 * np.sin(1.5 * X[:, 0])


def steps(X: np.ndarray) -> np.ndarray:
    return 1.5 * (X[:, 0] > 0) + (X[:, 1] > 0.5) - (X[:, 2] > -0.5)


def interaction(X: np.ndarray) -> np.ndarray:
    return X[:, 0] * X[:, 1] + np.sin(2 * X[:, 2])


ZIPF = tuple(int(n) for n in np.maximum(5, np.round(150 / np.arange(1, 31))))

DESIGNS = {
    "vee": Design((25,) * 20, apart, 0.3, vee, lines, noise=0.1),
    "shvee": Design((25,) * 20, apart_anyhow, 0.3, shifted, lines, noise=0.1),
    "sine_overlap": Design((25,) * 20, around(1), 0.7, sine, lines),
    "d5": Design((20,) * 30, around(5), 0.5, additive, lines),
    "d10": Design((20,) * 30, around(10), 0.5, additive, lines),
    "many_small": Design((5,) * 200, around(1), 0.3, sine, lines),
    "few_large": Design((120,) * 10, around(1), 0.3, sine, lines),
    "collinear": Design((20,) * 30, policies, (0.0, 0.0, 1.0), policy, lines),
    "heavy": Design((25,) * 20, apart, 0.3, vee, heavy_lines, noise=0.1),
    "ri_only": Design((25,) * 20, around(1), 0.5, sine, levels),
    "gp_clusters": Design((25,) * 20, around(1), 0.8, sine, paths),
    "binary": Design((20,) * 40, around(1), 0.5, logit, unit_levels, binary=True),
    "zipf": Design(ZIPF, around(1), 0.3, sine, lines),
    "no_effect": Design((25,) * 20, around(1), 1.0, sine, nothing),
    "steps10": Design((20,) * 30, around(10, 0.6), 0.6, steps, lines),
    "inter5": Design((20,) * 30, around(5, 0.7), 0.7, interaction, lines),
    "big5": Design((40,) * 100, around(5), 0.5, additive, lines),
}


class Clusters:
    """Clusters of a design: rows of them, and their own functions."""

    def __init__(self, design: Design, random: Random, n: int):
        self.design, self.random = design, random
        self.centre = design.centres(random, n)
        self.effect = design.effects(random, n, self.centre.shape[1])

    def rows(self, code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows X of the clusters in `code`, and their targets without noise."""
        away = np.asarray(self.design.spread) * self.random.standard_normal((len(code), self.centre.shape[1]))
        X = self.centre[code] + away
        return X, self.design.target(self.design.mean(X), self.effect(X, away, code))


def draw(name: str, seed: int) -> Draw:
    """The data set of a design and a seed, a function of both alone."""
    design = DESIGNS[name]
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    known = Clusters(design, random, len(design.sizes))
    groups = np.repeat(np.arange(len(design.sizes)), design.sizes)
    X, target = known.rows(groups)
    y = design.observed(random, target)
    X_population, f_new = Clusters(design, random, NEW_CLUSTERS).rows(
        np.repeat(np.arange(NEW_CLUSTERS), NEW_ROWS)
    )
    groups_known = np.repeat(np.arange(len(design.sizes)), KNOWN_ROWS)
    X_known, f_known = known.rows(groups_known)
    few = Clusters(design, random, FEW_CLUSTERS)
    code_few, code_query = (np.repeat(np.arange(FEW_CLUSTERS), rows) for rows in (LABELLED, QUERIES))
    X_few, f_few = few.rows(code_few)
    X_query, f_query = few.rows(code_query)
    f_population, first = design.population(X_population), len(design.sizes)  # labels of new clusters go on
    return Draw(
        Rows(X, y, groups),
        X_population, f_population, far_out(X_population), design.observed(random, f_new),
        X_known, groups_known, f_known, design.observed(random, f_known),
        Rows(X_few, design.observed(random, f_few), code_few + first),
        X_query, code_query + first, f_query,
    )  # fmt: skip


def far_out(X: np.ndarray) -> np.ndarray:
    """|x| > 1.2, or the outer 30 % if there are several columns."""
    if X.shape[1] == 1:
        return np.abs(X[:, 0]) > 1.2
    length = np.linalg.norm((X - X.mean(axis=0)) / X.std(axis=0), axis=1)
    return length > np.quantile(length, 0.7)
