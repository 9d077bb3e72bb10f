"""scikit-learn's own checks of an estimator: none is skipped here.

scikit-learn itself skips one where SCIPY_ARRAY_API is not set: array API input, which the estimators do not
claim to take.
"""

from sklearn.utils.estimator_checks import parametrize_with_checks

from rfpcore import (
    EnsembleClassifier,
    EnsembleRegressor,
    MLPClassifier,
    MLPRegressor,
    RFPClassifier,
    RFPRegressor,
)

ESTIMATORS = [
    RFPRegressor(),
    RFPClassifier(),
    MLPRegressor(),
    MLPClassifier(),
    EnsembleRegressor(),
    EnsembleClassifier(),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn(estimator, check):
    check(estimator)
