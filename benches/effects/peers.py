"""Effects by other packages, with the same boosted trees and logistic regression in both."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from .designs import Draw

Found = tuple[str, float, float, float, float]  # name, estimate, low, high, truth


def _outcome() -> Any:
    return GradientBoostingRegressor(n_estimators=50, max_depth=2, random_state=0)


def double_ml(data: Draw) -> Iterator[Found]:
    """The doubly robust effect on the treated, cross-fitted over clusters, cluster-robust."""
    import doubleml
    import pandas as pd

    columns = [f"x{i}" for i in range(data.X.shape[1])]
    frame = pd.DataFrame(data.X, columns=columns).assign(y=data.y, d=data.treatment, g=data.groups)
    held = doubleml.DoubleMLData(frame, "y", "d", columns, cluster_cols="g")
    np.random.seed(0)  # noqa: NPY002  # DoubleML draws its folds from it
    model = doubleml.DoubleMLIRM(
        held, _outcome(), LogisticRegression(), n_folds=5, score="ATTE", normalize_ipw=True
    )
    model.fit()
    low, high = model.confint().to_numpy()[0]
    yield ("effect on the treated", float(model.coef[0]), float(low), float(high), data.truth)


def econ_ml(data: Draw) -> Iterator[Found]:
    """The doubly robust effect on all, cross-fitted over clusters; its intervals know of no clusters."""
    from econml.dr import LinearDRLearner

    model = LinearDRLearner(
        model_propensity=LogisticRegression(),
        model_regression=_outcome(),
        min_propensity=0.1,
        cv=StratifiedGroupKFold(5, shuffle=True, random_state=0),
        random_state=0,
    )
    model.fit(data.y, data.treatment, X=None, W=data.X, groups=data.groups)
    found = model.ate_inference(T0=0, T1=1)
    low, high = (float(np.squeeze(end)) for end in found.conf_int_mean())
    yield ("effect on all", float(np.squeeze(found.mean_point)), low, high, data.truth_of_all)
