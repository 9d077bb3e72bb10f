"""Mixed models in files: every part checked against the others."""

from dataclasses import asdict
from typing import Any

import numpy as np

from ..._arrays import F64
from ..._file_parts import Document, Tensors, listed, object_of, only, tensor, text
from ..._options import MAX_PARAMETERS, boolean, integer, real
from ..._scaling import read_scaling
from ...files import Saved
from ._intervals import GRID, Calibration
from ._model import Drawn, FittedModel
from ._report import random_effects
from ._rows import StandardUnits
from ._saved_effects import (
    describe_effects,
    describe_variances,
    restore_effects,
    restore_structure,
    restore_variances,
)
from ._saved_means import describe_mean, restore_mean
from ._summary import KINDS
from .results import LikelihoodRatioTest

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
            "mean": describe_mean(model.mean, tensors, "mean."),
            "unseen": None if model.unseen is model.mean else describe_mean(model.unseen, tensors, "unseen."),
            "uncertainty": describe_mean(model.uncertainty, tensors, "uncertainty."),
            "effects": describe_effects(effects, tensors),
            "variances": describe_variances(variances, tensors),
        }
        if hasattr(self, "feature_names_in_"):
            document["feature_names"] = self.feature_names_in_.tolist()
        return document

    def _restore(self: Any, tensors: Tensors, document: Document) -> None:
        learnt = object_of(document, "learnt")
        only(learnt, "learnt", _LEARNT.union(_NUMBERS, ("level", "shards")))
        d = self.n_features_in_ = integer(learnt["n_features_in_"], "n_features_in_", 1, MAX_PARAMETERS)
        self._restore_names(document, d)
        structure = restore_structure(object_of(document, "structure"), d, learnt["family"] is not None)
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
        mean = restore_mean(document, "mean", tensors, width)
        same = document["unseen"] is None
        unseen = mean if same else restore_mean(document, "unseen", tensors, width)
        uncertainty = restore_mean(document, "uncertainty", tensors, width)
        drawn = _drawn(learnt)
        effects = restore_effects(document, tensors, structure, d, self._checked()["n_jobs"])
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
        self.variance_components_ = restore_variances(document, tensors)
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
