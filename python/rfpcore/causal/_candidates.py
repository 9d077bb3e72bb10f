"""The outcome models that "auto" chooses among."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from sklearn.linear_model import LinearRegression

from .._arrays import Array
from ..estimators import RFPRegressor
from ._smooth import Prior, lines, nothing, surface

MANY_ROWS = 3000  # above it trees are grown on histograms
BY_ROW = 0.3  # variance of the noise of a row, where that of all outcomes is 1
BY_CLUSTER = 0.2  # variance of the clusters' levels
LIGHT = 0.25  # of a ridge penalty where every cluster has one row: a quarter of one of ten clusters


@dataclass(frozen=True)
class Smooth:
    """A ridge regression on features of the covariates.

    Attributes
    ----------
    features : callable
        From the covariates (N, d) and the number of clusters.
    prior : Prior or None
        None: a penalty that weighs as much as one cluster.
    """

    features: Callable[[Array, int], Array]
    prior: Prior | None = None


@dataclass(frozen=True)
class MeanOf:
    """The mean of what other candidates predict: two models that err in different ways err less together.

    Attributes
    ----------
    of : tuple of str
        Their names.
    """

    of: tuple[str, ...]


class Candidate(NamedTuple):
    """A model, whether it takes outcomes scaled to unit variance, and whether "auto" may choose it."""

    model: Any
    scaled: bool = True
    eligible: bool = True


def network(hidden: tuple[int, ...], steps: int, random_state: Any, n_jobs: int | None) -> RFPRegressor:
    """A network for outcomes of unit variance."""
    return RFPRegressor(
        standardize=False,
        learning_rate="constant",
        hidden_layer_sizes=hidden,
        alpha=0.2,
        inner_steps=1,
        inner_lr=0.05,
        max_iter=steps,
        dtype="float32",  # moves estimates by a millionth, in half the time
        random_state=random_state,
        n_jobs=n_jobs,
    )


def large_network(random_state: Any, n_jobs: int | None) -> RFPRegressor:
    """The network that models outcomes with `outcome=None`."""
    return network((32, 32), 150, random_state, n_jobs)


def constant() -> Candidate:
    """The mean, to compare with."""
    return Candidate(Smooth(nothing), eligible=False)


def candidates(n_rows: int, single_rows: bool, seed: int, n_jobs: int | None) -> dict[str, Candidate]:
    """What is tried, by name, those preferred first; where every cluster has one row, straight lines only.

    The Gaussian process of short reach comes first, and a ridge regression before least squares: they go back
    to the mean where no cluster is, and extrapolate least. The mean is there to compare with. So is least
    squares where clusters have many rows: it extrapolates worse than its rivals where on clusters left out it
    looks like them.
    """
    ridge = Candidate(Smooth(lines))
    linear = Candidate(LinearRegression(), scaled=False, eligible=single_rows)
    if single_rows:
        careful = Candidate(Smooth(lines, Prior(LIGHT)))
        return {"ridge": careful, "linear": linear, "mean": constant()}
    return {
        "rough": Candidate(Smooth(partial(surface, reach=0.4), Prior(BY_ROW))),
        "rough and large network": Candidate(MeanOf(("rough", "large network"))),
        "large network": Candidate(large_network(seed, n_jobs)),
        "smooth": Candidate(Smooth(partial(surface, reach=0.9), Prior(BY_ROW, BY_CLUSTER))),
        "ridge": ridge,
        "trees": Candidate(_trees(n_rows, seed)),
        "small network": Candidate(network((16,), 60, seed, n_jobs)),
        "mean": constant(),
        "linear": linear,
    }


def _trees(n_rows: int, seed: int) -> Any:
    from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor

    if n_rows > MANY_ROWS:
        return HistGradientBoostingRegressor(max_iter=50, max_depth=2, random_state=seed)
    leaf = max(1, min(10, n_rows // 20))
    return GradientBoostingRegressor(n_estimators=50, max_depth=2, min_samples_leaf=leaf, random_state=seed)
