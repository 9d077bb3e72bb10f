"""Boosted trees on V^-1 r as the population's function."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._components import Floats
from ._problem import FittedMean, MixedProblem, Whitening

DEPTH, LEAST_ROWS, RATE, ROUNDS = 3, 10, 0.15, 100
PATIENCE = 15
HOPELESS = {14: 2.0, 29: 1.3}  # rounds after which trees so far from the best of other kinds are given up
MOST_ROWS = 20_000  # that a tree is grown on
LARGEST_STEP = 10.0


@dataclass(frozen=True, eq=False)
class TreeMean:
    """The mean of several sums of trees, each tree whole and three deep, as arrays.

    Attributes
    ----------
    features, thresholds : ndarray (folds, rounds, 7)
        Splits by breadth: those of node i lead to 2i + 1 and 2i + 2.
    leaves : ndarray (folds, rounds, 8)
    """

    features: NDArray[np.int64]
    thresholds: Floats
    leaves: Floats

    def predict(self, X: Floats) -> Floats:
        """Their mean at rows."""
        X32 = X.astype(np.float32)
        total = np.zeros(len(X))
        for features, thresholds, leaves in zip(self.features, self.thresholds, self.leaves, strict=True):
            for tree in zip(features, thresholds, leaves, strict=True):
                total += _walk(X32, *tree)
        return total / len(self.features)


def _walk(X: Any, features: Any, thresholds: Any, leaves: Any) -> Floats:
    node, rows = np.zeros(len(X), np.intp), np.arange(len(X))
    for _ in range(DEPTH):
        node = 2 * node + 1 + (X[rows, features[node]] > thresholds[node])
    return np.asarray(leaves[node - len(features)])


def fit(problem: MixedProblem, whitening: Whitening, bar: float = np.inf) -> FittedMean:
    """Sums of trees for each fold, stopped by the loss left out, or where they come nowhere near a `bar`."""
    X, y, rows = problem.X.astype(np.float32), problem.y, problem.fold_of_row
    folds = problem.n_folds
    F = np.zeros((folds, len(y)))
    inside = np.array([rows != k for k in range(folds)])
    random = np.random.default_rng(problem.seed)
    kept: list[list[Any]] = []
    best, best_round, left_out = np.inf, 0, np.zeros(len(y))
    for step in range(ROUNDS):
        weights = whitening.solve((y - F).T)
        grown = [_grow(X, weights[:, k], inside[k], random, step) for k in range(folds)]
        H = np.stack([tree.predict(X, check_input=False) for tree in grown])
        bent = whitening.solve(H.T)
        trees = []
        for k, tree in enumerate(grown):
            own = inside[k]
            size = (weights[own, k] @ H[k, own]) / max(H[k, own] @ bent[own, k], 1e-9)
            size = RATE * float(np.clip(size, 0.0, LARGEST_STEP))
            F[k] += size * H[k]
            trees.append(_arrays(tree, size))
        kept.append(trees)
        out = F[rows, np.arange(len(y))]
        loss = whitening.loss(y - out)
        if loss < best:
            best, best_round, left_out = loss, step + 1, out.copy()
        if step + 1 - best_round >= PATIENCE or (step in HOPELESS and best > HOPELESS[step] * bar):
            break
    parts = zip(*(zip(*trees, strict=True) for trees in kept[: max(best_round, 1)]), strict=True)
    features, thresholds, leaves = (np.swapaxes(np.array(part), 0, 1) for part in parts)
    return FittedMean("trees", left_out, TreeMean(features, thresholds, leaves))


def _grow(X: Any, target: Floats, inside: Any, random: np.random.Generator, seed: int) -> Any:
    """A tree of scikit-learn's, whose module is imported where there is one to grow."""
    from sklearn.tree import DecisionTreeRegressor

    index = np.flatnonzero(inside)
    if len(index) > MOST_ROWS:
        index = random.choice(index, MOST_ROWS, replace=False)
    tree = DecisionTreeRegressor(max_depth=DEPTH, min_samples_leaf=LEAST_ROWS, random_state=seed)
    return tree.fit(X[index], target[index], check_input=False)


def _arrays(tree: Any, size: float) -> tuple[Any, Any, Any]:
    """A tree as one that is whole: below a leaf all splits go left."""
    inner, deep = 2**DEPTH - 1, 2**DEPTH
    features, thresholds = np.zeros(inner, np.int64), np.full(inner, np.inf)
    leaves = np.zeros(deep)
    own = tree.tree_
    at = {0: 0}
    for node in range(inner + deep):
        source = at.get(node)
        if source is None:
            continue
        is_leaf = own.children_left[source] < 0
        if node >= inner:
            leaves[node - inner] = size * own.value[source, 0, 0]
        elif is_leaf:
            at[2 * node + 1] = source
        else:
            features[node], thresholds[node] = own.feature[source], own.threshold[source]
            at[2 * node + 1], at[2 * node + 2] = own.children_left[source], own.children_right[source]
    return features, thresholds, leaves
