"""Studies of double descent: whether test error rises before it falls, and what regularizers do to it.

`Descent` draws curves over width, depth, rows or epochs; `compose` trains every subset of techniques at
several strengths; `monotonicity_test` judges curves with the right size; `shapley_values` and `walsh_anova`
say what each technique does; `theory` has exact risks and `simulation` their simulation; `report` writes it
all down.
"""

from . import (
    attribution,
    composition,
    data,
    descent,
    monotonicity,
    reporting,
    simulation,
    theory,
)
from .attribution import ShapleyValues, WalshAnova, shapley_values, walsh_anova
from .composition import Composition, Tolerance, Verdict, compose, digits_techniques
from .data import NoisyLabels, noisy_digits, noisy_images, noisy_teacher
from .descent import Curve, Descent, geometric
from .monotonicity import MonotonicityTest, holm, monotonicity_test
from .reporting import report

__all__ = [
    "Composition",
    "Curve",
    "Descent",
    "MonotonicityTest",
    "NoisyLabels",
    "ShapleyValues",
    "Tolerance",
    "Verdict",
    "WalshAnova",
    "attribution",
    "compose",
    "composition",
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
    "report",
    "reporting",
    "shapley_values",
    "simulation",
    "theory",
    "walsh_anova",
]
