"""Difference-in-differences with two periods."""

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from .._arrays import Array, shown
from .._atomic import all_or_nothing
from .._dask import fits_on_scheduler
from .._file_parts import Document, Tensors, labels_from_json, labels_to_json, listed, text
from .._limits import Limits, one_of, whole
from .._options import boolean
from ._checks import require_overlap, warn_of_design
from ._complete import Missing, complete
from ._cross_sections import PooledPeriods, pooled_periods
from ._effort import MAX_REFITS, Effort, effort_of
from ._estimator import EffectEstimator
from ._inference import Method, Replicable, infer
from ._nuisance import Models, models_of, without_level
from ._outcome_report import outcome_report
from ._panel import Long, Wide, build_sample, difference_sample, followed, read_long, treated_cells, widen
from ._parts import make_part
from ._sample import Sample, rows_that_count
from ._score_inference import clusters_behind
from ._scores import EstimationMethod
from ._subgroups import arm_counts
from ._support import support_of
from ._tables import EffectTable
from .effect import ClusterEffect, Inference
from .results import Effect

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DifferenceInDifferences"]

TITLE = "Average effect on the treated"


class DifferenceInDifferences(EffectEstimator):
    """Effect on the treated of a policy that some clusters adopt between two periods.

    Without the policy, outcomes of treated and control units with the same covariates would have changed
    alike on average. With `unit` the same units are followed, and the estimate is that of `ClusterEffect` for
    the change of their outcomes; without, each period is a cross-section of its own, and the estimate is the
    difference between the periods' doubly robust contrasts.

    Parameters
    ----------
    estimation_method : {"aipw", "regression", "ipw"}, default="aipw"
        Doubly robust (Sant'Anna and Zhao, with normalised weights), the outcome model alone, or weights
        alone.
    outcome, propensity, cluster_columns, propensity_bounds, missing
        As in `ClusterEffect`. A unit that is followed and lacks a value in one period is left out of both.
        The outcome model is fitted to controls: to their changes, or to each period.
    efficient : bool, default=False
        Without `unit`, model the treated as well: locally efficient (Sant'Anna and Zhao, equation 3.4) if
        both periods' rows come from one population of treatment and covariates, which the difference of
        contrasts does not need.
    inference : str, default="jackknife"
        As in `ClusterEffect`; without `unit` one of "jackknife", "cv3", "bootstrap".
    n_folds, n_draws, max_refits, random_state, n_jobs, verbose
        As in `ClusterEffect`.

    Attributes
    ----------
    estimate_, std_error_, p_value_ : float
    effect_ : Effect
    periods_ : ndarray (2,)
        Before and after.
    clusters_ : ndarray (G,)
        The clusters' labels.
    outcome_, outcome_scores_ : str, dict
        As in `ClusterEffect`, all outcome models together.
    n_rows_, n_clusters_, n_treated_ : int
        Units followed (rows, without `unit`), clusters, treated clusters.
    n_dropped_ : int
        Rows left out for want of a value.
    references_ : dict
        Of covariates that are text or Categoricals, the label that has no column of zeros and ones.

    References
    ----------
    Sant'Anna and Zhao (2020), "Doubly robust difference-in-differences estimators", Journal of Econometrics
    219, section 2; for repeated cross-sections their tau_1, period by period, or with `efficient` tau_2.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from rfpcore.causal import DifferenceInDifferences
    >>> random = np.random.default_rng(0)
    >>> cluster = np.repeat(np.arange(20), 10)  # twenty clusters of ten people, half of them treated later
    >>> treated = cluster % 2
    >>> x = random.standard_normal(200)
    >>> before = x + random.standard_normal(20)[cluster] + 0.1 * random.standard_normal(200)
    >>> after = before + 0.5 * x + 2.0 * treated + 0.1 * random.standard_normal(200)
    >>> model = DifferenceInDifferences(outcome=LinearRegression()).fit(
    ...     np.tile(x, 2)[:, None],
    ...     np.concatenate([before, after]),
    ...     treatment=np.tile(treated, 2),
    ...     groups=np.tile(cluster, 2),
    ...     time=np.repeat([2019, 2020], 200),
    ...     unit=np.tile(np.arange(200), 2),
    ... )
    >>> print(f"{model.estimate_:.2f} ({model.std_error_:.2f})")
    1.97 (0.01)
    """

    def __init__(
        self,
        *,
        estimation_method: EstimationMethod = "aipw",
        outcome: Any = "auto",
        propensity: Any = None,
        cluster_columns: Any = None,
        propensity_bounds: tuple[float, float] = (0.1, 0.9),
        missing: Missing = "raise",
        efficient: bool = False,
        inference: Inference = "jackknife",
        n_folds: int = 5,
        n_draws: int = 999,
        max_refits: int = MAX_REFITS,
        random_state: Any = 0,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimation_method = estimation_method
        self.outcome = outcome
        self.propensity = propensity
        self.cluster_columns = cluster_columns
        self.propensity_bounds = propensity_bounds
        self.missing = missing
        self.efficient = efficient
        self.inference = inference
        self.n_folds = n_folds
        self.n_draws = n_draws
        self.max_refits = max_refits
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    _limits: ClassVar[Limits] = EffectEstimator._limits | {
        "efficient": boolean,
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
        time: Any,
        *,
        unit: Any = None,
        covariates: Any = None,
        sample_weight: Any = None,
        scheduler: Any = None,
    ) -> "Self":
        """Estimate the effect.

        Parameters
        ----------
        X, y, covariates, sample_weight
            As in `ClusterEffect.fit`, with a row for each unit and period. Of a unit that is followed,
            covariates and weight of the first period count; it is left out where a row of it weighs 0.
        groups : array (N,) or str, or None
            The cluster of each row. None: each unit is its own, or without `unit`, each row; treatment then
            has to say which group a row belongs to in both periods.
        treatment : array (N,) of 0 and 1, or str
            Whether the cluster adopts the policy, in both periods alike; or whether it has it, 0 before.
        time : array (N,) or str
            The period of each row; there have to be two. Numbers, dates or an ordered Categorical, as in
            `StaggeredEffect.fit`: text such as "pre" and "post" has no order of its own, and is an error.
        unit : array (N,) or str, optional
            Who is followed; each unit needs one row in either period. None: repeated cross-sections.
        scheduler : dask.distributed.Client, optional
            As in `ClusterEffect.fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On misuse; the message names the cluster, unit or column.

        Warns
        -----
        DesignWarning
            As `ClusterEffect.fit`.
        """
        params = self._checked()
        models, effort = models_of(params, "att"), effort_of(params)
        given = {"y": y, "treatment": treatment, "groups": groups, "time": time, "unit": unit}
        given["sample_weight"] = sample_weight
        rows = complete(X, given, covariates, params["missing"], whole="unit")
        rows = rows if unit is not None else rows_that_count(rows)
        alone = groups is None and unit is None
        if alone and self.efficient:
            raise ValueError("efficient=True needs clusters, but groups is None")
        data = read_long(rows.X, **rows.given, covariates=covariates, alone=alone)
        self._keep_about(rows, given, data)
        if len(data.periods) != 2:
            raise ValueError(
                f"time has {len(data.periods)} periods; two are needed. StaggeredEffect takes more than two"
            )
        wide = None if unit is None else widen(data)
        if wide is not None:
            _require_both(data, wide)
        arm = _arm_of_rows(data) if alone else arm_of(data)
        self.periods_, self.clusters_ = data.periods.labels, data.labels
        self._period_names = data.periods.names
        self._fitted_method, self._fitted_score = self.inference, models.estimation_method
        self.n_clusters_, self.n_treated_ = len(arm), int(np.sum(arm == 1))
        if wide is None:
            # A row that is its own cluster is in one period: each period has strata of its own.
            strata = arm + 2 * data.period if alone else arm
            self._fit_cross_sections(data, arm, strata, models, effort)
        else:
            self._fit_panel(data, wide, arm, models, effort)
        self.effect_ = self.effects_[0]
        self.outcome_, self.outcome_scores_ = self._report.chosen, self._report.scores
        return self

    def _fit_panel(
        self, data: Long, wide: Wide, arm: NDArray[np.int64], models: Models, effort: Effort
    ) -> None:
        units = followed(data, wide, arm, t=1, base=0)
        without = np.setdiff1d(np.arange(len(arm)), wide.codes[units])
        if len(without):
            raise ValueError(
                f"sample_weight is 0 in every row of cluster {data.labels[without[0]]!s} in period "
                f"{data.periods.names[0]}, whose weights count, one of {len(without)} such clusters; leave "
                "their rows out"
            )
        sample = difference_sample(data, wide, arm, 1, 0, units, self.cluster_columns)
        assert sample is not None, "both arms have clusters, and each a unit with weight"
        if self.efficient:
            raise ValueError("efficient=True is for repeated cross-sections; leave `unit` out")
        params = self.get_params(deep=False)
        del params["efficient"]
        inner = ClusterEffect(estimand="att", **params)
        # Changes are of the size of the levels that they are between: so is their rounding.
        size = float(np.abs(data.y[wide.row[units]]).max())
        inner._estimate(sample, models, {TITLE: np.ones(len(sample.y), bool)}, effort, size)
        self._inner: ClusterEffect | None = inner
        self._problem, self._followed = inner._problem, True
        self.n_rows_, self._report = inner.n_rows_, inner._report
        self.effects_ = self._named(inner.effects_)
        self._columns = inner._columns

    def _fit_cross_sections(
        self,
        data: Long,
        arm: NDArray[np.int64],
        strata: NDArray[np.int64],
        models: Models,
        effort: Effort,
    ) -> None:
        self._seed = models.random_state
        self._inner, self._parts, self._followed = None, [], False
        for period in (1, 0):
            rows = np.flatnonzero(data.period == period)
            seen = np.bincount(data.codes[rows], minlength=len(arm)) > 0
            sample = _cross_section(data, rows, np.where(seen, arm, -1), self.cluster_columns)
            require_overlap(sample)
            self._parts.append(make_part(without_level(sample, models), models))
        warn_of_design(self._parts[0].sample)
        self._columns = arm_counts(self._parts[0].sample, [np.ones(len(self._parts[0].sample.y), bool)])
        self._pooled = _pooled(data, arm, models, self.cluster_columns) if self.efficient else None
        used = self._parts if self._pooled is None else [self._pooled]
        self._report = outcome_report([part.models for part in used])
        self._report.warn()
        self.n_rows_ = len(data.y)
        needs = np.concatenate([clusters_behind(p.sample, models, p.sample.weight) for p in self._parts])
        each = self._parts if self._pooled is None else [self._pooled]
        closed = all(part.has_closed_form for part in each)
        self._problem = Replicable(
            [TITLE],
            self._difference,
            strata,
            data.labels,
            support=support_of([needs]),
            size=float(np.abs(data.y).max()),
            closed=self._difference_without_each if closed else None,
            held=partial(self._difference_without_each, held=True)
            if models.estimation_method == "aipw"
            else None,
            effort=effort,
        )
        self.effects_ = self.infer(self.inference)

    @fits_on_scheduler
    def infer(self, inference: Inference, *, scheduler: Any = None) -> list[Effect]:
        """The effect with another method's standard error, for the data of the last fit.

        Parameters
        ----------
        inference : str
            As the parameter of this name.
        scheduler : dask.distributed.Client, optional
            As in `fit`.

        Returns
        -------
        effects : list of one Effect
        """
        check_is_fitted(self, "periods_")
        if not hasattr(self, "_inner"):  # it was loaded
            return self._named(self._infer_without_data(inference))
        if self._inner is not None:
            return self._named(self._inner.infer(inference))
        if not isinstance(inference, str) or inference not in get_args(Method):
            raise ValueError(
                f"inference={shown(inference)} is for units that are followed; repeated cross-sections have "
                f"{', '.join(map(repr, get_args(Method)))}"
            )
        return self._named(infer(self._problem, inference, self.n_draws, self._seed))

    _counts = ("n_rows_", "n_clusters_", "n_treated_")
    _methods = Inference

    def _describe_learnt(self, tensors: Tensors) -> Document:
        periods = labels_to_json(self.periods_, "periods_")
        return {"periods": periods, "period_names": self._period_names, "followed": self._followed}

    def _restore_learnt(self, tensors: Tensors, learnt: Document, effects: list[Effect]) -> None:
        super()._restore_learnt(tensors, learnt, effects)
        self.periods_ = labels_from_json(learnt["periods"], "periods_", 2)
        self._period_names = [text(name, "a period") for name in listed(learnt, "period_names")]
        self._followed = boolean(learnt["followed"], "followed")

    def _difference(self, counts: NDArray[np.int64]) -> Array:
        if self._pooled is not None:
            return self._pooled.estimates(counts)[:, None]
        after, before = (part.estimates(counts) for part in self._parts)
        return np.asarray(after - before)[:, None]

    def _difference_without_each(self, held: bool = False) -> Array:
        if self._pooled is not None:
            return self._pooled.without_each(held)[:, None]
        after, before = (part.without_each(held) for part in self._parts)
        return np.asarray(after - before)[:, None]

    def _table(self) -> EffectTable:
        effect = self._effect()
        facts = [
            *self._about.facts(),
            ("Score", self._fitted_score),
            ("Periods", " to ".join(self._period_names)),
            *self._report.facts(),
            ("Standard errors", effect.method),
            ("Units" if self._followed else "Rows", self.n_rows_),
            *self._facts_of_rows(),
            ("Clusters", self.n_clusters_),
            ("Treated clusters", self.n_treated_),
        ]
        return EffectTable("Difference-in-differences", facts, self.effects_)


def arm_of(data: Long) -> NDArray[np.int64]:
    """(G,) 1 for clusters that adopt between the two periods, whichever way the treatment says so."""
    treated, size = treated_cells(data)
    for t in (0, 1):
        missing = np.flatnonzero(size[:, t] == 0)
        if len(missing):
            raise ValueError(
                f"cluster {data.labels[missing[0]]!s} has no row in period {data.periods.names[t]}, one of "
                f"{len(missing)} such clusters; each is needed in both periods"
            )
    before, after = treated.T
    odd = np.flatnonzero(before & ~after) if not before.any() else np.flatnonzero(before != after)
    if len(odd):
        c, words = odd[0], ("not treated", "treated")
        raise ValueError(
            f"cluster {data.labels[c]!s} is {words[int(before[c])]} in period {data.periods.names[0]} and "
            f"{words[int(after[c])]} in {data.periods.names[1]}, one of {len(odd)} that change, while "
            f"{before.sum()} of {len(before)} clusters are treated in {data.periods.names[0]}. Give 0 in the "
            "first period for all, or the same number in both; clusters treated in both have no before: "
            "leave them out"
        )
    for value, what in ((True, "treated"), (False, "control")):
        if not (after == value).any():
            raise ValueError(f"none of the {len(after)} clusters is a {what} cluster; both arms are needed")
    return np.asarray(after, np.int64)


def _arm_of_rows(data: Long) -> NDArray[np.int64]:
    """(N,) the group of each row, where rows are their own clusters; ValueError unless all four are there."""
    for t, name in enumerate(data.periods.names):
        for value, what in ((1, "treated"), (0, "control")):
            if not ((data.period == t) & (data.treatment == value)).any():
                raise ValueError(
                    f"no row of period {name} is of the {what} group. Where groups and unit are None, "
                    "treatment says of the rows of both periods which group they belong to, also before the "
                    "policy"
                )
    return data.treatment.astype(np.int64)


def _require_both(data: Long, wide: Wide) -> None:
    missing = np.argwhere(wide.row < 0)
    if len(missing):
        u, t = missing[0]
        label = (data.unit_labels if data.unit_labels is not None else data.labels)[u]
        raise ValueError(
            f"unit {label!s} of cluster {data.labels[wide.codes[u]]!s} has no row in period "
            f"{data.periods.names[t]}, one of "
            f"{len(missing)} of {len(wide.codes)} units. Leave them out, or leave `unit` out for repeated "
            "cross-sections"
        )


def _cross_section(data: Long, rows: NDArray[np.intp], arm: NDArray[np.int64], columns: Any) -> Sample:
    return build_sample(data, rows, data.y[rows], data.weight[rows], data.codes[rows], arm, columns)


def _pooled(data: Long, arm: NDArray[np.int64], models: Models, columns: Any) -> PooledPeriods:
    if models.estimation_method != "aipw":
        raise ValueError(
            f"efficient=True is a doubly robust score, but estimation_method={models.estimation_method!r}"
        )
    everything = np.arange(len(data.y))
    sample = without_level(_cross_section(data, everything, arm, columns), models)
    return pooled_periods(sample, data.period == 1, models)
