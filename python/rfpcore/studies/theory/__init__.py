"""Test risks that are known exactly: where a curve of double descent can be computed instead of measured.

Linear regression with and without a ridge penalty, random features, and gradient descent over time. All risks
are in excess of the noise: the mean squared distance between what is predicted and what is true on new rows.
`rfpcore.studies.simulation` draws the same risks.
"""

from ._descent import TwoScales, gradient_descent, two_scales
from ._features import random_features
from ._linear import OptimalRidge, optimal_ridge, ridge, ridgeless

__all__ = [
    "OptimalRidge",
    "TwoScales",
    "gradient_descent",
    "optimal_ridge",
    "random_features",
    "ridge",
    "ridgeless",
    "two_scales",
]
