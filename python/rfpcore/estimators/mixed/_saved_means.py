"""Populations' functions in files."""

from typing import Any

import numpy as np

from ..._arrays import F64, I64
from ..._file_parts import Document, Tensors, listed, object_of, tensor
from ..._options import MAX_STEPS, at_least, integer, real
from ...network import MLP
from ._gaussian_process import Hyperparameters, Posterior, Process, ProcessMean, Uncertainty
from ._linear import LinearMean, LinearUncertainty
from ._networks import NetworkMean
from ._trees import DEPTH, TreeMean


def describe_mean(mean: Any, tensors: Tensors, prefix: str) -> Document:
    """A function of the population; its arrays go to the tensors."""
    if isinstance(mean, NetworkMean):
        net = mean.net
        tensors[f"{prefix}thetas"] = mean.thetas
        own_net = [net.n_inputs, list(net.hidden_layer_sizes), net.activation]
        found = {"n_iter": mean.n_iter, "weight_decay": mean.weight_decay}
        return {"kind": "network", "net": own_net} | found
    if isinstance(mean, ProcessMean):
        own = mean.process.hyperparameters
        tensors |= {
            f"{prefix}inducing": mean.process.inducing,
            f"{prefix}lengths": own.lengths,
            f"{prefix}posterior_mean": mean.posterior.mean,
            f"{prefix}posterior_root": mean.posterior.root,
        }
        return {"kind": "gp", "variances": [own.smooth, own.linear]}
    if isinstance(mean, Uncertainty):
        other = None if mean.other is None else describe_mean(mean.other, tensors, f"{prefix}other.")
        process = describe_mean(mean.process, tensors, f"{prefix}process.")
        return {"kind": "uncertainty", "process": process, "other": other}
    if isinstance(mean, LinearMean):
        tensors[f"{prefix}coefficients"] = mean.coefficients
        return {"kind": "linear"}
    if isinstance(mean, LinearUncertainty):
        tensors[f"{prefix}covariance"] = mean.covariance
        if mean.turn is not None:
            tensors[f"{prefix}turn"] = mean.turn
        return {"kind": "linear uncertainty", "kept": list(mean.kept)}
    if isinstance(mean, TreeMean):
        tensors |= {f"{prefix}{name}": getattr(mean, name) for name in ("features", "thresholds", "leaves")}
        return {"kind": "trees"}
    raise ValueError(
        f"mean={type(mean).__name__}: regressors of other packages are not kept in a file; 'network', 'gp', "
        "'trees' and 'linear' are"
    )


def restore_mean(document: Document, name: str, tensors: Tensors, width: int, above: str = "") -> Any:
    """The function again, of `width` inputs."""
    own, prefix = object_of(document, name), f"{above}{name}."
    kind = own.get("kind")
    if kind == "uncertainty":
        process = restore_mean(own, "process", tensors, width, prefix)
        other = None if own["other"] is None else restore_mean(own, "other", tensors, width, prefix)
        if not isinstance(process, ProcessMean) or not isinstance(other, NetworkMean | None):
            raise ValueError("the uncertainty is not that of a Gaussian process beside networks")
        return Uncertainty(process, other)
    if kind == "network":
        return _networks(own, tensors, prefix, width)
    if kind == "gp":
        return _process(own, tensors, prefix, width)
    if kind == "linear":
        return LinearMean(tensor(tensors, f"{prefix}coefficients", width + 1, dtype=F64))
    if kind == "linear uncertainty":
        kept = [integer(j, "a column", 0, width - 1) for j in listed(own, "kept")]
        p = len(kept) + 1
        turn = tensor(tensors, f"{prefix}turn", p, p, dtype=F64) if f"{prefix}turn" in tensors else None
        if turn is not None and not np.diag(turn).all():
            raise ValueError("turn has a 0 on its diagonal")
        return LinearUncertainty(tensor(tensors, f"{prefix}covariance", p, p, dtype=F64), kept, turn)
    if kind == "trees":
        return _trees(tensors, prefix, width)
    raise ValueError(f"{name} is of the kind {kind!r}, which is unknown")


def _networks(own: Document, tensors: Tensors, prefix: str, width: int) -> NetworkMean:
    n_inputs, hidden, activation = listed(own, "net")
    net = MLP(integer(n_inputs, "n_inputs", width, width), tuple(hidden), 1, activation)
    n_iter, decay = own.get("n_iter"), own.get("weight_decay")  # older files do not say
    return NetworkMean(
        net,
        tensor(tensors, f"{prefix}thetas", None, net.n_parameters),
        None if n_iter is None else integer(n_iter, "n_iter", 1, MAX_STEPS),
        None if decay is None else at_least(decay, "weight_decay", 0.0),
    )


def _process(own: Document, tensors: Tensors, prefix: str, width: int) -> ProcessMean:
    smooth, linear = (real(each, "a variance") for each in listed(own, "variances"))
    inducing = tensor(tensors, f"{prefix}inducing", None, width, dtype=F64)
    lengths = tensor(tensors, f"{prefix}lengths", width, dtype=F64)
    if not (smooth > 0 and linear > 0 and (lengths > 0).all()):
        raise ValueError("variances and lengths of the Gaussian process are not above 0")
    m = len(inducing) + 1 + width
    posterior = Posterior(
        tensor(tensors, f"{prefix}posterior_mean", m, dtype=F64),
        tensor(tensors, f"{prefix}posterior_root", m, m, dtype=F64),
    )
    if not (np.diag(posterior.root) > 0).all():
        raise ValueError("posterior_root has a diagonal that is not above 0")
    return ProcessMean(Process(inducing, Hyperparameters(lengths, smooth, linear)), posterior)


def _trees(tensors: Tensors, prefix: str, width: int) -> TreeMean:
    inner = 2**DEPTH - 1
    features = tensor(tensors, f"{prefix}features", None, None, inner, dtype=I64)
    folds, rounds = features.shape[:2]
    if features.min(initial=0) < 0 or features.max(initial=0) >= width or not features.size:
        raise ValueError(f"trees split on columns from {features.min(initial=0)}; 0 to {width - 1} are there")
    thresholds = tensor(tensors, f"{prefix}thresholds", folds, rounds, inner, nan=True, dtype=F64)
    return TreeMean(
        features, thresholds, tensor(tensors, f"{prefix}leaves", folds, rounds, inner + 1, dtype=F64)
    )
