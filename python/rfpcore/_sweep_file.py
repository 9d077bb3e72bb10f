"""The file of a sweep: which sweep it is, and the models that are finished."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np

from . import _files, _specs
from ._arrays import F64, Array, as_floats, float_dtype
from ._file_parts import Document, Tensors, listed, object_of, only, require_used, tensor
from ._options import MAX_STEPS, choice, integer
from .many import SCORES, Model, ModelResult, Record, require_pair, row_lists
from .network import MLP
from .regularize import BatchNorm

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
Status = Literal["finished", "stopped", "diverged"]
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
        _files.target_mode(path)  # before any work, as there may be hours of it
        self.document: dict[str, Any] = {
            "class": "sweep",
            "data": _describe_data(X, y, options, len(models)),
            "models": [_specs.encode(model) for model in models],
        }
        self.tensors: dict[str, Array] = {}
        self.digests: dict[str, str] = {}
        self.numbers: dict[str, Any] = {}
        self.n_features = np.shape(X)[-1] if np.ndim(X) else 0
        if path.exists():
            self.tensors, found = _files.read(path)
            self._require_same(found)
            self.numbers, self.digests = found["finished"], found.get("digests", {})

    def _require_same(self, found: dict[str, Any]) -> None:
        """The file's sweep is this one."""
        if found.get("class") != "sweep":
            raise ValueError(f"{self.path} holds a {found.get('class')}, no sweep")
        needed = self.document
        with _files.holding_together(self.path):
            only(found, "the file", set(needed) | {"finished", "format_version", "digests"})
            object_of(found, "data")
            object_of(found, "finished")
            for index, model in enumerate(listed(found, "models")):
                object_of({f"model {index}": model}, f"model {index}")
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
        with _files.holding_together(self.path):
            left, found = dict(self.tensors), {}
            for key in self.numbers:
                index = int(key)
                if str(index) != key or not 0 <= index < len(self.models):
                    raise ValueError(f"model {key!r} is finished; there are {len(self.models)} models")
                found[index] = self._result(index, object_of(self.numbers, key), left)
            require_used(left)
            return found

    def _result(self, index: int, own: Document, left: Tensors) -> ModelResult:
        only(own, f"model {index}", {*_NUMBERS, "n_inputs", "n_outputs"})
        n_steps = integer(own["n_steps"], "n_steps", 0, MAX_STEPS)
        integer(own["best_step"], "best_step", 0, n_steps)
        diverged = choice(own["status"], "status", Status) == "diverged"
        if diverged == (own["diverged_loss"] is None):
            raise ValueError(
                f"model {index} is {own['status']}, but its diverged_loss is {own['diverged_loss']}"
            )
        model = self.models[index]
        n_inputs = integer(own["n_inputs"], "n_inputs", self.n_features, self.n_features)
        net = MLP(n_inputs, model.hidden_layer_sizes, own["n_outputs"], model.activation)
        numbers = {name: own[name] for name in _NUMBERS}
        numbers["diverged_loss"] = float(own["diverged_loss"]) if diverged else None
        if diverged:
            own["diverged_loss"] = str(numbers["diverged_loss"])  # a number in files of format 1
        arrays = _arrays(f"{index}.", left, model, net, n_steps, diverged)
        outcome: Any = SimpleNamespace(**arrays, **numbers)
        return ModelResult(model, net, outcome)

    def write(self, done: Mapping[int, ModelResult]) -> None:
        """Write all finished models."""
        for index, result in done.items():
            if str(index) in self.numbers:
                continue
            loss = result.diverged_loss
            self.numbers[str(index)] = {name: getattr(result, name) for name in _NUMBERS} | {
                "diverged_loss": None if loss is None else str(float(loss)),  # JSON has no NaN
                "n_inputs": result.net.n_inputs,
                "n_outputs": result.net.n_outputs,
            }
            self.tensors |= {f"{index}.{name}": np.asarray(getattr(result, name)) for name in _ARRAYS}
        document = self.document | {"finished": self.numbers}
        self.digests = _files.write(self.path, self.tensors, document, self.digests)


def _arrays(
    prefix: str, left: Tensors, model: Model, net: MLP, n_steps: int, diverged: bool
) -> dict[str, Array]:
    """A model's arrays, checked against its network and against each other."""

    def take(name: str, *shape: int | None, nan: bool = True, dtype: Any = F64) -> Array:
        return tensor(left, prefix + name, *shape, nan=nan, dtype=dtype)

    n_norm = 4 * sum(net.hidden_layer_sizes) if model.terms.get(BatchNorm) is not None else 0
    theta = take("theta", net.n_parameters, nan=diverged, dtype=None)
    steps = take("steps", None, nan=False, dtype=np.dtype(np.int64))
    if len(steps) and (steps[0] < 0 or steps[-1] > n_steps or (np.diff(steps) <= 0).any()):
        raise ValueError(f"{prefix}steps are not {len(steps)} rising numbers from 0 to {n_steps}")
    found = {
        "theta": theta,
        "steps": steps,
        "batch_norm": take("batch_norm", n_norm, nan=diverged, dtype=theta.dtype),
        "loss_curve": take("loss_curve", None, nan=diverged),
        "validation_losses": take("validation_losses", None),
    }
    found |= {name: take(name, None) for name in SCORES}
    for name, width in (("thetas", len(theta)), ("gradients", len(theta)), ("batch_norms", n_norm)):
        found[name] = take(name, None, width, dtype=theta.dtype)
    for name in (*SCORES, "thetas", "gradients", "batch_norms"):
        if len(found[name]) not in (0, len(steps)):
            raise ValueError(f"{prefix}{name} has {len(found[name])} lines for {len(steps)} recorded steps")
    return found


def _describe_data(X: Any, y: Any, options: Mapping[str, Any], n_models: int) -> dict[str, Any]:
    """Shapes and digests of all arrays, and the options that are no arrays."""
    held_out, rows = options["held_out"], options["rows"]
    if held_out is not None:
        require_pair(held_out)
    row_lists(rows, n_models, len(as_floats(X, "X")))  # whose errors name what is wrong
    arrays = {"X": X, "y": y, "row_weights": options["row_weights"]}
    if held_out is not None:
        arrays |= {"held-out X": held_out[0], "held-out y": held_out[1]}
    described = {
        name: None if values is None else _digest(as_floats(values, name)) for name, values in arrays.items()
    }
    lists = rows if isinstance(rows, list | tuple) and np.ndim(rows[0]) == 1 else [rows]
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
