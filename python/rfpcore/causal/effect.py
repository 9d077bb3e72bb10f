"""The effect of a policy that is on or off for whole clusters."""

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from .._arrays import F64, I64, Array
from .._atomic import all_or_nothing
from .._dask import fits_on_scheduler
from .._file_parts import Document, Tensors, tensor
from .._limits import Limits, one_of, whole
from .._options import choice
from ._checks import outside_support, require_overlap, warn_of_design
from ._columns import column
from ._complete import Missing, complete
from ._delete_one import closed_form, has_closed_form, held_fixed
from ._effort import MAX_REFITS, Effort, effort_of
from ._estimator import EffectEstimator
from ._inference import Method, Replicable, infer
from ._nuisance import Fitted, Models, cross_fit, fit_each, models_of, with_left_out, without_level
from ._outcome_report import outcome_report
from ._sample import Sample, cluster_means, read_sample, rows_that_count
from ._score_inference import (
    clusters_behind,
    effects_from_terms,
    make_folds,
    randomization,
    terms_of,
    warn_if_too_short,
)
from ._scores import Estimand, EstimationMethod, value
from ._subgroups import arm_counts, empty_arms, one_each, subgroup_masks, warn_of_empty
from ._support import support_of
from ._tables import EffectTable
from .results import TITLES, Effect

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ClusterEffect"]

Inference = Literal[
    "jackknife",
    "cv3",
    "bootstrap",
    "cross-fit",
    "score-jackknife",
    "cr1",
    "wild",
    "webb",
    "randomization",
]


class ClusterEffect(EffectEstimator):
    """Effect of a treatment that comes by cluster, given covariates of rows and clusters.

    Treatment is on or off for whole clusters, and as good as random given the covariates: what a cluster's
    outcomes would have been without treatment depends on the covariates, on what is particular to the
    cluster, and on nothing that also drives the treatment. Two models stand behind an estimate: of the
    outcome in an arm, from the rows of that arm's clusters; and of the treatment, one observation a cluster.
    The doubly robust score needs only one of the two to be right.

    Parameters
    ----------
    estimand : {"att", "ate"}, default="att"
        Average effect on the treated rows, or on all rows.
    estimation_method : {"aipw", "regression", "ipw"}, default="aipw"
        Doubly robust, with normalised weights; the outcome model alone; or the propensity alone.
    outcome : "auto", "auto+mixed", "mixed", None, regressor or classifier
        Models the outcome within an arm.

        - "auto", the default: two Gaussian processes ("rough", "smooth"), an `RFPRegressor` of many steps,
          its mean with the rough process, ridge regression, boosted trees and an `RFPRegressor` of few steps
          are fitted without each of at most ten folds of an arm's clusters. The first of "rough", the mean,
          the large network, "smooth", ridge, trees and the small network is taken whose squared error on
          clusters left out is within one and a half standard errors of the least one. Where every cluster has
          one row: a light ridge regression, or least squares if that is better by more than that.
        - "mixed": a Gaussian process beside a level and slopes of each cluster's own. Its lengths and
          variances are found from all clusters of an arm and held in the refits (of an arm of at most ten
          clusters, found again in each). It extrapolates to treated clusters outside the controls' range.
        - "auto+mixed": as "auto", with the mixed model as the last of the candidates.
        - None: an `RFPRegressor` with layers of 32 and 32, alpha 0.2, one inner step of 0.05 and 150 outer
          steps, in float32, on outcomes scaled to unit variance; or linear regression, where every cluster
          has one row. A warning says if it predicts clusters left out worse than a line.
        - Any model of scikit-learn's, a classifier (for y of 0 and 1) with `predict_proba`. It is given
          `groups` if its `fit` takes them, as those of `MixedRegressor` and `MixedClassifier` do; each refit
          estimates their variances again.
    propensity : classifier, optional
        Models the treatment of clusters. None: ridge logistic regression (scikit-learn's C = 1) on the scaled
        covariates, solved to rounding error.
        Without cluster covariates all clusters have the share of treated ones.
    cluster_columns : list, optional
        Covariates of the propensity, by name, or number as in `covariates`; their means in the cluster count.
        None: those that are constant within every cluster.
    propensity_bounds : (low, high), default=(0.1, 0.9)
        Bounds of the propensity.
    missing : {"raise", "drop"}, default="raise"
        What becomes of rows that lack a value (NaN, None) in a column that is used: an error, or they are
        left out, counted in `n_dropped_`.
    inference : str, default="jackknife"
        Where the standard error comes from:

        - "jackknife": leave each cluster out and fit everything again, each arm a stratum; t with G - 2
          degrees of freedom. All fits of the default outcome model are one call of the kernel.
        - "cv3": the same replicates around the estimate, without strata; t with G - 1 degrees of freedom.
          More conservative; safer where an arm has two or three clusters.
        - "bootstrap": draw clusters with replacement within each arm and fit everything again.
        - "cross-fit": nuisances from other folds of clusters, then the jackknife of the score.
        - "score-jackknife", "cr1", "wild", "webb": nuisances held fixed; jackknife, cluster-robust variance,
          or wild cluster bootstrap (Rademacher or Webb weights) of the score. Too short with few clusters
          and a flexible outcome model; a warning says so.
        - "randomization": a p-value from treatment drawn again over the clusters; no interval.
    n_folds : int, default=5
        For "cross-fit"; no fold splits a cluster, and each has clusters of both arms.
    n_draws : int, default=999
        For the bootstraps and "randomization".
    max_refits : int, default=1000
        Clusters that "jackknife" and "cv3" leave out with refits. Of more, the models are held fixed, as in
        "score-jackknife", with a `DesignWarning` that says so. This is for the doubly robust score alone: the
        others depend on their model too much. Means and least squares with the default propensity need no
        refits: they are left out in closed form, whatever the number.
    random_state : int, RandomState or None, default=0
        Seeds folds, draws and the models, those given too unless they have a seed of their own. One number
        for all fits, so that replicates differ by the clusters left out or drawn and by nothing else; None
        and a RandomState draw it at the beginning of `fit`. Hence also the default: an estimate that is
        computed again is the same.
    n_jobs : int or None, default=None
        Threads or processes for the fits. The result does not depend on it.
    verbose : int, default=0
        Whether refits show how far they are.

    Attributes
    ----------
    estimate_, std_error_, p_value_ : float
    effect_ : Effect
        The estimate with everything known of its uncertainty.
    effects_ : list of Effect
        `effect_`, then those of the subgroups given by `by`.
    outcome_ : str
        The name of the outcome model, with "auto" the one chosen; with their numbers, where arms differ.
    outcome_scores_ : dict
        R2 on clusters left out, of a mean ("mean"), least squares ("linear") and the outcome model; of
        classifiers the log loss, beside that of a share and of logistic regression. With "auto" of all that
        was tried, and of "auto" itself: each cluster is predicted by the model that the others choose.
        Empty where no outcome is modelled, or nothing is known of rows but their cluster.
    propensity_ : ndarray (G,)
        Clipped probabilities of treatment, in the order of `clusters_`.
    clusters_ : ndarray (G,)
        The clusters' labels.
    outside_ : ndarray (G,) of bool
        Treated clusters outside the range of the controls' cluster covariates.
    n_rows_, n_clusters_, n_treated_ : int
        Rows, clusters, treated clusters.
    n_dropped_ : int
        Rows left out for want of a value.
    references_ : dict
        Of covariates that are text or Categoricals, the label that has no column of zeros and ones.

    References
    ----------
    Robins, Rotnitzky and Zhao (1994), "Estimation of regression coefficients when some regressors are not
    always observed", JASA 89. Sant'Anna and Zhao (2020), "Doubly robust difference-in-differences
    estimators", Journal of Econometrics 219. Cameron and Miller (2015), "A practitioner's guide to
    cluster-robust inference", Journal of Human Resources 50.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from rfpcore.causal import ClusterEffect
    >>> from rfpcore.datasets import make_policy
    >>> data = make_policy(n_clusters=30, selection=0.3, effect=1.0, random_state=0)
    >>> model = ClusterEffect(outcome=LinearRegression()).fit(data.X, data.y, data.treatment, data.groups)
    >>> print(f"{model.estimate_:.2f} ({model.std_error_:.2f})")
    0.63 (0.32)
    """

    def __init__(
        self,
        *,
        estimand: Estimand = "att",
        estimation_method: EstimationMethod = "aipw",
        outcome: Any = "auto",
        propensity: Any = None,
        cluster_columns: Any = None,
        propensity_bounds: tuple[float, float] = (0.1, 0.9),
        missing: Missing = "raise",
        inference: Inference = "jackknife",
        n_folds: int = 5,
        n_draws: int = 999,
        max_refits: int = MAX_REFITS,
        random_state: Any = 0,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimand = estimand
        self.estimation_method = estimation_method
        self.outcome = outcome
        self.propensity = propensity
        self.cluster_columns = cluster_columns
        self.propensity_bounds = propensity_bounds
        self.missing = missing
        self.inference = inference
        self.n_folds = n_folds
        self.n_draws = n_draws
        self.max_refits = max_refits
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    _limits: ClassVar[Limits] = EffectEstimator._limits | {
        "estimand": one_of(Estimand),
        "inference": one_of(Inference),
        "n_folds": whole(2),
    }

    @all_or_nothing
    @fits_on_scheduler
    def fit(
        self,
        X: Any,
        y: Any,
        treatment: Any,
        groups: Any,
        *,
        covariates: Any = None,
        by: Any = None,
        sample_weight: Any = None,
        scheduler: Any = None,
    ) -> "Self":
        """Estimate the effect.

        Parameters
        ----------
        X : array or frame (N, d)
            Covariates, finite; they are scaled to unit variance, once, over all rows. d may be 0.
        y : array (N,) or str
            Outcomes; a string names a column of the frame X, here and below. Or a formula with outcome and
            covariates, such as "rent ~ np.log(size) + C(region)", in the language of `formulaic` (the extra
            "formula"); see `rfpcore.formula.FormulaFeatures`. It may name the treatment as a term of its own.
        treatment : array (N,) of 0 and 1, or str
            The same for all rows of a cluster.
        groups : array (N,) or str
            The cluster of each row.
        covariates : list or "all"
            Columns of X to use: names of a frame's, which have to be given unless y is a formula, for a
            column that the treatment moved is no covariate; or numbers of an array's, whose default is all.
            "all" takes those not named in the other arguments, [] none. Of a frame's columns of text or
            Categoricals each label but the first, the reference, becomes a column name[label] of zeros and
            ones.
        by : array (N,) or str, optional
            Subgroups, each of which gets an effect of its own, in the order of the labels; an ordered
            Categorical's own. Models are fitted on all rows.
        sample_weight : array (N,) or str, optional
            Weights of the rows, in any unit; rows of weight 0 are left out.
        scheduler : dask.distributed.Client, optional
            Networks and other people's models are fitted on its workers, some fits a job, with the same
            result; what has a closed form is worked out here. `n_jobs` of a network is then of each job, by
            default 1. It is not kept: `infer` takes one of its own.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On misuse, before any fit: the message names the cluster or column.

        Warns
        -----
        DesignWarning
            If an arm has fewer than 5 clusters, or a subgroup fewer than 4 in an arm (with one, there is no
            standard error; without treated or control rows no value), if more than 30 % of the treated
            clusters lie outside the controls' range, if one cluster dominates, if an error is nothing but
            rounding, if the outcome model given predicts clusters left out worse than least squares (or
            logistic regression) does, or if the method's intervals are known to be too short.
        """
        params = self._checked()
        models = models_of(params, params["estimand"])
        given = {"y": y, "treatment": treatment, "groups": groups, "sample_weight": sample_weight, "by": by}
        data = rows_that_count(complete(X, given, covariates, params["missing"]))
        sample = read_sample(
            data.X, **data.given, covariates=covariates, cluster_columns=self.cluster_columns
        )
        self._keep_about(data, given, sample)
        strata = column(data.X, data.given["by"], "by")
        masks = subgroup_masks(TITLES[models.estimand], strata, len(sample.y), self._about.by)
        return self._estimate(sample, models, masks, effort_of(params), float(np.abs(sample.y).max()))

    def _estimate(
        self,
        sample: Sample,
        models: Models,
        masks: dict[str, NDArray[np.bool_]],
        effort: Effort,
        size: float,
    ) -> "Self":
        """All of `fit` that comes after reading the data, whose outcomes are of a size."""
        require_overlap(sample)
        warn_of_design(sample)
        sample = without_level(sample, models)
        models = with_left_out(sample, models)
        self._sample, self._used_models, self._names = sample, models, list(masks)
        lacking = {name: empty_arms(sample, models, mask) for name, mask in masks.items()}
        self._masks = {name: mask for name, mask in masks.items() if not lacking[name]}
        self._columns = arm_counts(sample, masks.values())
        warn_of_empty({name: arms for name, arms in lacking.items() if arms})
        self.clusters_, self.outside_ = sample.labels, outside_support(sample)
        self.n_rows_, self.n_clusters_ = len(sample.y), sample.n_clusters
        self.n_treated_ = int(np.sum(sample.arm == 1))
        rows = list(self._masks.values())
        hangs_on = support_of([clusters_behind(sample, models, sample.weight * mask) for mask in rows])
        self._problem = Replicable(
            list(self._masks),
            self._estimates,
            sample.arm,
            sample.labels,
            support=hangs_on,
            size=size,
            closed=partial(closed_form, sample, models, rows, self._estimates)
            if has_closed_form(sample, models)
            else None,
            held=partial(held_fixed, sample, models, rows) if models.estimation_method == "aipw" else None,
            effort=effort,
        )
        self._fitted: Fitted | None = None
        self._fitted_method, self._fitted_score = self.inference, models.estimation_method
        report = self._report = outcome_report([models])
        self.outcome_, self.outcome_scores_ = report.chosen, report.scores
        report.warn()
        self.effects_ = self.infer(self.inference)
        self.effect_ = self.effects_[0]
        p = self._full_fit().p
        self.propensity_ = cluster_means(p[:, None], sample.codes, sample.n_clusters)[:, 0]
        return self

    def _full_fit(self) -> Fitted:
        """The nuisances from all clusters; a jackknife or bootstrap has fitted them with all others."""
        if self._fitted is None:
            ones = np.ones((1, self._sample.n_clusters), np.int64)
            self._fitted = next(fit_each(self._sample, self._used_models, ones))
        return self._fitted

    @fits_on_scheduler
    def infer(self, inference: Inference, *, scheduler: Any = None) -> list[Effect]:
        """The effects with another method's standard errors, for the data of the last fit.

        Parameters
        ----------
        inference : str
            As the parameter of this name.
        scheduler : dask.distributed.Client, optional
            As in `fit`.

        Returns
        -------
        effects : list of Effect
            Of all rows, then of each subgroup; NaN for one without rows that its effect needs.
        """
        check_is_fitted(self, "clusters_")
        choice(inference, "inference", Inference)
        return self._named(one_each(self._names, self._infer(inference)))

    _counts = ("n_rows_", "n_clusters_", "n_treated_")
    _methods = Inference

    def _describe_learnt(self, tensors: Tensors) -> Document:
        tensors |= {"propensity": self.propensity_, "outside": self.outside_.astype(np.int64)}
        return {}

    def _restore_learnt(self, tensors: Tensors, learnt: Document, effects: list[Effect]) -> None:
        super()._restore_learnt(tensors, learnt, effects)
        n = len(self.clusters_)
        self.propensity_ = tensor(tensors, "propensity", n, dtype=F64)
        self.outside_ = tensor(tensors, "outside", n, dtype=I64) != 0
        self._names = [effect.name for effect in effects]

    def _infer(self, inference: Inference) -> list[Effect]:
        """The effects that there are rows for."""
        if not hasattr(self, "_sample"):  # it was loaded
            return self._infer_without_data(inference)
        sample, models, seed = self._sample, self._used_models, self._used_models.random_state
        if inference in get_args(Method):
            return infer(self._problem, inference, self.n_draws, seed)
        if inference == "randomization":
            if len(self._names) > 1:
                raise ValueError("inference='randomization' gives no effects of subgroups; leave `by` out")
            (name,) = self._names
            return [randomization(name, sample, models, self._full_fit(), self.n_draws, seed)]
        if inference == "cross-fit":
            fitted = cross_fit(sample, models, make_folds(sample, self.n_folds, seed))
        else:
            fitted = self._full_fit()
            warn_if_too_short(sample, models, inference)
        terms = (
            (name, terms_of(sample, models, fitted, sample.weight * mask))
            for name, mask in self._masks.items()
        )
        return effects_from_terms(terms, sample, self._problem, inference, self.n_draws, seed)

    def _estimates(self, counts: NDArray[np.int64]) -> Array:
        """(S, E) every effect under each row of counts."""
        sample, models = self._sample, self._used_models
        found = np.empty((len(counts), len(self._masks)))
        for row, count, fitted in zip(found, counts, fit_each(sample, models, counts), strict=True):
            if self._fitted is None and (count == 1).all():
                self._fitted = fitted
            weight = sample.weight * count[sample.codes]
            row[:] = [value(terms_of(sample, models, fitted, weight * mask)) for mask in self._masks.values()]
        return found

    def _table(self) -> EffectTable:
        effect = self._effect()
        facts = [
            *self._about.facts(),
            ("Score", self._fitted_score),
            *self._report.facts(),
            ("Standard errors", effect.method),
            ("Rows", self.n_rows_),
            *self._facts_of_rows(),
            ("Clusters", self.n_clusters_),
            ("Treated clusters", self.n_treated_),
            ("Treated outside range", int(self.outside_.sum())),
        ]
        return EffectTable("Effect of a cluster-level treatment", facts, self.effects_)
