"""What a type checker makes of a user's script: `make lint` checks it, nothing runs it."""

from typing import Any

from numpy.typing import NDArray
from typing_extensions import assert_type

from rfpcore import (
    EnsembleClassifier,
    EnsembleRegressor,
    MixedClassifier,
    MixedRegressor,
    MLPClassifier,
    MLPRegressor,
    RFPClassifier,
    RFPRegressor,
    RFPRegressorCV,
)
from rfpcore.causal import ClusterEffect, DifferenceInDifferences, IndividualEffect, StaggeredEffect
from rfpcore.conformal import ClusterConformal
from rfpcore.formula import FormulaFeatures
from rfpcore.implicit import Equations, GradientMatching
from rfpcore.npiv import F2BMLD, DeepFeatureIV, KernelIV, ProximalF2BMLD, SieveIV, TwoStageLeastSquares


def fits(X: Any, y: Any, groups: Any, shards: Any, equations: Equations) -> None:
    """A fit gives back the estimator, of its own type."""
    assert_type(RFPRegressor().fit(X, y, groups), RFPRegressor)
    assert_type(RFPRegressor().partial_fit(X, y, groups), RFPRegressor)
    assert_type(RFPRegressor().fit_shards(shards), RFPRegressor)
    assert_type(RFPClassifier().fit(X, y, groups), RFPClassifier)
    assert_type(RFPClassifier().partial_fit(X, y, groups), RFPClassifier)
    assert_type(RFPRegressorCV().fit(X, y, groups), RFPRegressorCV)
    assert_type(MixedRegressor().fit(X, y, groups), MixedRegressor)
    assert_type(MixedRegressor(mean="network").fit_shards(shards), MixedRegressor)
    assert_type(MixedClassifier().fit(X, y, groups), MixedClassifier)
    assert_type(MLPRegressor().fit(X, y), MLPRegressor)
    assert_type(MLPClassifier().fit(X, y), MLPClassifier)
    assert_type(EnsembleRegressor(MLPRegressor()).fit(X, y), EnsembleRegressor)
    assert_type(EnsembleClassifier(MLPClassifier()).fit(X, y), EnsembleClassifier)
    assert_type(ClusterConformal(RFPRegressor()).fit(X, y, groups), ClusterConformal)
    assert_type(FormulaFeatures("x").fit(X), FormulaFeatures)
    assert_type(GradientMatching([]).fit(equations), GradientMatching)


def effects(X: Any, y: Any, groups: Any) -> None:
    """And so do those of effects and of instruments."""
    assert_type(ClusterEffect().fit(X, y, y, groups), ClusterEffect)
    assert_type(IndividualEffect().fit(X, y, y, groups), IndividualEffect)
    assert_type(DifferenceInDifferences().fit(X, y, y, groups, y), DifferenceInDifferences)
    assert_type(StaggeredEffect().fit(X, y, y, groups, y), StaggeredEffect)
    assert_type(ClusterEffect().fit(X, y, y, groups).confidence_interval(), tuple[float, float])
    assert_type(ClusterEffect().fit(X, y, y, groups).summary(), str)
    assert_type(F2BMLD().fit(X, y, X), F2BMLD)
    assert_type(SieveIV().fit(X, y, X), SieveIV)
    assert_type(KernelIV().fit(X, y, X), KernelIV)
    assert_type(DeepFeatureIV().fit(X, y, X), DeepFeatureIV)
    assert_type(TwoStageLeastSquares().fit(X, y, X), TwoStageLeastSquares)
    assert_type(ProximalF2BMLD().fit(X, y, X, X), ProximalF2BMLD)


def predictions(X: Any, y: Any, groups: Any) -> None:
    """What is asked of a fitted estimator has a type, too."""
    assert_type(RFPRegressor().fit(X, y, groups).predict(X), NDArray[Any])
    assert_type(MixedRegressor().fit(X, y, groups).summary(), str)
    assert_type(MLPRegressor().fit(X, y).score(X, y), float)
