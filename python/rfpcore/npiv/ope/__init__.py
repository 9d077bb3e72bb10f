"""Offline policy evaluation: the Bellman equation as an instrumental-variables problem.

E[r | s, a] = E[Q(s, a) - γ (1 - done) Q(s', π(s')) | s, a]: the outcome is r, the instrument is (s, a), and
what the first stage follows has two terms. Least squares on Q(s, a) - γ Q(s', π(s')) directly would be
biased, since s' is random given (s, a).
"""

from ._deep import DeepFeatureEvaluation
from ._f2bmld import F2BMLDEvaluation
from ._fitted_q import FittedQEvaluation
from ._transitions import Policy, Transitions, make_transitions

__all__ = [
    "DeepFeatureEvaluation",
    "F2BMLDEvaluation",
    "FittedQEvaluation",
    "Policy",
    "Transitions",
    "make_transitions",
]
