"""The method by which a mixed model is fitted to shards."""

from typing import TYPE_CHECKING, Any

from ..._atomic import all_or_nothing
from ..._blas import one_blas_thread
from ..._shards.way import Way
from ._report import random_effects, report
from ._sharded import fit_shards

if TYPE_CHECKING:
    from typing_extensions import Self


class FitsShards:
    """What fits to shards; goes before the rest of an estimator."""

    @all_or_nothing
    @one_blas_thread
    def fit_shards(self, shards: Any, *, scheduler: Any = None, cache_bytes: Any = None) -> "Self":
        """Fit networks, with `mean="network"`, to clusters that lie in Parquet files.

        The objective, the networks, the choice of steps and weight decay and the guard are those of `fit`, as
        sums over shards in their order: the result has the same bits here and on any number of workers, where
        all use the same instructions. What is fitted keeps no clusters: `predict(X)` is the population's
        function, and a cluster, of the shards or not, is adapted to (`adapt`) with all of its rows.

        Parameters
        ----------
        shards : ParquetShards
            Of `rfpcore.sharded`: files of which each holds whole clusters, as `write_shards` makes them.
        scheduler : dask.distributed.Client, optional
            Whose workers take part, as in `RFPRegressor.fit_shards`. None: this process.
        cache_bytes : float, optional
            Bytes of shards that are kept from one step to the next, likewise.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            Without pyarrow.
        ValueError, TypeError
            On misuse, before any work: also with another mean, loss="poisson" or several outcomes; and if a
            cluster has rows in two shards, there is one cluster only, or no cluster of two rows.
        DivergenceError
            If the network overflows.
        RuntimeError
            If no worker is left, or a shard was lost with its worker three times.

        Notes
        -----
        What differs from `fit`: folds are dealt by the clusters' labels and `random_state`. Variances, their
        errors and tests, `intraclass_correlation_`, `log_likelihood_`, R², the calibration of intervals, the
        spread of x behind intervals of new clusters and the lengths of the Gaussian process for the
        population's band come from clusters drawn by label: 20 000 rows at most, 50 a cluster (`fit` takes as
        many for the variances; `summary` says how many clusters they are). `labels_` and `random_effects_`
        are empty. One level of groups is possible. `n_jobs` is of each worker, by default its threads.

        There are two trainings, of `max_iter` passes over all rows each. A shard in memory takes about 70
        bytes a row and column, and in the second 4 n² bytes more a cluster of n rows.
        """
        estimator: Any = self
        given = estimator._checked()
        way = Way(shards, scheduler, cache_bytes)
        estimator._forget()
        found = fit_shards(estimator, way, given)
        names = estimator._names()
        sampled = estimator._model(found.problem, found.scales, found.before, found.fitted)
        said = report(found.problem, found.fitted, sampled, names, reml=False)
        estimator._memory = sampled.without_clusters(found.n_clusters, found.drawn)
        estimator.__dict__ |= vars(said)
        estimator.labels_ = estimator._memory.effects.labels
        estimator.random_effects_ = random_effects(estimator._memory, names)
        if given["verbose"]:
            print(estimator.summary())
        return self
