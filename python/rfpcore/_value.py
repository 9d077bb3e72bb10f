"""What small frozen values share: a short representation, checked fields, equality, and one form as JSON.

Terms, schedules, optimizers and models are such values. Each is a frozen dataclass, whose name is its kind.
"""

from dataclasses import MISSING, fields, is_dataclass
from typing import Any

__all__ = ["LATER", "Value", "decode", "encode", "is_known", "kinds"]

# Of a field that a kind has not always had: files leave it out at its default, as those before it did.
LATER = {"later": True}

_KINDS: dict[str, type["Value"]] = {}


class Value:
    """A frozen dataclass whose fields are numbers, strings, bools, None, other values, and tuples of them."""

    def __init_subclass__(cls) -> None:
        if cls.__module__.startswith(f"{__package__}."):  # a file may name the package's kinds only
            _KINDS[cls.__name__] = cls

    def __repr__(self) -> str:
        """The call that makes it, without what is left at its default."""
        given = [
            f"{one.name}={getattr(self, one.name)!r}"
            for one in fields(self)  # type: ignore[arg-type]  # every subclass is a dataclass
            if one.default is MISSING or getattr(self, one.name) != one.default
        ]
        return f"{type(self).__name__}({', '.join(given)})"

    def _store(self, **values: Any) -> None:
        """Set checked fields: the one place that writes to a frozen value."""
        for name, value in values.items():
            object.__setattr__(self, name, value)


def kinds(base: type = Value) -> dict[str, type[Value]]:
    """The package's kinds of a base, without what they are derived from, by name."""
    known = sorted(_KINDS.items())
    return {name: kind for name, kind in known if is_dataclass(kind) and issubclass(kind, base)}


def is_known(value: Any) -> bool:
    """Whether something is one of the values."""
    kind: Any = type(value)
    return _KINDS.get(kind.__name__) is kind and is_dataclass(kind)


def encode(value: Any) -> Any:
    """A value in JSON's types: an object of its kind and its fields; anything else as it is, tuples as lists.

    A field marked `LATER` is left out at its default.

    Examples
    --------
    >>> from rfpcore._value import decode, encode
    >>> from rfpcore.optimizers import SGD
    >>> encode(SGD(0.1))
    {'kind': 'SGD', 'lr': 0.1, 'momentum': 0.0, 'nesterov': False, 'schedule': {'kind': 'Constant'}}
    >>> decode(encode(SGD(0.1))) == SGD(0.1)
    True
    """
    if is_known(value):
        given = {one.name: getattr(value, one.name) for one in fields(value)}
        without = {
            one.name for one in fields(value) if one.metadata == LATER and given[one.name] == one.default
        }
        entries = {name: encode(item) for name, item in given.items() if name not in without}
        return {"kind": type(value).__name__} | entries
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


def decode(value: Any) -> Any:
    """What `encode` was given, with tuples for lists.

    Raises
    ------
    ValueError
        For a kind that does not exist, or is not imported.
    """
    if isinstance(value, dict):
        kind = value.get("kind")
        known = _KINDS.get(kind) if isinstance(kind, str) else None
        if known is None or not is_dataclass(known):
            raise ValueError(f"kind {kind!r} is unknown; one of {', '.join(kinds())} is needed")
        return known(**{name: decode(item) for name, item in value.items() if name != "kind"})
    if isinstance(value, list):
        return tuple(decode(item) for item in value)
    return value
