"""Mixed models: a population's function of any kind, and clusters' effects in closed form."""

from .adapted import AdaptedMixedClassifier, AdaptedMixedRegressor
from .classifier import MixedClassifier
from .effects import ClusterPosterior, EffectsPrior, effects_prior
from .regressor import MixedRegressor
from .results import LikelihoodRatioTest, RandomEffects, VarianceComponents

__all__ = [
    "AdaptedMixedClassifier",
    "AdaptedMixedRegressor",
    "ClusterPosterior",
    "EffectsPrior",
    "LikelihoodRatioTest",
    "MixedClassifier",
    "MixedRegressor",
    "RandomEffects",
    "VarianceComponents",
    "effects_prior",
]
