"""scikit-learn estimators on clustered data, and what their `adapt` returns."""

from .adapted import AdaptedClassifier, AdaptedRegressor
from .callbacks import FitState
from .classifier import RFPClassifier
from .regressor import RFPRegressor

__all__ = ["AdaptedClassifier", "AdaptedRegressor", "FitState", "RFPClassifier", "RFPRegressor"]
