"""scikit-learn estimators: on clustered data, what their `adapt` returns, and ordinary training."""

from .mlp import EnsembleClassifier, EnsembleRegressor, MLPClassifier, MLPRegressor
from .rfp import (
    AdaptedClassifier,
    AdaptedRegressor,
    FitState,
    Refits,
    RFPClassifier,
    RFPRegressor,
    RFPRegressorCV,
    refit_clusters,
)

__all__ = [
    "AdaptedClassifier",
    "AdaptedRegressor",
    "EnsembleClassifier",
    "EnsembleRegressor",
    "FitState",
    "MLPClassifier",
    "MLPRegressor",
    "RFPClassifier",
    "RFPRegressor",
    "RFPRegressorCV",
    "Refits",
    "refit_clusters",
]
