"""Mixed models in files: every part checked against the others."""

from dataclasses import asdict
from typing import Any

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
from ..._options import MAX_PARAMETERS, MAX_STEPS, at_least, boolean, integer, real
from ..._scaling import read_scaling
from ...files import Saved
from ...network import MLP
from ._components import EffectData, Structure
from ._effects import ClusterEffects
from ._gaussian_process import Hyperparameters, Posterior, Process, ProcessMean, Uncertainty
from ._intervals import GRID, Calibration
from ._linear import LinearMean, LinearUncertainty
from ._model import Drawn, FittedModel
from ._networks import NetworkMean
from ._report import random_effects
from ._rows import StandardUnits
from ._settings import EFFECTS, SLOPES
from ._summary import KINDS
from ._trees import DEPTH, TreeMean
from .results import LikelihoodRatioTest, VarianceComponents

_NUMBERS = ("intraclass_correlation_", "r2_marginal_", "r2_conditional_", "log_likelihood_")
_LEARNT = {"mean_", "scores_", "guard_", "n_features_in_", "test", "with_means", "family", "n_clusters", "y"}
_OPTIONAL = ("coefficients_", "coefficient_std_errors_")


class SavedMixed(Saved):
    """A mixed model."""

    _entries = frozenset(
        {"learnt", "structure", "mean", "unseen", "uncertainty", "effects", "variances"}
        | {"feature_names", "classes"}
    )

    def _describe(self: Any, tensors: Tensors) -> Document:
        self._require_same_outcomes("save")
        model, variances, test = self._memory, self.variance_components_, self.no_effects_test_
        effects, scales = model.effects, model.scales
        learnt = {
            "mean_": self.mean_,
            "scores_": self.scores_,
            "guard_": self.guard_,
            "n_features_in_": self.n_features_in_,
            "test": [test.statistic, test.n_parameters],
            "with_means": model.with_means,
            "family": model.family,
            "n_clusters": model.n_clusters,
            "y": [scales.y_mean, scales.y_scale, scales.weight],
            "level": scales.level,
        } | {name: getattr(self, name) for name in _NUMBERS}
        tensors |= {
            "x_mean": scales.x.level,
            "x_scale": scales.x.spread,
            "calibration_new": model.calibration.new,
            "calibration_known": model.calibration.known,
            "variance": variances.variance,
            "variance_std_error": variances.std_error,
        }
        if model.drawn is not None:
            learnt["shards"] = list(model.drawn)
        for name in _OPTIONAL:
            if getattr(self, name) is not None:
                tensors[name] = getattr(self, name)
        document = {
            "learnt": learnt,
            "structure": asdict(effects.structure),
            "mean": _describe_mean(model.mean, tensors, "mean."),
            "unseen": None
            if model.unseen is model.mean
            else _describe_mean(model.unseen, tensors, "unseen."),
            "uncertainty": _describe_mean(model.uncertainty, tensors, "uncertainty."),
            "effects": _describe_effects(effects, tensors),
            "variances": _describe_variances(variances, tensors),
        }
        if hasattr(self, "feature_names_in_"):
            document["feature_names"] = self.feature_names_in_.tolist()
        return document

    def _restore(self: Any, tensors: Tensors, document: Document) -> None:
        learnt = object_of(document, "learnt")
        only(learnt, "learnt", _LEARNT.union(_NUMBERS, ("level", "shards")))
        d = self.n_features_in_ = integer(learnt["n_features_in_"], "n_features_in_", 1, MAX_PARAMETERS)
        self._restore_names(document, d)
        structure = _structure(object_of(document, "structure"), d, learnt["family"] is not None)
        scales = _units(tensors, learnt, d)
        family = self._restore_outcomes(document, learnt["family"])
        if family is not None and (scales.y_mean, scales.y_scale, scales.weight) != (0, 1, 1):
            raise ValueError(
                f"outcomes of the family {family} have units, {scales.y_mean} and {scales.y_scale}"
            )
        if family is None and scales.level != 0:
            raise ValueError(f"predictors of plain numbers are counted from {scales.level}; 0 is needed")
        n_clusters = integer(learnt["n_clusters"], "n_clusters", 2, MAX_PARAMETERS)
        with_means = boolean(learnt["with_means"], "with_means")
        width = d * (1 + with_means)
        calibration = Calibration(
            *(tensor(tensors, f"calibration_{which}", len(GRID), dtype=F64) for which in ("new", "known"))
        )
        mean = _restore_mean(document, "mean", tensors, width)
        same = document["unseen"] is None
        unseen = mean if same else _restore_mean(document, "unseen", tensors, width)
        uncertainty = _restore_mean(document, "uncertainty", tensors, width)
        drawn = _drawn(learnt)
        effects = _effects(document, tensors, structure, d, width, self._checked()["n_jobs"])
        if (len(effects.labels) == 0) is not (drawn is not None):
            raise ValueError(
                f"there are {len(effects.labels)} clusters; a fit on shards keeps none, others do"
            )
        self._memory = FittedModel(
            scales, mean, unseen, uncertainty, effects, calibration, with_means, family, n_clusters, drawn
        )
        self._restore_findings(tensors, document, learnt, width)

    def _restore_outcomes(self: Any, document: Document, family: Any) -> Any:
        """What is known of the outcomes; their family."""
        if "classes" in document:
            raise ValueError(f"there are classes, which a {type(self).__name__} does not have")
        if family != self._family:
            raise ValueError(f"the outcomes are {family!r}, the parameters say {self._family!r}")
        return family

    def _restore_names(self: Any, document: Document, d: int) -> None:
        if "feature_names" in document:
            names = [text(name, "a feature name") for name in listed(document, "feature_names")]
            if len(names) != d or len(set(names)) < d:
                raise ValueError(f"there are {len(set(names))} feature names for {d} features")
            self.feature_names_in_ = np.array(names, object)

    def _restore_findings(
        self: Any, tensors: Tensors, document: Document, learnt: Document, width: int
    ) -> None:
        self.mean_ = text(learnt["mean_"], "mean_")
        if self.mean_ not in KINDS:
            raise ValueError(f"mean_ is {self.mean_!r}; one of {', '.join(KINDS)} is needed")
        scores = object_of(learnt, "scores_")
        self.scores_ = {name: real(value, "a score") for name, value in scores.items()}
        self.guard_ = None if learnt["guard_"] is None else real(learnt["guard_"], "guard_")
        for name in _NUMBERS:
            setattr(self, name, real(learnt[name], name))
        statistic, n_parameters = listed(learnt, "test")
        count = integer(n_parameters, "n_parameters", 1, MAX_PARAMETERS)
        self.no_effects_test_ = LikelihoodRatioTest(real(statistic, "the statistic"), count)
        if len({name in tensors for name in _OPTIONAL}) == 2:
            raise ValueError(f"of {' and '.join(_OPTIONAL)} there is one only")
        for name in _OPTIONAL:
            found = tensor(tensors, name, width + 1, nan=True, dtype=F64) if name in tensors else None
            setattr(self, name, found)
        self.variance_components_ = _variances(document, tensors)
        self.labels_ = self._memory.effects.labels
        self.random_effects_ = random_effects(self._memory, self._names())

    def _require_usable(self: Any) -> None:
        self._checked()
        model, d = self._memory, self.n_features_in_
        rows = np.array([[0.0], [1.0], [-1.0]]).repeat(d, axis=1)
        rows = model.scales.x.undo(rows)
        with np.errstate(all="ignore"):
            found = model.at(rows, None, "raise", "all")
            numbers = [found.outcome, found.std, found.band(0.95), model.effects.weights]
            numbers += [each.effects for each in self._all_effects()]
        if not all(np.isfinite(each).all() for each in numbers):
            raise ValueError("the prediction at ordinary features is not finite")

    def _all_effects(self: Any) -> list[Any]:
        found = self.random_effects_
        return found if isinstance(found, list) else [found]


def _drawn(learnt: Document) -> Drawn | None:
    """What a fit on shards was fitted to; of other fits nothing is kept."""
    if "shards" not in learnt:
        return None
    counts = listed(learnt, "shards")
    if len(counts) != len(Drawn._fields):
        raise ValueError(f"shards has {len(counts)} numbers; {len(Drawn._fields)} are needed")
    found = Drawn(
        *(integer(n, name, 1, MAX_PARAMETERS) for n, name in zip(counts, Drawn._fields, strict=True))
    )
    if not found.smallest <= found.largest <= found.n_rows:
        raise ValueError(
            f"clusters have {found.smallest} to {found.largest} rows of {found.n_rows}; that is no range"
        )
    return found


def _units(tensors: Tensors, learnt: Document, d: int) -> StandardUnits:
    y_mean, y_scale, weight = (real(each, "y") for each in listed(learnt, "y"))
    if not (y_scale > 0 and weight > 0):
        raise ValueError(f"the scales are {y_scale} and {weight}; numbers above 0 are needed")
    level = real(learnt.get("level", 0.0), "level")  # older files have none
    scales = StandardUnits(read_scaling(tensors, "x_mean", "x_scale", d), y_mean, y_scale, weight, level)
    scales.require_variances()
    return scales


def _describe_mean(mean: Any, tensors: Tensors, prefix: str) -> Document:
    """A function of the population; its arrays go to the tensors."""
    if isinstance(mean, NetworkMean):
        net = mean.net
        tensors[f"{prefix}thetas"] = mean.thetas
        own_net = [net.n_inputs, list(net.hidden_layer_sizes), net.activation]
        found = {"n_iter": mean.n_iter, "weight_decay": mean.weight_decay}
        return {"kind": "network", "net": own_net} | found
    if isinstance(mean, ProcessMean):
        own = mean.process.hyperparameters
        tensors |= {
            f"{prefix}inducing": mean.process.inducing,
            f"{prefix}lengths": own.lengths,
            f"{prefix}posterior_mean": mean.posterior.mean,
            f"{prefix}posterior_root": mean.posterior.root,
        }
        return {"kind": "gp", "variances": [own.smooth, own.linear]}
    if isinstance(mean, Uncertainty):
        other = None if mean.other is None else _describe_mean(mean.other, tensors, f"{prefix}other.")
        process = _describe_mean(mean.process, tensors, f"{prefix}process.")
        return {"kind": "uncertainty", "process": process, "other": other}
    if isinstance(mean, LinearMean):
        tensors[f"{prefix}coefficients"] = mean.coefficients
        return {"kind": "linear"}
    if isinstance(mean, LinearUncertainty):
        tensors[f"{prefix}covariance"] = mean.covariance
        if mean.turn is not None:
            tensors[f"{prefix}turn"] = mean.turn
        return {"kind": "linear uncertainty", "kept": list(mean.kept)}
    if isinstance(mean, TreeMean):
        tensors |= {f"{prefix}{name}": getattr(mean, name) for name in ("features", "thresholds", "leaves")}
        return {"kind": "trees"}
    raise ValueError(
        f"mean={type(mean).__name__}: regressors of other packages are not kept in a file; 'network', 'gp', "
        "'trees' and 'linear' are"
    )


def _restore_mean(document: Document, name: str, tensors: Tensors, width: int, above: str = "") -> Any:
    """The function again, of `width` inputs."""
    own, prefix = object_of(document, name), f"{above}{name}."
    kind = own.get("kind")
    if kind == "uncertainty":
        process = _restore_mean(own, "process", tensors, width, prefix)
        other = None if own["other"] is None else _restore_mean(own, "other", tensors, width, prefix)
        if not isinstance(process, ProcessMean) or not isinstance(other, NetworkMean | None):
            raise ValueError("the uncertainty is not that of a Gaussian process beside networks")
        return Uncertainty(process, other)
    if kind == "network":
        return _networks(own, tensors, prefix, width)
    if kind == "gp":
        return _process(own, tensors, prefix, width)
    if kind == "linear":
        return LinearMean(tensor(tensors, f"{prefix}coefficients", width + 1, dtype=F64))
    if kind == "linear uncertainty":
        kept = [integer(j, "a column", 0, width - 1) for j in listed(own, "kept")]
        p = len(kept) + 1
        turn = tensor(tensors, f"{prefix}turn", p, p, dtype=F64) if f"{prefix}turn" in tensors else None
        if turn is not None and not np.diag(turn).all():
            raise ValueError("turn has a 0 on its diagonal")
        return LinearUncertainty(tensor(tensors, f"{prefix}covariance", p, p, dtype=F64), kept, turn)
    if kind == "trees":
        return _trees(tensors, prefix, width)
    raise ValueError(f"{name} is of the kind {kind!r}, which is unknown")


def _networks(own: Document, tensors: Tensors, prefix: str, width: int) -> NetworkMean:
    n_inputs, hidden, activation = listed(own, "net")
    net = MLP(integer(n_inputs, "n_inputs", width, width), tuple(hidden), 1, activation)
    n_iter, decay = own.get("n_iter"), own.get("weight_decay")  # older files do not say
    return NetworkMean(
        net,
        tensor(tensors, f"{prefix}thetas", None, net.n_parameters),
        None if n_iter is None else integer(n_iter, "n_iter", 1, MAX_STEPS),
        None if decay is None else at_least(decay, "weight_decay", 0.0),
    )


def _process(own: Document, tensors: Tensors, prefix: str, width: int) -> ProcessMean:
    smooth, linear = (real(each, "a variance") for each in listed(own, "variances"))
    inducing = tensor(tensors, f"{prefix}inducing", None, width, dtype=F64)
    lengths = tensor(tensors, f"{prefix}lengths", width, dtype=F64)
    if not (smooth > 0 and linear > 0 and (lengths > 0).all()):
        raise ValueError("variances and lengths of the Gaussian process are not above 0")
    m = len(inducing) + 1 + width
    posterior = Posterior(
        tensor(tensors, f"{prefix}posterior_mean", m, dtype=F64),
        tensor(tensors, f"{prefix}posterior_root", m, m, dtype=F64),
    )
    if not (np.diag(posterior.root) > 0).all():
        raise ValueError("posterior_root has a diagonal that is not above 0")
    return ProcessMean(Process(inducing, Hyperparameters(lengths, smooth, linear)), posterior)


def _trees(tensors: Tensors, prefix: str, width: int) -> TreeMean:
    inner = 2**DEPTH - 1
    features = tensor(tensors, f"{prefix}features", None, None, inner, dtype=I64)
    folds, rounds = features.shape[:2]
    if features.min(initial=0) < 0 or features.max(initial=0) >= width or not features.size:
        raise ValueError(f"trees split on columns from {features.min(initial=0)}; 0 to {width - 1} are there")
    thresholds = tensor(tensors, f"{prefix}thresholds", folds, rounds, inner, nan=True, dtype=F64)
    return TreeMean(
        features, thresholds, tensor(tensors, f"{prefix}leaves", folds, rounds, inner + 1, dtype=F64)
    )


def _structure(own: Document, d: int, unit_noise: bool) -> Structure:
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


def _describe_effects(effects: ClusterEffects, tensors: Tensors) -> Document:
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
    if effects.inputs is not None:
        tensors["effects.inputs"] = effects.inputs
    document: Document = {"labels": labels_to_json(effects.labels, "labels_")}
    if effects.inner_labels:
        outer = np.array([code for code, _ in effects.inner_labels], np.int64)
        tensors["effects.inner_outer"] = outer
        names = np.empty(len(outer), object)
        names[:] = [label for _, label in effects.inner_labels]
        document["inner_labels"] = labels_to_json(names, "inner labels")
    return document


def _effects(
    document: Document, tensors: Tensors, structure: Structure, d: int, width: int, n_threads: int
) -> ClusterEffects:
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
    inputs = None  # older files have none
    if "effects.inputs" in tensors:
        inputs = tensor(tensors, "effects.inputs", n, width, dtype=F64)
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
        inputs,
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


def _describe_variances(found: VarianceComponents, tensors: Tensors) -> Document:
    tensors |= {f"correlation.{level}": matrix for level, matrix in found.correlations.items()}
    own = {"groups": found.groups, "names": found.names, "length_scale": found.length_scale}
    return own | {"at_edge": found.at_edge}


def _variances(document: Document, tensors: Tensors) -> VarianceComponents:
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
