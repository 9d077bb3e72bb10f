"""Tensors and one JSON document in a file: safetensors, written in one go, read without executing a thing."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from ._arrays import Array

__all__ = ["FORMAT_VERSION", "read", "write"]

FORMAT_VERSION = 1


def write(path: Path, tensors: dict[str, Array], document: dict[str, Any]) -> None:
    """Replace the file in one go, so that a reader or a crash never meets half of it."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    head = {"rfpcore": json.dumps({"format_version": FORMAT_VERSION} | document)}
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(safetensors.numpy.save(contiguous, head))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The tensors and the document of a file of this format version.

    Raises
    ------
    ValueError
        If the file is truncated, is not one of rfpcore's, or has another version.
    """
    size = path.stat().st_size
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            metadata = file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} ({size} bytes) is not a complete safetensors file: {error}") from None
    if "rfpcore" not in metadata:
        raise ValueError(f"{path} is a safetensors file, but not one of rfpcore's: it has no entry 'rfpcore'")
    try:
        document = json.loads(metadata["rfpcore"])
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} has metadata that are no JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{path} has metadata of type {type(document).__name__}; an object is needed")
    version = document.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(f"{path} has format version {version}; this rfpcore reads version {FORMAT_VERSION}")
    return tensors, document
