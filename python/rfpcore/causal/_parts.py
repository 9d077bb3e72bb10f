"""Effects on the treated that are put together from several samples of the same clusters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from ._delete_one import closed_form, has_closed_form, held_fixed
from ._nuisance import Models, distinct_rows, fit_each, with_left_out, without_level
from ._replicates import without_each
from ._sample import Sample
from ._score_inference import clusters_behind, terms_of
from ._scores import value


def make_part(sample: Sample, models: Models) -> "Part":
    """The models learn what they say of this sample's clusters left out."""
    return Part(sample, with_left_out(sample, models))


def make_sections(after: Sample, before: Sample, models: Models) -> "Sections":
    """Of two cross-sections of the same clusters."""
    return Sections(*(make_part(without_level(sample, models), models) for sample in (after, before)))


@dataclass(frozen=True, eq=False)
class Part:
    """One sample and the models fitted on it."""

    sample: Sample
    models: Models

    def estimates(self, counts: NDArray[np.int64]) -> Array:
        """(S,) the effect under each row of counts (S, G); NaN where an arm is empty."""
        sample = self.sample
        own = counts * (sample.arm >= 0)
        distinct, inverse = distinct_rows(own)
        both = np.all([distinct[:, sample.arm == value].any(axis=1) for value in (0, 1)], axis=0)
        found = np.full(len(distinct), np.nan)
        rows = distinct[both]
        if len(rows):
            fits = fit_each(sample, self.models, rows)
            found[both] = [
                value(terms_of(sample, self.models, fitted, sample.weight * count[sample.codes]))
                for fitted, count in zip(fits, rows, strict=True)
            ]
        return found[inverse]

    @property
    def has_closed_form(self) -> bool:
        """Whether the estimates without each cluster need no refits."""
        return has_closed_form(self.sample, self.models)

    def without_each(self, held: bool = False) -> Array:
        """(1 + G,) the effect of all clusters, then without each: closed, or with the models held fixed."""
        rows = [np.ones(len(self.sample.y), bool)]
        if held:
            return held_fixed(self.sample, self.models, rows)[:, 0]
        return closed_form(self.sample, self.models, rows, lambda counts: self.estimates(counts)[:, None])[
            :, 0
        ]

    def treated_weight(self, counts: NDArray[np.int64]) -> Array:
        """(S,) weight of the treated rows under each row of counts."""
        return np.asarray(counts @ self._treated_by_cluster())

    def treated_weight_without_each(self) -> Array:
        """(1 + G,) weight of the treated rows, of all clusters, then without each."""
        return without_each(self._treated_by_cluster())

    @property
    def all_models(self) -> list[Models]:
        """Those of all samples."""
        return [self.models]

    def behind(self) -> NDArray[np.bool_]:
        """Sets (K, G) of clusters, one of each of which is needed."""
        return clusters_behind(self.sample, self.models, self.sample.weight)

    def _treated_by_cluster(self) -> Array:
        sample = self.sample
        return np.bincount(sample.codes, sample.weight * sample.treated, sample.n_clusters)


@dataclass(frozen=True, eq=False)
class Sections:
    """The difference between the contrasts of two cross-sections, with what a `Part` offers."""

    after: Part
    before: Part

    @property
    def sample(self) -> Sample:
        """The later one; both have the same clusters in the same arms."""
        return self.after.sample

    @property
    def all_models(self) -> list[Models]:
        """Those of both samples."""
        return [self.after.models, self.before.models]

    @property
    def has_closed_form(self) -> bool:
        """Whether the estimates without each cluster need no refits."""
        return self.after.has_closed_form and self.before.has_closed_form

    def estimates(self, counts: NDArray[np.int64]) -> Array:
        """(S,) the effect under each row of counts (S, G); NaN where an arm is empty."""
        return np.asarray(self.after.estimates(counts) - self.before.estimates(counts))

    def without_each(self, held: bool = False) -> Array:
        """(1 + G,) the effect of all clusters, then without each: closed, or with the models held fixed."""
        return np.asarray(self.after.without_each(held) - self.before.without_each(held))

    def treated_weight(self, counts: NDArray[np.int64]) -> Array:
        """(S,) weight of the treated rows of the later period under each row of counts."""
        return self.after.treated_weight(counts)

    def treated_weight_without_each(self) -> Array:
        """(1 + G,) weight of the treated rows of the later period, of all clusters, then without each."""
        return self.after.treated_weight_without_each()

    def behind(self) -> NDArray[np.bool_]:
        """Sets (K, G) of clusters, one of each of which is needed."""
        return np.concatenate([self.after.behind(), self.before.behind()])
