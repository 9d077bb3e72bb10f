"""The effect of a treatment that varies inside clusters."""

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
from ._columns import column
from ._complete import Missing, complete
from ._effort import MAX_REFITS, Effort, effort_of
from ._estimator import EffectEstimator
from ._inference import Method, Replicable, infer
from ._nuisance import models_of
from ._outcome_report import outcome_report
from ._sample import rows_that_count
from ._score_inference import effects_from_terms
from ._scores import Estimand, EstimationMethod
from ._splits import Splits, read_splits
from ._subgroups import empty_arms, one_each, subgroup_masks, warn_of_empty
from ._support import support_of
from ._tables import EffectTable
from .results import TITLES, Effect

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["IndividualEffect"]

MANY_SPLITS = 1000

IndividualInference = Literal["jackknife", "cv3", "bootstrap", "score-jackknife", "cr1", "wild", "webb"]


class IndividualEffect(EffectEstimator):
    """Effect of a treatment of single rows (people, plots, firms) that are sampled in clusters.

    Treatment is as good as random given the covariates. Two models stand behind an estimate, of the outcome
    in an arm and of the treatment, both of rows; the doubly robust score needs only one of the two to be
    right. Each row is predicted by models that have not seen its fold of clusters (cross-fitting), and errors
    are those of whole clusters, whose rows are alike.

    What is particular to a cluster is no covariate. Where clusters with good outcomes have larger shares of
    treated rows, give their shares (or other columns that say what clusters are like) as covariates too.

    Parameters
    ----------
    estimand : {"att", "ate"}, default="att"
        Average effect on the treated rows, or on all rows.
    estimation_method : {"aipw", "regression", "ipw"}, default="aipw"
        Doubly robust, with normalised weights; the outcome model alone; or the propensity alone.
    outcome
        As in `ClusterEffect`; models are fitted within an arm.
    propensity : classifier, optional
        Models the treatment of rows; with `predict_proba`. It is given `groups` if its `fit` takes them.
        None: ridge logistic regression (scikit-learn's C = 1) on the scaled covariates, with the rows'
        weights. Without covariates all rows have the share of treated ones.
    propensity_bounds : (low, high), default=(0.1, 0.9)
        Bounds of the propensity.
    missing : {"raise", "drop"}, default="raise"
        What becomes of rows that lack a value (NaN, None) in a column that is used: an error, or they are
        left out, counted in `n_dropped_`.
    inference : str, default="jackknife"
        Where the standard error comes from:

        - "jackknife": leave each cluster out and fit everything again, folds as they are; around the mean of
          the replicates, t with G - 1 degrees of freedom.
        - "cv3": the same around the estimate; never smaller.
        - "bootstrap": draw clusters with replacement, each in its fold, and fit everything again.
        - "score-jackknife", "cr1", "wild", "webb": nuisances held fixed; jackknife, cluster-robust variance,
          or wild cluster bootstrap (Rademacher or Webb weights) of the cross-fitted score.
    n_folds : int, default=5
        Folds of whole clusters.
    n_repeats : int, default=1
        How often the clusters are dealt to folds anew. The estimate is the mean over the splits, and
        `inference` is that of this mean: it depends less on how the clusters happened to be dealt.
    n_draws : int, default=999
        For the bootstraps.
    max_refits : int, default=1000
        Clusters that "jackknife" and "cv3" leave out with refits. Of more, the models are held fixed, with a
        `DesignWarning` that says so; for the doubly robust score alone.
    random_state : int, RandomState or None, default=0
        Seeds folds, draws and the models, as in `ClusterEffect`.
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
    outcome_, outcome_scores_ : str, dict
        As in `ClusterEffect`.
    propensity_ : ndarray (n_rows_,)
        Clipped probabilities of treatment, each from models that have not seen the row's cluster; means over
        the splits.
    clusters_ : ndarray (G,)
        The clusters' labels.
    folds_ : ndarray (n_repeats, G) of int
        The fold of each, by split.
    split_estimates_ : ndarray (n_repeats,)
        The estimate of each split, of which `estimate_` is the mean.
    n_rows_, n_clusters_, n_treated_rows_ : int
        Rows (those of weight 0 are none), clusters, treated rows.
    n_dropped_ : int
        Rows left out for want of a value.
    references_ : dict
        Of covariates that are text or Categoricals, the label that has no column of zeros and ones.

    References
    ----------
    Robins, Rotnitzky and Zhao (1994), "Estimation of regression coefficients when some regressors are not
    always observed", JASA 89. Chernozhukov, Chetverikov, Demirer, Duflo, Hansen, Newey and Robins (2018),
    "Double/debiased machine learning for treatment and structural parameters", Econometrics Journal 21,
    sections 3.4 (repeated splits, whose variance is added to that of the score) and 5. Chiang, Kato, Ma and
    Sasaki (2022), "Multiway cluster robust double/debiased machine learning", Journal of Business and
    Economic Statistics 40, for folds of clusters.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from rfpcore.causal import IndividualEffect
    >>> random = np.random.default_rng(0)
    >>> village = np.repeat(np.arange(30), 20)
    >>> x = random.standard_normal(600)
    >>> treated = random.random(600) < 1 / (1 + np.exp(-x))
    >>> y = x + 1.0 * treated + random.standard_normal(30)[village] + random.standard_normal(600)
    >>> model = IndividualEffect(outcome=LinearRegression()).fit(x[:, None], y, treated, village)
    >>> print(f"{model.estimate_:.2f} ({model.std_error_:.2f})")
    0.96 (0.15)
    """

    def __init__(
        self,
        *,
        estimand: Estimand = "att",
        estimation_method: EstimationMethod = "aipw",
        outcome: Any = "auto",
        propensity: Any = None,
        propensity_bounds: tuple[float, float] = (0.1, 0.9),
        missing: Missing = "raise",
        inference: IndividualInference = "jackknife",
        n_folds: int = 5,
        n_repeats: int = 1,
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
        self.propensity_bounds = propensity_bounds
        self.missing = missing
        self.inference = inference
        self.n_folds = n_folds
        self.n_repeats = n_repeats
        self.n_draws = n_draws
        self.max_refits = max_refits
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    _treated_count = "n_treated_rows_"
    _limits: ClassVar[Limits] = {
        name: limit for name, limit in EffectEstimator._limits.items() if name != "cluster_columns"
    } | {
        "estimand": one_of(Estimand),
        "inference": one_of(IndividualInference),
        "n_folds": whole(2),
        "n_repeats": whole(1, MANY_SPLITS),
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
        X, y, covariates, by, sample_weight
            As in `ClusterEffect.fit`.
        treatment : array (N,) of 0 and 1, or str
            Of each row.
        groups : array (N,) or str, or None
            The cluster of each row; None: each row is its own, as in a sample of people who have nothing to
            do with each other.
        scheduler : dask.distributed.Client, optional
            As in `ClusterEffect.fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On misuse, before any fit. Also if treatment is on or off for whole clusters everywhere, which is
            the design of `ClusterEffect`, unless each cluster is one row.

        Warns
        -----
        DesignWarning
            If fewer than 5 clusters have treated, or control, rows; if one or two clusters make up the
            variance; if a subgroup has no treated or control rows, or few clusters with them; if the outcome
            model given predicts clusters left out worse than least squares does.
        """
        params = self._checked()
        models = models_of(params, params["estimand"])
        if not (models.propensity is None or hasattr(models.propensity, "predict_proba")):
            raise TypeError(
                f"propensity={type(models.propensity).__name__} has no predict_proba; a classifier is needed"
            )
        given = {"y": y, "treatment": treatment, "groups": groups, "sample_weight": sample_weight, "by": by}
        rows = rows_that_count(complete(X, given, covariates, params["missing"]))
        folds = params["n_folds"], params["n_repeats"]
        splits = read_splits(rows.X, rows.given, covariates, models, *folds)
        data = splits.first
        self._keep_about(rows, given, data.cells)
        strata = column(rows.X, rows.given["by"], "by")
        masks = subgroup_masks(TITLES[models.estimand], strata, len(data.cells.y), self._about.by)
        return self._estimate(splits, masks, effort_of(params))

    def _estimate(self, splits: Splits, masks: dict[str, NDArray[np.bool_]], effort: Effort) -> "Self":
        """All of `fit` that comes after reading the data."""
        data, models = splits.first, splits.first.models
        self._splits, self._names = splits, list(masks)
        lacking = {name: empty_arms(data.cells, models, mask) for name, mask in masks.items()}
        self._masks = {name: mask for name, mask in masks.items() if not lacking[name]}
        warn_of_empty({name: arms for name, arms in lacking.items() if arms})
        self.clusters_, self.folds_ = data.clusters.labels, splits.folds
        self.n_rows_, self.n_clusters_ = len(data.cells.y), data.clusters.n_clusters
        self.n_treated_rows_ = int(data.cells.treated.sum())
        self._columns = {
            name: np.array([(mask & arm).sum() for mask in masks.values()], np.int64)
            for name, arm in (("n_treated", data.cells.treated), ("n_controls", ~data.cells.treated))
        }
        rows = list(self._masks.values())
        self._problem = Replicable(
            list(self._masks),
            self._estimates,
            data.clusters.arm,
            data.clusters.labels,
            support=support_of([data.behind(mask) for mask in rows]),
            size=data.size,
            closed=partial(splits.closed_form, rows) if data.has_closed_form else None,
            held=self._held if models.estimation_method == "aipw" else None,
            effort=effort,
        )
        self._fitted = splits.fit()
        self._fitted_method, self._fitted_score = self.inference, models.estimation_method
        report = self._report = outcome_report([models])
        self.outcome_, self.outcome_scores_ = report.chosen, report.scores
        report.warn()
        self.effects_ = self.infer(self.inference)
        self.effect_ = self.effects_[0]
        self.propensity_ = np.mean([fitted.p for fitted in self._fitted], axis=0)
        self.split_estimates_ = splits.by_split(self._fitted, rows[0])
        return self

    def _estimates(self, counts: NDArray[np.int64]) -> Array:
        return self._splits.estimates(counts, list(self._masks.values()))

    def _held(self) -> Array:
        return self._splits.held(self._fitted, list(self._masks.values()))

    @fits_on_scheduler
    def infer(self, inference: IndividualInference, *, scheduler: Any = None) -> list[Effect]:
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
        choice(inference, "inference", IndividualInference)
        return self._named(one_each(self._names, self._infer(inference)))

    def _infer(self, inference: IndividualInference) -> list[Effect]:
        """The effects that there are rows for."""
        if not hasattr(self, "_splits"):  # it was loaded
            return self._infer_without_data(inference)
        splits, problem = self._splits, self._problem
        seed = splits.first.models.random_state
        if inference in get_args(Method):
            return infer(problem, inference, self.n_draws, seed)
        terms = ((name, splits.terms(self._fitted, mask)) for name, mask in self._masks.items())
        return effects_from_terms(terms, splits.first.clusters, problem, inference, self.n_draws, seed)

    _counts = ("n_rows_", "n_clusters_", "n_treated_rows_")
    _methods = IndividualInference

    def _describe_learnt(self, tensors: Tensors) -> Document:
        tensors |= {
            "propensity": self.propensity_,
            "folds": self.folds_.astype(np.int64),
            "split_estimates": self.split_estimates_,
        }
        return {}

    def _restore_learnt(self, tensors: Tensors, learnt: Document, effects: list[Effect]) -> None:
        super()._restore_learnt(tensors, learnt, effects)
        self.propensity_ = tensor(tensors, "propensity", self.n_rows_, dtype=F64)
        self.folds_ = tensor(tensors, "folds", None, len(self.clusters_), dtype=I64)
        self.split_estimates_ = tensor(tensors, "split_estimates", len(self.folds_), dtype=F64)
        self._names = [effect.name for effect in effects]

    def _facts_of_splits(self) -> list[tuple[str, str | int]]:
        if len(self.split_estimates_) == 1:
            return []
        low, high = self.split_estimates_.min(), self.split_estimates_.max()
        return [("Splits", len(self.split_estimates_)), ("Estimates by split", f"{low:.4g} to {high:.4g}")]

    def _table(self) -> EffectTable:
        effect = self._effect()
        low, high = self.propensity_.min(), self.propensity_.max()
        facts = [
            *self._about.facts(),
            ("Score", self._fitted_score),
            *self._report.facts(),
            ("Standard errors", effect.method),
            ("Rows", self.n_rows_),
            *self._facts_of_rows(),
            ("Treated rows", self.n_treated_rows_),
            ("Clusters", self.n_clusters_),
            ("Folds of clusters", int(self.folds_.max()) + 1),
            *self._facts_of_splits(),
            ("Propensities", f"{low:.3f} to {high:.3f}"),
        ]
        return EffectTable("Effect of a treatment inside clusters", facts, self.effects_)
