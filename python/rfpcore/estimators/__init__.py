"""scikit-learn estimators: on clustered data, what their `adapt` returns, and ordinary training."""

from .adapted import AdaptedClassifier, AdaptedRegressor
from .callbacks import FitState
from .classifier import RFPClassifier
from .cv import RFPRegressorCV
from .ensemble import EnsembleClassifier, EnsembleRegressor
from .mlp import MLPClassifier, MLPRegressor
from .refits import Refits, refit_clusters
from .regressor import RFPRegressor

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
