"""What mixed models share: parameters, the data in standard units, fitting, files."""

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import ndtri
from sklearn.utils.validation import check_is_fitted, column_or_1d

from ..._arrays import Array, as_floats, require_finite, require_length, require_total, row_weights
from ..._blas import one_blas_thread
from ..._frames import pandas_for, require_aligned
from ..._maketables import MakesTables
from ..._options import Activation, fraction
from .._dealt import dealt
from .._network import FeatureEstimator
from . import _classify
from ._effects import ClusterEffects
from ._fit import MixedFit, run
from ._intervals import Calibration, calibrate
from ._laplace import FamilyName, level_of
from ._model import FittedModel, effects_of, problem_of
from ._problem import MixedProblem
from ._regressors import require_weighted
from ._report import MixedReport, report
from ._rows import MixedRows, StandardUnits, grouping, origin, require_nested, require_repeats
from ._saved import SavedMixed
from ._settings import LIMITS, MeanName, SlopeCovariance, settings, structure
from ._summary import coefficient_rows, summary_of

LEAST_WEIGHT = 1e-100
MOST_WEIGHT, MOST_COUNT = 1e12, 1e8  # over the median; of a row that is counted as several


class MixedBase(MixedReport, MakesTables, SavedMixed, FeatureEstimator):
    """All but the outcomes."""

    _limits = LIMITS
    _memory: FittedModel

    def __init__(
        self,
        *,
        mean: MeanName | Any = "auto",
        effects: Any = "auto",
        effect_columns: Any = None,
        slope_covariance: SlopeCovariance = "auto",
        center_slopes: Any = "auto",
        cluster_means: bool = False,
        n_folds: int = 4,
        hidden_layer_sizes: Any = (32, 32),
        activation: Activation = "tanh",
        learning_rate_init: float = 5e-3,
        weight_decay: Any = "auto",
        max_iter: int = 300,
        random_state: Any = 0,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.mean = mean
        self.effects = effects
        self.effect_columns = effect_columns
        self.slope_covariance = slope_covariance
        self.center_slopes = center_slopes
        self.cluster_means = cluster_means
        self.n_folds = n_folds
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _read(self, X: Any, y: Any, groups: Any, sample_weight: Any) -> MixedRows:
        """Checked arguments of `fit`; what is to be known of columns and outcomes is kept."""
        self._require_y(y)
        if groups is None:
            raise ValueError("groups is None; a mixed model needs each row's cluster")
        require_aligned(X=X, y=y, groups=groups, sample_weight=sample_weight)
        features = self._features(X, learn=True)
        require_finite(features, "X", getattr(self, "feature_names_in_", None))
        outcome, weights = self._learn_outcomes(y, len(features)), self._weights(sample_weight, len(features))
        family = self._family
        level = 0.0 if family is None else level_of(family, outcome, weights)
        scales = StandardUnits.of(
            features.astype(np.float64), outcome if family is None else None, weights, level
        )
        scales.require_variances()
        found = grouping(groups, len(features))
        require_nested(found)
        require_repeats(np.bincount(found.codes))
        return MixedRows(features, outcome, weights, found, scales)

    def _problem(self, given: dict[str, Any], rows: MixedRows) -> tuple[MixedProblem, ClusterEffects]:
        """The data in standard units, sorted by cluster; and the effects before anything is known of them."""
        found, scales, names = rows.grouping, rows.scales, getattr(self, "feature_names_in_", None)
        effects = structure(given, rows.X.shape[1], names, 1 if found.inner is None else 2)
        if self._family is not None:
            effects = replace(effects, unit_noise=True)
        order = np.argsort(found.codes, kind="stable")
        Z, t = scales.features(rows.X)[order], scales.outcomes(rows.y)[order]
        weights, nothing = scales.weights(rows.weights, order), np.zeros(effects.n_parameters)
        about = origin(effects, scales)
        before = effects_of(effects, nothing, found, Z, weights, about, None, given["n_jobs"])
        n_clusters = len(found.labels)
        fold = dealt(n_clusters, min(given["n_folds"], n_clusters), given["random_state"])
        takes_means = bool(given["cluster_means"])
        return problem_of(before, Z, t, fold, given["random_state"], takes_means, scales.level), before

    @property
    def _family(self) -> FamilyName | None:
        """Of outcomes that are no normal numbers."""
        raise NotImplementedError

    def _learn_outcomes(self, y: Any, n_rows: int) -> Array:
        """Outcomes (N,) in float64; what is to be known of them is kept."""
        raise NotImplementedError

    def _encode(self, y: Any, n_rows: int) -> Array:
        """Outcomes of clusters that are adapted to."""
        raise NotImplementedError

    def _weights(self, sample_weight: Any, n_rows: int) -> Array | None:
        """Weights above 0, in float64."""
        if sample_weight is None:
            return None
        weights = row_weights(sample_weight, n_rows).astype(np.float64)
        if (weights == 0).any():
            row = int(np.argmax(weights == 0))
            raise ValueError(f"sample_weight is 0 in row {row}; leave rows without weight out")
        # Of normal outcomes they are relative; of others they say how often a row counts.
        unit, most = (np.median(weights), MOST_WEIGHT) if self._family is None else (1.0, MOST_COUNT)
        row = int(np.argmin(weights))
        if weights[row] < LEAST_WEIGHT * unit:
            raise ValueError(
                f"sample_weight is {weights[row]:.3g} in row {row}, less than {LEAST_WEIGHT:.0e} times "
                f"{unit:.3g}, that of an ordinary row; leave rows without weight out"
            )
        row = int(np.argmax(weights))
        if weights[row] / most > unit:
            raise ValueError(
                f"sample_weight is {weights[row]:.3g} in row {row}, more than {most:.0e} times {unit:.3g}, "
                "that of an ordinary row: beside it the others are rounding"
            )
        require_total(weights, "sample_weight")
        return weights

    @one_blas_thread
    def _fit(self, X: Any, y: Any, groups: Any, sample_weight: Any) -> None:
        given = self._checked()
        if sample_weight is not None and not isinstance(given["mean"], str):
            require_weighted(given["mean"])
        self._forget()
        rows = self._read(X, y, groups, sample_weight)
        problem, before = self._problem(given, rows)
        chosen = settings(given)
        family = self._family
        fitted = run(problem, chosen) if family is None else _classify.run(problem, chosen, family)
        self._memory = self._model(problem, rows.scales, before, fitted)
        self.__dict__ |= vars(report(problem, fitted, self._memory, self._names(), chosen.reml))
        if given["verbose"]:
            print(self.summary())

    def _model(
        self, problem: MixedProblem, scales: StandardUnits, before: ClusterEffects, fitted: MixedFit
    ) -> FittedModel:
        """What predicts, with the posterior of the clusters at hand."""
        d, family, u = self.n_features_in_, self._family, fitted.estimate.parameters
        if family is None:
            data, residual = problem.effects, problem.y - fitted.chosen.mean.predict(problem.X)
        else:
            data, residual = _classify.effects_at(problem, fitted.chosen.mean, u, family)
        Z = np.ascontiguousarray(problem.X[:, :d])
        effects = replace(before, parameters=u, data=data, residual=residual, observed=Z)
        calibration = Calibration.normal()
        if family is None:
            left_out = (problem.y - fitted.unseen.left_out, problem.y - fitted.chosen.left_out)
            calibration = calibrate(problem, u, *left_out, effects.prior_variance(Z))
        return FittedModel(
            scales,
            fitted.chosen.mean,
            fitted.unseen.mean,
            fitted.uncertainty,
            effects,
            calibration,
            bool(self.cluster_means),
            family,
            len(before.labels),
        )

    def _names(self) -> list[str]:
        names = getattr(self, "feature_names_in_", None)
        return (
            [f"x{j}" for j in range(self.n_features_in_)] if names is None else [str(name) for name in names]
        )

    # Use.

    def _rows(self, X: Any, groups: Any) -> tuple[Array, Any]:
        check_is_fitted(self)
        require_aligned(X=X, groups=groups)
        features = self._features(X)
        require_finite(features, "X")
        return features, groups

    @property
    def _estimator(self) -> Any:
        return self

    def population_interval(self, X: Any, *, level: float = 0.95) -> Array:
        """Pointwise intervals for the population's function: f, or the mean of a cluster never seen.

        Parameters
        ----------
        X : array or frame (N, n_features)
        level : float in (0, 1), default=0.95

        Returns
        -------
        interval : ndarray (N, 2)
            Of numbers for f, of counts for their mean, of classes for the second one's probability.
        """
        level = fraction(level, "level")
        band: Array = self._predict(X, None, "raise", "all").band(level)
        return band

    def _require_same_outcomes(self, method: str) -> None:
        """Refuse to go on with another kind of outcomes than those of the fit."""
        fitted = self._memory.family
        if fitted != self._family:
            before, now = (family or "squared" for family in (fitted, self._family))
            raise ValueError(f"{method} goes on from loss={before!r}, but loss={now!r} now; fit anew")

    def _adapted(self, X: Any, y: Any, groups: Any, sample_weight: Any) -> FittedModel:
        """The posterior of other clusters."""
        check_is_fitted(self)
        self._require_same_outcomes("adapt")
        self._require_y(y)
        require_aligned(X=X, y=y, groups=groups, sample_weight=sample_weight)
        features = self._features(X)
        require_finite(features, "X", getattr(self, "feature_names_in_", None))
        outcome, weights = self._encode(y, len(features)), self._weights(sample_weight, len(features))
        levels = self._memory.effects.structure.levels
        if groups is None and levels > 1:
            raise ValueError(
                "groups is None; the model has groups within clusters: each row's cluster and group "
                "are needed"
            )
        found = grouping(groups, len(features), None if groups is None else levels)
        return self._memory.adapted(features, outcome, found, weights)

    def _coefficients(self) -> Any:
        """Of a linear mean: what maketables shows beside other packages' models."""
        pandas = pandas_for("a table")
        check_is_fitted(self)
        if self.coefficients_ is None:
            why = " where it was chosen among several kinds" if self.mean_ == "linear" else ""
            raise AttributeError(
                f"mean={self.mean_!r} has no coefficients{why}; mean='linear' by itself has them"
            )
        names = ["name", "estimate", "std_error", "t", "p_value"]
        frame = pandas.DataFrame(coefficient_rows(self), columns=names).set_index("name")
        half = float(ndtri(0.975)) * frame["std_error"]
        return frame.assign(ci_low=frame["estimate"] - half, ci_high=frame["estimate"] + half)

    def _stats(self) -> dict[str, Any]:
        model = self._memory
        found = {"N": model.sizes[0], "n_clusters": model.n_clusters, "ll": self.log_likelihood_}
        return found | {"r2_marginal": self.r2_marginal_, "r2_conditional": self.r2_conditional_}

    def summary(self) -> str:
        """A table in the manner of lme4.

        Returns
        -------
        text : str
        """
        check_is_fitted(self)
        return summary_of(self)


def numbers(y: Any, n_rows: int) -> Array:
    """Finite outcomes (N,) in float64."""
    outcome = as_floats(y, "y").astype(np.float64)
    if outcome.ndim == 2 and outcome.shape[1] == 1:
        outcome = np.asarray(column_or_1d(outcome, warn=True))
    if outcome.ndim != 1:
        raise ValueError(f"y has shape {outcome.shape}; ({n_rows},) is needed: a mixed model has one outcome")
    require_length(outcome, "y", n_rows)
    require_finite(outcome, "y")
    return outcome
