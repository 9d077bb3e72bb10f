"""Effects of a policy that comes by cluster."""

from .did import DifferenceInDifferences
from .effect import ClusterEffect
from .linear import linear_effect
from .results import Effect
from .staggered import StaggeredEffect

__all__ = ["ClusterEffect", "DifferenceInDifferences", "Effect", "StaggeredEffect", "linear_effect"]
