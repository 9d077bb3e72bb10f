"""Deep feature instrumental variables: closed-form ridge stages on features that networks learn."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression
from threadpoolctl import threadpool_limits

from .._arrays import Array
from .._file_parts import Document, Tensors, tensor
from .._limits import Limits, auto_or_bool, not_negative, randomness, threads, whole
from .._options import MAX_PARAMETERS, boolean, integer, n_threads, positive
from .._warn import warn
from ..exceptions import InstrumentWarning
from ..network import MLP
from ._batch_norm import NormedNet
from ._data import InstrumentedRows, Scales
from ._features import FeatureNet, StructuralFeatures, products, widths_of
from ._flexible import FlexibleNPIV, LinearPart
from ._ridge import Ridge

__all__ = ["DeepFeatureIV"]

WORSE = 0.1  # of R2: overfitting costs more, chance in few rows less


class DeepFeatureIV(FlexibleNPIV):
    """Deep feature instrumental variable regression [1]_.

    Stage one is a ridge regression of the features of X on those of (Z, W), stage two one of Y on what stage
    one predicts, each on one half of the rows and both in closed form. The instruments' features follow the
    gradient of stage one's error, the features of X that of stage two's error *through* stage one. With
    covariates, stage two regresses on all products of the features of X and of W, and those of W follow its
    error too.

    The published settings, and their widths of the networks but for the last layer of that of X, which is one
    linear feature there; without `batch_norm` all features are rectified. Inputs and outcome are
    standardised. Sample weights are not supported.

    Parameters
    ----------
    hidden_layer_sizes, hidden_layer_sizes_instrument, hidden_layer_sizes_covariates : sequence of int
        Widths of the networks of X, Z and W, the last the number of features: (16,), (128, 64, 32),
        (128, 32, 16).
    max_iter : int, default=100
        Rounds; each takes the steps below.
    inner_steps, inner_steps_covariates : int, default=20
        Steps of the networks of Z and of W in a round, before one step of that of X.
    learning_rate_init : float, default=1e-3
        Adam's step, for all networks.
    weight_decay_covariates : float, default=0.1
        Of the network of W, against sums of squares.
    batch_norm : bool, default=False
        Normalise the features of Z, which then are not rectified, and the last hidden layer (if there is one)
        of the network of W, by mean and variance over the rows that train them, as published. On the demand
        design with 1000 rows it fits y more closely and h less well: hence the default.
    penalty_instrument, penalty : float, default=0.1
        Ridges of stage one and of stage two, times the rows of their halves.
    linear_part : {"auto"} or bool, default="auto"
        Whether to take two-stage least squares off the outcome first, and add that of what is left at the
        end: neither is penalised, so that the slope in X is not lost beside covariates. "auto": where
        covariates explain most of what a second stage sees of X, for a single X of two values, and for
        instruments of two (with d columns of X: d + 1) values, which tell no more than a line.
    random_state : int, RandomState or None, default=None
    n_jobs : int or None, default=None

    Attributes
    ----------
    linear_part_ : bool
        Whether there is a linear part.
    loss_curve_ : ndarray (max_iter,)
        Stage two's error after each round, in units of the variance of y.

    References
    ----------
    .. [1] Xu, Chen, Srinivasan, de Freitas, Doucet and Gretton (2021), "Learning deep features in
       instrumental variable regression", ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore.npiv import DeepFeatureIV
    >>> z, u = np.random.default_rng(0).standard_normal((2, 400))
    >>> x = z + u
    >>> model = DeepFeatureIV(max_iter=20, random_state=0).fit(x, x + u, Z=z)
    >>> bool(abs(model.predict([[1.0]])[0] - 1.0) < 0.4)
    True
    """

    def __init__(
        self,
        *,
        hidden_layer_sizes: Sequence[int] = (16,),
        hidden_layer_sizes_instrument: Sequence[int] = (128, 64, 32),
        hidden_layer_sizes_covariates: Sequence[int] = (128, 32, 16),
        max_iter: int = 100,
        inner_steps: int = 20,
        inner_steps_covariates: int = 20,
        learning_rate_init: float = 1e-3,
        weight_decay_covariates: float = 0.1,
        batch_norm: bool = False,
        penalty_instrument: float = 0.1,
        penalty: float = 0.1,
        linear_part: LinearPart = "auto",
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.hidden_layer_sizes_instrument = hidden_layer_sizes_instrument
        self.hidden_layer_sizes_covariates = hidden_layer_sizes_covariates
        self.max_iter = max_iter
        self.inner_steps = inner_steps
        self.inner_steps_covariates = inner_steps_covariates
        self.learning_rate_init = learning_rate_init
        self.weight_decay_covariates = weight_decay_covariates
        self.batch_norm = batch_norm
        self.penalty_instrument = penalty_instrument
        self.penalty = penalty
        self.linear_part = linear_part
        self.random_state = random_state
        self.n_jobs = n_jobs

    loss_curve_: NDArray[np.float64]

    _limits: ClassVar[Limits] = {
        "hidden_layer_sizes": widths_of,
        "hidden_layer_sizes_instrument": widths_of,
        "hidden_layer_sizes_covariates": widths_of,
        "max_iter": whole(),
        "inner_steps": whole(),
        "inner_steps_covariates": whole(),
        "learning_rate_init": positive,
        "weight_decay_covariates": not_negative,
        "batch_norm": boolean,
        "penalty_instrument": positive,
        "penalty": positive,
        "linear_part": auto_or_bool,
        "random_state": randomness,
        "n_jobs": threads,
    }

    def _learn(self, rows: InstrumentedRows, given: dict[str, Any]) -> None:
        if rows.weights is not None:
            raise ValueError("DeepFeatureIV takes no sample_weight")
        if rows.n < 4:
            raise ValueError(f"{rows.n} rows are given; DeepFeatureIV halves them and needs at least 4")
        random = given["random_state"]
        self._scales = Scales.of(rows)
        scaled = self._scales.apply(rows)
        scaled = scaled._replace(
            inputs=scaled.inputs.astype(np.float32),
            y=scaled.y.astype(np.float32),
            instruments=scaled.instruments.astype(np.float32),
        )
        parts = np.array_split(random.permutation(rows.n), 2)
        stages = _DeepStages(given, [scaled.take(np.sort(part)) for part in parts], random)
        with threadpool_limits(1, user_api="blas"):  # the matrices are too small for more
            self.loss_curve_ = np.array([stages.round() for _ in range(given["max_iter"])])
            self._coefficients = stages.solve()
            deep, linear, worse = stages.other_half(self._coefficients)
        if deep < linear - worse:
            warn(
                "DeepFeatureIV predicts the half of the rows that its second stage has not seen worse than a "
                f"linear second stage does: R2 {deep:.3f}, linear {linear:.3f}. Its h follows noise; a "
                "smaller max_iter or larger penalties are needed",
                InstrumentWarning,
            )
        self._structural = stages.structural.folded()

    def _flexible(self, inputs: Array) -> Array:
        scaled = self._scales.inputs.apply(inputs).astype(np.float32)
        features = self._structural.features(scaled)
        return self._scales.outcomes(features @ self._coefficients)

    def _describe_learnt(self, tensors: Tensors) -> Document:
        tensors |= {"coefficients": self._coefficients, "loss_curve": self.loss_curve_}
        nets = {"net_x": self._structural.net_x, "net_w": self._structural.net_w}
        used = {name: net for name, net in nets.items() if net is not None}
        tensors |= {name: net.theta for name, net in used.items()}
        return {name: list(net.widths) for name, net in used.items()}

    def _restore_learnt(self, tensors: Tensors, learnt: Document) -> None:
        def net(name: str, n_inputs: int) -> FeatureNet:
            widths = [integer(width, f"a width of {name}", 1, MAX_PARAMETERS) for width in learnt[name]]
            if len(widths) < 2 or widths[0] != n_inputs:
                raise ValueError(f"{name} has the widths {widths}; the data had {n_inputs} columns")
            size = MLP(widths[0], widths[1:-1], widths[-1]).n_parameters
            theta = tensor(tensors, name, size).astype(np.float32, copy=False)
            return FeatureNet.fixed(tuple(widths), theta, n_threads(self.n_jobs))

        net_w = net("net_w", self.n_covariates_) if self.n_covariates_ else None
        self._structural = StructuralFeatures(net("net_x", self.n_features_in_), net_w)
        width = self._structural.features(np.zeros((1, self.n_features_in_ + self.n_covariates_), np.float32))
        self._coefficients = tensor(tensors, "coefficients", width.shape[1])
        self.loss_curve_ = tensor(tensors, "loss_curve", None)


class _DeepStages:
    """The two halves, the networks, and a round of their training."""

    def __init__(
        self, params: Mapping[str, Any], halves: list[InstrumentedRows], random: np.random.RandomState
    ) -> None:
        self._one, self._two = halves
        n_covariates = self._one.n_covariates
        step, threads = params["learning_rate_init"], params["n_jobs"]
        self._penalties = params["penalty_instrument"] * self._one.n, params["penalty"] * self._two.n
        decay, normed = params["weight_decay_covariates"], params["batch_norm"]

        def net(n_inputs: int, widths: Sequence[int], weight_decay: float = 0.0) -> FeatureNet:
            return FeatureNet((n_inputs, *widths), step, weight_decay, random, threads)

        def normed_net(
            n_inputs: int, widths: Sequence[int], last: bool, weight_decay: float = 0.0
        ) -> FeatureNet:
            if not normed or (len(widths) == 1 and not last):
                return net(n_inputs, widths, weight_decay)
            return NormedNet((n_inputs, *widths), step, weight_decay, random, threads, last)

        net_x = net(self._one.inputs.shape[1] - n_covariates, params["hidden_layer_sizes"])
        of_z, of_w = params["hidden_layer_sizes_instrument"], params["hidden_layer_sizes_covariates"]
        self._net_z = normed_net(self._one.instruments.shape[1], of_z, True)
        net_w = normed_net(n_covariates, of_w, False, decay) if n_covariates else None
        self.structural = StructuralFeatures(net_x, net_w)
        self._steps_z, self._steps_w = params["inner_steps"], params["inner_steps_covariates"]

    def _regress_features(self, of_x: Array) -> tuple[Array, Ridge]:
        """Stage one: features of Z in the first half, and the regression of those of X on them."""
        of_z = self._net_z.features(self._one.instruments)
        return of_z, Ridge.of(of_z, of_x, self._penalties[0])

    def _regress_outcome(self, predicted: Array, of_w: Array) -> tuple[Ridge, Array]:
        """Stage two, and its gradient in the products, (n, features of X, features of W)."""
        ridge = Ridge.of(products(predicted, of_w), self._two.y[:, None], self._penalties[1])
        return ridge, ridge.in_features().reshape(self._two.n, predicted.shape[1], of_w.shape[1])

    def round(self) -> float:
        """Steps of all networks; stage two's error before the last of them."""
        of_x = self.structural.net_x.features(self.structural.endogenous(self._one.inputs))
        for _ in range(self._steps_z):
            _, first = self._regress_features(of_x)
            self._net_z.descend(self._one.instruments, first.in_features())
        of_z, first = self._regress_features(of_x)
        of_z_two = self._net_z.apply(self._two.instruments)
        predicted = of_z_two @ first.coefficients
        if self.structural.net_w is not None:
            for _ in range(self._steps_w):
                self._step_of_covariates(self.structural.net_w, predicted)
        of_w = self.structural.of_covariates(self._two.inputs)
        second, upstream = self._regress_outcome(predicted, of_w)
        in_coefficients = of_z_two.T @ (upstream @ of_w[:, :, None])[:, :, 0]
        self.structural.net_x.descend(
            self.structural.endogenous(self._one.inputs), first.in_targets(of_z, in_coefficients)
        )
        return float((second.residual**2).mean())

    def _step_of_covariates(self, net: FeatureNet, predicted: Array) -> None:
        of_w = self.structural.of_covariates(self._two.inputs)
        _, upstream = self._regress_outcome(predicted, of_w)
        net.descend(self.structural.covariates(self._two.inputs), (predicted[:, None, :] @ upstream)[:, 0])

    def solve(self) -> Array:
        """Stage two's coefficients (products,) at the networks as they are."""
        return np.asarray(self._regress_outcome(*self._factors(self._two))[0].coefficients[:, 0])

    def _factors(self, rows: InstrumentedRows) -> tuple[Array, Array]:
        """What stage one predicts of the features of X in some rows, and the features of W."""
        _, first = self._regress_features(
            self.structural.net_x.features(self.structural.endogenous(self._one.inputs))
        )
        predicted = self._net_z.apply(rows.instruments) @ first.coefficients
        return predicted.astype(np.float64), self.structural.of_covariates(rows.inputs).astype(np.float64)

    def other_half(self, coefficients: Array) -> tuple[float, float, float]:
        """R2 of stage two in the first half, whose outcomes it has not seen; of a linear one; a margin.

        The margin of their difference is `WORSE` and two standard errors.
        """
        one, two, n_inputs = self._one, self._two, self.structural.net_x.net.n_inputs
        line = LinearRegression().fit(one.instruments, one.inputs[:, :n_inputs])

        def second(rows: InstrumentedRows) -> Array:
            return np.hstack([line.predict(rows.instruments), rows.inputs[:, n_inputs:]])

        linear = LinearRegression().fit(second(two), two.y)
        found = products(*self._factors(one)) @ coefficients, linear.predict(second(one))
        variance = float(one.y.var()) or 1.0
        squares = [(one.y - each) ** 2 / variance for each in found]
        chance = 2 * float((squares[0] - squares[1]).std()) / len(one.y) ** 0.5
        return 1 - float(squares[0].mean()), 1 - float(squares[1].mean()), WORSE + chance
