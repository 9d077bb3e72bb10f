"""Which clusters an effect hangs on: without enough of them it has no standard error."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from .._scaling import EPS, named
from .._warn import warn
from ..exceptions import DesignWarning
from .results import Effect

THIN = 4  # clusters in an arm of one of several effects, below which intervals covered 70 to 91 %


@dataclass(frozen=True, eq=False)
class Support:
    """The clusters that effects rest on.

    Attributes
    ----------
    alone : ndarray (E, G) of bool
        Clusters without which the effect has no value.
    fewest : ndarray (E,) of int
        Clusters in the arm of an effect that has the fewest; 0 where the effect has no value.
    """

    alone: NDArray[np.bool_]
    fewest: NDArray[np.int64]


def support_of(needs: Sequence[NDArray[np.bool_]]) -> Support:
    """Of effects, each with sets (K, G) of clusters, of each of which at least one is needed."""
    counts = [need.sum(axis=1) for need in needs]
    alone = [(need & (count == 1)[:, None]).any(axis=0) for need, count in zip(needs, counts, strict=True)]
    return Support(np.array(alone), np.array([count.min() for count in counts]))


def with_errors_only(
    effects: list[Effect], support: Support | None, labels: Array, size: float
) -> list[Effect]:
    """Effects without the errors that mean nothing, and a `DesignWarning` that says which and why.

    An error means nothing if a single cluster stands for an arm, or if it is rounding of numbers of this
    size.
    """
    found, empty, alone, zero = [], [], [], []
    for i, effect in enumerate(effects):
        who = labels[support.alone[i]] if support is not None else labels[:0]
        if math.isnan(effect.estimate):
            empty.append(effect.name)
        elif len(who) or math.isnan(effect.std_error):
            if i or not len(who):  # the first has the warning of a single cluster in an arm
                alone.append(effect.name + (f" (cluster {named(who, 2)})" if len(who) else ""))
        elif effect.std_error <= 32 * EPS * size:
            zero.append(effect.name)
        else:
            found.append(effect)
            continue
        found.append(replace(effect, std_error=math.nan, statistics=None, p=None))
    if empty:
        warn(
            f"no treated or no control rows, so no value, for {named(empty)}",
            DesignWarning,
        )
    if alone:
        warn(
            f"{len(alone)} of {len(effects)} effects cannot be estimated at all without one of the clusters, "
            f"so there are no standard errors for them: {named(alone)}{_thin(effects, support)}",
            DesignWarning,
        )
    elif thin := _thin(effects, support):
        warn(thin.lstrip(". "), DesignWarning)
    if zero:
        warn(
            "a standard error that is zero but for rounding is none: clusters do not differ in "
            f"{named(zero)}",
            DesignWarning,
        )
    return found


def _thin(effects: Sequence[Effect], support: Support | None) -> str:
    """What is to be said of effects that rest on fewer clusters than the first, which has its own warning."""
    if support is None:
        return ""
    few = (support.fewest[1:] > 1) & (support.fewest[1:] < THIN) & (support.fewest[1:] < support.fewest[0])
    rest = zip(effects[1:], support.fewest[1:], few, strict=True)
    names = [f"{effect.name} ({count})" for effect, count, is_few in rest if is_few]
    if not names:
        return ""
    effects_rest = "effect rests" if len(names) == 1 else "effects rest"
    return (
        f". {len(names)} {effects_rest} on two or three clusters of an arm, where 95 % intervals covered 70 "
        f"to 91 % in simulations: {named(names)}"
    )
