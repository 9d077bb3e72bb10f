"""Outcome models and the propensity, fitted once for each way of counting the clusters.

A row of `counts` (S, G) says how often each cluster counts: all ones is the data, one zero a jackknife,
multiplicities a bootstrap. Nothing is fitted twice: leaving out a treated cluster leaves the model of the
controls as it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from .._arrays import Array, shown
from .._options import choice, items, real
from ..files import NotSaved
from ._candidates import Candidate, candidates, constant, large_network
from ._fits import means
from ._left_out import LeftOut, leave_out
from ._linear_fits import is_least_squares, ridge_logistic
from ._mixed import Mixed
from ._sample import Sample

Choice = Literal["auto", "auto+mixed"]
Outcome = Literal[Choice, "mixed"]
CHUNK = 8_000_000  # predictions held at a time, in numbers
MANY_CLUSTERS = 200  # of one row each: a penalty moves nothing, and least squares are left out in closed form


@dataclass(frozen=True)
class Models:
    """What is fitted, and how the propensity is tamed."""

    estimand: str
    estimation_method: str
    outcome: Any
    propensity: Any
    propensity_bounds: tuple[float, float]
    random_state: Any = 0
    n_jobs: int | None = None
    left_out: LeftOut | None = None
    """What the outcome models say of clusters left out; "auto" chooses by it."""

    @property
    def arms(self) -> tuple[int, ...]:
        """Arms whose outcome is modelled."""
        if self.estimation_method == "ipw":
            return ()
        return (0,) if self.estimand == "att" else (0, 1)


class Fitted(NamedTuple):
    """Nuisances at every row, (N,) each; an arm that is not modelled has zeros."""

    m0: Array
    m1: Array
    p: Array


def seeded(model: Any, seed: int) -> Any:
    """A copy whose open `random_state`s are set: fits that differ by the dice would widen the jackknife."""
    if model is None or isinstance(model, str):
        return model
    copy = clone(model)
    names = (name for name in copy.get_params() if name.split("__")[-1] == "random_state")
    return copy.set_params(**{name: seed for name in names if copy.get_params()[name] is None})


def estimator_or_none(value: Any, name: str) -> Any:
    """An estimator or None."""
    if isinstance(value, NotSaved):
        value.refuse(name)
    if not (value is None or hasattr(value, "fit")):
        raise TypeError(f"{name}={shown(value)} is a {type(value).__name__}; an estimator or None is needed")
    return value


def outcome_model(value: Any, name: str) -> Any:
    """An estimator, None or the name of a choice."""
    return choice(value, name, Outcome) if isinstance(value, str) else estimator_or_none(value, name)


def bounds(value: Any, name: str) -> tuple[float, float]:
    """A lowest and a highest probability."""
    pair = "a pair of numbers in (0, 1)"
    found = [real(bound, name, pair) for bound in items(value, name, pair)]
    if len(found) != 2:
        raise ValueError(f"{name}={shown(value)} has {len(found)} entries; {pair} is needed")
    low, high = found
    if not 0 < low <= high < 1:
        raise ValueError(f"{name}={shown(value)}; 0 < low <= high < 1 is needed")
    return low, high


def models_of(params: Mapping[str, Any], estimand: str) -> Models:
    """The models that an estimator's checked parameters ask for."""
    seed = params["random_state"]
    return Models(
        estimand,
        params["estimation_method"],
        seeded(params["outcome"], seed),
        seeded(params["propensity"], seed),
        params["propensity_bounds"],
        seed,
        params["n_jobs"] or None,
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
    if models.estimation_method == "regression":
        return np.full(counts.shape, 0.5)
    unique, inverse = distinct_rows(counts[:, present])
    found = _propensities(models, sample.arm[present], sample.Z[present], unique)
    result = np.full(counts.shape, 0.5)
    result[:, present] = np.clip(found, *models.propensity_bounds)[inverse]
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
    if sample.X.shape[1] == 0 or np.ptp(sample.y) == 0:  # nothing to go by, or nothing to explain
        return np.tile(means(sample, counts)[:, None], len(sample.y))
    left_out = models.left_out or with_left_out(sample, models).left_out
    assert left_out is not None, "there are covariates"
    return left_out.predictions(sample, counts, models.n_jobs)


def with_left_out(sample: Sample, models: Models, strata: NDArray[np.int64] | None = None) -> Models:
    """The models with what they say of clusters left out, within the strata (G,): of the modelled arms."""
    if sample.X.shape[1] == 0 or not models.arms:
        return models
    if strata is None:
        strata = np.where(np.isin(sample.arm, models.arms), sample.arm, -1)
    tried, chosen = _tried(sample, models, int(np.sum(strata[sample.codes] >= 0)))
    log_loss = _classifies(models.outcome)
    left_out = leave_out(sample, tried, chosen, strata, log_loss, models.random_state, models.n_jobs)
    return replace(models, left_out=left_out)


def _classifies(outcome: Any) -> bool:
    return not (outcome is None or isinstance(outcome, str)) and bool(is_classifier(outcome))


def _tried(sample: Sample, models: Models, n_rows: int) -> tuple[dict[str, Candidate], str | None]:
    """The outcome models, and which of them is used; None: the best. The first two are for comparison."""
    if is_auto(models.outcome) and not is_linear(models.outcome, sample):
        single = has_single_rows(sample)
        tried = candidates(n_rows, single, models.random_state, models.n_jobs)
        with_mixed = models.outcome == "auto+mixed" and not single
        return tried | ({"mixed": Candidate(Mixed(models.random_state))} if with_mixed else {}), None
    model = models.outcome
    linear = LogisticRegression() if _classifies(model) else LinearRegression()
    tried = {"mean": constant(), "linear": Candidate(linear, scaled=False)}
    if is_linear(model, sample):
        return tried, "linear"
    if isinstance(model, str):
        return tried | {model: Candidate(Mixed(models.random_state))}, model
    if model is None:
        model = large_network(models.random_state, models.n_jobs)
        return tried | {type(model).__name__: Candidate(model)}, type(model).__name__
    name = type(model).__name__
    return tried | {name: Candidate(model, scaled=False)}, name


def without_level(sample: Sample, models: Models) -> Sample:
    """The sample with outcomes around 0, where models and score follow a level: it would cost digits.

    Effects are contrasts, so that a constant in all outcomes is none of them.
    """
    model = models.outcome
    ours = model is None or isinstance(model, str) or is_least_squares(model)
    if models.arms and sample.X.shape[1] and not ours:
        return sample
    return replace(sample, y=sample.y - np.median(sample.y))  # a wild row moves no median


def has_single_rows(sample: Sample) -> bool:
    """Whether every cluster has one row: nothing to adapt to, and few rows for a network as the default."""
    return len(sample.y) == len(np.unique(sample.codes))


def is_auto(model: Any) -> bool:
    """Whether the outcome model is chosen by clusters left out."""
    return isinstance(model, str) and model in get_args(Choice)


def is_linear(model: Any, sample: Sample) -> bool:
    """Whether outcomes are modelled by least squares."""
    if is_auto(model):
        return has_single_rows(sample) and sample.n_clusters > MANY_CLUSTERS
    return is_least_squares(model) or (model is None and has_single_rows(sample))


def is_flexible(model: Any, sample: Sample) -> bool:
    """Whether an outcome model is more than linear, so that intervals that hold it fixed are too short."""
    if sample.X.shape[1] == 0:  # means
        return False
    if model is None or is_auto(model):
        return not has_single_rows(sample)
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    module = type(last).__module__
    return not module.startswith(("sklearn.linear_model", "sklearn.dummy"))
