"""Networks' estimators in files: every part checked against the others and the architecture."""

import copy
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from .._arrays import F64
from .._file_parts import (
    Document,
    Tensors,
    class_labels,
    labels_to_json,
    listed,
    object_of,
    only,
    tensor,
    text,
)
from .._options import MAX_PARAMETERS, MAX_STEPS, integer
from .._scaling import read_scaling
from ..files import Saved, put, take
from ..losses import read
from ..network import MLP

__all__ = ["SavedEnsemble", "SavedNetwork"]

# Learnt attributes kept as JSON, where an estimator has them.
_PLAIN = ("n_features_in_", "n_outputs_", "_y_ndim", "_fit_loss", "best_iteration_", "shrinkage_")
_SCALINGS = ("x_scaling_", "y_scaling_")
_COMMON = ("n_features_in_", "classes_", "feature_names_in_", "n_outputs_", "_y_ndim", "_fit_loss")


class SavedNetwork(Saved):
    """An estimator of one network."""

    _entries = frozenset({"net", "learnt", "memory", "feature_names", "classes"})

    def _describe(self: Any, tensors: Tensors) -> Document:
        net = self.net_
        document = {
            "net": [net.n_inputs, list(net.hidden_layer_sizes), net.n_outputs, net.activation],
            "learnt": {name: getattr(self, name) for name in _PLAIN if hasattr(self, name)},
        }
        tensors |= {"theta": self.theta_, "loss_curve": self.loss_curve_}
        for name in _SCALINGS:
            if hasattr(self, name):
                found = getattr(self, name)
                tensors |= {f"{name}level": found.level, f"{name}spread": found.spread}
        if hasattr(self, "class_weight_"):
            tensors["class_weight"] = self.class_weight_
        if hasattr(self, "validation_scores_"):
            tensors["validation_scores"] = self.validation_scores_
        if hasattr(self, "feature_names_in_"):
            document["feature_names"] = self.feature_names_in_.tolist()
        if hasattr(self, "classes_"):
            document["classes"] = labels_to_json(self.classes_, "classes_", True)
        return document

    def _restore(self: Any, tensors: Tensors, document: Document) -> None:
        n_inputs, hidden, n_outputs, activation = listed(document, "net")
        if not isinstance(hidden, list):
            raise ValueError(f"net has hidden layers {hidden!r}; a list is needed")
        net = self.net_ = MLP(n_inputs, tuple(hidden), n_outputs, activation)
        _learn_targets(self, document)
        _require_network(self, net)
        _learn_scalings(self, tensors)
        if hasattr(self, "class_weight") and "class_weight" in tensors:
            self.class_weight_ = tensor(tensors, "class_weight", len(self.classes_), dtype=F64)
            if self.class_weight_.min() < 0:
                raise ValueError(
                    f"class_weight_ has {self.class_weight_.min()}; weights of at least 0 are needed"
                )
        self.theta_ = tensor(tensors, "theta", net.n_parameters)
        self.loss_curve_ = tensor(tensors, "loss_curve", None, dtype=F64)
        self.n_iter_ = integer(len(self.loss_curve_), "the length of loss_curve", 1, MAX_STEPS)
        _learn_scores(self, tensors, document["learnt"])
        if "memory" in document and not self._has_inner_loop:
            raise ValueError(f"there is an optimizer's memory, which a {type(self).__name__} does not have")


class SavedEnsemble(Saved):
    """An ensemble: its members in their order, whose tensors are numbered."""

    _entries = frozenset({"members", "estimator"})

    def _describe(self: Any, tensors: Tensors) -> Document:
        if self._left_out is not None:
            self._left_out.to_file(tensors)
        return {"members": [put(member, tensors, f"{i}.") for i, member in enumerate(self.estimators_)]}

    @classmethod
    def _of_document(cls: Any, tensors: Tensors, document: Document) -> Any:
        if document.get("estimator") is not None:  # older files have its parameters there
            own = {"estimator": cls._Member.__name__, "params": document["estimator"]}
            document = document | {"params": object_of(document, "params") | {"estimator": own}}
        return super()._of_document(tensors, document)

    def _restore(self: Any, tensors: Tensors, document: Document) -> None:
        self._check_params()
        self._new_member()  # refuses an estimator of another kind
        members = [
            take(self._Member, tensors, own, f"member {i}", f"{i}.")
            for i, own in enumerate(listed(document, "members"))
        ]
        _require_alike(members)
        if self.estimator is not None:  # judged as if it had learnt what the members have
            copy.copy(members[0]).set_params(**self.estimator.get_params())._check_params()
        self._adopt(members)


def _require_alike(members: list[Any]) -> None:
    if not members:
        raise ValueError("there are no members; at least one is needed")
    first = members[0]
    for i, member in enumerate(members):
        for name in _COMMON:
            one, other = (np.asarray(getattr(own, name, None)).tolist() for own in (first, member))
            if one != other:
                raise ValueError(f"member {i} has {name}={other}, the first has {one}")


def _learn_targets(estimator: Any, document: Document) -> None:
    """What was learnt of features and outcomes."""
    learnt = object_of(document, "learnt")
    of_numbers = set() if is_classifier(estimator) else {"n_outputs_", "_y_ndim", "_fit_loss"}
    of_clusters = {"shrinkage_"} if estimator._has_inner_loop else set()
    only(learnt, "learnt", {"n_features_in_", "best_iteration_"} | of_numbers | of_clusters)
    estimator.n_features_in_ = integer(learnt["n_features_in_"], "n_features_in_", 1, MAX_PARAMETERS)
    if is_classifier(estimator):
        estimator.classes_ = class_labels(object_of(document, "classes"))
    elif "classes" in document:
        raise ValueError(f"there are classes, which a {type(estimator).__name__} does not have")
    else:
        estimator._y_ndim = integer(learnt["_y_ndim"], "_y_ndim", 1, 2)
        most = MAX_PARAMETERS if estimator._y_ndim == 2 else 1
        estimator.n_outputs_ = integer(learnt["n_outputs_"], "n_outputs_", 1, most)
        loss = learnt.get("_fit_loss", estimator.loss)  # in format 1 the parameter's
        estimator._fit_loss = read(loss, "_fit_loss", regression=True).text
    if "feature_names" in document:
        names = [text(name, "a feature name") for name in listed(document, "feature_names")]
        if len(set(names)) < len(names):
            raise ValueError("two feature names are the same")
        estimator.feature_names_in_ = np.array(names, object)


def _require_network(estimator: Any, net: MLP) -> None:
    """The network fits what was learnt of features and outcomes."""
    found = (net.n_inputs, net.n_outputs)
    needed = (estimator.n_features_in_, estimator._n_network_outputs)
    if found != needed:
        raise ValueError(f"the network has {found} inputs and outputs; the data had {needed}")
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None and len(names) != net.n_inputs:
        raise ValueError(f"there are {len(names)} feature names for {net.n_inputs} features")


def _learn_scalings(estimator: Any, tensors: Tensors) -> None:
    """Levels and spreads, there exactly where the parameters ask for them."""
    outcomes = not is_classifier(estimator) and estimator._known.kind.keeps_units
    for name, length in zip(_SCALINGS, (estimator.n_features_in_, estimator._n_network_outputs), strict=True):
        needed = bool(estimator.standardize) and (name == "x_scaling_" or outcomes)
        if (f"{name}level" in tensors) != needed:
            raise ValueError(
                f"{name} is {'missing' if needed else 'there'}; standardize={estimator.standardize}"
            )
        if not needed:
            continue
        setattr(estimator, name, read_scaling(tensors, f"{name}level", f"{name}spread", length))


def _learn_scores(estimator: Any, tensors: Tensors, learnt: Document) -> None:
    """Scores of rows held out and the best iteration: both or none."""
    if ("validation_scores" in tensors) != ("best_iteration_" in learnt):
        raise ValueError("there is only one of validation_scores and best_iteration_")
    if "best_iteration_" not in learnt:
        return
    n_iter = estimator.n_iter_
    scores = tensor(tensors, "validation_scores", None, nan=True, dtype=F64)
    integer(len(scores), "the length of validation_scores", 1, n_iter)
    if np.isnan(scores).any() or (scores == np.inf).any():  # -inf: a cluster diverged there
        raise ValueError("validation_scores hold NaN or inf; numbers are needed")
    estimator.validation_scores_ = scores
    estimator.best_iteration_ = integer(learnt["best_iteration_"], "best_iteration_", 0, n_iter)
