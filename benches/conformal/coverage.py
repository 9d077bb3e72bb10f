"""How often intervals hold a random row of a new cluster, with 10, 20 and 50 clusters.

python -m benches.conformal.coverage [DRAWS]  prints the table of docs/conformal.md (2000 draws, twenty minutes).
"""

import itertools
import sys

import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split

from rfpcore.conformal import ClusterConformal

LEVEL = 0.8
DESIGNS = ("normal", "heavy tails, large clusters differ more")


def draw(random, design, n_clusters):
    """A line in two columns, one of them the cluster's, a cluster's own level and slope, and noise."""
    effects = random.standard_normal(n_clusters) if design == "normal" else random.standard_t(3, n_clusters)
    sizes = random.integers(1, 30, n_clusters)
    if design != "normal":
        sizes = np.minimum(1 + (10 * np.abs(effects)).astype(int), 100)
    groups = np.repeat(np.arange(n_clusters), sizes)
    X = np.column_stack([random.standard_normal(len(groups)), random.standard_normal(n_clusters)[groups]])
    slopes = 0.3 * random.standard_normal(n_clusters)
    y = X @ [1.0, 0.5] + effects[groups] + slopes[groups] * X[:, 0] + random.standard_normal(len(groups))
    return X, y, groups


def of_rows(X, y, groups, new):
    """What one would do without clusters: errors of half of the rows, at random."""
    train, test = train_test_split(np.arange(len(y)), test_size=0.5, random_state=0)
    line = LinearRegression().fit(X[train], y[train])
    errors = np.sort(np.abs(y[test] - line.predict(X[test])))
    half = errors[min(int(np.ceil(LEVEL * (len(test) + 1))), len(test)) - 1]
    centre = line.predict(new)
    return np.column_stack([centre - half, centre + half])


def of_clusters(method):
    """The package's, of a method."""

    def intervals(X, y, groups, new):
        model = ClusterConformal(LinearRegression(), method=method, random_state=0).fit(X, y, groups)
        return model.predict_interval(new, level=LEVEL)

    return intervals


METHODS = {name: of_clusters(name) for name in ("split", "cv+", "jackknife+")} | {"rows at random": of_rows}


def coverage(design, n_clusters, n_draws):
    """Coverage and mean length of each method, the same data for all."""
    random, hits, lengths = np.random.default_rng(n_clusters), [], []
    for _ in range(n_draws):
        X, y, groups = draw(random, design, n_clusters + 1)
        seen, row = groups < n_clusters, random.choice(np.flatnonzero(groups == n_clusters))
        found = [method(X[seen], y[seen], groups[seen], X[[row]])[0] for method in METHODS.values()]
        hits.append([low <= y[row] <= high for low, high in found])
        lengths.append([high - low for low, high in found])
    return np.mean(hits, axis=0), np.mean(lengths, axis=0)


def main(n_draws=2000):
    """Print the table."""
    print(f"| data | clusters | {' | '.join(METHODS)} |\n|{' --- |' * (2 + len(METHODS))}")
    for design, n_clusters in itertools.product(DESIGNS, (10, 20, 50)):
        covered, length = coverage(design, n_clusters, n_draws)
        cells = [f"{100 * c:.1f} ({w:.1f})" for c, w in zip(covered, length, strict=True)]
        print(f"| {design} | {n_clusters} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
