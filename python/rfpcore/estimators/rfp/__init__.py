"""Estimators on clustered data: the outer and the inner loop."""

from .adapted import AdaptedClassifier, AdaptedRegressor, ExactlyAdaptedRegressor
from .callbacks import FitState
from .classifier import RFPClassifier
from .cv import RFPRegressorCV
from .refits import Refits, refit_clusters
from .regressor import RFPRegressor

__all__ = [
    "AdaptedClassifier",
    "AdaptedRegressor",
    "ExactlyAdaptedRegressor",
    "FitState",
    "RFPClassifier",
    "RFPRegressor",
    "RFPRegressorCV",
    "Refits",
    "refit_clusters",
]
