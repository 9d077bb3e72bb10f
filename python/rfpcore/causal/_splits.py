"""Several ways of dealing clusters to folds; an estimate is the mean over them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from ._nuisance import Fitted, Models
from ._scores import WeightedMean, value
from ._within import Rows, Within, read_within


@dataclass(frozen=True, eq=False)
class Splits:
    """The same rows and models under each split."""

    each: list[Within]

    @property
    def first(self) -> Within:
        """One of them, for all that splits have in common."""
        return self.each[0]

    @property
    def folds(self) -> NDArray[np.intp]:
        """(R, G) of each split."""
        return np.stack([data.folds for data in self.each])

    def fit(self) -> list[Fitted]:
        """The nuisances of each split, from all clusters."""
        ones = np.ones((1, self.first.clusters.n_clusters), np.int64)
        return [next(data.fit_each(ones)) for data in self.each]

    def estimates(self, counts: NDArray[np.int64], masks: Sequence[Rows]) -> Array:
        """(S, E) the effects on the rows of each mask."""
        return self._mean([data.estimates(counts, masks) for data in self.each])

    def closed_form(self, masks: Sequence[Rows]) -> Array:
        """(1 + G, E) the effects of all clusters, then without each, without refits."""
        return self._mean([data.closed_form(masks) for data in self.each])

    def held(self, fitted: Sequence[Fitted], masks: Sequence[Rows]) -> Array:
        """(1 + G, E) the same with the models held fixed."""
        return self._mean([data.held(own, masks) for data, own in zip(self.each, fitted, strict=True)])

    def terms(self, fitted: Sequence[Fitted], mask: Rows) -> list[WeightedMean]:
        """The weighted means of the score on some rows, of all splits."""
        return [
            part._replace(sign=part.sign / len(self.each))
            for data, own in zip(self.each, fitted, strict=True)
            for part in data.terms(own, mask)
        ]

    def by_split(self, fitted: Sequence[Fitted], mask: Rows) -> Array:
        """(R,) the effect by each split."""
        pairs = zip(self.each, fitted, strict=True)
        return np.array([value(data.terms(own, mask)) for data, own in pairs])

    def _mean(self, found: list[Array]) -> Array:
        return np.asarray(np.mean(found, axis=0))


def read_splits(
    X: Any, given: Mapping[str, Any], covariates: Any, models: Models, n_folds: int, n_repeats: int
) -> Splits:
    """Check everything, deal the clusters to folds, and learn what models say of clusters left out."""
    return Splits(read_within(X, given, covariates, models, n_folds, n_repeats))
