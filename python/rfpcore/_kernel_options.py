"""Optimizers and regularizers, as values, to what the kernel takes."""

from typing import Any

from . import _rfpcore
from .optimizers import SGD, Adam, AdamW, Cosine, Optimizer, PowerLaw, Schedule, Step
from .regularize import (
    L1,
    L2,
    BatchNorm,
    ClipNorm,
    Dropout,
    EarlyStopping,
    InputNoise,
    LabelSmoothing,
    MaxNorm,
    Mixup,
    Regularization,
    Shifts,
)

__all__ = ["kernel_optimizer", "penalties", "schedule_options", "spec_options"]


def kernel_optimizer(optimizer: Optimizer, terms: Regularization) -> _rfpcore.Optimizer:
    """The kernel's optimizer, with the terms that act on gradients and parameters."""
    options: dict[str, Any] = penalties(terms)
    if isinstance(optimizer, AdamW):
        own = optimizer.weight_decay
        if own > 0 and options["decoupled_l2"][0] > 0:
            raise ValueError(
                f"{optimizer!r} decays with weight_decay={own}, and {terms.get(L2)!r} is a second decoupled "
                "decay; one is possible: weight_decay=0, or Adam"
            )
        if own > 0:
            options["decoupled_l2"] = (own, True)
    if isinstance(optimizer, SGD):
        name = "sgd"
        options |= {"momentum": optimizer.momentum, "nesterov": optimizer.nesterov}
    elif isinstance(optimizer, Adam):
        name = "adam"
        options |= {"beta1": optimizer.beta1, "beta2": optimizer.beta2, "epsilon": optimizer.epsilon}
    else:
        kind = type(optimizer).__name__
        raise TypeError(f"optimizer={optimizer!r} is a {kind}; SGD, Adam or AdamW is needed")
    return _rfpcore.Optimizer(name, optimizer.lr, **options, **schedule_options(optimizer.schedule))


def penalties(terms: Regularization) -> dict[str, Any]:
    """The options of the kernel's optimizer that the terms set."""
    options: dict[str, Any] = {"l2": (0.0, True), "decoupled_l2": (0.0, True)}
    if (l2 := terms.get(L2)) is not None:
        options["decoupled_l2" if l2.decoupled else "l2"] = (l2.strength, l2.biases)
    if (l1 := terms.get(L1)) is not None:
        options |= {"l1": (l1.strength, l1.biases), "l1_method": l1.method, "l1_smoothing": l1.smoothing}
    if (clip := terms.get(ClipNorm)) is not None:
        options["clip_norm"] = clip.limit
    if (bound := terms.get(MaxNorm)) is not None:
        options["max_norm"] = bound.limit
    return options


def schedule_options(schedule: Schedule) -> dict[str, Any]:
    """The options of the kernel's optimizer for a schedule."""
    if isinstance(schedule, Cosine):
        return {"schedule": "cosine", "decay_steps": schedule.steps}
    if isinstance(schedule, Step):
        return {"schedule": "step", "decay_steps": schedule.every, "factor": schedule.factor}
    if isinstance(schedule, PowerLaw):
        return {"schedule": "power", "decay_steps": schedule.tau, "power": schedule.power}
    return {"schedule": "constant"}


def spec_options(terms: Regularization, n_hidden: int) -> dict[str, Any]:
    """The options of the kernel's `Model` that the terms set."""
    options: dict[str, Any] = {}
    if (dropout := terms.get(Dropout)) is not None:
        options |= {"dropout": dropout.rates(n_hidden), "dropout_by_row": dropout.mask == "row"}
    if (norm := terms.get(BatchNorm)) is not None:
        options["batch_norm"] = (norm.momentum, norm.epsilon)
    if (smoothing := terms.get(LabelSmoothing)) is not None:
        options["smoothing"] = (smoothing.epsilon, smoothing.form == "uniform")
    if (noise := terms.get(InputNoise)) is not None:
        options["input_noise"] = noise.scale
    if (mixup := terms.get(Mixup)) is not None:
        options["mixup"] = mixup.alpha
    if (shifts := terms.get(Shifts)) is not None:
        options["shifts"] = (shifts.image_shape, shifts.offsets, shifts.probability)
    if (stopping := terms.get(EarlyStopping)) is not None:
        options["early_stopping"] = (stopping.patience, stopping.every, stopping.min_delta)
    return options
