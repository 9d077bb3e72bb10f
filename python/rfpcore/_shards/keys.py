"""A number for each label, the same in every process: by it clusters are dealt, held out and compared."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array

Keys = NDArray[np.uint64]


def label_keys(labels: Array) -> Keys:
    """(C,) 64 bits a label, evenly spread; equal labels of equal type have equal ones."""
    kind = labels.dtype.kind
    if kind in "biuMm":
        return mixed(labels.astype(np.int64).view(np.uint64))
    if kind == "f":
        return mixed((labels.astype(np.float64) + 0.0).view(np.uint64))  # -0 is 0
    digests = b"".join(hashlib.blake2b(str(label).encode(), digest_size=8).digest() for label in labels)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def mixed(numbers: Keys, seed: int = 0) -> Keys:
    """Numbers whose bits all depend on all bits of those given.

    Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators", figure 16.
    """
    with np.errstate(over="ignore"):
        z = numbers + np.uint64((0x9E3779B97F4A7C15 * (seed + 1)) % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))


def below(keys: Keys, share: float, seed: int) -> NDArray[np.bool_]:
    """(C,) True for about this share of the labels, whichever shard they are in."""
    return np.asarray(mixed(keys, seed % 2**32 + 1) < np.uint64(min(int(share * 2.0**64), 2**64 - 1)))


def fold_edges(keys: Keys, n_folds: int) -> Keys:
    """(n_folds - 1,) What lies between folds of all these labels, equally many each."""
    every, count = np.sort(mixed(keys)), len(keys)
    return np.asarray(every[[-(-count * fold // n_folds) for fold in range(1, n_folds)]])


def fold_of(keys: Keys, edges: Keys) -> NDArray[np.intp]:
    """(C,) The fold of each label, whichever shard it is in."""
    return np.searchsorted(edges, mixed(keys), side="right")


def shuffled_rows(keys: Keys, codes: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    """(N,) Rows in a random order, each cluster's by its label and its rows' order, whichever shard it is in.

    `codes` (N,) says which of the `keys` a row's cluster has.
    """
    by_cluster, sizes = np.argsort(codes, kind="stable"), np.bincount(codes, minlength=len(keys))
    place = np.empty(len(codes), np.uint64)
    place[by_cluster] = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    own = mixed(keys, seed % 2**32 + 2)[codes]
    with np.errstate(over="ignore"):
        return np.argsort(mixed(own + place))
