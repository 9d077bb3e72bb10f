"""Mixed-effects regression with a nonparametric mean."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import RegressorMixin

from ..._arrays import Array
from ..._atomic import all_or_nothing
from ..._blas import one_blas_thread
from ..._frames import AlignedScore, require_aligned
from ..._limits import one_of
from ..._options import Activation, boolean
from ..._shards.way import Way
from .._callbacks import told
from ._base import MixedBase, numbers
from ._laplace import FamilyName
from ._predictions import PredictsNumbers
from ._report import random_effects, report
from ._settings import LIMITS, MeanName, SlopeCovariance
from ._sharded import fit_shards
from .adapted import AdaptedMixedRegressor

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["MixedRegressor"]

MixedLoss = Literal["squared", "poisson"]
MOST_COUNTED = 1e6


class MixedRegressor(PredictsNumbers, AlignedScore, RegressorMixin, MixedBase):
    """Regression on clustered data: a population's function of any shape, clusters' effects in closed form.

    y = f(x) + u_c(x) + e. The effect u_c of a cluster is Gaussian: an intercept, slopes about the cluster's
    mean of x and a smooth function, whose variances are estimated on clusters left out. f is a network
    trained on the whitened loss r'V^-1 r, a Gaussian process, boosted trees or a linear function, whichever
    explains clusters left out best. A cluster's prediction is the posterior mean of its effect beside f,
    exact after one row or a thousand. It is regularized bi-level training [1]_ with its inner loop solved: k
    gradient steps, linearised, are generalized least squares with a guessed covariance, which is estimated
    here.

    Columns and outcome are standardised inside, so their units do not matter.

    Parameters
    ----------
    loss : {"squared", "poisson"}, default="squared"
        "poisson" for counts: y has the mean exp(f + u), variances are on the scale of the logarithm, and
        Laplace's approximation takes the place of the normal likelihood.
    mean : {"auto", "network", "gp", "trees", "linear"} or regressor, default="auto"
        The population's function. "auto" fits the four kinds and takes the one with the largest likelihood of
        clusters left out. "linear" by itself is a linear mixed model, with lme4's estimates and defaults. A
        scikit-learn regressor is fitted to outcomes less the clusters' effects, in turns.
    effects : "auto" or subset of ("intercept", "slopes", "smooth"), default="auto"
        What is a cluster's own. "auto" takes all three; with mean="linear" the intercept.
    effect_columns : sequence of str or int, optional
        Columns of the slopes and the smooth functions; None takes all.
    slope_covariance : {"auto", "shared", "diagonal", "full"}, default="auto"
        One variance for all slopes (of standardised columns), one each, or one matrix for intercept and
        slopes. "auto" is "shared"; with mean="linear", "full".
    center_slopes : "auto" or bool, default="auto"
        Let slopes turn about the cluster's mean of x. "auto" does; with mean="linear" it does not.
    cluster_means : bool, default=False
        Give f the clusters' means of the columns too (Mundlak), so that effects may go with x.
    reml : bool, default=True
        Restricted maximum likelihood, with mean="linear" by itself; False for maximum likelihood.
    n_folds : int, default=4
        Folds of clusters, at most one a cluster.
    guard : bool, default=True
        Fall back to ordinary training for clusters of which nothing is known, where that predicts clusters
        left out significantly better (`guard_`); rows of known clusters keep f and their effects. With mean
        "auto" or "network" only.
    hidden_layer_sizes : sequence of int, default=(32, 32)
        Of the networks, of which there is one a fold.
    activation : str, default="tanh"
        As in `RFPRegressor`.
    learning_rate_init : float, default=0.005
        Adam's step.
    weight_decay : "auto" or float, default="auto"
        L2 of the networks; "auto" chooses from (0, 5e-4, 2e-3, 8e-3) on clusters left out.
    max_iter : int, default=300
        Most steps of the networks; how many are taken is chosen on clusters left out.
    random_state : int, RandomState or None, default=0
        Of folds and networks.
    n_jobs : int or None, default=None
        Threads; -1 for all cores, None for the default pool. The result does not depend on it.
    verbose : int, default=0
        1 prints what was chosen.

    Attributes
    ----------
    mean_ : str
        The kind of f: "network", "gp", "trees", "linear", "regressor", or "ordinary network" where the guard
        said so.
    scores_ : dict of str to float
        Log-likelihood of the residuals of clusters left out, by kind.
    guard_ : float or None
        Statistic of ordinary training against f: mean difference of squared errors on clusters left out over
        its standard error over clusters. Below -1.64 effects go with x, and f would be the function *within*
        clusters.
    variance_components_ : VarianceComponents
        Variances of the effects and the noise, with standard errors.
    random_effects_ : RandomEffects
        Each cluster's intercept and slopes (with nested groups: a list, one for each level).
    intraclass_correlation_ : float
        Share of the effects in the variance around f.
    r2_marginal_, r2_conditional_ : float
        Share of f, and of f and the effects, in the variance of y (Nakagawa and Schielzeth 2013).
    coefficients_, coefficient_std_errors_ : ndarray (1 + d,) or None
        Intercept and coefficients with mean="linear", by generalized least squares; NaN for columns that
        others explain.
    log_likelihood_ : float
        With mean="linear" as lme4's logLik; else of the residuals left out.
    no_effects_test_ : LikelihoodRatioTest
        Of no cluster effects at all.
    labels_ : ndarray (C,)
        The clusters; none after `fit_shards`, whose model is adapted to them.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    References
    ----------
    .. [1] Power and Ghosh (2025), "Regularizing the Forward Pass".
    .. [2] Rasmussen and Williams (2006), "Gaussian processes for machine learning", chapter 2.
    .. [3] Bates, Maechler, Bolker and Walker (2015), "Fitting linear mixed-effects models using lme4".

    Examples
    --------
    >>> from rfpcore import MixedRegressor
    >>> from rfpcore.datasets import make_vee
    >>> X, y, groups = make_vee(random_state=0)
    >>> model = MixedRegressor().fit(X, y, groups)
    >>> model.mean_, model.predict(X).shape  # the population's function
    ('network', (500,))
    >>> model.score(X, y, groups=groups) > model.score(X, y)  # and each cluster's own
    True
    >>> school = model.adapt(X[:3], y[:3], groups[:3])  # a cluster of which three rows are known
    >>> school.predict(X[3:5], groups[3:5]).shape
    (2,)
    """

    _limits = LIMITS | {"loss": one_of(MixedLoss), "reml": boolean, "guard": boolean}

    def __init__(
        self,
        *,
        loss: MixedLoss = "squared",
        mean: MeanName | Any = "auto",
        effects: Any = "auto",
        effect_columns: Any = None,
        slope_covariance: SlopeCovariance = "auto",
        center_slopes: Any = "auto",
        cluster_means: bool = False,
        reml: bool = True,
        n_folds: int = 4,
        guard: bool = True,
        hidden_layer_sizes: Any = (32, 32),
        activation: Activation = "tanh",
        learning_rate_init: float = 5e-3,
        weight_decay: Any = "auto",
        max_iter: int = 300,
        random_state: Any = 0,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            mean=mean,
            effects=effects,
            effect_columns=effect_columns,
            slope_covariance=slope_covariance,
            center_slopes=center_slopes,
            cluster_means=cluster_means,
            n_folds=n_folds,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            learning_rate_init=learning_rate_init,
            weight_decay=weight_decay,
            max_iter=max_iter,
            random_state=random_state,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        self.reml = reml
        self.guard = guard
        self.loss = loss

    @property
    def _family(self) -> FamilyName | None:
        return "poisson" if self.loss == "poisson" else None

    def _learn_outcomes(self, y: Any, n_rows: int) -> Array:
        outcome = self._encode(y, n_rows)
        if self.loss == "poisson" and not outcome.any():
            raise ValueError("y is 0 in every row: the logarithm of its mean is no number")
        return outcome

    def _encode(self, y: Any, n_rows: int) -> Array:
        outcome = numbers(y, n_rows)
        if self.loss == "poisson":
            _require_counts(outcome)
        return outcome

    @all_or_nothing
    @told
    def fit(self, X: Any, y: Any, groups: Any, sample_weight: Any = None) -> "Self":
        """Estimate the population's function and the variances.

        Parameters
        ----------
        X : array or frame (N, n_features)
        y : array (N,)
        groups : array (N,) or (N, 2)
            Each row's cluster; or cluster and group within it (district and school): labels of any hashable
            type.
        sample_weight : array (N,), optional
            Above 0: the noise of a row has variance s^2 / weight.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On misuse, before any work: also if there is one cluster only, or no cluster of two rows.
        """
        self._fit(X, y, groups, sample_weight)
        return self

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
        given = self._checked()
        way = Way(shards, scheduler, cache_bytes)
        self._forget()
        found = fit_shards(self, way, given)
        sampled = self._model(found.problem, found.scales, found.before, found.fitted)
        said = report(found.problem, found.fitted, sampled, self._names(), reml=False)
        self._memory = sampled.without_clusters(found.n_clusters, found.drawn)
        self.__dict__ |= vars(said)
        self.labels_ = self._memory.effects.labels
        self.random_effects_ = random_effects(self._memory, self._names())
        if given["verbose"]:
            print(self.summary())
        return self

    def score(self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None) -> float:
        """R² of the predictions: of the population's function, or with groups of the clusters'.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        groups : array, optional
            As in `predict`.
        """
        from sklearn.metrics import r2_score

        require_aligned(X=X, y=y, sample_weight=sample_weight, groups=groups)
        self._require_outcomes(y)
        return float(r2_score(y, self.predict(X, groups), sample_weight=sample_weight))

    def adapt(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> AdaptedMixedRegressor:
        """The posterior of clusters, seen in training or not, given these rows.

        Parameters
        ----------
        X, y, groups, sample_weight
            As in `fit`; groups may be None for a single cluster, which may have a single row.

        Returns
        -------
        AdaptedMixedRegressor
        """
        return AdaptedMixedRegressor(self, self._adapted(X, y, groups, sample_weight))


def _require_counts(y: Array) -> None:
    """ValueError where outcomes cannot be counts, or are too many for a rate to be sought from 1."""
    low, high = int(np.argmin(y)), int(np.argmax(y))
    if y[low] < 0:
        raise ValueError(f"y is {y[low]:g} in row {low}; counts are not negative")
    if y[high] > MOST_COUNTED:
        raise ValueError(
            f"y is {y[high]:g} in row {high}; more than {MOST_COUNTED:.0e} need loss='squared' of their log"
        )
