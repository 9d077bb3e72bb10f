"""Models, optimizers and regularizers as JSON: each value is an object of its kind and its fields."""

from dataclasses import fields, is_dataclass
from typing import Any

from . import optimizers, regularize
from .many import Model

__all__ = ["decode", "encode", "is_known"]

_KINDS: dict[str, Any] = {"Model": Model} | {
    name: getattr(module, name)
    for module in (optimizers, regularize)
    for name in module.__all__
    if is_dataclass(getattr(module, name))  # and not what they are derived from
}


def is_known(value: Any) -> bool:
    """Whether a value is one of the specifications."""
    return type(value) is _KINDS.get(type(value).__name__)


def encode(value: Any) -> Any:
    """Any specification, or plain value, in JSON's types.

    Examples
    --------
    >>> from rfpcore._specs import decode, encode
    >>> from rfpcore.optimizers import SGD
    >>> encode(SGD(0.1))
    {'kind': 'SGD', 'lr': 0.1, 'momentum': 0.0, 'nesterov': False, 'schedule': {'kind': 'Constant'}}
    >>> decode(encode(SGD(0.1))) == SGD(0.1)
    True
    """
    if is_known(value):
        entries = {one.name: encode(getattr(value, one.name)) for one in fields(value)}
        return {"kind": type(value).__name__} | entries
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


def decode(value: Any) -> Any:
    """What `encode` was given, with tuples for lists."""
    if isinstance(value, dict):
        kind = value.get("kind")
        if not isinstance(kind, str) or kind not in _KINDS:
            raise ValueError(f"kind {kind!r} is unknown; one of {', '.join(sorted(_KINDS))} is needed")
        return _KINDS[kind](**{name: decode(item) for name, item in value.items() if name != "kind"})
    if isinstance(value, list):
        return tuple(decode(item) for item in value)
    return value
