"""Networks trained the ordinary way, as scikit-learn's of the same names, on the trainer of many models."""

from typing import Any

from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin

from ..._arrays import Array
from ..._frames import AlignedScore
from ..._options import Activation, DType
from ...losses import RegressionLoss
from .._class_weight import WeighedClasses, class_weight
from .._targets import NumberTargets, regression_loss
from ._base import MLPBase

__all__ = ["MLPClassifier", "MLPRegressor"]


class MLPClassifier(WeighedClasses, AlignedScore, ClassifierMixin, MLPBase):
    """A neural network for classes, with the parameters of scikit-learn's where they mean the same.

    The loss is the logistic one for two classes, with a single output, and softmax cross-entropy for more.
    Features should be scaled (`standardize=True`, or `StandardScaler` in a pipeline). The penalty is
    `regularization`, not `alpha`: there is more of it, and scikit-learn divides its alpha by the number of
    rows. There is no `partial_fit`, as the trainer keeps no optimizer state between calls:
    `RFPClassifier(alpha=1)` has one.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(100,)
        Widths of the hidden layers; () for a linear model.
    activation : {"identity", "tanh", "relu", "softplus", "silu", "gelu", "elu"}, default="relu"
        Applied after every hidden layer.
    solver : {"adam", "sgd"}, default="adam"
        With `L2(..., decoupled=True)` "adam" is AdamW.
    regularization : Regularization, term, sequence of terms or None, default=None
        Of `rfpcore.regularize`, such as `L2(1e-3) + Dropout(0.2)`; all but `EarlyStopping`.
    batch_size : int, "auto" or None, default="auto"
        Rows a step; "auto" is 200 or all there are, None all there are.
    learning_rate : "constant", "cosine" or a schedule, default="constant"
        "cosine" falls to 0 at `max_iter`; a schedule is one of `rfpcore.optimizers`, in steps.
    learning_rate_init : float, default=0.001
    max_iter : int, default=200
        Epochs. All of them are taken, unless early stopping ends them: nothing stops on the training loss.
    momentum, nesterovs_momentum : float in [0, 1), bool, default=0.9, True
        Of the solver "sgd".
    beta_1, beta_2, epsilon : float, default=0.9, 0.999, 1e-8
        Of the solver "adam".
    early_stopping : bool, default=False
        Hold out rows, of each class its share, stop when their loss no longer falls, and keep the best
        parameters. scikit-learn looks at the accuracy instead. Where `fit` has groups, whole clusters.
    validation_fraction : float in (0, 1), default=0.1
        Share of the rows held out, or of the clusters.
    n_iter_no_change : int, default=10
        Epochs without a gain of more than `tol` before early stopping ends the fit.
    tol : float, default=1e-4
    dtype : {"auto", "float32", "float64"}, default="auto"
        Of the computation; "auto" is that of X, float64 unless X is float32, which is twice as fast.
    random_state : int, RandomState or None, default=None
        Of the first parameters, batches, masks, noise and split.
    n_jobs : int or None, default=None
        Threads; one network is trained on one.
    warm_start : bool, default=False
        Let `fit` start from the parameters learnt before, with a fresh optimizer. Not with `BatchNorm`.
    standardize : bool, default=False
        Train on features, and outcomes of a regressor other than counts, less their means and over their
        standard deviations; predictions are in the outcomes' own units. scikit-learn's networks do not.
    class_weight : "balanced", dict or None, default=None
        Weights of the classes, which multiply those of the rows: of a dict by label, 1 where it names none;
        "balanced" n / (n_classes · n_c), with n_c the rows (or weights) of a class. Probabilities are then
        those of data in which classes have these shares, not of the data at hand. Rows held out to stop
        early count as they are.

    Attributes
    ----------
    classes_ : ndarray (n_classes,)
    class_weight_ : ndarray (n_classes,)
        With `class_weight`, the weight of each class.
    theta_ : ndarray (P,)
        The parameters, with batch normalization folded in.
    net_ : MLP
        The network: `net_.predict(theta_, X)` gives its linear outputs (with `standardize`, of
        `x_scaling_.apply(X)`).
    x_scaling_, y_scaling_ : Scaling
        With `standardize`: `level` and `spread` of the features and, of a regressor other than of counts, the
        outcomes.
    coefs_, intercepts_ : lists of ndarrays
        The weights and biases of each layer.
    loss_curve_ : ndarray (n_iter_,)
        Mean loss of each epoch's batches, without penalties.
    n_iter_ : int
        Epochs taken.
    validation_scores_ : ndarray (n_iter_,)
        With early stopping, minus the loss of the held-out rows after each epoch.
    best_iteration_ : int
        With early stopping, the epochs after which `theta_` was taken.
    n_features_in_ : int
    feature_names_in_ : ndarray of str (n_features_in_,)
        Where X had names.

    Examples
    --------
    >>> from rfpcore import MLPClassifier
    >>> from rfpcore.datasets import make_noisy_moons
    >>> from rfpcore.regularize import L2
    >>> X, y, y_clean = make_noisy_moons(random_state=0)
    >>> model = MLPClassifier((64, 64), "tanh", regularization=L2(0.01), random_state=0).fit(X, y)
    >>> bool(model.score(X, y_clean) > 0.9), model.predict_proba(X).shape
    (True, (250, 2))
    """

    _limits = MLPBase._limits | {"class_weight": class_weight}

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Activation = "relu",
        *,
        solver: str = "adam",
        regularization: Any = None,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 1e-3,
        max_iter: int = 200,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        dtype: DType = "auto",
        random_state: Any = None,
        n_jobs: int | None = None,
        warm_start: bool = False,
        standardize: bool = False,
        class_weight: Any = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes,
            activation,
            solver=solver,
            regularization=regularization,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            max_iter=max_iter,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            dtype=dtype,
            random_state=random_state,
            n_jobs=n_jobs,
            warm_start=warm_start,
            standardize=standardize,
        )
        self.class_weight = class_weight

    def decision_function(self, X: Any) -> Array:
        """Logits: of the second class (N,), or of all where there are more than two (N, n_classes).

        Parameters
        ----------
        X : array or frame (N, n_features)

        Returns
        -------
        logits : ndarray
        """
        return self._decisions(self._outputs(X))

    def predict_proba(self, X: Any) -> Array:
        """Probabilities of the classes, in the order of `classes_`.

        Parameters
        ----------
        X : array or frame (N, n_features)

        Returns
        -------
        probabilities : ndarray (N, n_classes)
        """
        return self._probabilities(self._outputs(X))

    def predict(self, X: Any) -> Array:
        """Predict the most probable class.

        Parameters
        ----------
        X : array or frame (N, n_features)

        Returns
        -------
        y : ndarray (N,) of class labels
        """
        return self._predictions(self._outputs(X))


class MLPRegressor(AlignedScore, NumberTargets, MultiOutputMixin, RegressorMixin, MLPBase):
    """A neural network for numbers or counts, with the parameters of scikit-learn's where they mean the same.

    Features should be scaled, and outcomes of the squared loss be of order 1 (`standardize=True` does both).
    The output bias starts at the mean outcome (its logarithm, for Poisson), so that their level does not
    matter.

    Parameters
    ----------
    loss : {"squared", "poisson", "huber", "quantile"}, default="squared"
        (y − f)², twice scikit-learn's; or e^f − y f for counts, with e^f the rate that `predict` returns.
        Summed over outputs. What `losses.huber` and `losses.quantile` take is in units of the outcome, or of
        the standardised one.
    hidden_layer_sizes, activation, solver, regularization, batch_size, learning_rate, learning_rate_init, \
max_iter, momentum, nesterovs_momentum, beta_1, beta_2, epsilon, early_stopping, validation_fraction, \
n_iter_no_change, tol, dtype, random_state, n_jobs, warm_start, standardize
        As in `MLPClassifier`.

    Attributes
    ----------
    theta_, net_, x_scaling_, y_scaling_, coefs_, intercepts_, loss_curve_, n_iter_, validation_scores_, \
best_iteration_, n_features_in_, feature_names_in_
        As in `MLPClassifier`.
    n_outputs_ : int
        Number of outcomes.

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore import MLPRegressor
    >>> X = np.linspace(-2, 2, 100)[:, None]
    >>> model = MLPRegressor(hidden_layer_sizes=(32,), learning_rate_init=0.01, random_state=0)
    >>> bool(model.fit(X, np.abs(X[:, 0])).score(X, np.abs(X[:, 0])) > 0.95)
    True
    """

    _limits = MLPBase._limits | {"loss": regression_loss}

    def __init__(
        self,
        loss: RegressionLoss = "squared",
        hidden_layer_sizes: Any = (100,),
        activation: Activation = "relu",
        *,
        solver: str = "adam",
        regularization: Any = None,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 1e-3,
        max_iter: int = 200,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        dtype: DType = "auto",
        random_state: Any = None,
        n_jobs: int | None = None,
        warm_start: bool = False,
        standardize: bool = False,
    ) -> None:
        super().__init__(
            hidden_layer_sizes,
            activation,
            solver=solver,
            regularization=regularization,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            max_iter=max_iter,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            dtype=dtype,
            random_state=random_state,
            n_jobs=n_jobs,
            warm_start=warm_start,
            standardize=standardize,
        )
        self.loss = loss

    def predict(self, X: Any) -> Array:
        """Predict outcomes.

        Parameters
        ----------
        X : array or frame (N, n_features)

        Returns
        -------
        y : ndarray (N,) or (N, n_outputs), as y was in `fit`
        """
        return self._predictions(self._outputs(X))
