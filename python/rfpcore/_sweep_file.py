"""The file of a sweep: which sweep it is, and the models that are finished."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from . import _files, _specs
from ._arrays import Array, as_floats, float_dtype
from .many import Model, ModelResult, Record
from .network import MLP

__all__ = ["SweepFile"]

_ARRAYS = (
    "theta",
    "batch_norm",
    "loss_curve",
    "validation_losses",
    "steps",
    "train_losses",
    "held_out_losses",
    "train_accuracies",
    "held_out_accuracies",
    "thetas",
    "batch_norms",
    "gradients",
)
_NUMBERS = ("n_steps", "best_step", "status", "diverged_loss")


class SweepFile:
    """A sweep on disk.

    Parameters
    ----------
    path : path
    models : sequence of Model
    X, y : arrays
    options : dict
        What else of `fit_many` decides about the result.

    Raises
    ------
    ValueError
        If the file is there and is that of another sweep; the message names the first difference.
    """

    def __init__(
        self, path: Path, models: Sequence[Model], X: Any, y: Any, options: Mapping[str, Any]
    ) -> None:
        self.path, self.models = path, models
        self.document: dict[str, Any] = {
            "class": "sweep",
            "data": _describe_data(X, y, options),
            "models": [_specs.encode(model) for model in models],
        }
        self.tensors: dict[str, Array] = {}
        self.numbers: dict[str, Any] = {}
        if path.exists():
            self.tensors, found = _files.read(path)
            self._require_same(found)
            self.numbers = found["finished"]

    def _require_same(self, found: dict[str, Any]) -> None:
        """The file's sweep is this one."""
        if found.get("class") != "sweep":
            raise ValueError(f"{self.path} holds a {found.get('class')}, no sweep")
        needed = self.document
        for name, value in needed["data"].items():
            if found["data"].get(name) != value:
                raise ValueError(
                    f"{self.path} is of another sweep: its {name} is {found['data'].get(name)}, here it is "
                    f"{value}"
                )
        if len(found["models"]) != len(self.models):
            raise ValueError(
                f"{self.path} is of another sweep: it has {len(found['models'])} models, here there are "
                f"{len(self.models)}"
            )
        for index, (theirs, ours) in enumerate(zip(found["models"], needed["models"], strict=True)):
            for name in ours:
                if theirs.get(name) != ours[name]:
                    raise ValueError(
                        f"{self.path} is of another sweep: its model {index} has {name}={theirs.get(name)}, "
                        f"here it has {ours[name]}"
                    )

    def results(self) -> dict[int, ModelResult]:
        """The models that are finished."""
        try:
            return {int(index): self._result(int(index), own) for index, own in self.numbers.items()}
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{self.path} does not hold together: {error!r}") from None

    def _result(self, index: int, own: dict[str, Any]) -> ModelResult:
        arrays = {name: self.tensors[f"{index}.{name}"] for name in _ARRAYS}
        model = self.models[index]
        net = MLP(own["n_inputs"], model.hidden_layer_sizes, own["n_outputs"], model.activation)
        if arrays["theta"].shape != (net.n_parameters,):
            raise ValueError(f"model {index} has parameters of shape {arrays['theta'].shape} for {net}")
        outcome: Any = SimpleNamespace(**arrays, **{name: own[name] for name in _NUMBERS})
        return ModelResult(model, net, outcome)

    def write(self, done: Mapping[int, ModelResult]) -> None:
        """Write all finished models."""
        for index, result in done.items():
            if str(index) in self.numbers:
                continue
            self.numbers[str(index)] = {name: getattr(result, name) for name in _NUMBERS} | {
                "n_inputs": result.net.n_inputs,
                "n_outputs": result.net.n_outputs,
            }
            self.tensors |= {f"{index}.{name}": np.asarray(getattr(result, name)) for name in _ARRAYS}
        _files.write(self.path, self.tensors, self.document | {"finished": self.numbers})


def _describe_data(X: Any, y: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Shapes and digests of all arrays, and the options that are no arrays."""
    held_out = options["held_out"]
    if held_out is not None and not (isinstance(held_out, tuple | list) and len(held_out) == 2):
        raise TypeError(f"held_out is a {type(held_out).__name__}; a pair (X, y) is needed")
    arrays = {"X": X, "y": y, "row_weights": options["row_weights"]}
    if held_out is not None:
        arrays |= {"held-out X": held_out[0], "held-out y": held_out[1]}
    described = {
        name: None if values is None else _digest(as_floats(values, name)) for name, values in arrays.items()
    }
    rows = options["rows"]
    lists = rows if isinstance(rows, list | tuple) and len(rows) > 0 and np.ndim(rows[0]) == 1 else [rows]
    described["rows"] = None if rows is None else "; ".join(_digest(np.asarray(own)) for own in lists)
    record: Record | None = options["record"]
    described["record"] = None if record is None else repr(record)
    described["n_outputs"] = options["n_outputs"]
    described["dtype"] = None if options["dtype"] is None else str(float_dtype(options["dtype"]))
    return described


def _digest(array: Array) -> str:
    """Shape, dtype and a digest of the values."""
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
    return f"{array.dtype}{list(array.shape)} {digest}"
