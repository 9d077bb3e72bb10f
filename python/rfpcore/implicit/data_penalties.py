"""Penalties that depend on the data."""

from typing import Any

import numpy as np

from .._arrays import vector
from .._options import MAX_DRAWS, boolean, integer, random_source
from ..clusters import Clusters, require_clusters
from ..derivatives import jvp, output_hvp, vjp
from ..functional import gradient, hvp
from ..losses import Loss, read
from ..network import MLP, require_net
from ._checks import Floats, require_parameters, row_shares
from ._descent import batches_of
from ._output_losses import OutputLoss, output_loss
from ._penalty import Penalty

__all__ = ["ActivationRidge", "BatchVariance", "DataPenalty", "DropoutCurvature", "SquaredGradient"]


class DataPenalty(Penalty):
    """A penalty of a network, data and a loss."""

    def __init__(self, net: MLP, data: Clusters, loss: Loss = "squared", n_jobs: int | None = None) -> None:
        self.net, self.data = require_net(net), require_clusters(data)
        self.loss, self.n_jobs = read(loss).text, n_jobs

    def names(self, n_parameters: int) -> list[str]:
        """As in `Penalty`."""
        return [type(self).__name__]

    def gradients(self, thetas: Floats) -> Floats:
        """As in `Penalty`."""
        found = np.array([self._gradient(theta) for theta in require_parameters(self.net, thetas)])
        return found[:, :, None]

    def _gradient(self, theta: Floats) -> Floats:
        raise NotImplementedError

    def on(self, data: Clusters) -> "DataPenalty":
        """The same penalty of other data."""
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__ | {"data": data}
        return other


def _require_smooth(net: MLP, what: str) -> None:
    if net.activation == "relu":
        raise ValueError(
            f"{what} needs a Hessian, and relu's lacks what happens at its kinks; a smooth activation is "
            "needed, such as softplus or gelu"
        )


class SquaredGradient(DataPenalty):
    """|∇L|², of the mean loss: what finite steps of descent add, with the coefficient h/4 [1]_.

    Parameters
    ----------
    net : MLP
        With a smooth activation.
    data : Clusters
    loss : str
        As in `value_and_grad`.
    n_jobs : int, optional

    References
    ----------
    .. [1] Barrett and Dherin (2021), "Implicit gradient regularization", theorem 3.1; their λ R_IG is
       (h/4) |∇L|².
    """

    def __init__(self, net: MLP, data: Clusters, loss: Loss = "squared", n_jobs: int | None = None) -> None:
        super().__init__(net, data, loss, n_jobs)
        _require_smooth(net, "SquaredGradient")

    def _gradient(self, theta: Floats) -> Floats:
        g = gradient(self.net, theta, self.data, self.loss, self.n_jobs)
        return 2 * hvp(self.net, theta, g, self.data, self.loss, self.n_jobs)


class BatchVariance(DataPenalty):
    """1/m Σᵢ |∇Lᵢ − ∇L|² over m mini-batches: what SGD adds beside |∇L|², each with ε/4 [1]_.

    Parameters
    ----------
    net, data, loss, n_jobs
        As in `SquaredGradient`.
    batches : int, or sequence of arrays of int
        As in `Equations.epochs`.

    References
    ----------
    .. [1] Smith, Dherin, Barrett and De (2021), "On the origin of implicit regularization in stochastic
       gradient descent", equation 1.
    """

    def __init__(
        self, net: MLP, data: Clusters, batches: Any, loss: Loss = "squared", n_jobs: int | None = None
    ) -> None:
        super().__init__(net, data, loss, n_jobs)
        _require_smooth(net, "BatchVariance")
        self.batches = batches_of(data, batches)

    def _gradient(self, theta: Floats) -> Floats:
        gs = [gradient(self.net, theta, part, self.loss, self.n_jobs) for part in self.batches]
        mean = np.mean(gs, axis=0)
        # Σ (Hᵢ − H)(gᵢ − ḡ) = Σ Hᵢ (gᵢ − ḡ), as the deviations add up to zero.
        products = [
            hvp(self.net, theta, g - mean, part, self.loss, self.n_jobs)
            for g, part in zip(gs, self.batches, strict=True)
        ]
        return np.asarray(2 * np.mean(products, axis=0))


class ActivationRidge(DataPenalty):
    """Σⱼ E[xⱼ²] wⱼ²: dropout on the inputs of a linear model with the squared loss, with p/(1−p) [1]_.

    Parameters
    ----------
    net : MLP
        Without hidden layers; deeper ones need `DropoutCurvature`.
    data : Clusters
    n_jobs : int, optional

    References
    ----------
    .. [1] Wager, Wang and Liang (2013), "Dropout training as adaptive regularization", section 2.
    """

    def __init__(self, net: MLP, data: Clusters, n_jobs: int | None = None) -> None:
        super().__init__(net, data, "squared", n_jobs)
        if net.hidden_layer_sizes:
            raise ValueError(
                f"ActivationRidge is of linear models; the network has hidden layers "
                f"{net.hidden_layer_sizes}, for which there is DropoutCurvature"
            )

    def _gradient(self, theta: Floats) -> Floats:
        squares = row_shares(self.data) @ self.data.X.astype(np.float64) ** 2
        found = np.zeros_like(theta)
        self.net.unflatten(found)[0][0][:] = 2 * squares[:, None] * self.net.unflatten(theta)[0][0]
        return found


class DropoutCurvature(DataPenalty):
    """Dropout's Gauss–Newton penalty, to leading order what its masks add, with p/(1−p) [1]_.

    R = ½ Σ_l mean_x Σⱼ h_lj² J_lj′ H J_lj, with h_lj the j-th unit of hidden layer l, J_lj = ∂f/∂h_lj, and
    H the Hessian of the loss in the outputs f (softmax: diag π − ππ′). All layers have one rate.

    Parameters
    ----------
    net : MLP
        With relu the second derivative of the outputs is taken almost everywhere.
    data : Clusters
        Weighted like the loss.
    loss : {"squared", "logistic", "softmax", "cross_entropy", "poisson"}
    inputs : bool, default=False
        Count the inputs as a layer of units as well.
    n_draws : int, optional
        Estimate the sum over units by so many random signs (Hutchinson) instead of unit by unit; unbiased,
        but noisy: 64 draws agree with the whole sum to a cosine of about .9. None: exact.
    random_state : None, int, Generator or RandomState
        Of the signs.
    n_jobs : int, optional

    References
    ----------
    .. [1] Wei, Kakade and Ma (2020), "The implicit and explicit regularization effects of dropout",
       equation 6.
    """

    def __init__(
        self,
        net: MLP,
        data: Clusters,
        loss: Loss = "squared",
        *,
        inputs: bool = False,
        n_draws: int | None = None,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(net, data, loss, n_jobs)
        self._outputs: OutputLoss = output_loss(self.loss)
        self.inputs = boolean(inputs, "inputs")
        if not net.hidden_layer_sizes and not self.inputs:
            raise ValueError(
                "the network has no hidden layers whose units could be dropped; inputs=True counts its inputs"
            )
        self.n_draws = None if n_draws is None else integer(n_draws, "n_draws", 1, MAX_DRAWS)
        self.random_state = random_state

    def value(self, theta: Any) -> float:
        """R itself at θ (P,)."""
        at = vector(theta, "theta", self.net.n_parameters).astype(np.float64)
        outputs = self.net.predict(at, self.data.X, self.n_jobs)
        total = 0.0
        for signs in self._signs(at):
            along = jvp(self.net, at, signs * at, self.data.X, self.n_jobs)
            with np.errstate(over="ignore", invalid="ignore"):
                total += (
                    float(np.sum(self._row_weights() * along * self._outputs.product(outputs, along))) / 2
                )
        if not np.isfinite(total):
            raise ArithmeticError(f"the penalty is {total} at these parameters: they are too large")
        return total / (self.n_draws or 1)

    def _gradient(self, theta: Floats) -> Floats:
        X, n_jobs = self.data.X, self.n_jobs
        outputs, weight = self.net.predict(theta, X, n_jobs), self._row_weights()
        found = np.zeros_like(theta)
        pull = np.zeros_like(outputs)
        for signs in self._signs(theta):
            # With u = S θ and ḟ = J u: R = ½ ḟ′Hḟ, so ∇R = D²f[Hḟ] u + S J′Hḟ + J′ (∂/∂f ½ ḟ′H(f)ḟ).
            along = jvp(self.net, theta, signs * theta, X, n_jobs)
            curved = weight * self._outputs.product(outputs, along)
            found += output_hvp(self.net, theta, signs * theta, curved, X, n_jobs)
            found += signs * vjp(self.net, theta, curved, X, n_jobs)
            pull += weight * self._outputs.bend(outputs, along)
        found += vjp(self.net, theta, pull, X, n_jobs)
        return found / (self.n_draws or 1)

    def _row_weights(self) -> Floats:
        """Of each row in the mean loss, (N, 1)."""
        return row_shares(self.data)[:, None]

    def _signs(self, theta: Floats) -> Any:
        """Vectors S (P,) that scale the weights out of each unit: unit by unit, or random signs for all."""
        first = 0 if self.inputs else 1
        layers = range(first, len(self.net.layer_shapes))
        if self.n_draws is not None:
            random = random_source(self.random_state)
            for _ in range(self.n_draws):
                signs = np.zeros_like(theta)
                for layer in layers:
                    W = self.net.unflatten(signs)[layer][0]
                    W[:] = random.choice([-1.0, 1.0], len(W))[:, None]
                yield signs
            return
        for layer in layers:
            for unit in range(self.net.layer_shapes[layer][0]):
                signs = np.zeros_like(theta)
                self.net.unflatten(signs)[layer][0][unit] = 1
                yield signs
