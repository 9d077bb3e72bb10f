"""Studies of many networks: sweeps, and double descent: whether test error rises before it falls.

`sweep` trains a model at every point of a grid, and keeps what is finished in a file. `Descent` draws curves
over width, depth, rows or epochs, of networks, of least squares and of random features; `compose` trains
every subset of techniques at several strengths; `monotonicity_test` judges curves with the right size;
`shapley_values` and `walsh_anova` say what each technique does; `theory` has exact risks and `simulation`
their simulation; `report` writes it all down.
"""

from . import (
    attribution,
    composition,
    curves,
    data,
    descent,
    monotonicity,
    regression,
    reporting,
    simulation,
    sweeps,
    theory,
)
from .attribution import ShapleyValues, WalshAnova, shapley_values, walsh_anova
from .composition import Composition, Tolerance, Verdict, compose, digits_techniques
from .curves import Curve, RiskMap
from .data import NoisyLabels, noisy_digits, noisy_images, noisy_teacher
from .descent import Descent, geometric
from .monotonicity import MonotonicityTest, holm, monotonicity_test
from .regression import LeastSquares, LinearTarget, RandomFeatures
from .reporting import report
from .sweeps import BestPoint, SweepResult, sweep

__all__ = [
    "BestPoint",
    "Composition",
    "Curve",
    "Descent",
    "LeastSquares",
    "LinearTarget",
    "MonotonicityTest",
    "NoisyLabels",
    "RandomFeatures",
    "RiskMap",
    "ShapleyValues",
    "SweepResult",
    "Tolerance",
    "Verdict",
    "WalshAnova",
    "attribution",
    "compose",
    "composition",
    "curves",
    "data",
    "descent",
    "digits_techniques",
    "geometric",
    "holm",
    "monotonicity",
    "monotonicity_test",
    "noisy_digits",
    "noisy_images",
    "noisy_teacher",
    "regression",
    "report",
    "reporting",
    "shapley_values",
    "simulation",
    "sweep",
    "sweeps",
    "theory",
    "walsh_anova",
]
