"""Networks' estimators from what a file holds: every part checked against the others and the architecture."""

import copy
from typing import Any, TypeVar

import numpy as np
from sklearn.base import is_classifier

from . import _specs
from ._arrays import F64, Array
from ._file_parts import Document, Tensors, class_labels, listed, object_of, only, require_used, tensor, text
from ._options import MAX_PARAMETERS, MAX_STEPS, check_inner_lr, integer
from .losses import read
from .network import MLP

__all__ = ["params_from_json", "restore"]

T = TypeVar("T")

_FORMAT = {"class", "params", "format_version", "digests"}
_ENTRIES = _FORMAT | {"net", "learnt", "memory", "feature_names", "classes"}
_ENSEMBLE_ENTRIES = _FORMAT | {"estimator", "members"}
_COMMON = ("n_features_in_", "classes_", "feature_names_in_", "n_outputs_", "_y_ndim", "_fit_loss")


def restore(cls: type[T], tensors: Tensors, document: Document) -> T:
    """One network's estimator, or an ensemble."""
    left = dict(tensors)
    found = (_ensemble if hasattr(cls, "_Member") else _network_estimator)(cls, left, document)
    require_used(left)
    return found


def params_from_json(document: Document, name: str = "params") -> dict[str, Any]:
    """Parameters from JSON, with tuples for lists."""
    return {key: _specs.decode(value) for key, value in object_of(document, name).items()}


def _ensemble(cls: type[T], tensors: Tensors, document: Document) -> T:
    """The ensemble, its members in their order."""
    only(document, "the file", _ENSEMBLE_ENTRIES)
    ensemble: Any = cls(**params_from_json(document))
    Member = ensemble._Member
    if document["estimator"] is not None:
        ensemble.estimator = Member(**params_from_json(document, "estimator"))
    ensemble._check_params()
    members = []
    for i, own in enumerate(listed(document, "members")):
        found = object_of({f"member {i}": own}, f"member {i}")
        if found["class"] != Member.__name__:
            raise ValueError(f"member {i} is a {found['class']}; {Member.__name__} is needed")
        prefix = f"{i}."
        mine = {name.removeprefix(prefix): a for name, a in tensors.items() if name.startswith(prefix)}
        for name in mine:
            del tensors[prefix + name]
        members.append(_network_estimator(Member, mine, found))
        require_used(mine)
    _require_alike(members)
    if ensemble.estimator is not None:  # judged as if it had learnt what the members have
        copy.copy(members[0]).set_params(**ensemble.estimator.get_params())._check_params()
    ensemble._adopt(members)
    return ensemble  # type: ignore[no-any-return]


def _require_alike(members: list[Any]) -> None:
    if not members:
        raise ValueError("there are no members; at least one is needed")
    first = members[0]
    for i, member in enumerate(members):
        for name in _COMMON:
            one, other = (np.asarray(getattr(own, name, None)).tolist() for own in (first, member))
            if one != other:
                raise ValueError(f"member {i} has {name}={other}, the first has {one}")


def _network_estimator(cls: type[T], tensors: Tensors, document: Document) -> T:
    only(document, "the file", _ENTRIES)
    params = params_from_json(document)
    if cls._has_inner_loop and "param.inner_lr" in tensors:  # type: ignore[attr-defined]
        params["inner_lr"] = tensor(tensors, "param.inner_lr", None, dtype=F64)
    estimator: Any = cls(**params)
    net = estimator.net_ = _net(document)
    _learn_targets(estimator, document)
    _require_network(estimator, net)
    estimator.theta_ = tensor(tensors, "theta", net.n_parameters)
    estimator.loss_curve_ = tensor(tensors, "loss_curve", None, dtype=F64)
    estimator.n_iter_ = integer(len(estimator.loss_curve_), "the length of loss_curve", 1, MAX_STEPS)
    _learn_scores(estimator, tensors, document)
    if estimator._has_inner_loop:
        estimator.inner_lr_ = _inner_lr(tensors, net.n_parameters)
        estimator._memory = estimator._Memory(*_memory(tensors, document, estimator.theta_))
    elif "memory" in document:
        raise ValueError(f"there is an optimizer's memory, which a {cls.__name__} does not have")
    estimator._require_usable()
    return estimator  # type: ignore[no-any-return]


def _net(document: Document) -> MLP:
    n_inputs, hidden, n_outputs, activation = listed(document, "net")
    if not isinstance(hidden, list):
        raise ValueError(f"net has hidden layers {hidden!r}; a list is needed")
    return MLP(n_inputs, tuple(hidden), n_outputs, activation)


def _learn_targets(estimator: Any, document: Document) -> None:
    """What was learnt of features and outcomes."""
    learnt = object_of(document, "learnt")
    of_numbers = set() if is_classifier(estimator) else {"n_outputs_", "_y_ndim", "_fit_loss"}
    only(learnt, "learnt", {"n_features_in_", "best_iteration_"} | of_numbers)
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


def _learn_scores(estimator: Any, tensors: Tensors, document: Document) -> None:
    """Scores of rows held out and the best iteration: both or none."""
    learnt = document["learnt"]
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


def _inner_lr(tensors: Tensors, n_parameters: int) -> float | Array | None:
    """None, a number, or one for each parameter."""
    if "inner_lr" not in tensors:
        return None
    array = tensor(tensors, "inner_lr", None, dtype=F64)
    return check_inner_lr(array[0] if array.shape == (1,) else array, n_parameters)


def _memory(tensors: Tensors, document: Document, theta: Array) -> tuple[int, Array, Array, int]:
    """What the outer optimizer goes on from."""
    own, n = object_of(document, "memory"), len(theta)
    only(own, "memory", {"n_steps", "batch_seed"})
    n_steps = integer(own["n_steps"], "n_steps", 0, MAX_STEPS)
    first, second = (
        tensor(tensors, name, n, dtype=theta.dtype) for name in ("first_moment", "second_moment")
    )
    if second.min() < 0:
        raise ValueError(f"second_moment has {second.min()}; a mean of squares is not negative")
    return n_steps, first, second, integer(own["batch_seed"], "batch_seed", 0, 2**64 - 1)
