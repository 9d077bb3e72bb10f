"""Many small neural networks on clustered data, trained by exact bi-level gradient descent.

The estimator is that of Power and Ghosh (2025), "Regularizing the Forward Pass". `RFPRegressor` and
`RFPClassifier` follow scikit-learn; the functions work on NumPy arrays.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from . import losses
from .clusters import Clusters
from .exceptions import (
    DivergenceError,
    DivergenceWarning,
    GroupsWarning,
    InnerStepWarning,
    InterruptedWarning,
    ScaleWarning,
)
from .files import load
from .functional import adapt, auto_inner_lr, curvature, hvp, objective, value_and_grad
from .network import MLP
from .status import ClusterStatus, Objective
from .sweeps import SweepResult, sweep

if TYPE_CHECKING:
    from .estimators import (
        EnsembleClassifier,
        EnsembleRegressor,
        MLPClassifier,
        MLPRegressor,
        RFPClassifier,
        RFPRegressor,
    )

__version__ = version("rfpcore")

__all__ = [
    "MLP",
    "ClusterStatus",
    "Clusters",
    "DivergenceError",
    "DivergenceWarning",
    "EnsembleClassifier",
    "EnsembleRegressor",
    "GroupsWarning",
    "InnerStepWarning",
    "InterruptedWarning",
    "MLPClassifier",
    "MLPRegressor",
    "Objective",
    "RFPClassifier",
    "RFPRegressor",
    "ScaleWarning",
    "SweepResult",
    "adapt",
    "auto_inner_lr",
    "curvature",
    "hvp",
    "load",
    "losses",
    "objective",
    "sweep",
    "value_and_grad",
]


_ESTIMATORS = (
    "EnsembleClassifier",
    "EnsembleRegressor",
    "MLPClassifier",
    "MLPRegressor",
    "RFPClassifier",
    "RFPRegressor",
)


def __getattr__(name: str) -> Any:
    """The estimators, at first use: scikit-learn takes ten times as long to import as all the rest."""
    if name in _ESTIMATORS:
        return getattr(import_module(".estimators", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
