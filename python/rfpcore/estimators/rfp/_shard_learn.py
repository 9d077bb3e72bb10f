"""What a fit on shards learns before its first step: who is where, classes, levels and spreads."""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from ..._arrays import Array
from ..._dask import require_client
from ..._options import at_least
from ..._shards.keys import Keys, below
from ..._shards.moments import together
from ..._shards.parquet import ParquetShards
from ..._shards.passes import Here, Passes, Prepare
from ..._shards.workers import There
from . import _shard_work as on_shard
from ._shard_work import Survey

CACHE = 2**28
"""Bytes of shards kept from one pass to the next on this machine, where nobody says more."""


class Way:
    """How shards are gone through: here, or with a client by its workers.

    Parameters
    ----------
    shards : ParquetShards
    scheduler : Client or None
    cache_bytes : float or None
        What prepared shards may take here, or on each worker; None chooses.
    """

    def __init__(self, shards: Any, scheduler: Any, cache_bytes: Any) -> None:
        if not isinstance(shards, ParquetShards):
            raise TypeError(
                f"shards is a {type(shards).__name__}; rfpcore.sharded.ParquetShards, as write_shards "
                "returns, is needed"
            )
        self.shards, self.client = shards, require_client(scheduler)
        self.room = None if cache_bytes is None else int(at_least(cache_bytes, "cache_bytes", 0.0))

    def passes(self, prepare: Prepare, once: bool = False) -> Passes:
        """To go through shards prepared so; `once` keeps none."""
        room = 0 if once else self.room
        if self.client is None:
            return Here(self.shards, prepare, CACHE if room is None else room)
        return There(self.shards, prepare, room, self.client)

    def n_threads(self, given: int, n_jobs: int | None) -> int:
        """Of the kernel: on workers, unless somebody says more, as many as the smallest has."""
        if self.client is None or n_jobs is not None:
            return given
        known = self.client.scheduler_info(n_workers=-1)["workers"].values()
        return max(1, min((int(worker["nthreads"]) for worker in known), default=1))


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
    surveys = look(way, estimator)
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
    return look(way, estimator) if hasattr(estimator, "class_weight_") else surveys


def travelling(estimator: Any) -> Any:
    """The estimator as shards are read by it: with what it has learnt of them, and nobody to call back."""
    own = copy.copy(estimator)
    own.callbacks = None
    own.__dict__.pop("feature_names_in_", None)  # of arrays nobody asks for names
    return own


def look(way: Way, estimator: Any) -> list[Survey]:
    """One pass that checks all rows and describes them."""
    passes = way.passes(on_shard.as_read, once=True)
    try:
        return list(passes.map(on_shard.survey, travelling(estimator), range(len(way.shards))))
    finally:
        passes.close()


def require_whole(keys: Sequence[Keys], shards: ParquetShards) -> int:
    """How many clusters there are; ValueError if one lies in two shards."""
    every = np.sort(np.concatenate(keys))
    twice = np.flatnonzero(every[1:] == every[:-1])
    if len(twice):
        both = [file for file, own in zip(shards.files, keys, strict=True) if (own == every[twice[0]]).any()]
        raise ValueError(
            f"{len(twice)} clusters have rows in two shards, one of them in {' and '.join(both[:2])}; each "
            "shard needs whole clusters, as rfpcore.sharded.write_shards deals them"
        )
    return len(every)


def require_both(keys: Sequence[Keys], share: float, seed: int) -> None:
    """ValueError where no cluster would be held out, or all."""
    total = sum(len(own) for own in keys)
    out = sum(int(below(own, share, seed).sum()) for own in keys)
    if not 0 < out < total:
        raise ValueError(
            f"early_stopping holds out {out} of {total} clusters at validation_fraction={share:g}; it needs "
            "some, and some to train on"
        )
