"""What people would fit to clustered data, by one protocol: the population, known clusters, new clusters.

The old networks say every setting that they had, so that they stay what they were when defaults change.
"""

import importlib.util
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rfpcore import RFPRegressor, RFPRegressorCV

from . import rivals
from .designs import Rows
from .real import SETS

Ends = tuple[np.ndarray, np.ndarray]

OLD = {
    "hidden_layer_sizes": (32, 32), "activation": "tanh", "inner_steps": 1, "solver": "adam",
    "learning_rate_init": 5e-3, "learning_rate": "constant", "weight_decay": 0.0, "max_iter": 500,
    "early_stopping": False, "dtype": "float32", "random_state": 0, "n_jobs": 1, "standardize": False,
}  # fmt: skip


class Plain:
    """A regressor that knows of no clusters."""

    def __init__(self, model: Any):
        self.model = model

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> "Plain":
        self.model.fit(X, y)
        return self

    def population(self, X: np.ndarray) -> np.ndarray:
        return self.model.predict(X)

    def known(self, X: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """New rows of clusters that were in `fit`."""
        return self.population(X)

    def new(self, few: Rows, X: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Rows of clusters of which a few others are labelled."""
        return self.population(X)

    def band(self, X: np.ndarray) -> Ends | None:
        """A 95 % band of E[f]."""
        return None

    def interval(self, X: np.ndarray, groups: np.ndarray | None = None) -> Ends | None:
        """95 % intervals of outcomes of new clusters, or of those in `groups`."""
        return None


class Adapted(Plain):
    """Networks of this package, on standardised columns and outcomes; clusters by gradient steps."""

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> "Adapted":
        self.scale, self.centre, self.spread = StandardScaler().fit(X), y.mean(), y.std()
        self.seen = self._scaled(X, y, groups)
        self.model.fit(*self.seen)
        self.best = getattr(self.model, "best_estimator_", self.model)
        return self

    def _rows(self, X: np.ndarray) -> np.ndarray:
        return self.scale.transform(X).astype(np.float32)

    def _scaled(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> Rows:
        return Rows(self._rows(X), (y - self.centre) / self.spread, groups)

    def population(self, X: np.ndarray) -> np.ndarray:
        return self.model.predict(self._rows(X)) * self.spread + self.centre

    def known(self, X: np.ndarray, groups: np.ndarray) -> np.ndarray:
        return self._adapt(self.seen, X, groups)

    def new(self, few: Rows, X: np.ndarray, groups: np.ndarray) -> np.ndarray:
        return self._adapt(self._scaled(*few), X, groups)

    def _adapt(self, few: Rows, X: np.ndarray, groups: np.ndarray) -> np.ndarray:
        rate = "auto" if self.best.inner_lr_ is None else self.best.inner_lr_
        options = existing(self.best.adapt, inner_steps=1, inner_lr=rate, method="gradient")
        adapted = self.best.adapt(*few, **options)
        return adapted.predict(self._rows(X), groups) * self.spread + self.centre


class AsItComes(Plain):
    """An estimator of this package with its defaults, on the columns and outcomes as they are."""

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> "AsItComes":
        self.seen = Rows(X, y, groups)
        self.model.fit(X, y, groups)
        return self

    def known(self, X: np.ndarray, groups: np.ndarray) -> np.ndarray:
        return self.new(self.seen, X, groups)

    def new(self, few: Rows, X: np.ndarray, groups: np.ndarray) -> np.ndarray:
        return self.model.adapt(*few).predict(X, groups)


class Mixed(AsItComes):
    """`MixedRegressor`."""

    def known(self, X: np.ndarray, groups: np.ndarray) -> np.ndarray:
        return self.model.predict(X, groups=groups)

    def new(self, few: Rows, X: np.ndarray, groups: np.ndarray) -> np.ndarray:
        return self.model.adapt(*few).predict(X, groups=groups)

    def band(self, X: np.ndarray) -> Ends | None:
        return ends(self.model.population_interval(X, level=0.95))

    def interval(self, X: np.ndarray, groups: np.ndarray | None = None) -> Ends | None:
        return ends(self.model.predict_interval(X, level=0.95, groups=groups))


class Rival(Plain):
    """A mean and random effects of another kind; the effects of clusters are their posterior mean."""

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> "Rival":
        self.seen = Rows(X, y, groups)
        self.mean, self.effects = self.model(X, y, groups)
        return self

    def population(self, X: np.ndarray) -> np.ndarray:
        return self.mean(X)

    def known(self, X: np.ndarray, groups: np.ndarray) -> np.ndarray:
        return self.new(self.seen, X, groups)

    def new(self, few: Rows, X: np.ndarray, groups: np.ndarray) -> np.ndarray:
        own, _ = self._own(few, X, groups)
        return self.mean(X) + own

    def _own(self, few: Rows, X: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.effects.posterior(few.X, few.y - self.mean(few.X), few.groups, X, groups)

    def interval(self, X: np.ndarray, groups: np.ndarray | None = None) -> Ends | None:
        """With the variances put in as if they were known, and the mean as if it had no error."""
        if groups is None:
            middle, variance = self.mean(X), self.effects.prior_variance(X)
        else:
            own, variance = self._own(self.seen, X, groups)
            middle = self.mean(X) + own
        half = 1.96 * np.sqrt(variance + self.effects.noise)
        return middle - half, middle + half


def existing(function: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """Those of the options that a function takes: old settings, by whatever name there is by now."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in options.items() if name in known}


def ends(interval: Any) -> Ends:
    """Two arrays, of a pair or of two columns."""
    low, high = interval if len(interval) == 2 else np.transpose(interval)
    return low, high


def network(**options: Any) -> Any:
    return RFPRegressor(**existing(RFPRegressor, **OLD | options))


def chosen(**grid: Any) -> Any:
    """Three folds of clusters choose out of the grid, and how long to train, at most 300 steps."""
    return RFPRegressorCV(network(inner_lr=0.05, max_iter=300), n_folds=3, random_state=0, **grid)


def mixed() -> Any:
    from rfpcore import MixedRegressor

    return MixedRegressor()


METHODS: dict[str, Callable[[], Plain]] = {
    "mlp": lambda: Adapted(network(alpha=1.0, inner_lr="auto")),
    "mlp_cv": lambda: Adapted(chosen(alphas=(1.0,))),
    "rfp_default": lambda: Adapted(network(hidden_layer_sizes=(64, 64), alpha=0.5, inner_lr="auto")),
    "rfp_k1": lambda: Adapted(network(alpha=0.1, inner_lr=0.02)),
    "rfp_cv": lambda: Adapted(chosen(alphas=(0.1, 1.0), inner_lrs=(0.02, 0.1))),
    "rfp": lambda: AsItComes(RFPRegressor()),
    "mixed": lambda: Mixed(mixed()),
    "ridge": lambda: Plain(make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))),
    "hgb": lambda: Plain(HistGradientBoostingRegressor(random_state=0)),
    "hgb_slow": lambda: Plain(
        HistGradientBoostingRegressor(learning_rate=0.05, max_leaf_nodes=8, random_state=0)
    ),
    "rf": lambda: Plain(RandomForestRegressor(100, min_samples_leaf=5, random_state=0)),
    "gpb_ri": lambda: Rival(rivals.gpboost),
    "gpb_slopes": lambda: Rival(rivals.gpboost_slopes),
    "merf": lambda: Rival(rivals.merf),
    "mixedlm": lambda: Rival(rivals.mixedlm),
}

NEEDS = {"gpb_ri": "gpboost", "gpb_slopes": "gpboost", "mixedlm": "statsmodels"}
SLOW = ("gpb_slopes",)  # a minute and more with ten columns and 500 clusters: on real data only if asked for


def available(name: str) -> list[str]:
    """The methods for a design or data set whose packages are there."""
    import rfpcore

    there = {name for name in METHODS if name not in NEEDS or importlib.util.find_spec(NEEDS[name])}
    if not hasattr(rfpcore, "MixedRegressor"):
        there.discard("mixed")
    there -= set(SLOW if name in SETS else ())
    return [name for name in METHODS if name in there]
