"""Finished models of a study in a file: a line of JSON each, appended; a torn line is trained again."""

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .._options import file_path
from .data import NoisyLabels
from .regression import LinearTarget

__all__ = ["Store"]


class Store:
    """Scores by the model's key.

    Parameters
    ----------
    path : str, path or None
        None keeps them in memory alone.
    data : NoisyLabels or LinearTarget
        What all models are trained on; a file of other data is refused.
    """

    def __init__(self, path: str | PathLike[str] | None, data: NoisyLabels | LinearTarget) -> None:
        self.path = None if path is None else file_path(path)
        self.scores: dict[str, dict[str, Any]] = {}
        if self.path is not None:
            self._open(self.path, data.identity())

    def _open(self, path: Path, study: str) -> None:
        """Read what is finished; a new file says which study it is."""
        head = _line({"study": study})
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if not whole and head.startswith(data):  # new, or a crash in the middle of the first line
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(head)
            return
        first, *lines = whole.splitlines() or [b""]  # ends of Windows are ends too
        if first != head.rstrip():
            raise ValueError(f"{path} is of another study, of other data; give another path")
        for number, line in enumerate(lines, start=2):
            try:
                found = json.loads(line)
                self.scores[found["key"]] = {name: found["scores"][name] for name in found["scores"]}
            except (ValueError, KeyError, TypeError, RecursionError):
                raise ValueError(
                    f"{path} is damaged in line {number}, which is no finished model; take the line out, and "
                    "its model is trained again"
                ) from None
        if len(whole) < len(data):  # a crash in the middle of a line
            path.write_bytes(whole)

    def add(self, found: Mapping[str, dict[str, Any]]) -> None:
        """Keep scores of models that are new, on disk too."""
        self.scores |= found
        if self.path is not None:
            data = b"".join(_line({"key": key, "scores": scores}) for key, scores in found.items())
            with self.path.open("ab", buffering=0) as file:  # in one go, as another process may write too
                written = file.write(data)
            if written != len(data):
                raise OSError(f"{self.path} took {written} of {len(data)} bytes: the disk may be full")

    def array(self, keys: Any, name: str) -> Any:
        """A score of many models, in the shape of their keys."""
        keys = np.asarray(keys, object)
        values = [self.scores[key][name] for key in keys.ravel()]
        return np.array(values, np.float64).reshape(keys.shape)


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry).encode() + b"\n"
