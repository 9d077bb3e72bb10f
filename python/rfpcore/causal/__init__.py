"""Effects of a policy that comes by cluster, with intervals for few clusters; what clusters do to a fit."""

from .diagnostics import effective_weights, in_hull, own_cluster_share, triad
from .did import DifferenceInDifferences
from .displays import (
    AdaptedCurvesDisplay,
    NeighbourDisplay,
    TriadDisplay,
    WeightsDisplay,
)
from .effect import ClusterEffect
from .event_study import EffectsDisplay, EventStudyDisplay
from .individual import IndividualEffect
from .linear import linear_effect
from .results import Effect
from .sensitivity import Sensitivity, SensitivityDisplay
from .staggered import StaggeredEffect
from .wild import wild_interval

__all__ = [
    "AdaptedCurvesDisplay",
    "ClusterEffect",
    "DifferenceInDifferences",
    "Effect",
    "EffectsDisplay",
    "EventStudyDisplay",
    "IndividualEffect",
    "NeighbourDisplay",
    "Sensitivity",
    "SensitivityDisplay",
    "StaggeredEffect",
    "TriadDisplay",
    "WeightsDisplay",
    "effective_weights",
    "in_hull",
    "linear_effect",
    "own_cluster_share",
    "triad",
    "wild_interval",
]
