"""Models, optimizers and regularizers as JSON: what is imported here are all kinds that a file may name."""

from . import many, optimizers, regularize  # noqa: F401
from ._value import decode, encode, is_known

__all__ = ["decode", "encode", "is_known"]
