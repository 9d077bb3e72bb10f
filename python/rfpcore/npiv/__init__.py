"""Nonparametric instrumental variables: estimators of h in E[Y | Z] = E[h(X) | Z]."""

from typing import TYPE_CHECKING

from .. import _lazy
from ..exceptions import InstrumentWarning
from ._bands import Bands
from ._diagnose import Condition, Diagnosis
from ._strength import InstrumentStrength
from .deep import DeepFeatureIV
from .f2bmld import F2BMLD
from .kernel import KernelIV
from .linear import TwoStageLeastSquares
from .particles import MeanField
from .proximal import ProximalF2BMLD
from .sieve import SieveIV

if TYPE_CHECKING:
    from . import ope as ope

__all__ = [
    "F2BMLD",
    "Bands",
    "Condition",
    "DeepFeatureIV",
    "Diagnosis",
    "InstrumentStrength",
    "InstrumentWarning",
    "KernelIV",
    "MeanField",
    "ProximalF2BMLD",
    "SieveIV",
    "TwoStageLeastSquares",
]

__getattr__ = _lazy.attach(globals(), {"ope": "ope"})


def __dir__() -> list[str]:
    return sorted({*globals(), "ope"})
