"""Fitted estimators and results on disk: safetensors with JSON metadata and a format version.

A class that is `Saved` says itself what there is of it (`_describe`) and takes it back (`_restore`), every
part checked against the others. The tensors are the learnt arrays and array-valued parameters. The metadata
entry "rfpcore" is one JSON text: format version, class, parameters, and whatever else was learnt. Reading a
file executes nothing, and a file that does not hold together is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from . import _files, _value
from ._arrays import F64
from ._file_parts import Document, Tensors, listed, object_of, only, require_used, tensor, text
from ._options import file_path

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["NotSaved", "Saved", "load"]

# Where the classes are that files hold: those that a module names as its own.
_MODULES = ("estimators", "causal", "conformal", "npiv", "npiv.ope")
_ENTRIES = {"class", "params", "labels", "format_version", "digests"}
_ARRAYS = ("inner_lr",)  # parameters that may be arrays

SavedT = TypeVar("SavedT", bound="Saved")


class Saved:
    """What can be saved and loaded: an estimator of the package, or a result.

    A subclass has `_describe` and `_restore`; an estimator's parameters are written and read here.
    """

    _entries: ClassVar[frozenset[str]] = frozenset({"learnt"})
    """What `_describe` may return."""
    _renamed: ClassVar[Mapping[str, str]] = {}
    """Parameters' names in older files, and today's."""
    _added: ClassVar[Mapping[str, Any]] = {}
    """Parameters that older files do not have, and what was done when there were none."""
    _text_labels: Mapping[str, list[str]] = MappingProxyType({})
    """Labels of columns of text that the program `rfpcore` made features of; the first is the reference."""

    def save(self, path: str | PathLike[str]) -> None:
        """Write it to a file: safetensors with JSON metadata, nothing executable.

        Parameters
        ----------
        path : str or path
            Replaced if it is there, complete or not at all. Callbacks, a random_state that is no int and
            models of other packages are not kept.

        Raises
        ------
        NotFittedError
            If there is nothing to save yet.
        ValueError
            If a parameter or label is of a kind that JSON cannot hold or a parameter one that `fit` would
            refuse, or something else than a regular file is at the path.
        """
        place = file_path(path)
        tensors: Tensors = {}
        _files.write(place, tensors, self._document(tensors))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Self":
        """Read what `save` wrote; `rfpcore.load` does so without knowing the class.

        Parameters
        ----------
        path : str or path

        Returns
        -------
        found
            As it was saved, to the bit.

        Raises
        ------
        ValueError
            If the file is truncated, of another format version, of another class or inconsistent.
        """
        found: Self = _load(path, cls)
        return found

    def _describe(self, tensors: Tensors) -> Document:
        """What was learnt: arrays go to the tensors, the rest is returned in JSON's types."""
        raise NotImplementedError

    def _restore(self, tensors: Tensors, document: Document) -> None:
        """Take over what `_describe` has written, every part checked against the others."""
        raise NotImplementedError

    def _require_usable(self) -> None:
        """Refuse what could not be loaded: parameters that `fit` would refuse, predictions that overflow."""

    def _document(self, tensors: Tensors) -> Document:
        """All there is to say of it."""
        from sklearn.utils.validation import check_is_fitted  # the functions on arrays do without

        check_is_fitted(self)
        self._require_usable()
        params = self.get_params(deep=False)  # type: ignore[attr-defined]
        head = {"class": type(self).__name__, "params": _params_to_json(params, tensors, "param.")}
        if self._text_labels:
            head["labels"] = dict(self._text_labels)
        return head | self._describe(tensors)

    @classmethod
    def _of_document(cls, tensors: Tensors, document: Document) -> "Self":
        """The same from a file; tensors are taken out."""
        only(document, "the file", _ENTRIES | cls._entries)
        found = cls(**_params_from_json(object_of(document, "params"), tensors, "param.", cls))
        found._restore(tensors, document)
        if "labels" in document:
            found._text_labels = {
                name: [text(label, f"a label of {name}") for label in listed(own, name)]
                for own in [object_of(document, "labels")]
                for name in own
            }
        found._require_usable()
        return found


@dataclass(frozen=True)
class NotSaved:
    """Stands for a parameter that was a model of another package, which a file does not hold."""

    model: str
    """How it was written."""

    def refuse(self, name: str) -> None:
        """ValueError, where the parameter of this name is needed."""
        raise ValueError(
            f"{name} was {self.model}, a model of another package, which a file does not hold; give it "
            f"again: set_params({name}=...)"
        )


def load(path: str | PathLike[str]) -> Any:
    """Read what any class of rfpcore has saved.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    found
        An estimator or result of the class that was saved, the same to the bit.

    Raises
    ------
    ValueError
        If the file is truncated, of another format version, of an unknown class or inconsistent.

    Examples
    --------
    >>> import os, tempfile
    >>> import rfpcore
    >>> from rfpcore.datasets import make_vee
    >>> X, y, groups = make_vee(n_clusters=4, n_per_cluster=6, random_state=0)
    >>> model = rfpcore.RFPRegressor(hidden_layer_sizes=(4,), max_iter=20, random_state=0).fit(X, y, groups)
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> model.save(path)
    >>> again = rfpcore.load(path)
    >>> type(again).__name__, bool((again.predict(X) == model.predict(X)).all())
    ('RFPRegressor', True)
    """
    return _load(path, None)


def _load(path: str | PathLike[str], cls: Any) -> Any:
    place = file_path(path)
    tensors, document = _files.read(place)
    name = document.get("class")
    if cls is None:
        cls = class_of(name, place)
    elif name != cls.__name__:
        raise ValueError(f"{place} holds a {name}; {cls.__name__}.load was called")
    with _files.holding_together(place):
        return whole(cls, tensors, document)


def class_of(name: Any, path: Path) -> Any:
    """The package's class of a name; the path is for messages."""
    for module in _MODULES:
        home = import_module(f".{module}", __package__)
        found = getattr(home, name) if isinstance(name, str) and name in home.__all__ else None
        if isinstance(found, type) and issubclass(found, Saved):
            return found
    raise ValueError(f"{path} holds a {name!r}, which is no class of rfpcore that files hold")


def whole(cls: type[SavedT], tensors: Tensors, document: Document) -> SavedT:
    """What tensors and a document say, if they say nothing else."""
    left = dict(tensors)
    found = cls._of_document(left, document)
    require_used(left)
    return found


def put(part: Saved, tensors: Tensors, prefix: str) -> Document:
    """Describe a part of something larger; its tensors get a prefix."""
    own: Tensors = {}
    document = part._document(own)
    tensors |= {prefix + name: array for name, array in own.items()}
    return document


def take(cls: type[SavedT], tensors: Tensors, document: Document, name: str, prefix: str) -> SavedT:
    """The part again, of the class it must have; the name is for messages."""
    own = object_of({name: document}, name)
    if own["class"] != cls.__name__:
        raise ValueError(f"{name} is a {own['class']}; {cls.__name__} is needed")
    mine = [key for key in tensors if key.startswith(prefix)]
    return whole(cls, {key.removeprefix(prefix): tensors.pop(key) for key in mine}, own)


def _params_to_json(params: Mapping[str, Any], tensors: Tensors, prefix: str) -> Document:
    """Parameters as JSON; arrays go to the tensors, code and generators' states are left out."""
    plain: Document = {}
    for name, value in params.items():
        array = isinstance(value, np.ndarray) and value.ndim > 0 and value.dtype.kind in "fiu"
        if array and name in _ARRAYS:
            tensors[prefix + name] = value.astype(F64)
        elif name == "callbacks" or (name == "random_state" and not isinstance(value, int | np.integer)):
            plain[name] = None
        elif isinstance(value, Saved):
            own = value.get_params(deep=False)  # type: ignore[attr-defined]
            inside = _params_to_json(own, tensors, f"{prefix}{name}.")
            plain[name] = {"estimator": type(value).__name__, "params": inside}
        elif isinstance(value, NotSaved):
            plain[name] = {"not saved": value.model}
        elif hasattr(value, "fit"):
            plain[name] = {"not saved": repr(value)}
        else:
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
    if isinstance(value, Mapping) and name == "class_weight":
        labels, weights = list(value), list(value.values())
        return {"by label": [_to_json(name, labels), _to_json(name, weights)]}
    if _value.is_known(value):
        return _value.encode(value)
    raise ValueError(
        f"{name}={value!r} is a {type(value).__name__}; a file holds numbers, strings, sequences of them, "
        "regularizers and schedules"
    )


def _params_from_json(plain: Document, tensors: Tensors, prefix: str, cls: type["Saved"]) -> dict[str, Any]:
    """Parameters of a class from JSON, with tuples for lists."""
    params: dict[str, Any] = dict(cls._added)
    for name, value in plain.items():
        params[cls._renamed.get(name, name)] = _value_of(value, tensors, f"{prefix}{name}.")
    for name in _ARRAYS:
        if prefix + name in tensors:
            params[name] = tensor(tensors, prefix + name, None, dtype=F64)
    return params


def _value_of(value: Any, tensors: Tensors, prefix: str) -> Any:
    if isinstance(value, dict) and value.keys() == {"estimator", "params"}:
        cls = class_of(value["estimator"], Path("a parameter"))
        return cls(**_params_from_json(object_of(value, "params"), tensors, prefix, cls))
    if isinstance(value, dict) and value.keys() == {"not saved"}:
        return NotSaved(text(value["not saved"], "the model"))
    if isinstance(value, dict) and value.keys() == {"by label"}:
        return _by_label(value)
    return _value.decode(value)


def _by_label(value: Document) -> dict[Any, Any]:
    """Weights of labels, from two lists."""
    both = listed(value, "by label")
    if len(both) != 2 or not all(isinstance(part, list) for part in both) or len(both[0]) != len(both[1]):
        raise ValueError("weights by label are two lists of one length")
    if not all(isinstance(label, bool | int | float | str) for label in both[0]):
        raise ValueError("a label is a bool, a number or a text")
    return dict(zip(*both, strict=True))
