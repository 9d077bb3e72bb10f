"""Targets: equations of a penalty's gradient, penalties, gradient matching, and what is drawn of it."""

import functools
import warnings

import numpy as np
import torch
from fuzz_target import Target, function, method

import rfpcore
from rfpcore import implicit
from rfpcore.implicit import Equations, GradientMatching
from rfpcore.many import Model, Record, fit_many
from rfpcore.optimizers import SGD
from rfpcore.regularize import L1, L2

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((18, 2))
Y = X[:, 0] + 0.1 * RANDOM.standard_normal(18)
DATA = rfpcore.Clusters(X, Y)
NET = rfpcore.MLP(2, (3,))
LINEAR = rfpcore.MLP(2, ())
THETAS = RANDOM.standard_normal((4, NET.n_parameters))
MODEL = Model((3,), optimizer=SGD(0.01), regularization=L2(0.1), n_steps=40, batch_size=6)
PLAIN = Model((3,), optimizer=SGD(0.01), n_steps=40, batch_size=6)


@functools.lru_cache(maxsize=1)
def run():
    return fit_many(X, Y, MODEL, record=Record(every=2, thetas=True, gradients=True), n_jobs=1)[0]


@functools.lru_cache(maxsize=1)
def fitted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        noise = np.random.default_rng(1).standard_normal(THETAS.shape)
        return GradientMatching([L2(1)], n_pieces=2).fit(Equations(THETAS, 0.1 * THETAS + noise, net=NET))


def matching(equations, **options):
    found = GradientMatching(**options).fit(equations)
    return found.coef_, found.explained_, found.summary()


def sgd(every, windows):
    model = torch.nn.Linear(2, 1, dtype=torch.float64)
    rows = torch.tensor(X), torch.tensor(Y)[:, None]
    recorder = implicit.torch_recorder(model, torch.nn.functional.mse_loss, *rows, every=every)
    for _ in range(40):
        recorder.before_step(lr=0.01)
    return recorder.equations(windows).targets


def of_data(**more):
    return lambda: {"net": NET, "data": DATA} | more


def at_points(**more):
    return lambda: {"net": NET, "thetas": THETAS, "data": DATA} | more


OPTIONS = {
    "constraint": None,
    "covariance": "group",
    "n_pieces": 1,
    "identified": "required",
    "rtol": 1e-8,
}
QUADRATIC = implicit.Quadratic("symmetric")
PENALTIES = (
    implicit.Quadratic(),
    implicit.Proximal(np.zeros(NET.n_parameters)),
    implicit.PerLayer(L2(1), NET),
    implicit.NuclearNorm(NET),
    implicit.PathNorm(NET),
    implicit.SquaredGradient(NET, DATA),
    implicit.BatchVariance(NET, DATA, 6),
    implicit.DropoutCurvature(NET, DATA),
    implicit.ActivationRidge(LINEAR, DATA),
    implicit.NonLinear(lambda theta, shape: theta * shape[0], 1.0),
)


def of_penalty(penalty):
    """Names and gradients, which the estimator asks for with arrays that it has checked."""
    kind = type(penalty).__name__
    thetas = THETAS if kind != "ActivationRidge" else THETAS[:, :3]

    def call():
        return penalty.names(thetas.shape[1]), penalty.gradients(thetas)

    return Target(f"{kind}.gradients", call, dict, covers=(f"{kind}.names", f"{kind}.on"))


TARGETS: list[Target] = [
    function(Equations, lambda: {"thetas": THETAS, "targets": THETAS, "net": NET}),
    method(
        lambda: Equations(THETAS, THETAS), "Equations", "take", lambda: {"indices": [0]}, fixed=("indices",)
    ),
    function(Equations.endpoint, at_points()),
    Target(
        "Equations.trajectory",
        lambda **given: Equations.trajectory(**given).targets,
        lambda: {"result": run(), "windows": 4},
        lambda: ({"baseline": "auto", "start": 0}, {}),
    ),
    Target(
        "Equations.flow",
        lambda **given: Equations.flow(**given).targets,
        at_points(step=0.1),
        lambda: ({"loss": "squared", "substeps": 2}, {}),
    ),
    Target(
        "Equations.epochs",
        lambda **given: Equations.epochs(**given).targets,
        at_points(batches=6, step=0.1),
        lambda: ({"loss": "squared", "substeps": 2, "pairs": 1, "random_state": 0}, {}),
    ),
    Target(
        "Equations.dropout",
        lambda **given: Equations.dropout(**given).targets,
        at_points(rate=0.1),
        lambda: ({"loss": "squared", "n_draws": 4, "random_state": 0}, {}),
    ),
    Target(
        "GradientMatching",
        matching,
        lambda: {"penalties": [L2(1)], "equations": Equations(THETAS, 0.1 * THETAS)},
        lambda: (OPTIONS, {}),
        covers=("GradientMatching.fit",),
    ),
    method(fitted, "GradientMatching", "bound_"),
    method(fitted, "GradientMatching", "confidence_interval"),
    method(fitted, "GradientMatching", "summary"),
    method(fitted, "GradientMatching", "to_frame"),
    Target(
        "GradientMatching.gradient",
        lambda thetas: GradientMatching([L2(1)]).fit(Equations(THETAS, THETAS)).gradient(thetas),
        lambda: {"thetas": THETAS},
        covers=("GradientMatching.gradient_on",),
    ),
    function(implicit.Quadratic, lambda: {"shape": "diagonal", "indices": [0, 1]}),
    Target(
        "Quadratic.matrix", lambda: QUADRATIC.matrix(np.ones(3)), dict, covers=("Quadratic.coefficients",)
    ),
    function(implicit.Proximal, lambda: {"center": THETAS[0]}),
    function(implicit.PerLayer, lambda: {"term": L1(1), "net": NET}),
    function(implicit.NuclearNorm, lambda: {"net": NET}),
    function(implicit.PathNorm, lambda: {"net": NET}),
    function(implicit.SquaredGradient, of_data()),
    function(implicit.BatchVariance, of_data(batches=6)),
    function(implicit.DropoutCurvature, of_data()),
    method(
        lambda: PENALTIES[7],
        "DropoutCurvature",
        "value",
        lambda: {"theta": THETAS[0]},
        allowed={"raises": (ArithmeticError,)},
    ),
    function(implicit.ActivationRidge, lambda: {"net": LINEAR, "data": DATA}),
    function(implicit.NonLinear, lambda: {"function": np.multiply, "start": 1.0}),
    Target("NonLinear.at", lambda: PENALTIES[9].at(THETAS, np.ones(1)), dict),
    *(of_penalty(penalty) for penalty in PENALTIES),
    function(
        implicit.curvature_at,
        lambda: {"net": NET, "theta": THETAS[0], "data": DATA},
        allowed={"raises": (ArithmeticError,)},
    ),
    Target(
        "validate",
        lambda **given: implicit.validate(**given).summary(),
        lambda: {
            "model": MODEL,
            "X": X,
            "y": Y,
            "estimate": L2(0.1),
            "ablated": PLAIN,
            "held_out": (X, Y),
        },
        covers=("Validation", "Validation.summary", "Validation.to_frame", "Retraining"),
    ),
    Target("torch_recorder", sgd, lambda: {"every": 2, "windows": 4}),
    Target(
        "CoefficientDisplay",
        lambda **given: implicit.CoefficientDisplay(**given).plot(),
        lambda: {"true": {"a": [1.0, 2.0]}, "estimated": {"a": [1.0, 2.0]}},
        covers=("CoefficientDisplay.plot",),
    ),
    Target(
        "MatrixDisplay",
        lambda **given: implicit.MatrixDisplay(**given).plot(),
        lambda: {"matrices": {"Q": np.eye(2)}},
        covers=("MatrixDisplay.plot",),
    ),
    Target(
        "PathDisplay.from_estimator",
        lambda **given: implicit.PathDisplay.from_estimator(**given).plot(),
        lambda: {"estimator": fitted()},
        lambda: ({"level": 0.95}, {}),
        covers=("PathDisplay", "PathDisplay.plot"),
    ),
    Target(
        "RetrainingDisplay",
        lambda **given: implicit.RetrainingDisplay(**given).plot(),
        lambda: {"validation": implicit.validate(MODEL, X, Y, L2(0.1), ablated=PLAIN, held_out=(X, Y))},
        covers=("RetrainingDisplay.plot",),
    ),
]
