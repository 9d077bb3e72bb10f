"""Predictions of one outcome model at all rows, under many counts of the clusters."""

from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.utils.validation import has_fit_parameter

from .._arrays import Array
from .._dask import current_client, results_of
from ..estimators import RFPRegressor, refit_clusters
from ..estimators.mixed import MixedClassifier, MixedRegressor
from ..estimators.rfp.refits import why_not_refit
from ._candidates import Smooth
from ._linear_fits import is_least_squares, least_squares
from ._mixed import Mixed
from ._sample import Sample
from ._smooth import Prior, ridge


def predictions(sample: Sample, model: Any, y: Array, counts: NDArray[np.int64], n_jobs: int | None) -> Array:
    """(S, N) in float64: what is added to them must not lose its digits."""
    if isinstance(model, Smooth):
        return _smooth(sample, model, y, counts)
    if isinstance(model, Mixed):
        return model.predictions(sample, y, counts)
    if why_not_refit(model) is None:
        return _batched(sample, model, y, counts)
    with_weights = bool((sample.weight != 1).any())
    if with_weights and not has_fit_parameter(model, "sample_weight"):
        raise TypeError(f"sample_weight is given, but {type(model).__name__}.fit does not take it")
    found, left = np.empty((len(counts), len(y))), np.ones(len(counts), bool)
    if is_least_squares(model):
        found, solved = least_squares(sample.X, y, sample.weight, sample.codes, counts)
        left = ~solved
    if left.any():
        found[left] = _one_by_one(_Fit(sample, model, y, with_weights), counts[left], n_jobs)
    return found


def means(sample: Sample, counts: NDArray[np.int64]) -> Array:
    """(S,) the mean outcome under each row of counts."""
    level = float(sample.y.mean())
    total = np.bincount(sample.codes, sample.weight, counts.shape[1])
    moment = np.bincount(sample.codes, sample.weight * (sample.y - level), counts.shape[1])
    return np.asarray(level + (counts @ moment) / (counts @ total))


def _smooth(sample: Sample, model: Smooth, y: Array, counts: NDArray[np.int64]) -> Array:
    n_clusters = max(1, len(np.unique(sample.codes)))
    features = model.features(sample.X, n_clusters)
    prior = model.prior or Prior(float(sample.weight.sum()) / n_clusters)
    return ridge(features, y, sample.weight, sample.codes, counts, prior)


def _batched(sample: Sample, model: RFPRegressor, y: Array, counts: NDArray[np.int64]) -> Array:
    """All fits in one call of the kernel; clusters without rows here are no clusters there."""
    present = np.unique(sample.codes)
    weights = sample.weight if (sample.weight != 1).any() else None
    client = current_client()
    fits = refit_clusters(model, sample.X, y, sample.codes, counts[:, present], weights, scheduler=client)
    return np.asarray(fits.predict(sample.X), np.float64)


class _Fit(NamedTuple):
    """A model that is fitted to one row of counts at a time, and the rows."""

    sample: Sample
    model: Any
    y: Array
    with_weights: bool


def _one_by_one(fit: _Fit, counts: NDArray[np.int64], n_jobs: int | None) -> list[Array]:
    """Fits by joblib, or as jobs of a client's workers."""
    client = current_client()
    if client is not None and len(counts) > 1:
        return results_of(client, _fit_one, fit, list(counts))
    return list(Parallel(n_jobs=n_jobs)(delayed(_fit_one)(fit, count) for count in counts))


def _fit_one(fit: _Fit, count: NDArray[np.int64]) -> Array:
    """One fit on the rows of the clusters drawn; a cluster drawn twice is two clusters."""
    sample, model, y, with_weights = fit
    times = count[sample.codes]
    if isinstance(model, MixedClassifier | MixedRegressor):  # takes no rows without weight
        times = times * (sample.weight > 0)
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
