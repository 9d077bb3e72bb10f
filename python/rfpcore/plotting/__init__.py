"""Figures as objects, after scikit-learn's displays: what is drawn is computed first, and kept.

Every display has `plot`, which draws on the axes given or on new ones and keeps them in `ax_` and `figure_`.
matplotlib is imported when something is drawn, not before; `pip install 'rfpcore[plot]'` installs it.
"""

from ._boundary import DecisionBoundaryDisplay
from ._loss import LossCurveDisplay
from ._random_effects import RandomEffectsDisplay
from ._reliability import ReliabilityDisplay
from ._spectral import SpectralEnergyDisplay
from ._weights import WeightMatrixDisplay

__all__ = [
    "DecisionBoundaryDisplay",
    "LossCurveDisplay",
    "RandomEffectsDisplay",
    "ReliabilityDisplay",
    "SpectralEnergyDisplay",
    "WeightMatrixDisplay",
]
