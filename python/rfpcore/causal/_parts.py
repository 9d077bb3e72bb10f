"""Effects on the treated that are put together from several samples of the same clusters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from ._nuisance import Models, fit_each, with_left_out
from ._sample import Sample
from ._score_inference import terms_of
from ._scores import value


def make_part(sample: Sample, models: Models) -> "Part":
    """The models learn what they say of this sample's clusters left out."""
    return Part(sample, with_left_out(sample, models))


@dataclass(frozen=True, eq=False)
class Part:
    """One sample and the models fitted on it."""

    sample: Sample
    models: Models

    def estimates(self, counts: NDArray[np.int64]) -> Array:
        """(S,) the effect under each row of counts (S, G); NaN where an arm is empty."""
        sample = self.sample
        own = counts * (sample.arm >= 0)
        distinct, inverse = np.unique(own, axis=0, return_inverse=True)
        both = np.all([distinct[:, sample.arm == value].any(axis=1) for value in (0, 1)], axis=0)
        found = np.full(len(distinct), np.nan)
        rows = distinct[both]
        if len(rows):
            fits = fit_each(sample, self.models, rows)
            found[both] = [
                value(terms_of(sample, self.models, fitted, sample.weight * count[sample.codes]))
                for fitted, count in zip(fits, rows, strict=True)
            ]
        return found[inverse.ravel()]

    def treated_weight(self, counts: NDArray[np.int64]) -> Array:
        """(S,) weight of the treated rows under each row of counts."""
        sample = self.sample
        by_cluster = np.bincount(sample.codes, sample.weight * sample.treated, sample.n_clusters)
        return np.asarray(counts @ by_cluster)
