"""Clusters' effects and their variances in files."""

import numpy as np
from numpy.typing import NDArray

from ..._arrays import F64, I64
from ..._file_parts import (
    Document,
    Tensors,
    labels_from_json,
    labels_to_json,
    listed,
    object_of,
    only,
    tensor,
    text,
)
from ..._options import boolean, integer, real
from ._components import EffectData, Structure
from ._effects import ClusterEffects
from ._settings import EFFECTS, SLOPES
from .results import VarianceComponents


def restore_structure(own: Document, d: int, unit_noise: bool) -> Structure:
    """Which effects clusters have, of columns that are there."""
    names = {"intercept", "slopes", "slope_covariance", "is_centred", "smooth", "levels", "unit_noise"}
    only(own, "structure", names)
    columns = {
        name: tuple(integer(j, name, 0, d - 1) for j in listed(own, name)) for name in ("slopes", "smooth")
    }
    if own["slope_covariance"] not in SLOPES:
        raise ValueError(f"slope_covariance is {own['slope_covariance']!r}; one of {SLOPES} is needed")
    found = Structure(
        boolean(own["intercept"], "intercept"),
        columns["slopes"],
        own["slope_covariance"],
        boolean(own["is_centred"], "is_centred"),
        columns["smooth"],
        integer(own["levels"], "levels", 1, 2),
        unit_noise,
    )
    if own["unit_noise"] is not unit_noise:
        raise ValueError(f"unit_noise is {own['unit_noise']!r} and the outcomes say {unit_noise}")
    if found.n_parameters < 2:
        raise ValueError(f"the clusters have no effects; one of {EFFECTS} is needed")
    return found


def describe_effects(effects: ClusterEffects, tensors: Tensors) -> Document:
    """What is known of clusters; the arrays go to the tensors."""
    data = effects.data
    tensors |= {
        "effects.parameters": effects.parameters,
        "effects.means": effects.means,
        "effects.origin": effects.origin,
        "effects.reach": effects.reach,
        "effects.offsets": data.offsets,
        "effects.columns": data.columns,
        "effects.residual": effects.residual,
    }
    for name in ("smooth", "inner", "weights"):
        if getattr(data, name) is not None:
            tensors[f"effects.{name}"] = getattr(data, name)
    if effects.observed is not None:
        tensors["effects.observed"] = effects.observed
    document: Document = {"labels": labels_to_json(effects.labels, "labels_")}
    if effects.inner_labels:
        outer = np.array([code for code, _ in effects.inner_labels], np.int64)
        tensors["effects.inner_outer"] = outer
        names = np.empty(len(outer), object)
        names[:] = [label for _, label in effects.inner_labels]
        document["inner_labels"] = labels_to_json(names, "inner labels")
    return document


def restore_effects(
    document: Document, tensors: Tensors, structure: Structure, d: int, n_threads: int
) -> ClusterEffects:
    """The same again, its arrays checked against the labels."""
    own = object_of(document, "effects")
    only(own, "effects", {"labels", "inner_labels"})
    labels = labels_from_json(own["labels"], "labels_")
    C = len(labels)
    offsets = tensor(tensors, "effects.offsets", C + 1, dtype=I64)
    if offsets[0] != 0 or (np.diff(offsets) < 1).any():
        raise ValueError("the clusters' offsets do not increase from 0")
    n = int(offsets[-1])
    inner, inner_labels = _inner(own, tensors, n, C) if structure.levels == 2 else (None, [])
    smooth = (
        tensor(tensors, "effects.smooth", n, len(structure.smooth), dtype=F64) if structure.smooth else None
    )
    weights = None
    if "effects.weights" in tensors:
        weights = tensor(tensors, "effects.weights", n, dtype=F64)
        if weights.min(initial=1.0) <= 0:
            raise ValueError(f"a weight is {weights.min()}; numbers above 0 are needed")
    columns = tensor(tensors, "effects.columns", n, structure.n_columns, dtype=F64)
    observed = None  # older files have none
    if "effects.observed" in tensors:
        observed = tensor(tensors, "effects.observed", n, d, dtype=F64)
    return ClusterEffects(
        structure,
        tensor(tensors, "effects.parameters", structure.n_parameters, dtype=F64),
        labels,
        inner_labels,
        tensor(tensors, "effects.means", C, d, dtype=F64),
        tensor(tensors, "effects.origin", d, dtype=F64),
        tensor(tensors, "effects.reach", 2, d, dtype=F64),
        EffectData(offsets, columns, smooth, inner, weights),
        tensor(tensors, "effects.residual", n, dtype=F64),
        n_threads,
        observed,
    )


def _inner(
    own: Document, tensors: Tensors, n: int, C: int
) -> tuple[NDArray[np.int64], list[tuple[int, object]]]:
    outer = tensor(tensors, "effects.inner_outer", None, dtype=I64)
    names = labels_from_json(own["inner_labels"], "inner labels", len(outer))
    inner = tensor(tensors, "effects.inner", n, dtype=I64)
    inside = inner.min() >= 0 and inner.max() < len(outer) and outer.min() >= 0 and outer.max() < C
    if not inside:
        raise ValueError("groups within clusters have codes of which there are no labels")
    return inner, list(zip(outer.tolist(), names.tolist(), strict=True))


def describe_variances(found: VarianceComponents, tensors: Tensors) -> Document:
    """Variances in the data's units; their arrays go to the tensors."""
    tensors |= {f"correlation.{level}": matrix for level, matrix in found.correlations.items()}
    own = {"groups": found.groups, "names": found.names, "length_scale": found.length_scale}
    return own | {"at_edge": found.at_edge}


def restore_variances(document: Document, tensors: Tensors) -> VarianceComponents:
    """The same again."""
    own = object_of(document, "variances")
    only(own, "variances", {"groups", "names", "length_scale", "at_edge"})
    groups, names = ([text(each, name) for each in listed(own, name)] for name in ("groups", "names"))
    n = len(groups)
    if len(names) != n:
        raise ValueError(f"there are {len(names)} names of {n} variances")
    levels = [name.removeprefix("correlation.") for name in tensors if name.startswith("correlation.")]
    correlations = {
        level: tensor(tensors, f"correlation.{level}", None, None, nan=True, dtype=F64) for level in levels
    }
    length = own["length_scale"]
    return VarianceComponents(
        groups,
        names,
        tensor(tensors, "variance", n, dtype=F64),
        tensor(tensors, "variance_std_error", n, nan=True, dtype=F64),
        correlations,
        None if length is None else real(length, "length_scale"),
        boolean(own.get("at_edge", False), "at_edge"),  # older files do not say
    )
