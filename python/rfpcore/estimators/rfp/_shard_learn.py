"""What a fit on shards learns before its first step: who is where, classes, levels and spreads."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from ..._arrays import Array
from ..._shards.keys import Keys, below
from ..._shards.moments import together
from ..._shards.way import Way, require_whole
from . import _shard_work as on_shard
from ._shard_work import Survey


class ShardFacts(NamedTuple):
    """What the fit needs besides the estimator's attributes.

    Attributes
    ----------
    n_clusters : int
    keys : list of ndarrays
        Of the labels of each shard's clusters.
    y, weight : ndarrays (1, columns), (1,)
        The mean outcome as the network is trained on it, and the weight of all rows.
    """

    n_clusters: int
    keys: list[Keys]
    y: Array
    weight: Array


def learn(estimator: Any, way: Way) -> ShardFacts:
    """Set what `fit` learns of features and outcomes: in one pass, in two with weights of classes."""
    shards = way.shards
    names = list(shards.columns.X)
    before = getattr(estimator, "feature_names_in_", np.array(names, object)).tolist()
    if before != names:
        raise ValueError(f"warm_start goes on from features {before}, but X names {names} now; fit anew")
    estimator.n_features_in_ = len(names)
    surveys = way.survey(on_shard.survey, estimator)
    keys = [survey.keys for survey in surveys]
    n_clusters = require_whole(keys, shards)
    if is_classifier(estimator):
        surveys = _learn_classes(estimator, way, surveys)
    else:
        m = len(shards.columns.y)
        estimator._learn_targets(np.zeros((1, m) if shards.columns.several else 1))
    x = [survey.x for survey in surveys if survey.x is not None]
    if not x:
        raise ValueError("all rows have a sample_weight of 0; some need more")
    weight = np.array([sum(part.weight for part in x)])
    if is_classifier(estimator):
        if estimator.standardize and not hasattr(estimator, "theta_"):
            estimator.x_scaling_ = together(x)
        return ShardFacts(n_clusters, keys, np.zeros((1, 1)), weight)
    outcomes = together([survey.y for survey in surveys if survey.y is not None])
    if estimator.standardize and not hasattr(estimator, "theta_"):
        estimator.x_scaling_ = together(x)
        if estimator._known.kind.keeps_units:
            estimator.y_scaling_ = outcomes
    mean = outcomes.level if shards.columns.several else outcomes.level[:1]
    return ShardFacts(n_clusters, keys, estimator._encode_targets(mean[None]).reshape(1, -1), weight)


def _learn_classes(estimator: Any, way: Way, surveys: list[Survey]) -> list[Survey]:
    """The classes and their weights; surveys in which rows weigh as their classes do."""
    estimator._learn_targets(np.concatenate([survey.classes for survey in surveys]))
    classes = estimator.classes_.tolist()
    totals = np.zeros(len(classes))
    for survey in surveys:
        totals[[classes.index(label) for label in survey.classes.tolist()]] += survey.totals
    estimator._weigh(estimator.classes_, totals, learn=True)
    return way.survey(on_shard.survey, estimator) if hasattr(estimator, "class_weight_") else surveys


def require_both(keys: Sequence[Keys], share: float, seed: int) -> None:
    """ValueError where no cluster would be held out, or all."""
    total = sum(len(own) for own in keys)
    out = sum(int(below(own, share, seed).sum()) for own in keys)
    if not 0 < out < total:
        raise ValueError(
            f"early_stopping holds out {out} of {total} clusters at validation_fraction={share:g}; it needs "
            "some, and some to train on"
        )
