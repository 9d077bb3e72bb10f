"""Outcome models and the propensity, fitted once for each way of counting the clusters.

A row of `counts` (S, G) says how often each cluster counts: all ones is the data, one zero a jackknife,
multiplicities a bootstrap. Nothing is fitted twice: leaving out a treated cluster leaves the model of the
controls as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.linear_model import LinearRegression
from sklearn.utils.validation import has_fit_parameter

from .._arrays import Array
from .._options import choice, integer, n_threads, real
from .._scaling import level_and_spread
from ..estimators import RFPRegressor, refit_clusters
from ..estimators.refits import why_not_refit
from ._linear_fits import is_least_squares, least_squares, ridge_logistic
from ._sample import Sample
from ._scores import Estimand, Score

CHUNK = 8_000_000  # predictions held at a time, in numbers


@dataclass(frozen=True)
class Models:
    """What is fitted, and how the propensity is tamed."""

    estimand: str
    score: str
    outcome: Any
    propensity: Any
    clip: tuple[float, float]
    random_state: Any = 0
    n_jobs: int | None = None

    @property
    def arms(self) -> tuple[int, ...]:
        """Arms whose outcome is modelled."""
        if self.score == "ipw":
            return ()
        return (0,) if self.estimand == "att" else (0, 1)


class Fitted(NamedTuple):
    """Nuisances at every row, (N,) each; an arm that is not modelled has zeros."""

    m0: Array
    m1: Array
    p: Array


def default_outcome(random_state: Any, n_jobs: int | None) -> RFPRegressor:
    """The network that models outcomes unless another regressor is given; for outcomes of unit variance."""
    return RFPRegressor(
        hidden_layer_sizes=(32, 32),
        alpha=0.2,
        inner_steps=1,
        inner_lr=0.05,
        max_iter=150,
        dtype="float32",  # moves estimates by a millionth, in half the time
        random_state=random_state,
        n_jobs=n_jobs,
    )


def seeded(model: Any, seed: int) -> Any:
    """A copy whose open `random_state`s are set: fits that differ by the dice would widen the jackknife."""
    if model is None:
        return None
    copy = clone(model)
    names = (name for name in copy.get_params() if name.split("__")[-1] == "random_state")
    return copy.set_params(**{name: seed for name in names if copy.get_params()[name] is None})


def models_of(estimator: Any, estimand: str) -> Models:
    """The models that an estimator's parameters ask for, checked."""
    low, high = (real(bound, "clip", "a pair of numbers in (0, 1)") for bound in estimator.clip)
    if not 0 < low <= high < 1:
        raise ValueError(f"clip={estimator.clip}; 0 < low <= high < 1 is needed")
    seed = integer(estimator.random_state, "random_state", 0, 2**31 - 1)
    n_threads(estimator.n_jobs)
    for name in ("outcome", "propensity"):
        model = getattr(estimator, name)
        if model is not None and not hasattr(model, "fit"):
            raise TypeError(f"{name}={model!r} is a {type(model).__name__}; an estimator or None is needed")
    return Models(
        choice(estimand, "estimand", Estimand),
        choice(estimator.score, "score", Score),
        seeded(estimator.outcome, seed),
        seeded(estimator.propensity, seed),
        (low, high),
        seed,
        estimator.n_jobs,
    )


def fit_each(sample: Sample, models: Models, counts: NDArray[np.int64]) -> Iterator[Fitted]:
    """The nuisances under each row of counts, (S, G) whole numbers; some rows at a time, to bound memory."""
    size = max(1, CHUNK // max(1, len(sample.y) * (1 + len(models.arms))))
    for start in range(0, len(counts), size):
        part = counts[start : start + size]
        p = propensities(sample, models, part)[:, sample.codes]
        zeros = np.zeros(len(sample.y))
        found = outcomes(sample, models, part)
        for i in range(len(part)):
            m = [found[arm][0][found[arm][1][i]] if arm in found else zeros for arm in (0, 1)]
            yield Fitted(m[0], m[1], p[i])


def cross_fit(sample: Sample, models: Models, folds: NDArray[np.intp]) -> Fitted:
    """Nuisances at every row from models that have not seen the row's fold of clusters."""
    counts = (np.arange(folds.max() + 1)[:, None] != folds).astype(np.int64)
    own = folds[sample.codes]
    each = list(fit_each(sample, models, counts))
    rows = np.arange(len(own))
    return Fitted(*(np.stack([fitted[j] for fitted in each])[own, rows] for j in range(3)))


def propensities(sample: Sample, models: Models, counts: NDArray[np.int64]) -> Array:
    """(S, G) the probability of treatment of each cluster, clipped; 1/2 where the score has no weights."""
    present = np.flatnonzero(sample.arm >= 0)
    if models.score == "regression":
        return np.full(counts.shape, 0.5)
    unique, inverse = distinct_rows(counts[:, present])
    found = _propensities(models, sample.arm[present], sample.Z[present], unique)
    result = np.full(counts.shape, 0.5)
    result[:, present] = np.clip(found, *models.clip)[inverse]
    return result


def _propensities(models: Models, arm: NDArray[np.int64], Z: Array, counts: NDArray[np.int64]) -> Array:
    n_treated, n_clusters = counts @ arm, counts.sum(axis=1)
    one_arm = np.flatnonzero((n_treated == 0) | (n_treated == n_clusters))
    if len(one_arm):
        raise ValueError(
            "a propensity needs treated and control clusters, but a fit sees "
            f"{n_treated[one_arm[0]]} treated of {n_clusters[one_arm[0]]} clusters"
        )
    if Z.shape[1] == 0:
        return np.tile((n_treated / n_clusters)[:, None], len(arm))
    if models.propensity is None:
        return ridge_logistic(Z, arm, counts)
    return np.stack([_propensity(models.propensity, arm, Z, row) for row in counts])


def _propensity(model: Any, arm: NDArray[np.int64], Z: Array, count: NDArray[np.int64]) -> Array:
    drawn = np.repeat(np.arange(len(arm)), count)
    fitted = clone(model).fit(Z[drawn], arm[drawn])
    probability: Array = fitted.predict_proba(Z)[:, list(fitted.classes_).index(1)]
    return probability


def outcomes(
    sample: Sample, models: Models, counts: NDArray[np.int64]
) -> dict[int, tuple[Array, NDArray[np.intp]]]:
    """Of each modelled arm, predictions (U, N) and which of them each row of counts has (S,).

    The distinct models of both arms are one batch.
    """
    for arm in models.arms:
        if not counts[:, sample.arm == arm].any(axis=1).all():
            what = "treated" if arm else "control"
            raise ValueError(
                f"a fit of the outcome sees no {what} cluster; there are {(sample.arm == arm).sum()} in all"
            )
    if not models.arms:
        return {}
    own = np.concatenate([counts * (sample.arm == arm) for arm in models.arms])
    unique, inverse = distinct_rows(own)
    predictions = _predictions(sample, models, unique)
    each = inverse.reshape(len(models.arms), len(counts))
    return {arm: (predictions, index) for arm, index in zip(models.arms, each, strict=True)}


def distinct_rows(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """The distinct rows of counts (S, G), as they come, and which of them each row is, (S,)."""
    seen: dict[bytes, int] = {}
    inverse = np.array([seen.setdefault(row.tobytes(), len(seen)) for row in counts], np.intp)
    first = np.full(len(seen), len(counts))
    np.minimum.at(first, inverse, np.arange(len(counts)))
    return counts[first], inverse


def _predictions(sample: Sample, models: Models, counts: NDArray[np.int64]) -> Array:
    y, shift, scale = sample.y, 0.0, 1.0
    if sample.X.shape[1] == 0 or np.ptp(y) == 0:  # nothing to go by but the mean, or nothing to explain
        weight = counts[:, sample.codes] * sample.weight
        return np.tile((weight @ y / weight.sum(axis=1))[:, None], len(y))
    model = models.outcome
    if models.outcome is None and has_single_rows(sample):
        model = LinearRegression()
    elif model is None:
        model = default_outcome(models.random_state, models.n_jobs)
        shift, scale = level_and_spread(y)
        y = (y - shift) / scale
    if why_not_refit(model) is None:
        return shift + scale * _batched(sample, model, y, counts)
    with_weights = bool((sample.weight != 1).any())
    if with_weights and not has_fit_parameter(model, "sample_weight"):
        raise TypeError(f"sample_weight is given, but {type(model).__name__}.fit does not take it")
    found, left = np.empty((len(counts), len(y))), np.ones(len(counts), bool)
    if is_least_squares(model):
        found, solved = least_squares(sample.X, y, sample.weight, sample.codes, counts)
        left = ~solved
    jobs = Parallel(n_jobs=models.n_jobs)
    rest = jobs(delayed(_fit_one)(sample, model, y, row, with_weights) for row in counts[left])
    if rest:
        found[left] = rest
    return found


def _batched(sample: Sample, model: RFPRegressor, y: Array, counts: NDArray[np.int64]) -> Array:
    """All fits in one call of the kernel; clusters without rows here are no clusters there."""
    present = np.unique(sample.codes)
    weights = sample.weight if (sample.weight != 1).any() else None
    fits = refit_clusters(model, sample.X, y, sample.codes, counts[:, present], weights)
    return fits.predict(sample.X).astype(np.float64)  # a level added in float32 would cost digits


def _fit_one(sample: Sample, model: Any, y: Array, count: NDArray[np.int64], with_weights: bool) -> Array:
    """One fit on the rows of the clusters drawn; a cluster drawn twice is two clusters."""
    times = count[sample.codes]
    rows = np.repeat(np.arange(len(y)), times)
    extra: dict[str, Any] = {}
    if with_weights:
        extra["sample_weight"] = sample.weight[rows]
    if has_fit_parameter(model, "groups"):
        copy = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)
        extra["groups"] = sample.codes[rows] + len(count) * copy
    fitted = clone(model)
    if not is_classifier(model):
        return np.asarray(fitted.fit(sample.X[rows], y[rows], **extra).predict(sample.X), np.float64)
    values = np.unique(y)
    if not np.isin(values, (0.0, 1.0)).all():
        raise ValueError(
            f"outcome={type(model).__name__} is a classifier, so y must be 0 or 1; it has {len(values)} "
            f"different values, {values.min():g} to {values.max():g}"
        )
    if len(np.unique(y[rows])) < 2:  # no classifier fits one class
        return np.full(len(y), y[rows][0])
    fitted.fit(sample.X[rows], y[rows], **extra)
    return np.asarray(fitted.predict_proba(sample.X)[:, list(fitted.classes_).index(1)], np.float64)


def without_level(sample: Sample, models: Models) -> Sample:
    """The sample with outcomes around 0, where models and score follow a level: it would cost digits.

    Effects are contrasts, so that a constant in all outcomes is none of them.
    """
    model = models.outcome
    if models.arms and sample.X.shape[1] and not (model is None or is_least_squares(model)):
        return sample
    return replace(sample, y=sample.y - level_and_spread(sample.y)[0])


def has_single_rows(sample: Sample) -> bool:
    """Whether every cluster has one row: nothing to adapt to, and few rows for a network as the default."""
    return len(sample.y) == len(np.unique(sample.codes))


def is_flexible(model: Any, sample: Sample) -> bool:
    """Whether an outcome model is more than linear, so that intervals that hold it fixed are too short."""
    if sample.X.shape[1] == 0:  # means
        return False
    if model is None:
        return not has_single_rows(sample)
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    module = type(last).__module__
    return not module.startswith(("sklearn.linear_model", "sklearn.dummy"))
