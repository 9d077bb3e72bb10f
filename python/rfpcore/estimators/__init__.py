"""scikit-learn estimators: on clustered data, what their `adapt` returns, and ordinary training."""

from .mixed import (
    AdaptedMixedClassifier,
    AdaptedMixedRegressor,
    ClusterPosterior,
    EffectsPrior,
    LikelihoodRatioTest,
    MixedClassifier,
    MixedRegressor,
    RandomEffects,
    VarianceComponents,
)
from .mlp import EnsembleClassifier, EnsembleRegressor, MLPClassifier, MLPRegressor
from .rfp import (
    AdaptedClassifier,
    AdaptedRegressor,
    ExactlyAdaptedRegressor,
    FitState,
    Refits,
    RFPClassifier,
    RFPRegressor,
    RFPRegressorCV,
    refit_clusters,
)

__all__ = [
    "AdaptedClassifier",
    "AdaptedMixedClassifier",
    "AdaptedMixedRegressor",
    "AdaptedRegressor",
    "ClusterPosterior",
    "EffectsPrior",
    "EnsembleClassifier",
    "EnsembleRegressor",
    "ExactlyAdaptedRegressor",
    "FitState",
    "LikelihoodRatioTest",
    "MLPClassifier",
    "MLPRegressor",
    "MixedClassifier",
    "MixedRegressor",
    "RFPClassifier",
    "RFPRegressor",
    "RFPRegressorCV",
    "RandomEffects",
    "Refits",
    "VarianceComponents",
    "refit_clusters",
]
