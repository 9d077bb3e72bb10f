"""The best points of a sweep: chosen by a mean over seeds, and whether they lie at the edge of the grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._options import choice, items
from ..many import ManyResult, Score, row_numbers
from ._sweep_points import ROWS

__all__ = ["BestPoint", "best_points"]

_OF_SEEDS = ("seed", *ROWS)  # what differs between models of one point of a mean


@dataclass(frozen=True)
class BestPoint:
    """The best of the points that share the values of some fields: see `SweepResult.best`.

    Attributes
    ----------
    values : dict
        Those shared values.
    point : dict
        The fields of the best point, without its seeds and rows.
    score : float
        Its mean score over seeds.
    at_edge : tuple of str
        Fields whose value is the first or the last of those tried: a wider grid may have a better one.
    models : ndarray of int
        Where in `SweepResult.result` its models are, one for each seed.
    """

    values: dict[str, Any]
    point: dict[str, Any]
    score: float
    at_edge: tuple[str, ...]
    models: NDArray[np.intp]


def best_points(
    points: Sequence[Mapping[str, Any]], result: ManyResult, each: Any, by: Any, among: Any
) -> list[BestPoint]:
    """For points that are finished; see `SweepResult.best`."""
    by = choice(by, "by", Score)
    shared = [each] if isinstance(each, str) else items(each, "each", "a name or a sequence of names")
    for name in shared:
        if name in _OF_SEEDS or not any(name in point for point in points):
            raise ValueError(f"each has {name!r}; no finished point has a value for it, or it is of seeds")
    chosen = range(len(points)) if among is None else row_numbers(among, "among", len(points), "the result")
    scores = result.kept(by)
    groups: dict[str, list[int]] = {}
    for model in chosen:
        groups.setdefault(_text(points[model], shared), []).append(int(model))
    return [_best(points, scores, shared, models, by) for models in groups.values()]


def _text(point: Mapping[str, Any], names: Sequence[str]) -> str:
    """Some values of a point, to be compared by."""
    return repr([point.get(name) for name in names])


def _best(
    points: Sequence[Mapping[str, Any]],
    scores: NDArray[np.float64],
    shared: Sequence[str],
    models: Sequence[int],
    by: str,
) -> BestPoint:
    """Of models that share some values."""
    names = dict.fromkeys(name for model in models for name in points[model])
    tried = [name for name in names if name not in (*shared, *_OF_SEEDS)]
    alike: dict[str, list[int]] = {}
    for model in models:
        alike.setdefault(_text(points[model], tried), []).append(model)
    means = [scores[seeds].mean() for seeds in alike.values()]
    if np.isnan(means).all():
        raise ValueError(f"{by} are NaN of a model at every point: no point is best")
    at = int(np.nanargmin(means) if by.endswith("losses") else np.nanargmax(means))
    found = list(alike.values())[at]
    point = points[found[0]]
    edge = []
    for name in tried:
        values = list(dict.fromkeys(_text(points[model], [name]) for model in models))
        if len(values) > 1 and _text(point, [name]) in (values[0], values[-1]):
            edge.append(name)
    return BestPoint(
        {name: point.get(name) for name in shared},
        {name: value for name, value in point.items() if name not in _OF_SEEDS},
        float(means[at]),
        tuple(edge),
        np.array(found, np.intp),
    )
