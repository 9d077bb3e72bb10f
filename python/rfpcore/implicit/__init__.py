"""What a training procedure adds to its loss, estimated: gradient matching for implicit regularization.

`Equations` say what is known of the gradient of an unknown penalty (from endpoints, windows of a run, steps
beside the gradient flow, orders of mini-batches, masks); `GradientMatching` finds the coefficients of
penalties that explain it, how sure they are, and whether they can be told apart at all.
"""

from ._penalty import Penalty
from .curvature import curvature_at
from .data_penalties import ActivationRidge, BatchVariance, DropoutCurvature, SquaredGradient
from .displays import CoefficientDisplay, MatrixDisplay, PathDisplay, RetrainingDisplay
from .equations import Equations
from .matching import GradientMatching
from .nonlinear import NonLinear
from .penalties import NuclearNorm, PathNorm, PerLayer, Proximal, Quadratic
from .recorder import torch_recorder
from .validation import validate

__all__ = [
    "ActivationRidge",
    "BatchVariance",
    "CoefficientDisplay",
    "DropoutCurvature",
    "Equations",
    "GradientMatching",
    "MatrixDisplay",
    "NonLinear",
    "NuclearNorm",
    "PathDisplay",
    "PathNorm",
    "Penalty",
    "PerLayer",
    "Proximal",
    "Quadratic",
    "RetrainingDisplay",
    "SquaredGradient",
    "curvature_at",
    "torch_recorder",
    "validate",
]
