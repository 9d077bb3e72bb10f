"""A fitted mixed model in standard units: the population's function, the clusters' effects, the scales."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._arrays import Array
from .._known import known_codes
from ._components import Floats, Structure
from ._effects import ClusterEffects
from ._intervals import Calibration
from ._laplace import FamilyName, LaplaceModel
from ._moments import Prediction, Variances
from ._problem import MixedProblem
from ._rows import Codes, Grouping, StandardUnits, centres, effect_data, grouping, offsets_of


class Drawn(NamedTuple):
    """What a fit on shards was fitted to, of which it keeps no clusters.

    Attributes
    ----------
    n_rows, smallest, largest : int
        Rows of all clusters, of the smallest and of the largest.
    n_clusters, n_sampled : int
        Clusters and rows that the variances come from.
    """

    n_rows: int
    smallest: int
    largest: int
    n_clusters: int
    n_sampled: int


@dataclass(frozen=True, eq=False)
class FittedModel:
    """What predicts.

    Attributes
    ----------
    scales : StandardUnits
    mean : object
        `predict(X)` in standard units, beside which effects are.
    unseen : object
        The same for rows of clusters of which nothing is known; another where the guard says so.
    uncertainty : object
        `spread(X)`: the standard deviation of the population's function; `deviations(X)`: what it is made of.
    effects : ClusterEffects
        Of the clusters at hand: those of the fit, or those adapted to.
    calibration : Calibration
    with_means : bool
        Whether the mean takes the clusters' means of X as well.
    family : str or None
        Of outcomes that are no normal numbers.
    n_clusters : int
        Of the fit.
    drawn : Drawn or None
        Of a fit on shards.
    """

    scales: StandardUnits
    mean: Any
    unseen: Any
    uncertainty: Any
    effects: ClusterEffects
    calibration: Calibration
    with_means: bool
    family: FamilyName | None
    n_clusters: int
    drawn: Drawn | None = None

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Rows of all clusters of the fit, of the smallest and of the largest."""
        if self.drawn is not None:
            return self.drawn[:3]
        sizes = np.diff(self.effects.data.offsets)
        return int(sizes.sum()), int(sizes.min()), int(sizes.max())

    def without_clusters(self, n_clusters: int, drawn: Drawn) -> "FittedModel":
        """The same for a fit to so many clusters, of which it keeps none: they are adapted to."""
        before, nobody = self.effects, np.empty(0, np.intp)
        effects = replace(
            before,
            labels=np.empty(0, object),
            means=before.means[:0],
            data=before.data.take(nobody, np.zeros(1, np.int64)),
            residual=before.residual[:0],
            observed=None,
        )
        return replace(self, effects=effects, n_clusters=n_clusters, drawn=drawn)

    def inputs(self, Z: Floats, codes: Codes, given: Grouping | None) -> Floats:
        """What the mean takes: X, and the means of the rows' clusters where it takes them.

        The mean of a cluster not seen yet is that of its rows here; of rows without a cluster it is that of
        all.
        """
        if not self.with_means:
            return Z
        own, known = np.zeros_like(Z), codes >= 0
        if given is not None:
            own = centres(Z, given.codes, len(given.labels))[given.codes]
        own[known] = self.effects.means[codes[known]]
        return np.hstack([Z, own])

    def adapted(self, X: Array, y: Array, found: Grouping, weights: Floats | None) -> "FittedModel":
        """The same population's function beside the effects of other clusters."""
        before, order = self.effects, np.argsort(found.codes, kind="stable")
        Z, t = self.scales.features(X)[order], self.scales.outcomes(y)[order]
        own_weights = self.scales.weights(weights, order)
        effects = effects_of(
            before.structure,
            before.parameters,
            found,
            Z,
            own_weights,
            before.origin,
            before.reach,
            before.n_threads,
        )
        effects = replace(effects, observed=Z)
        f = self.mean.predict(with_means(effects, Z) if self.with_means else Z)
        if self.family is None:
            return replace(self, effects=replace(effects, residual=t - f))
        data = effects.data._replace(weights=None)
        model = LaplaceModel(
            before.structure,
            data,
            self.family,
            t,
            own_weights,
            before.n_threads,
            self.scales.level,
        )
        mode = model.mode(f, before.parameters)
        return replace(self, effects=replace(effects, data=mode.data, residual=mode.working_residual))

    def codes(self, groups: Any, n_rows: int, unknown: str) -> tuple[Codes, Codes | None, Grouping]:
        """Each row's cluster at hand, -1 for others; and its group within."""
        found = grouping(groups, n_rows, self.effects.structure.levels)
        if unknown == "raise" and not len(self.effects.labels):
            raise ValueError(
                "groups names clusters, but a model fitted on shards keeps none: adapt to their rows and "
                "predict with what adapt returns, or predict with unknown='population'"
            )
        whose = "{} clusters of this model"
        codes = known_codes(found.labels, found.codes, self.effects.labels, unknown, whose)
        return codes, self.effects.inner_codes(found, codes), found

    def _means(self, inputs: Floats, known: NDArray[np.bool_]) -> Floats:
        """The population's function at rows of clusters that are known, and of others."""
        if self.unseen is self.mean or known.all():
            return np.array(self.mean.predict(inputs))
        found = np.array(self.unseen.predict(inputs))
        if known.any():
            found[known] = self.mean.predict(inputs[known])
        return found

    def at(self, X: Array, groups: Any, unknown: str, variances: Variances) -> Prediction:
        """Predictions at rows in the data's units, and the variances that are wanted."""
        Z, n = self.scales.features(X), len(X)
        codes, inner, given = (
            (np.full(n, -1), None, None) if groups is None else self.codes(groups, n, unknown)
        )
        known = codes >= 0
        inputs = self.inputs(Z, codes, given)
        mean, own, of_function = self._means(inputs, known), np.zeros(n), np.zeros(n)
        spread = variances in ("of outcomes", "all") or (variances == "of means" and self.family is not None)
        if spread:
            own = self.effects.prior_variance(Z)
        if variances == "all":
            of_function = self.uncertainty.spread(inputs) ** 2
        if known.any():
            within = None if inner is None else inner[known]
            effect, variance = self.effects.at(Z[known], codes[known], within, spread)
            mean[known] += effect
            if variance is not None:
                own[known] = variance
            if variances == "all" and self.effects.observed is not None:
                of_function[known] = self._left_of_function(inputs[known], Z[known], codes[known], within)
        unit = self.scales.y_scale**2
        noise = np.full(n, unit * self.effects.values.noise if spread else 0.0)
        return Prediction(
            self.scales.predictions(mean),
            unit * of_function,
            unit * own,
            noise,
            self.calibration.quantile,
            known,
            groups is not None,
            self.family,
            max(self.n_clusters - 1, 1),
        )

    def _left_of_function(self, inputs: Floats, Z: Floats, codes: Codes, inner: Codes | None) -> Floats:
        """The variance of the population's function that is left at rows of known clusters.

        Where it is off, so are their residuals, and the effects make up for it: with an error e(x) the
        prediction is off by e(x) - k(x)'V^-1 e(X). Of a linear mean that is Henderson's (1975).
        """
        effects = self.effects
        assert effects.observed is not None
        sizes = np.diff(effects.data.offsets)
        cluster = np.repeat(np.arange(len(sizes)), sizes)
        at = np.flatnonzero(np.isin(np.arange(len(sizes)), codes)[cluster])
        theirs = self.uncertainty.deviations(self.inputs(effects.observed[at], cluster[at], None))
        variance = np.zeros(len(Z))
        taken = effects.taken(at, theirs, Z, codes, inner)
        for own, its in zip(self.uncertainty.deviations(inputs).T, taken, strict=True):
            variance += (own - its) ** 2
        return variance

    def draws(self, X: Array, groups: Any, n_draws: int, seed: int) -> Floats:
        """Joint draws (N, n_draws) of the clusters' effects at rows, in the data's units."""
        codes, inner, _ = self.codes(groups, len(X), "raise")
        assert (codes >= 0).all()
        return self.scales.y_scale * self.effects.draws(self.scales.features(X), codes, inner, n_draws, seed)


def reach_of(Z: Floats, codes: Codes, means: Floats, counts: Floats | None) -> Floats:
    """(2, d) variances of the columns within and between clusters."""
    within, between = (Z - means[codes]) ** 2, means[codes]
    if counts is None:
        return np.stack([within.mean(axis=0), between.var(axis=0)])
    away = (between - np.average(between, axis=0, weights=counts)) ** 2
    return np.stack([np.average(each, axis=0, weights=counts) for each in (within, away)])


def effects_of(
    structure: Structure,
    parameters: Floats,
    found: Grouping,
    Z: Floats,
    weights: Floats | None,
    origin: Floats,
    reach: Floats | None,
    n_threads: int,
    means: Floats | None = None,
) -> ClusterEffects:
    """The effects of clusters, of rows sorted by cluster whose residuals are not known yet.

    `means` (C, d) where the rows are not all of their clusters'.
    """
    order = np.argsort(found.codes, kind="stable")
    codes = found.codes[order]
    counts = weights if structure.unit_noise else None  # of normal outcomes weights are of the noise
    means = centres(Z, codes, len(found.labels), counts) if means is None else means
    inner = None if found.inner is None else found.inner[order]
    offsets = offsets_of(codes, len(found.labels))
    about = means if structure.is_centred else origin
    return ClusterEffects(
        structure,
        parameters,
        found.labels,
        found.inner_labels,
        means,
        origin,
        reach_of(Z, codes, means, counts) if reach is None else reach,
        effect_data(structure, Z, codes, offsets, about, inner, weights),
        np.zeros(len(Z)),
        n_threads,
    )


def problem_of(
    effects: ClusterEffects,
    Z: Floats,
    y: Floats,
    fold: NDArray[np.intp],
    seed: int,
    takes_means: bool,
    level: float = 0.0,
) -> MixedProblem:
    """What kinds of mean are fitted to: rows sorted by cluster, in standard units."""
    inputs = with_means(effects, Z) if takes_means else Z
    return MixedProblem(inputs, y, effects.data, effects.structure, fold, seed, effects.n_threads, level)


def with_means(effects: ClusterEffects, Z: Floats) -> Floats:
    """Rows sorted by cluster, and beside them their clusters' means."""
    return np.ascontiguousarray(
        np.hstack([Z, np.repeat(effects.means, np.diff(effects.data.offsets), axis=0)])
    )
