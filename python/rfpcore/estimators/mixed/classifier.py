"""Mixed-effects classification with a nonparametric mean."""

from typing import TYPE_CHECKING, Any

from sklearn.base import ClassifierMixin

from ..._arrays import Array
from ..._atomic import all_or_nothing
from ..._file_parts import Document, Tensors, class_labels, labels_to_json, object_of
from ..._frames import AlignedScore, require_aligned
from .._callbacks import told
from .._known import Unknown
from .._targets import ClassTargets
from ._base import MixedBase
from ._laplace import FamilyName
from ._predictions import PredictsClasses
from .adapted import AdaptedMixedClassifier

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["MixedClassifier"]


class MixedClassifier(PredictsClasses, ClassTargets, AlignedScore, ClassifierMixin, MixedBase):
    """Two classes on clustered data: a population's logit of any shape, clusters' effects in Laplace's form.

    P(y = 1 | x, cluster c) = 1 / (1 + exp(-f(x) - u_c(x))), with effects u_c as in `MixedRegressor`. Without
    groups `predict_proba` is the mean over clusters, nearer to 1/2 than in a cluster without effect.

    Parameters
    ----------
    mean : {"auto", "network", "gp", "trees", "linear"} or regressor, default="auto"
        The population's logit. "linear" by itself is a generalized linear mixed model, by Laplace's
        approximation.
    effects, effect_columns, slope_covariance, center_slopes, cluster_means, n_folds, hidden_layer_sizes,
    activation, \
learning_rate_init, weight_decay, max_iter, random_state, n_jobs, verbose
        As in `MixedRegressor`.

    Attributes
    ----------
    classes_ : ndarray (2,)
        The classes.
    mean_, scores_, variance_components_, random_effects_, intraclass_correlation_, r2_marginal_,
    r2_conditional_, \
coefficients_, coefficient_std_errors_, log_likelihood_, no_effects_test_, labels_
        As in `MixedRegressor`, on the scale of the logit; the likelihood is Laplace's.

    References
    ----------
    Rasmussen and Williams (2006), "Gaussian processes for machine learning", sections 3.4 and 5.5.1;
    Breslow and Clayton (1993), "Approximate inference in generalized linear mixed models".

    Examples
    --------
    >>> from rfpcore import MixedClassifier
    >>> from rfpcore.datasets import make_vee
    >>> X, y, groups = make_vee(random_state=0)
    >>> model = MixedClassifier(mean="gp").fit(X, y > 1, groups)
    >>> model.predict_proba(X[:3], groups[:3]).shape
    (3, 2)
    >>> model.score(X, y > 1, groups=groups) > 0.9
    True
    """

    @property
    def _family(self) -> FamilyName | None:
        return "logistic"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def _learn_outcomes(self, y: Any, n_rows: int) -> Array:
        self._learn_targets(y)
        if len(self.classes_) > 2:
            raise ValueError(
                f"y has {len(self.classes_)} classes; a MixedClassifier has two. Only binary classification "
                "is supported. The type of the target is multiclass."
            )
        return self._encode(y, n_rows)

    def _encode(self, y: Any, n_rows: int) -> Array:
        codes = self._encode_targets(y)
        if len(codes) != n_rows:
            raise ValueError(f"y has {len(codes)} rows; X has {n_rows}")
        return codes

    @all_or_nothing
    @told
    def fit(self, X: Any, y: Any, groups: Any, sample_weight: Any = None) -> "Self":
        """Estimate the population's logit and the variances.

        Parameters
        ----------
        X : array or frame (N, n_features)
        y : array (N,)
            Two classes.
        groups : array (N,) or (N, 2)
            As in `MixedRegressor.fit`.
        sample_weight : array (N,), optional
            Above 0: a weight of 2 is the row twice. A regressor as `mean` has to take them in its `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            On misuse, before any work.
        """
        self._fit(X, y, groups, sample_weight)
        return self

    def decision_function(self, X: Any, groups: Any = None, *, unknown: Unknown = "raise") -> Array:
        """Logits: f, or with groups f and the posterior mean of the effects, (N,)."""
        return self._predict(X, groups, unknown, "none").mean

    def score(self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None) -> float:
        """Accuracy of the predictions.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        groups : array, optional
            As in `predict`.
        """
        from sklearn.metrics import accuracy_score

        require_aligned(X=X, y=y, sample_weight=sample_weight, groups=groups)
        self._require_outcomes(y)
        return float(accuracy_score(y, self.predict(X, groups), sample_weight=sample_weight))

    def adapt(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> AdaptedMixedClassifier:
        """The posterior of clusters, seen in training or not, given these rows.

        Parameters
        ----------
        X, y, groups, sample_weight
            As in `fit`; groups may be None for a single cluster, which may have a single row.

        Returns
        -------
        AdaptedMixedClassifier
        """
        return AdaptedMixedClassifier(self, self._adapted(X, y, groups, sample_weight))

    def _describe(self, tensors: Tensors) -> Document:
        return super()._describe(tensors) | {"classes": labels_to_json(self.classes_, "classes_", True)}

    def _restore_outcomes(self, document: Document, family: Any) -> Any:
        self.classes_ = class_labels(object_of(document, "classes"))
        if family != "logistic" or len(self.classes_) != 2:
            raise ValueError(f"the outcomes are {family!r} with {len(self.classes_)} classes; two are needed")
        return family
