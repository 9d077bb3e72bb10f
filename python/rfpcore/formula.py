"""Features from a formula, for scikit-learn's pipelines. Estimators of effects read formulas themselves."""

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ._arrays import Array
from ._atomic import all_or_nothing
from ._formula import design, design_again, feature_formula
from ._frame_columns import is_frame

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FormulaFeatures"]


class FormulaFeatures(TransformerMixin, BaseEstimator):
    """Columns of numbers made of a frame by a formula such as "np.log(size) + C(region) + age:C(sex)".

    The formulas are those of `formulaic` (the extra "formula"), as in R and pyfixest: columns of text become
    zeros and ones, one column for each label but the first; `*` and `:` are interactions; `center`, `scale`,
    `poly`, `bs` and NumPy's functions are there. What they learn from the rows of `fit`, such as labels and
    means, is what `transform` uses.

    Parameters
    ----------
    formula : str
        Right of the "~". There is no column for the intercept, which the estimators have themselves.

    Attributes
    ----------
    references_ : dict
        Of columns of labels, the label that has no column of zeros and ones.
    feature_names_in_ : ndarray of str
        The columns of the frame that the formula names.
    n_features_in_ : int

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.pipeline import make_pipeline
    >>> from rfpcore import MLPRegressor
    >>> from rfpcore.formula import FormulaFeatures
    >>> rents = pd.DataFrame({"size": [40, 60, 90, 70], "region": ["north", "south", "north", "east"]})
    >>> features = FormulaFeatures("np.log(size) + region").fit(rents)
    >>> features.get_feature_names_out().tolist(), features.references_
    (['np.log(size)', 'region[T.north]', 'region[T.south]'], {'region': 'east'})
    >>> model = make_pipeline(features, MLPRegressor(max_iter=5, random_state=0))
    >>> model.fit(rents, [500.0, 600.0, 800.0, 650.0]).predict(rents).shape
    (4,)
    """

    def __init__(self, formula: str) -> None:
        self.formula = formula

    @all_or_nothing
    def fit(self, X: Any, y: Any = None) -> "Self":
        """Learn labels, and what functions of the formula learn.

        Parameters
        ----------
        X : frame
            Of pandas or polars. Rows need a value in each column that the formula names.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If formulaic is not installed.
        TypeError, ValueError
            If X is no frame, the formula cannot be read, names no column, has an outcome or no intercept; or
            if a value is missing or a column is not finite.
        """
        _require_frame(X)
        if not isinstance(self.formula, str):
            raise TypeError(f"formula is a {type(self.formula).__name__}; text is needed")
        formula = feature_formula(self.formula)
        formula.require_columns(X)
        found = design(formula, X)
        self._formula, self._spec, self._names = formula, found.spec, found.names
        self.references_ = found.references
        used = formula.variables()
        self.feature_names_in_ = np.array([name for name in X.columns if name in used], object)
        self.n_features_in_ = len(self.feature_names_in_)
        return self

    def transform(self, X: Any) -> Array:
        """Make the columns of other rows.

        Parameters
        ----------
        X : frame
            With the columns that the formula names, in any order.

        Returns
        -------
        features : ndarray (N, n_columns) of float64

        Raises
        ------
        TypeError, ValueError
            As `fit`, and if a column holds a label that `fit` has not seen.
        """
        check_is_fitted(self)
        _require_frame(X)
        return design_again(self._formula, self._spec, X)

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Names of the columns.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        names : ndarray of str
        """
        check_is_fitted(self)
        return np.array(self._names, object)


def _require_frame(X: Any) -> None:
    if not is_frame(X):
        raise TypeError(f"X is a {type(X).__name__}; a frame, whose columns the formula names, is needed")
