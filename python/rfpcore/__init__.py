"""Many small neural networks on clustered data, trained by exact bi-level gradient descent.

The estimator is that of Power and Ghosh (2025), "Regularizing the Forward Pass". `RFPRegressor` and
`RFPClassifier` follow scikit-learn; the functions work on NumPy arrays. All submodules are there after
`import rfpcore`; each is imported at its first use.
"""

from importlib.metadata import version as _version_of
from typing import TYPE_CHECKING

from . import _lazy, losses
from .clusters import Clusters
from .derivatives import jvp, output_hvp, vjp
from .dropout import dropout_gradient
from .exceptions import (
    DesignWarning,
    DivergenceError,
    DivergenceWarning,
    GroupsWarning,
    InnerStepWarning,
    InstrumentWarning,
    InternalError,
    InterruptedWarning,
    ScaleWarning,
)
from .files import load
from .functional import adapt, auto_inner_lr, curvature, gradient, hvp, objective, value_and_grad
from .many import Model, fit_many
from .network import MLP
from .status import ClusterStatus, Objective

if TYPE_CHECKING:
    from . import (  # noqa: F401  (for type checkers; `__getattr__` imports them)
        calibration,
        causal,
        cli,
        conformal,
        cost,
        datasets,
        estimators,
        export,
        formula,
        implicit,
        npiv,
        plotting,
        sharded,
        spectral,
        studies,
        torch_reference,
    )
    from .estimators import (
        EnsembleClassifier,
        EnsembleRegressor,
        MixedClassifier,
        MixedRegressor,
        MLPClassifier,
        MLPRegressor,
        RFPClassifier,
        RFPRegressor,
        RFPRegressorCV,
    )
    from .studies import SweepResult, sweep

__version__ = _version_of("rfpcore")

__all__ = [
    "MLP",
    "ClusterStatus",
    "Clusters",
    "DesignWarning",
    "DivergenceError",
    "DivergenceWarning",
    "EnsembleClassifier",
    "EnsembleRegressor",
    "GroupsWarning",
    "InnerStepWarning",
    "InstrumentWarning",
    "InternalError",
    "InterruptedWarning",
    "MLPClassifier",
    "MLPRegressor",
    "MixedClassifier",
    "MixedRegressor",
    "Model",
    "Objective",
    "RFPClassifier",
    "RFPRegressor",
    "RFPRegressorCV",
    "ScaleWarning",
    "SweepResult",
    "adapt",
    "auto_inner_lr",
    "curvature",
    "dropout_gradient",
    "fit_many",
    "gradient",
    "hvp",
    "jvp",
    "load",
    "losses",
    "objective",
    "output_hvp",
    "sweep",
    "value_and_grad",
    "vjp",
]

# What needs scikit-learn, which takes ten times as long to import as all the rest, or an optional package.
_ESTIMATORS = (
    "EnsembleClassifier",
    "EnsembleRegressor",
    "MLPClassifier",
    "MLPRegressor",
    "MixedClassifier",
    "MixedRegressor",
    "RFPClassifier",
    "RFPRegressor",
    "RFPRegressorCV",
)
_STUDIES = ("SweepResult", "sweep")
_SUBMODULES = (
    "calibration",
    "causal",
    "cli",
    "conformal",
    "cost",
    "datasets",
    "estimators",
    "export",
    "formula",
    "implicit",
    "npiv",
    "plotting",
    "sharded",
    "spectral",
    "studies",
    "torch_reference",
)

__getattr__ = _lazy.attach(
    globals(),
    dict.fromkeys(_ESTIMATORS, "estimators")
    | dict.fromkeys(_STUDIES, "studies")
    | {name: name for name in _SUBMODULES},
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES} - {"TYPE_CHECKING"})
