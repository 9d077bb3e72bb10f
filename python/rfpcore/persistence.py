"""Fitted estimators on disk: safetensors with JSON metadata and a format version.

The tensors are the learnt arrays and array-valued parameters. The metadata entry "rfpcore" is one JSON text:
format version, class, parameters, and whatever else was learnt; an ensemble has one such object for each of
its members, whose tensors are numbered. Reading a file executes nothing, and a file that does not hold
together is refused.
"""

from collections.abc import Callable
from os import PathLike
from typing import Any, TypeVar

import numpy as np

from . import _files, _restore, _specs
from ._arrays import F64, Array
from ._options import file_path
from ._restore import params_from_json

__all__ = ["load", "params_from_json", "params_to_json", "read", "save"]

T = TypeVar("T")
Restore = Callable[[type[T], dict[str, Array], dict[str, Any]], T]

# Learnt attributes kept as JSON, where an estimator has them.
_PLAIN = ("n_features_in_", "n_outputs_", "_y_ndim", "_fit_loss", "best_iteration_")


def save(estimator: Any, path: str | PathLike[str]) -> None:
    """Write a fitted estimator; the file appears complete or not at all.

    Parameters
    ----------
    estimator : fitted estimator of rfpcore
    path : str or path

    Raises
    ------
    ValueError
        If class labels or a parameter are of a kind that JSON cannot hold, a parameter is one that `fit`
        would refuse, or something else than a regular file is at the path.
    """
    place = file_path(path)
    estimator._require_usable()
    tensors: dict[str, Array] = {}
    if hasattr(estimator, "estimators_"):
        document = _describe_ensemble(estimator, tensors)
    else:
        document = _describe(estimator, tensors, "")
    _files.write(place, tensors, document)


def _describe_ensemble(ensemble: Any, tensors: dict[str, Array]) -> dict[str, Any]:
    params = ensemble.get_params(deep=False)
    own = {name: value for name, value in params.items() if name != "estimator"}
    prototype = params["estimator"]
    return {
        "class": type(ensemble).__name__,
        "params": params_to_json(own, tensors, ""),
        "estimator": None if prototype is None else params_to_json(prototype.get_params(), tensors, ""),
        "members": [_describe(member, tensors, f"{i}.") for i, member in enumerate(ensemble.estimators_)],
    }


def _describe(estimator: Any, tensors: dict[str, Array], prefix: str) -> dict[str, Any]:
    """The document of one network's estimator; its arrays go to the tensors."""
    net = estimator.net_
    document = {
        "class": type(estimator).__name__,
        "net": [net.n_inputs, list(net.hidden_layer_sizes), net.n_outputs, net.activation],
        "learnt": {name: getattr(estimator, name) for name in _PLAIN if hasattr(estimator, name)},
        "params": params_to_json(estimator.get_params(deep=False), tensors, prefix),
    }
    tensors |= {f"{prefix}theta": estimator.theta_, f"{prefix}loss_curve": estimator.loss_curve_}
    if hasattr(estimator, "_memory"):
        memory = estimator._memory
        document["memory"] = {"n_steps": memory.n_steps, "batch_seed": memory.batch_seed}
        tensors[f"{prefix}first_moment"] = memory.first_moment
        tensors[f"{prefix}second_moment"] = memory.second_moment
    if getattr(estimator, "inner_lr_", None) is not None:
        tensors[f"{prefix}inner_lr"] = np.atleast_1d(np.asarray(estimator.inner_lr_, np.float64))
    if hasattr(estimator, "validation_scores_"):
        tensors[f"{prefix}validation_scores"] = estimator.validation_scores_
    if hasattr(estimator, "feature_names_in_"):
        document["feature_names"] = estimator.feature_names_in_.tolist()
    if hasattr(estimator, "classes_"):
        document["classes"] = _classes_to_json(estimator.classes_)
    return document


def params_to_json(params: dict[str, Any], tensors: dict[str, Array], prefix: str) -> dict[str, Any]:
    """Parameters as JSON; arrays go to the tensors, code and generators' states are left out."""
    plain: dict[str, Any] = {}
    for name, value in params.items():
        if (
            isinstance(value, np.ndarray)
            and value.ndim > 0
            and value.dtype.kind in "fiu"
            and name == "inner_lr"
        ):
            tensors[f"{prefix}param.{name}"] = value.astype(F64)
            continue
        if name == "callbacks" or (name == "random_state" and not isinstance(value, int | np.integer)):
            value = None
        plain[name] = _to_json(name, value)
    return plain


def _to_json(name: str, value: Any) -> Any:
    """A parameter's value in JSON's types."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple | np.ndarray):
        return [_to_json(name, item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if _specs.is_known(value):
        return _specs.encode(value)
    raise ValueError(
        f"{name}={value!r} is a {type(value).__name__}; a file holds numbers, strings, sequences of them, "
        "regularizers and schedules"
    )


def _classes_to_json(classes: Array) -> dict[str, Any]:
    """Class labels with their dtype, so that predictions have it again."""
    labels = classes.tolist()
    if classes.dtype.kind not in "biufU" and not all(isinstance(label, str) for label in labels):
        raise ValueError(
            f"classes_ has dtype {classes.dtype} and holds {labels[0]!r} of type {type(labels[0]).__name__}; "
            "a file holds bools, numbers and strings"
        )
    return {"dtype": classes.dtype.str, "labels": labels}


def load(cls: type[T], path: str | PathLike[str]) -> T:
    """Read a fitted estimator of a class.

    Parameters
    ----------
    cls : type
        The class of the estimator that was saved.
    path : str or path

    Returns
    -------
    estimator

    Raises
    ------
    ValueError
        If the file is truncated, of another format version, of another class, or does not hold together.
    """
    return read(cls, path, _restore.restore)


def read(cls: type[T], path: str | PathLike[str], restore: Restore[T]) -> T:
    """What `restore` makes of a file's tensors and document, with errors that name the file.

    Parameters
    ----------
    cls : type
        The class that must have been saved.
    path : str or path
    restore : callable
        Takes the class, tensors and document; what it lacks or finds wrong becomes a ValueError.
    """
    path = file_path(path)
    tensors, document = _files.read(path)
    if document.get("class") != cls.__name__:
        raise ValueError(f"{path} holds a {document.get('class')}; {cls.__name__}.load was called")
    with _files.holding_together(path):
        return restore(cls, tensors, document)
