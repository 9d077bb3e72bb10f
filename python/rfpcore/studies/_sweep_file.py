"""The file of a sweep: which sweep it is, then shards of finished models, which are only appended.

A shard has the tensors of its models one after the other, so that its header does not grow with them.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, get_args

import numpy as np

from .. import _files, _value
from .._arrays import F64, I64, Array, as_floats, float_dtype
from .._file_parts import Document, Tensors, listed, object_of, only, require_used, tensor
from .._options import MAX_PARAMETERS, MAX_STEPS, integer
from .._warn import warn
from ..exceptions import InterruptedWarning
from ..many import PARAMETERS, SCORES, Model, ModelResult, Record, require_pair, row_lists
from ..network import MLP
from ..regularize import BatchNorm
from . import _shard_file

__all__ = ["SweepFile"]

# With a line for each recorded step.
_RECORDED = ("thetas", "batch_norms", "gradients", "applied_gradients", "bare_gradients")
_LATER = ("test_losses", "test_accuracies", "weight_norms")  # which a shard has only where a model has them
_ARRAYS = ("steps", "loss_curve", "validation_losses", *SCORES, "weight_norms", *PARAMETERS)
Status = Literal["finished", "stopped", "diverged"]
_STATUS = get_args(Status)


class SweepFile:
    """A sweep on disk.

    Parameters
    ----------
    path : path
    models : sequence of Model
    X, y : arrays
    options : dict
        What else of `fit_many` decides about the result, and what is kept.
    rows : dict of str to list
        What is to be said of the rows of each model, where models have rows of their own.

    Raises
    ------
    ValueError
        If the file is there and is that of another sweep; the message names the first difference. If it is
        damaged anywhere but at its end.

    Warns
    -----
    InterruptedWarning
        If its end is torn, as a crash leaves it.
    """

    def __init__(
        self,
        path: Path,
        models: Sequence[Model],
        X: Any,
        y: Any,
        options: Mapping[str, Any],
        rows: Mapping[str, list[str]] | None = None,
    ) -> None:
        self.path, self.models = path, models
        _files.target_mode(path)  # before any work, as there may be hours of it
        self.keeps_parameters = "parameters" in options["keep"]
        self.data = _describe_data(X, y, options, len(models))
        self.fields = _fields(models) | dict(rows or {})
        self.n_features = np.shape(X)[-1] if np.ndim(X) else 0
        self.end = self.size = 0
        self.last = b""
        self.shards: list[tuple[Tensors, Document]] = []
        if path.exists():
            self._read()

    def _read(self) -> None:
        """The shards; the first says which sweep it is."""
        shards, self.end, self.size = _shard_file.read_shards(self.path)
        self.last = _shard_file.tail(self.path, self.end)
        if not shards:  # a file of something else, or one that is damaged: its own message says so
            found = _files.read(self.path)[1].get("class")
            raise ValueError(f"{self.path} holds a {found}, no sweep that is kept in shards")
        (tensors, head), *self.shards = shards
        with _files.holding_together(self.path):
            only(head, "the file", {"class", "data", "fields", "format_version", "digests"})
            data, values = object_of(head, "data"), object_of(head, "fields")
        if differing := sorted(values.keys() ^ self.fields.keys()):
            raise ValueError(f"{self.path} is of another sweep: only one of the two has {differing}")
        with _files.holding_together(self.path):
            codes = tensor(dict(tensors), "codes", len(self.fields), None, dtype=I64).tolist()
            theirs = {
                name: [listed(values, name)[code] for code in row]
                for name, row in zip(self.fields, codes, strict=True)
            }
        self._require_same(data, theirs)
        if self.end < self.size:
            warn(
                f"the last {self.size - self.end} bytes of {self.path} are no whole shard, as after a crash: "
                "their models are trained again",
                InterruptedWarning,
            )

    def _require_same(self, data: Document, fields: Mapping[str, list[Any]]) -> None:
        """The file's sweep is this one."""
        other = f"{self.path} is of another sweep:"
        for name, value in self.data.items():
            if data.get(name) != value:
                raise ValueError(f"{other} its {name} is {data.get(name)}, here it is {value}")
        n = len(fields["seed"])
        if n != len(self.models):
            raise ValueError(f"{other} it has {n} models, here there are {len(self.models)}")
        for index in range(n):
            for name, values in self.fields.items():
                theirs, ours = fields[name][index], values[index]
                if theirs != ours:
                    raise ValueError(f"{other} its model {index} has {name}={theirs}, here it has {ours}")

    def results(self) -> dict[int, ModelResult]:
        """The models that are finished."""
        found: dict[int, ModelResult] = {}
        with _files.holding_together(self.path):
            for tensors, document in self.shards:
                only(document, "a shard", {"class", "format_version", "digests"})
                for index, result in self._models_of(dict(tensors)):
                    if index in found:
                        raise ValueError(f"model {index} is there twice")
                    found[index] = result
        return found

    def _models_of(self, left: Tensors) -> Iterator[tuple[int, ModelResult]]:
        """The models of a shard."""
        numbers = tensor(left, "numbers", None, 5, dtype=I64).tolist()
        losses = tensor(left, "diverged_loss", len(numbers), nan=True, dtype=F64).tolist()
        there = [name for name in _ARRAYS if name not in _LATER or name in left]
        lines = tensor(left, "lines", len(numbers), len(there), dtype=I64).tolist()
        flat = {name: tensor(left, name, None, nan=True, dtype=left[name].dtype) for name in there}
        flat |= {name: np.zeros(0) for name in _LATER if name not in there}
        require_used(left)
        at = dict.fromkeys(_ARRAYS, 0)
        for (index, *own), loss, counts in zip(numbers, losses, lines, strict=True):
            integer(index, "the number of a model", 0, len(self.models) - 1)
            model, n_outputs = self.models[index], integer(own[3], "n_outputs", 1, MAX_PARAMETERS)
            net = model.net(self.n_features, n_outputs)
            arrays: Tensors = {}
            for name, count in (dict.fromkeys(_ARRAYS, 0) | dict(zip(there, counts, strict=True))).items():
                shape = (integer(count, f"lines of {name}", 0, MAX_PARAMETERS), *_width(name, model, net))
                end = at[name] + math.prod(shape)
                arrays[f"{index}.{name}"] = flat[name][at[name] : end].reshape(shape)
                at[name] = end
            yield index, self._result(index, net, own, loss, arrays)
        over = [name for name in _ARRAYS if at[name] != len(flat[name])]
        if over:
            raise ValueError(f"{over[0]} has {len(flat[over[0]])} numbers; the models have {at[over[0]]}")

    def _result(self, index: int, net: MLP, own: list[int], loss: float, arrays: Tensors) -> ModelResult:
        n_steps = integer(own[0], "n_steps", 0, MAX_STEPS)
        best_step = integer(own[1], "best_step", 0, n_steps)
        status = _STATUS[integer(own[2], "status", 0, len(_STATUS) - 1)]
        model, diverged = self.models[index], status == "diverged"
        checked = self._checked(f"{index}.", arrays, net, n_steps, diverged)
        outcome: Any = SimpleNamespace(
            **checked,
            n_steps=n_steps,
            best_step=best_step,
            status=status,
            diverged_loss=loss if diverged else None,
        )
        return ModelResult(model, net, outcome)

    def _checked(self, prefix: str, left: Tensors, net: MLP, n_steps: int, diverged: bool) -> Tensors:
        """A model's arrays, checked against its network and against each other."""

        def take(name: str, *shape: int | None, nan: bool = True, dtype: Any = F64) -> Array:
            return tensor(left, prefix + name, *shape, nan=nan, dtype=dtype)

        steps = take("steps", None, nan=False, dtype=I64)
        if len(steps) and (steps[0] < 0 or steps[-1] > n_steps or (np.diff(steps) <= 0).any()):
            raise ValueError(f"{prefix}steps are not {len(steps)} rising numbers from 0 to {n_steps}")
        found = {
            "steps": steps,
            "loss_curve": take("loss_curve", None, nan=diverged),
            "validation_losses": take("validation_losses", None),
        }
        found |= {name: take(name, None) for name in SCORES}
        kept = self.keeps_parameters
        n_norm = left[f"{prefix}batch_norms"].shape[1]
        theta = take("theta", net.n_parameters if kept else 0, nan=diverged, dtype=None)
        found |= {"theta": theta}
        found["batch_norm"] = take("batch_norm", n_norm if kept else 0, nan=diverged, dtype=theta.dtype)
        for name in _RECORDED:
            found[name] = take(name, None, None, dtype=theta.dtype)
        found["weight_norms"] = take("weight_norms", None, None)
        for name in (*SCORES, "weight_norms", *_RECORDED):
            if len(found[name]) not in (0, len(steps)):
                raise ValueError(
                    f"{prefix}{name} has {len(found[name])} lines for {len(steps)} recorded steps"
                )
        return found

    def append(self, done: Mapping[int, ModelResult]) -> None:
        """Add a shard of models that are finished."""
        if not self.end and self.path.exists():  # another process has begun it meanwhile
            self._read()
            there = self.results()
            done = {index: result for index, result in done.items() if index not in there}
        if not done:
            return
        data = _shard_file.shard(*_shard(done))
        if self.end:
            self.end = self.size = _shard_file.append(self.path, data, self.end, self.size, self.last)
            self.last = _shard_file.tail(self.path, self.end)
            return
        codes, distinct = [], {}
        for name, values in self.fields.items():  # a few values each, and which of them a model has
            texts = [json.dumps(value, sort_keys=True) for value in values]
            known = {text: code for code, text in enumerate(dict.fromkeys(texts))}
            distinct[name] = [json.loads(text) for text in known]
            codes.append([known[text] for text in texts])
        head = {"class": "sweep", "data": self.data, "fields": distinct}
        first = _shard_file.shard({"codes": np.array(codes, np.int64)}, head)
        _files.replace(self.path, first + data)
        self.end = self.size = len(first) + len(data)
        self.last = _shard_file.tail(self.path, self.end)


def _shard(done: Mapping[int, ModelResult]) -> tuple[Tensors, Document]:
    results = list(done.values())
    losses = [np.nan if result.diverged_loss is None else result.diverged_loss for result in results]
    numbers = [
        (index, own.n_steps, own.best_step, _STATUS.index(own.status), own.net.n_outputs)
        for index, own in done.items()
    ]
    there = [
        name for name in _ARRAYS if name not in _LATER or any(len(getattr(own, name)) for own in results)
    ]
    lines = [[len(getattr(own, name)) for name in there] for own in results]
    tensors = {name: np.concatenate([np.ravel(getattr(own, name)) for own in results]) for name in there}
    tensors |= {"numbers": np.array(numbers, np.int64), "lines": np.array(lines, np.int64)}
    return tensors | {"diverged_loss": np.array(losses, F64)}, {"class": "shard"}


def _width(name: str, model: Model, net: MLP) -> tuple[int, ...]:
    """How many numbers a line of an array has."""
    if name == "weight_norms":
        return (len(net.hidden_layer_sizes) + 1,)
    if name not in _RECORDED:
        return ()
    if name == "batch_norms":
        return (4 * sum(net.hidden_layer_sizes) if model.terms.get(BatchNorm) is not None else 0,)
    return (net.n_parameters,)


def _fields(models: Sequence[Model]) -> dict[str, list[Any]]:
    """The models' fields in JSON's types, each with its values in the order of the models."""
    names = dict.fromkeys(name for model in models for name in _value.encode(model) if name != "kind")
    return {name: [_value.encode(getattr(model, name)) for model in models] for name in names}


def _describe_data(X: Any, y: Any, options: Mapping[str, Any], n_models: int) -> dict[str, Any]:
    """Shapes and digests of all arrays, and the options that are no arrays."""
    arrays = {"X": X, "y": y, "row_weights": options["row_weights"]}
    lists = {"rows": row_lists(options["rows"], n_models, len(as_floats(X, "X")))}
    for name, of in (("held-out", "held_out"), ("test", "test")):
        if (pair := options[of]) is None:
            continue
        require_pair(pair, of)
        arrays |= {f"{name} X": pair[0], f"{name} y": pair[1]}
        rows, n_rows = f"{of}_rows", len(as_floats(pair[0], of))
        lists[f"{name} rows"] = row_lists(options[rows], n_models, n_rows, rows, of)
    described = {
        name: None if values is None else _digest(as_floats(values, name)) for name, values in arrays.items()
    }
    for name, own in lists.items():
        described[name] = "; ".join(_digest(one) for one in own if one is not None) or None
    record: Record | None = options["record"]
    described["record"] = None if record is None else repr(record)
    described["n_outputs"] = options["n_outputs"]
    described["dtype"] = None if options["dtype"] is None else str(float_dtype(options["dtype"]))
    return described | {"keep": ", ".join(options["keep"])}


def _digest(array: Array) -> str:
    """Shape, dtype and a digest of the values."""
    return f"{array.dtype}{list(array.shape)} {_files.digest(array)[:16]}"
