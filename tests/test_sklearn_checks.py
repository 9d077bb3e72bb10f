"""scikit-learn's own checks of an estimator: none is skipped here.

scikit-learn itself skips one where SCIPY_ARRAY_API is not set: array API input, which the estimators do not
claim to take.
"""

from sklearn.utils.estimator_checks import parametrize_with_checks

from rfpcore import RFPClassifier, RFPRegressor


@parametrize_with_checks([RFPRegressor(), RFPClassifier()])
def test_scikit_learn(estimator, check):
    check(estimator)
