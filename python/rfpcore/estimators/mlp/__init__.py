"""Networks trained the ordinary way, and ensembles of them."""

from .ensemble import EnsembleClassifier, EnsembleRegressor
from .estimators import MLPClassifier, MLPRegressor

__all__ = ["EnsembleClassifier", "EnsembleRegressor", "MLPClassifier", "MLPRegressor"]
