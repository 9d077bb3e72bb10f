"""Arguments of the effects' `fit` by a scale: small, and different for each."""

import numpy as np

from rfpcore.datasets import make_policy


def policy(scale):
    data = make_policy(n_clusters=int(9 + scale), n_per_cluster=4, selection=0.1, random_state=int(scale))
    return {"X": scale * data.X, "y": scale * data.y, "treatment": data.treatment, "groups": data.groups}


def individuals(scale):
    data = policy(scale)
    random = np.random.default_rng(int(scale))
    return data | {"treatment": (random.random(len(data["y"])) < 0.5).astype(int)}


def panel(scale, n_periods=2):
    random, n = np.random.default_rng(int(scale)), int(9 + scale)
    groups, time = np.repeat(np.arange(n), n_periods), np.tile(np.arange(n_periods), n)
    treated = (groups % 3 > 0) & (time >= np.maximum(1, groups % 3))
    return {
        "X": np.empty((len(time), 0)),
        "y": scale * random.standard_normal(len(time)),
        "treatment": treated if n_periods > 2 else groups % 2,
        "groups": groups,
        "time": time,
    }


def followed(scale):
    data = panel(scale)
    return data | {"unit": data["groups"]}


def staggered(scale):
    return panel(scale, 4)
