"""Effects of a policy that comes by cluster."""

from .effect import ClusterEffect
from .linear import linear_effect
from .results import Effect

__all__ = ["ClusterEffect", "Effect", "linear_effect"]
