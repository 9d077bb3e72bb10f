"""scikit-learn's own checks of an estimator: none is skipped here.

scikit-learn itself skips one where SCIPY_ARRAY_API is not set: array API input, which the estimators do not
claim to take.
"""

import pytest
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


# The checks know no groups.
@pytest.mark.filterwarnings("ignore::rfpcore.exceptions.GroupsWarning")
@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn(estimator, check):
    check(estimator)
