"""Targets: networks, clusters, the objective and its derivatives, many models, sweeps, and their settings."""

import functools

import numpy as np
import torch
from fuzz_target import Target, function, method

import rfpcore
from rfpcore import many, optimizers, regularize, torch_reference
from rfpcore.many import Model, fit_many
from rfpcore.status import ClusterStatus, Objective

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((18, 2))
Y = X[:, 0] + 0.1 * RANDOM.standard_normal(18)
GROUPS = np.repeat([3, 1, 2], 6)
NET = rfpcore.MLP(2, (3,))
THETA = NET.init(0)
DATA = rfpcore.Clusters(X, Y, GROUPS)
SMALL = Model((3,), n_steps=3, batch_size=6)
TORCH = ("torch",)  # the reference is code to read beside the paper: its mistakes in use are PyTorch's


def at_point(**more):
    return lambda: {"net": NET, "theta": THETA, "data": DATA} | more


@functools.lru_cache(maxsize=1)
def trained():
    models = [SMALL, Model((4,), n_steps=3, regularization=regularize.Dropout(0.2) + regularize.BatchNorm())]
    return fit_many(X, Y, models, record=many.Record(every=1), n_jobs=1)


@functools.lru_cache(maxsize=1)
def swept():
    return rfpcore.sweep(X, Y, {"seed": [0, 1]}, SMALL, n_jobs=1)


def measured():
    points = {"n_rows": [5, 18], "seed": [0, 1]}
    record = many.Record(every=3)
    return rfpcore.sweep(X, Y, points, SMALL, held_out=(X, Y), test=(X, Y), record=record, n_jobs=1)


def sequence_of(result):
    """What a user asks of a `ManyResult` or a `ModelResult` beside calling its methods."""
    return [len(result), list(result), result[0], repr(result)]


TARGETS: list[Target] = [
    function(rfpcore.MLP, lambda: {"n_inputs": 2, "hidden_layer_sizes": (3,)}),
    method(lambda: NET, "MLP", "init"),
    method(lambda: NET, "MLP", "unflatten", lambda: {"theta": THETA}, allowed={"nan": True}),  # views
    method(lambda: NET, "MLP", "predict", lambda: {"theta": THETA, "X": X}),
    function(rfpcore.Clusters, lambda: {"X": X, "y": Y, "groups": GROUPS, "query": np.arange(18) % 2 == 0}),
    function(
        rfpcore.Clusters,
        lambda: {"X": X, "y": Y, "groups": GROUPS, "precision": [2.0 * np.eye(6), np.eye(6), np.eye(6)]},
        name="Clusters with a precision",
    ),
    method(lambda: DATA, "Clusters", "support"),
    method(
        lambda: DATA,
        "Clusters",
        "handle",
        lambda: {"net": NET, "loss": "squared", "dtype": np.dtype(float)},
        fixed=("net", "dtype", "split"),
    ),
    function(
        ClusterStatus,
        lambda: {
            "labels": np.arange(2),
            "diverged_step": np.array([-1, -1]),
            "loss_before": np.ones(2),
            "loss_after": np.ones(2),
        },
        fixed=("labels", "diverged_step", "loss_before", "loss_after"),
    ),
    function(
        Objective,
        lambda: {
            "value": 1.0,
            "gradient": THETA,
            "alpha_gradient": 0.0,
            "inner_lr_gradient": 0.0,
            "status": None,
        },
        fixed=("value", "gradient", "alpha_gradient", "inner_lr_gradient", "status"),
    ),
    function(rfpcore.losses.huber, lambda: {"delta": 1.0}),
    function(rfpcore.losses.quantile, lambda: {"level": 0.5, "width": 0.1}),
    function(rfpcore.value_and_grad, at_point()),
    function(rfpcore.objective, at_point()),
    function(rfpcore.adapt, at_point()),
    function(rfpcore.cost.estimated_seconds, lambda: {"net": NET, "sizes": [3, 4], "n_jobs": 1}),
    function(rfpcore.curvature, at_point()),
    function(rfpcore.auto_inner_lr, at_point()),
    function(rfpcore.hvp, at_point(v=THETA)),
    function(rfpcore.gradient, at_point()),
    function(rfpcore.gradient, at_point(theta=np.stack([THETA, -THETA])), "gradient of many"),
    function(rfpcore.dropout_gradient, at_point(rate=0.2, n_draws=3, random_state=0)),
    function(rfpcore.jvp, lambda: {"net": NET, "theta": THETA, "v": THETA, "X": X}),
    function(rfpcore.vjp, lambda: {"net": NET, "theta": THETA, "w": Y, "X": X}),
    function(rfpcore.output_hvp, lambda: {"net": NET, "theta": THETA, "v": THETA, "w": Y, "X": X}),
    function(
        fit_many,
        lambda: {
            "X": X,
            "y": Y,
            "models": [SMALL, SMALL],
            "record": many.Record(every=2, intervals=True, norms=True),
        },
    ),
    Target(
        "fit_many, test",
        lambda held_out_rows, test, test_rows: fit_many(
            X,
            Y,
            [SMALL, SMALL],
            record=many.Record(every=2),
            held_out=(X, Y),
            held_out_rows=held_out_rows,
            test=test,
            test_rows=test_rows,
        ),
        lambda: {"held_out_rows": np.arange(9), "test": (X, Y), "test_rows": [np.arange(3), [9, 3]]},
    ),
    Target(
        "fit_many, batches",
        lambda **arguments: fit_many(models=[SMALL, SMALL], **arguments),
        lambda: {"X": X, "y": Y, "batches": [np.arange(9), [9, 3], np.arange(18)]},
    ),
    method(
        lambda: optimizers.SGD(0.1, schedule=optimizers.Cosine(9)),
        "Optimizer",
        "learning_rates",
        lambda: {"start": 0, "stop": 9},
        covers=("SGD", "Adam", "AdamW"),
    ),
    method(trained, "ManyResult", "predict", lambda: {"X": X}),
    method(trained, "ManyResult", "to_frame", allowed={"nan": True}),  # accuracies of losses without classes
    method(lambda: trained()[1], "ModelResult", "predict", lambda: {"X": X}),
    method(lambda: trained()[1], "ModelResult", "parameters"),
    method(lambda: trained()[1], "ModelResult", "norms", lambda: {"X": X}),
    Target("Norms", lambda: repr(trained()[1].norms(X)), dict),
    method(lambda: trained()[1], "ModelResult", "without_parameters"),
    Target("ManyResult", lambda: sequence_of(trained()), dict, covers=("ModelResult",)),
    method(lambda: SMALL, "Model", "net", lambda: {"n_inputs": 2, "n_outputs": 1}),
    method(lambda: SMALL, "Model", "kernel", lambda: {"net": NET}, fixed=("net",)),
    method(lambda: SMALL, "Model", "steps_for", lambda: {"n_rows": 18}, fixed=("n_rows",)),
    function(
        rfpcore.sweep,
        lambda: {"X": X, "y": Y, "points": {"seed": [0, 1]}, "base": SMALL, "n_jobs": 1},
        fixed=("path",),
    ),
    Target(
        "sweep, rows",
        lambda **point: rfpcore.sweep(X, Y, [{"seed": 0}, point], SMALL, held_out=(X, Y), n_jobs=1),
        lambda: {"rows": np.arange(9), "n_rows": 5, "held_out_rows": [9, 3]},
    ),
    method(swept, "SweepResult", "to_frame"),
    method(
        measured,
        "SweepResult",
        "best",
        lambda: {"each": ["n_rows"], "by": "test_losses", "among": np.arange(2)},
    ),
    Target("BestPoint", lambda: repr(measured().best()), dict),
    method(
        lambda: measured().result,
        "ManyResult",
        "kept",
        lambda: {"name": "test_losses"},
        allowed={"nan": True},
    ),
    method(
        lambda: measured().result[0],
        "ModelResult",
        "kept",
        lambda: {"name": "test_losses"},
        allowed={"nan": True},
    ),
    Target("SweepResult", lambda: (len(swept()), repr(swept())), dict),
    Target("SweepResult.matching", lambda seed: swept().matching(seed=seed), lambda: {"seed": 0}),
    function(
        torch_reference.value_and_grad,
        at_point(),
        "torch_reference.value_and_grad",
        allowed={"foreign": TORCH},
    ),
    function(
        torch_reference.forward,
        lambda: {"net": NET, "theta": torch.tensor(THETA), "x": torch.tensor(X)},
        "forward",
        fixed=("net", "theta", "x"),
    ),
    Target(
        "risk",
        lambda loss: torch_reference.risk(NET, DATA, loss=loss)(
            torch.tensor(THETA), torch.tensor(0.1), torch.tensor(0.5)
        ),
        lambda: {"loss": "squared"},
    ),
    Target("Reference", lambda: torch_reference.Reference(1.0, 1.0, 1.0, 1.0), dict),
]

VALUES = {
    Model: {"hidden_layer_sizes": (3,), "n_steps": 3},
    many.Record: {"every": 1},
    optimizers.SGD: {"lr": 0.1},
    optimizers.Adam: {},
    optimizers.AdamW: {},
    optimizers.Constant: {},
    optimizers.Cosine: {"steps": 10.0},
    optimizers.Step: {"every": 10.0},
    optimizers.PowerLaw: {"tau": 10.0},
    regularize.L1: {"strength": 0.1},
    regularize.L2: {"strength": 0.1},
    regularize.BatchNorm: {},
    regularize.ClipNorm: {"limit": 1.0},
    regularize.MaxNorm: {"limit": 1.0},
    regularize.Mixup: {"alpha": 0.2},
    regularize.InputNoise: {"scale": 0.1},
    regularize.LabelSmoothing: {"epsilon": 0.1},
    regularize.Dropout: {"rate": 0.1, "inputs": 0.1},
    regularize.EarlyStopping: {"patience": 2},
    regularize.Shifts: {"image_shape": (3, 3), "offsets": (-1, 1)},
    regularize.Regularization: {"terms": (regularize.L2(0.1),)},
}


def value_target(kind, base):
    """A value: what is made of it is printed, hashed, compared, and written as JSON where it can be."""

    def call(**arguments):
        value = kind(**arguments)
        written = value.to_json() if hasattr(value, "to_json") else getattr(value, "to_dict", dict)()
        return repr(value), hash(value), value == kind(**arguments), written

    own = function(kind, lambda: dict(base))
    covers = [f"{kind.__name__}.{name}" for name in ("to_dict", "to_json", "options") if hasattr(kind, name)]
    return Target(own.name, call, own.base, own.signature, covers=tuple(covers))


REGULARIZATION = regularize.Regularization
TARGETS += [value_target(kind, base) for kind, base in VALUES.items()]
TARGETS += [
    method(lambda: regularize.Dropout(0.1), "Dropout", "rates", lambda: {"n_hidden": 2}, fixed=("n_hidden",)),
    method(
        lambda: regularize.Dropout(0.1, inputs=0.2),
        "Term",
        "scaled",
        lambda: {"factor": 2.0},
        covers=tuple(kind.__name__ for kind in VALUES if issubclass(kind, regularize.Term)),
    ),
    method(
        lambda: regularize.L2(0.1) + regularize.Shifts((3, 3), (1,)),
        "Regularization",
        "scaled",
        lambda: {"factor": 2.0},
    ),
    function(REGULARIZATION.of, lambda: {"given": [regularize.L2(0.1)]}),
    function(REGULARIZATION.from_json, lambda: {"text": '[{"kind": "L2", "strength": 0.1}]'}),
    method(
        lambda: REGULARIZATION([regularize.L2(0.1)]),
        "Regularization",
        "get",
        lambda: {"kind": regularize.L2},
        fixed=("kind",),
    ),
]
