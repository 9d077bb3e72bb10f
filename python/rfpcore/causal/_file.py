"""Effects in files: what their tables, intervals and figures need, not the data."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from .._arrays import F64, I64, Array
from .._file_parts import (
    Document,
    Tensors,
    labels_from_json,
    labels_to_json,
    listed,
    object_of,
    tensor,
    text,
)
from .._limits import check
from .._options import MAX_ROWS, boolean, choice, integer, is_integer, real
from ..files import NotSaved, Saved, put, take
from ._about import About, about_of_file, about_to_file
from ._effort import MANY_REFITS, Effort
from ._inference import Replicable, infer
from ._outcome_report import OutcomeReport
from ._scores import EstimationMethod
from ._support import Support
from .results import Effect


class SavedEffect(Saved):
    """A fitted estimator of effects: the effects, and the replicates behind their errors."""

    _entries = frozenset({"learnt", "effects"})
    _counts: ClassVar[tuple[str, ...]]
    """Names of the attributes that count something."""
    _methods: ClassVar[Any]
    """The Literal type of `inference`."""
    _problem: Replicable
    _report: OutcomeReport
    _about = About()
    _columns: Mapping[str, Array] = MappingProxyType({})
    """Numbers of `_all_effects` (E,), by the names they have as columns."""
    _fitted_method: str
    _fitted_score: str
    clusters_: Array
    effects_: list[Effect]
    n_dropped_: int
    references_: dict[str, str]

    def _named(self, effects: Iterable[Effect]) -> list[Effect]:
        """The same effects, which say what they are of."""
        raise NotImplementedError

    def _all_effects(self) -> list[Effect]:
        """Those that the file holds."""
        return self.effects_

    def _describe(self, tensors: Tensors) -> Document:
        report = self._report
        tensors["scores"] = np.array(list(report.scores.values()), F64)
        learnt: Document = {name: int(getattr(self, name)) for name in self._counts}
        learnt |= {"clusters": labels_to_json(self.clusters_, "clusters_")}
        learnt |= {"n_dropped": self.n_dropped_, "references": self.references_}
        learnt |= {"method": self._fitted_method, "score": self._fitted_score}
        learnt["report"] = [list(report.scores), report.used, report.chosen, report.log_loss]
        learnt["about"], learnt["columns"] = about_to_file(self._about), list(self._columns)
        tensors |= {f"column.{name}": values for name, values in self._columns.items()}
        learnt["problem"] = _problem_to_file(self._problem, tensors)
        # What they are of is said once.
        effects = [
            put(replace(effect, about=About()), tensors, f"effect.{i}.")
            for i, effect in enumerate(self._all_effects())
        ]
        return {"learnt": learnt | self._describe_learnt(tensors), "effects": effects}

    def _restore(self, tensors: Tensors, document: Document) -> None:
        learnt = object_of(document, "learnt")
        for name in self._counts:
            setattr(self, name, integer(learnt[name], name, 0, MAX_ROWS))
        self.clusters_ = labels_from_json(learnt["clusters"], "clusters_")
        self.n_dropped_ = integer(learnt.get("n_dropped", 0), "n_dropped", 0, MAX_ROWS)  # older files: none
        references = object_of(learnt, "references") if "references" in learnt else {}
        self.references_ = {name: text(label, "a reference") for name, label in references.items()}
        self._fitted_method = choice(learnt["method"], "method", self._methods)
        self._fitted_score = choice(learnt["score"], "score", EstimationMethod)
        names, used, chosen, log_loss = listed(learnt, "report")
        scores = tensor(tensors, "scores", len(names), nan=True, dtype=F64).tolist()
        self._report = OutcomeReport(
            {text(name, "a model"): score for name, score in zip(names, scores, strict=True)},
            text(used, "the model used"),
            text(chosen, "the models chosen"),
            boolean(log_loss, "log_loss"),
        )
        self.outcome_, self.outcome_scores_ = self._report.chosen, self._report.scores
        effects = [
            take(Effect, tensors, own, f"effect {i}", f"effect.{i}.")
            for i, own in enumerate(listed(document, "effects"))
        ]
        if not effects or (self._report.scores and self._report.used not in self._report.scores):
            raise ValueError("there are no effects, or no score of the outcome model that is used")
        self._about, columns = about_of_file(learnt), {}
        for name in learnt.get("columns", []):  # older files have none
            dtype = F64 if text(name, "a column") == "event_time" else I64
            columns[name] = tensor(tensors, f"column.{name}", len(effects), nan=True, dtype=dtype)
        self._columns = columns
        self._problem = _problem_of_file(object_of(learnt, "problem"), tensors, self.clusters_)
        self._restore_learnt(tensors, learnt, self._named(effects))
        self.effect_ = self.effects_[0]

    def _describe_learnt(self, tensors: Tensors) -> Document:
        """What was learnt besides: arrays go to the tensors, the rest is returned in JSON's types."""
        return {}

    def _restore_learnt(self, tensors: Tensors, learnt: Document, effects: list[Effect]) -> None:
        """Take over what `_describe_learnt` has written, every part checked against the others."""
        self.effects_ = effects

    def _require_usable(self: Any) -> None:
        # Models of other packages were fine when there was a fit, and a generator is not to be drawn from.
        params = self.get_params(deep=False)
        known = {name: None if isinstance(value, NotSaved) else value for name, value in params.items()}
        if not is_integer(known["random_state"]):
            known["random_state"] = 0  # of a file's too: it keeps integers only
        check(known, self._limits)

    def _infer_without_data(self, inference: Any) -> list[Effect]:
        """The jackknives, where the file has their replicates, and what the fit has found."""
        choice(inference, "inference", self._methods)
        jackknives = "jackknife" in self._problem.kept
        if jackknives and inference in ("jackknife", "cv3"):
            return infer(self._problem, inference, 0, 0)
        if inference == self._fitted_method:
            return self._all_effects()
        held = ["jackknife", "cv3"] if jackknives else []
        if self._fitted_method not in held:
            held.append(self._fitted_method)
        raise ValueError(
            f"inference={inference!r} needs the data of fit, which a file does not hold; it has what "
            f"{' and '.join(map(repr, held))} need{'' if len(held) > 1 else 's'}"
        )


def _problem_to_file(problem: Replicable, tensors: Tensors) -> Document:
    tensors |= {f"replicates.{name}": found for name, found in problem.kept.items()}
    tensors["arm"] = problem.arm.astype(np.int64)
    if problem.support is not None:
        alone, fewest = problem.support.alone, problem.support.fewest
        tensors |= {"behind_alone": alone.astype(np.int64), "behind_fewest": fewest.astype(np.int64)}
    return {
        "names": list(problem.names),
        "needs_all_arms": problem.needs_all_arms,
        "size": problem.size,
        "closed": problem.closed is not None,
        "held": problem.held is not None,
        "max_refits": problem.effort.max_refits,
    }


def _problem_of_file(own: Document, tensors: Tensors, labels: Array) -> Replicable:
    names = [text(name, "the name of an effect") for name in listed(own, "names")]
    arm = tensor(tensors, "arm", len(labels), dtype=I64)
    n, support = len(names), None
    if "behind_alone" in tensors:
        alone = tensor(tensors, "behind_alone", n, len(labels), dtype=I64)
        support = Support(alone != 0, tensor(tensors, "behind_fewest", n, dtype=I64))
    kept = {}
    for name, length in (("jackknife", 1 + int(np.sum(arm >= 0))), ("bootstrap", None)):
        if f"replicates.{name}" in tensors:
            kept[name] = tensor(tensors, f"replicates.{name}", length, n, nan=True, dtype=F64)
    return Replicable(
        names,
        _no_data,
        arm,
        labels,
        boolean(own["needs_all_arms"], "needs_all_arms"),
        support,
        real(own["size"], "size"),
        _no_data if boolean(own["closed"], "closed") else None,
        _no_data if boolean(own["held"], "held") else None,
        Effort(integer(own["max_refits"], "max_refits", 0, MANY_REFITS)),
        kept,
    )


def _no_data(*_: Any) -> Array:
    raise ValueError("this needs the data of fit, which a file does not hold; fit again")
