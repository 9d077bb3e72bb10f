"""The regularizers of RFP's outer loop, checked against the estimator's other parameters."""

from typing import Any

import numpy as np

from ..._arrays import Array
from ...losses import Loss, read
from ...regularize import L1, L2, ClipNorm, LabelSmoothing, MaxNorm, Regularization

TAKEN = (L1, L2, ClipNorm, MaxNorm, LabelSmoothing)


def outer_terms(p: Any) -> Regularization:
    """The estimator's terms; ValueError for one that its outer loop has no place for."""
    terms = Regularization.of(p.regularization)
    for term in terms:
        if not isinstance(term, TAKEN):
            kinds = ", ".join(kind.__name__ for kind in TAKEN)
            raise ValueError(
                f"regularization holds {term!r}, which has no meaning in the outer loop; of {kinds} each has"
            )
    if terms.get(LabelSmoothing) is not None and not read(p._loss).kind.has_labels:
        raise ValueError(f"{terms.get(LabelSmoothing)!r} with loss={p._loss!r}; it needs class labels")
    return terms


def outer_penalties(p: Any, given: dict[str, Any]) -> Regularization:
    """The terms, with `weight_decay` and `clip_norm` among them, each of which may be said once."""
    terms = outer_terms(p)
    decay, limit = given["weight_decay"], given["clip_norm"]
    if decay > 0:
        if (l2 := terms.get(L2)) is not None:
            raise ValueError(f"weight_decay={decay} and {l2!r} are two decays; one of them is possible")
        terms += L2(decay, decoupled=p.solver == "adamw")
    if limit is not None:
        if (clip := terms.get(ClipNorm)) is not None:
            raise ValueError(f"clip_norm={p.clip_norm} and {clip!r} are two limits; one of them is possible")
        terms += ClipNorm(limit)
    return terms


def training_loss(p: Any) -> Loss:
    """The loss that is minimized: with smoothed labels, cross-entropy with distributions over the classes."""
    smoothed = outer_terms(p).get(LabelSmoothing) is not None
    return "cross_entropy" if smoothed and p._loss == "softmax" else p._loss


def soften(p: Any, y: Array) -> Array:
    """Class codes (N,) as they are trained on: smoothed, where the estimator says so."""
    term = outer_terms(p).get(LabelSmoothing)
    if term is None:
        return y
    classes = len(p.classes_)
    off = term.epsilon / (classes if term.form == "uniform" else classes - 1)
    on = 1 - (classes - 1) * off
    if p._loss == "logistic":
        return off + (on - off) * y
    soft = np.full((len(y), classes), off)
    soft[np.arange(len(y)), y.astype(np.intp)] = on
    return soft
