"""Clusters' effects: their posterior given residuals, at rows of the same clusters."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _rfpcore
from ..._arrays import Array
from ._components import EffectData, Floats, Structure, Values, values, variance_of
from ._rows import Codes, Grouping, effect_data, offsets_of


@dataclass(frozen=True, eq=False)
class ClusterEffects:
    """What residuals say of clusters, in standard units.

    Attributes
    ----------
    structure : Structure
    parameters : ndarray
        Of the covariance.
    labels : ndarray (C,)
    inner_labels : list of (int, label)
        Groups within the clusters, in the order of their codes.
    means : ndarray (C, d)
        The clusters' means of X.
    origin : ndarray (d,)
        About which slopes turn that do not turn about these.
    reach : ndarray (2, d)
        Variances of the columns within and between the clusters of the fit.
    data : EffectData
        The rows observed, sorted by cluster.
    residual : ndarray (N,)
        Outcomes less the population's function.
    n_threads : int
    observed : ndarray (N, d) or None
        X at the rows observed, for what is not known of the population's function there; None from a file
        that does not say.
    """

    structure: Structure
    parameters: Floats
    labels: Array
    inner_labels: list[tuple[int, object]]
    means: Floats
    origin: Floats
    reach: Floats
    data: EffectData
    residual: Floats
    n_threads: int
    observed: Floats | None = None

    def __getstate__(self) -> dict[str, object]:
        """What is computed when first asked for is left to the copy: factors are no object of Python."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def values(self) -> Values:
        """Of the covariance."""
        return values(self.structure, self.parameters)

    @cached_property
    def factors(self) -> _rfpcore.Factors:
        """V, factored."""
        return self.values.factors(self.structure.covariance(self.data), self.n_threads)

    @cached_property
    def weights(self) -> Floats:
        """V^-1 r."""
        if not len(self.labels):  # of no clusters there is no V
            return self.residual
        return np.asarray(self.factors.solve(self.residual[:, None], self.n_threads)[:, 0])

    def at(self, X: Floats, codes: Codes, inner: Codes | None, spread: bool) -> tuple[Floats, Floats | None]:
        """Posterior mean of the effects at rows of these clusters, and variance where wanted."""
        back, rows = self._new_rows(X, codes, inner)
        mean, variance = self.factors.posterior(self.residual, rows, spread, self.n_threads)
        return mean[back], None if variance is None else np.maximum(variance[back], 0.0)

    def taken(
        self, at: NDArray[np.intp], columns: Floats, X: Floats, codes: Codes, inner: Codes | None
    ) -> Iterator[Floats]:
        """The mean that `at` has, for each of several residuals (k, m) of the k rows `at`, else 0."""
        back, rows = self._new_rows(X, codes, inner)
        residual = np.zeros(len(self.residual))
        for column in columns.T:
            residual[at] = column
            yield self.factors.posterior(residual, rows, False, self.n_threads)[0][back]

    def draws(self, X: Floats, codes: Codes, inner: Codes | None, n_draws: int, seed: int) -> Floats:
        """Joint draws (N, n_draws) of what `at` has the moments of."""
        back, rows = self._new_rows(X, codes, inner)
        drawn = self.factors.draws(self.residual, rows, n_draws, seed, self.n_threads)
        return np.ascontiguousarray(drawn.T[back])

    def _new_rows(
        self, X: Floats, codes: Codes, inner: Codes | None
    ) -> tuple[NDArray[np.intp], tuple[Any, Floats, list[Any], Any]]:
        """Each row's place among rows sorted by cluster; these as the kernel takes them."""
        order = np.argsort(codes, kind="stable")
        sorted_codes = codes[order]
        offsets = offsets_of(sorted_codes, len(self.labels))
        within = None if inner is None else inner[order]
        about = self.means if self.structure.is_centred else self.origin
        rows = effect_data(self.structure, X[order], sorted_codes, offsets, about, within, None)
        inners = [rows.inner if block.level else None for block in self.structure.blocks]
        back = np.empty(len(order), np.intp)
        back[order] = np.arange(len(order))
        return back, (offsets, rows.columns, inners, rows.smooth)

    def prior_variance(self, X: Floats) -> Floats:
        """Variance of the effect of a cluster not seen yet.

        Where slopes turn about its mean, which is not known either, the distance from it has the moments of a
        normal mean given one row: of each column (1 - rho) x, and rho times the variance within, rho being
        the share of the variance between clusters.
        """
        found, slopes = self.values, list(self.structure.slopes)
        parts = [np.ones((len(X), 1))] if self.structure.intercept else []
        away, unsure = X[:, slopes] - self.origin[slopes], np.zeros(len(slopes))
        if self.structure.is_centred:
            within, between = self.reach[:, slopes]
            share = between / np.maximum(within + between, 1e-300)
            away, unsure = X[:, slopes] * (1 - share), share * within
        columns = np.hstack([*parts, away])
        spread = np.r_[np.zeros(len(parts)), unsure]
        unsure_in_all = sum(
            np.diag(D) @ spread[list(block.columns)]
            for block, D in zip(self.structure.blocks, found.matrices, strict=True)
        )
        return np.asarray(variance_of(self.structure, found, columns) + unsure_in_all)

    def inner_codes(self, given: Grouping, codes: Codes) -> Codes | None:
        """Codes of rows' groups within clusters; new ones for those not observed.

        A label that is not known is looked for by its text: an array has texts of numbers beside texts, where
        a frame has numbers, and a group that is taken for a new one would go unnoticed.
        """
        if given.inner is None:
            return None
        known = {pair: code for code, pair in enumerate(self.inner_labels)}
        texts = {(outer, str(label)): code for (outer, label), code in known.items()}
        own = {int(code): int(codes[row]) for row, code in enumerate(given.codes)}
        place = np.empty(len(given.inner_labels), np.intp)
        for at, (outer, label) in enumerate(given.inner_labels):
            as_text = texts.get((own[outer], str(label)), len(known) + at)
            place[at] = known.get((own[outer], label), as_text)
        return np.asarray(place[given.inner])

    def of_terms(self) -> list[tuple[Floats, Floats]]:
        """For each level, effects (groups, q) and their variances (groups, q, q)."""
        found = []
        for level in range(self.structure.levels):
            group = self._groups(level)
            n_groups = int(group.max(initial=-1)) + 1
            D = self._matrix(level)
            Z = self.data.columns
            q = Z.shape[1]
            sums = np.zeros((n_groups, q))
            np.add.at(sums, group, Z * self.weights[:, None])
            found.append((sums @ D, self._uncertainty(group, n_groups, D)))
        return found

    def _groups(self, level: int) -> NDArray[np.intp]:
        if level:
            assert self.data.inner is not None
            return self.data.inner.astype(np.intp)
        return np.repeat(np.arange(len(self.labels)), np.diff(self.data.offsets))

    def _matrix(self, level: int) -> Floats:
        """D of a level, with zeros between its blocks."""
        q = self.structure.n_columns
        D = np.zeros((q, q))
        for block, own in zip(self.structure.blocks, self.values.matrices, strict=True):
            if block.level == level:
                D[np.ix_(block.columns, block.columns)] = own
        return D

    def _uncertainty(self, group: NDArray[np.intp], n_groups: int, D: Floats) -> Floats:
        """D - D Z'V^-1 Z D of each group, one at a time within its cluster."""
        Z, q = self.data.columns, self.data.columns.shape[1]
        found = np.zeros((n_groups, q, q))
        first = np.repeat(self.data.offsets[:-1], np.diff(self.data.offsets))
        # Groups that are the k-th of their clusters share a pass: none of them shares a cluster.
        rank = _ranks(group, first)
        for k in range(int(rank.max(initial=-1)) + 1):
            own = np.where((rank == k)[:, None], Z, 0.0)
            solved = self.factors.solve(np.ascontiguousarray(own), self.n_threads)
            for i in range(q):
                products = own * solved[:, [i]]
                np.add.at(found[:, i], group[rank == k], products[rank == k])
        return D - D @ found @ D


def _ranks(group: NDArray[np.intp], cluster: NDArray[np.int64]) -> NDArray[np.intp]:
    """Of each row's group among those of its cluster."""
    pairs, inverse = np.unique(np.column_stack([cluster, group]), axis=0, return_inverse=True)
    starts = np.r_[True, pairs[1:, 0] != pairs[:-1, 0]][: len(pairs)]
    position = np.arange(len(pairs))
    return np.asarray((position - np.maximum.accumulate(np.where(starts, position, 0)))[inverse.reshape(-1)])
