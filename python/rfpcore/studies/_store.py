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
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._append([{"study": study}])
            return
        text = path.read_text()
        whole = text[: text.rfind("\n") + 1]
        lines = [json.loads(line) for line in whole.splitlines()]
        if not lines or lines[0].get("study") != study:
            raise ValueError(f"{path} is of another study, of other data; give another path")
        if len(whole) < len(text):  # a crash in the middle of a line
            path.write_text(whole)
        self.scores = {line["key"]: line["scores"] for line in lines[1:]}

    def add(self, found: Mapping[str, dict[str, Any]]) -> None:
        """Keep scores of models that are new, on disk too."""
        self.scores |= found
        if self.path is not None:
            self._append([{"key": key, "scores": scores} for key, scores in found.items()])

    def _append(self, lines: list[dict[str, Any]]) -> None:
        assert self.path is not None
        with self.path.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)

    def array(self, keys: Any, name: str) -> Any:
        """A score of many models, in the shape of their keys."""
        keys = np.asarray(keys, object)
        values = [self.scores[key][name] for key in keys.ravel()]
        return np.array(values, np.float64).reshape(keys.shape)
