"""What is known of a penalty's gradient: equations that a training procedure leaves behind."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import group_codes
from .._options import MAX_BINS, MAX_DRAWS, MAX_STEPS, below_one, integer, positive
from ..clusters import Clusters
from ..functional import gradient
from ..losses import Loss
from ..many import ModelResult
from ..network import MLP, require_net
from ._checks import lines, one_each, per_equation, points_of, shares_of
from ._descent import batches_of, epoch_ends, field_of, flow_ends
from ._masks import masked_gradients
from ._windows import Baseline, windows_of

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Equations"]


class Equations:
    r"""Equations Σⱼ φⱼ · mean_w ∇Rⱼ(θ_ew) = target_e, for the coefficients φ of penalties R.

    Each equation says: the mean gradient of the penalty over some parameters is a vector that was measured.
    The arrays may come from anywhere: this package, another library, a file. The constructors below take
    them from a network and its training.

    Parameters
    ----------
    thetas : array (E, P) or (E, W, P), or sequence of arrays (W_e, P)
        The parameters behind each of E equations: one vector, or several whose gradients are averaged.
    targets : array (E, P)
        What the penalty's mean gradient is: for weights that are the exact optimum of loss + penalty the
        gradient of the loss, negated.
    groups : array (E,), optional
        What varies independently: runs, endpoints, windows of a run. Standard errors are of so many
        groups. None: each equation is a group of its own.
    weights : array (E,), optional
        How much each equation counts; positive. None: all the same.
    shares : sequence of arrays (W_e,), optional
        Weights of the parameters within an equation, not negative; they are scaled to the sum 1.
    times : array (E,), optional
        When the equation was measured (the step in the middle of a window), for coefficients that change
        and for figures. None: 0, 1, …
    net : MLP, optional
        The network of the parameters, for penalties by layer or without biases.

    Attributes
    ----------
    points : list of ndarrays (W_e, P), shares : list of ndarrays (W_e,)
    targets : ndarray (E, P), weights, times : ndarrays (E,)
    groups : ndarray (E,) of int
        Numbered from 0.
    net : MLP or None

    Raises
    ------
    ValueError, TypeError
        For arrays that are not finite or do not fit.

    References
    ----------
    "Estimating implicit regularization in deep learning" (2026), arXiv:2605.05436, equations 2 and 4.

    Examples
    --------
    Weights of a ridge regression are the optimum of loss + λ/2 |θ|²:

    >>> import numpy as np
    >>> from rfpcore.implicit import Equations, GradientMatching
    >>> from rfpcore.regularize import L2
    >>> X, y = np.random.default_rng(0).standard_normal((2, 50, 3))
    >>> y = y[:, 0]
    >>> theta = np.linalg.solve(X.T @ X / 50 + 0.1 * np.eye(3), X.T @ y / 50)
    >>> equations = Equations([theta], [X.T @ (y - X @ theta) / 50])
    >>> equations
    Equations(1 equation of 3 parameters, 1 group)
    >>> GradientMatching([L2(1)]).fit(equations).coef_.round(12)
    array([0.1])
    """

    def __init__(
        self,
        thetas: Any,
        targets: Any,
        groups: Any = None,
        *,
        weights: Any = None,
        shares: Any = None,
        times: Any = None,
        net: MLP | None = None,
    ) -> None:
        self.targets = lines(targets, "targets")
        count, size = self.targets.shape
        self.points = points_of(thetas, count, size)
        self.shares = shares_of(shares, self.points)
        self.groups = np.arange(count) if groups is None else group_codes(groups, count)[1]
        self.weights = np.ones(count) if weights is None else per_equation(weights, "weights", count)
        if self.weights.min() <= 0:
            raise ValueError(f"weights holds {self.weights.min():g}; positive numbers are needed")
        self.times = np.arange(float(count)) if times is None else per_equation(times, "times", count)
        if net is not None and require_net(net).n_parameters != size:
            raise ValueError(
                f"targets has {size} columns; the network has {net.n_parameters} parameters, so "
                f"(E, {net.n_parameters}) is needed"
            )
        self.net = net

    @property
    def n_equations(self) -> int:
        """Equations, each of P numbers."""
        return len(self.targets)

    @property
    def n_parameters(self) -> int:
        """P."""
        return int(self.targets.shape[1])

    @property
    def n_groups(self) -> int:
        """Groups, of which standard errors are taken."""
        return int(self.groups.max()) + 1

    def __repr__(self) -> str:
        equations = "1 equation" if self.n_equations == 1 else f"{self.n_equations} equations"
        groups = "1 group" if self.n_groups == 1 else f"{self.n_groups} groups"
        return f"Equations({equations} of {self.n_parameters} parameters, {groups})"

    def __add__(self, other: "Equations") -> "Equations":
        """The equations of both, whose groups stay apart."""
        if not isinstance(other, Equations):
            return NotImplemented
        if other.n_parameters != self.n_parameters:
            raise ValueError(
                f"equations of {self.n_parameters} and of {other.n_parameters} parameters do not go together"
            )
        return Equations(
            [*self.points, *other.points],
            np.concatenate([self.targets, other.targets]),
            np.concatenate([self.groups, other.groups + self.n_groups]),
            weights=np.concatenate([self.weights, other.weights]),
            shares=[*self.shares, *other.shares],
            times=np.concatenate([self.times, other.times]),
            net=self.net if self.net == other.net else None,
        )

    def take(self, indices: Any) -> "Equations":
        """Some of the equations, by their numbers."""
        chosen = [int(i) for i in np.asarray(indices)]
        return Equations(
            [self.points[i] for i in chosen],
            self.targets[chosen],
            self.groups[chosen],
            weights=self.weights[chosen],
            shares=[self.shares[i] for i in chosen],
            times=self.times[chosen],
            net=self.net,
        )

    @classmethod
    def endpoint(
        cls,
        net: MLP,
        thetas: Any,
        data: Clusters | Sequence[Clusters],
        loss: Loss = "squared",
        groups: Any = None,
        n_jobs: int | None = None,
    ) -> "Self":
        """Of trained weights, taken for optima of loss + penalty: −∇L(θ) = Σ φ ∇R(θ) [1]_.

        It holds where training has arrived: closed forms, full batches until nothing moves, early stopping
        seen as an optimum of another objective. Weights that SGD has left are far from it; take `trajectory`.

        Parameters
        ----------
        net : MLP
        thetas : array (P,) or (E, P)
            Endpoints.
        data : Clusters, or a sequence of E of them
            What they were trained on, each on the same or each on its own.
        loss : str
            As in `value_and_grad`, the mean over rows.
        groups : array (E,), optional
            None: every endpoint is a group.
        n_jobs : int, optional
            Threads.

        References
        ----------
        .. [1] arXiv:2605.05436, equation 2.
        """
        points = lines(thetas, "thetas", require_net(net).n_parameters)
        if isinstance(data, Clusters):
            found = gradient(net, points, data, loss, n_jobs)
        else:
            several = one_each(data, len(points))
            pairs = zip(points, several, strict=True)
            found = np.array([gradient(net, theta, own, loss, n_jobs) for theta, own in pairs])
        return cls(points, -found.astype(np.float64), groups, net=net)

    @classmethod
    def trajectory(
        cls, result: ModelResult, windows: int = 10, *, baseline: Baseline = "auto", start: int = 0
    ) -> "Self":
        """Of a run, cut into windows: what was applied minus what the bare loss asks for [1]_.

        The mean update over a window (θ_a − θ_b over the sum of the step sizes) minus the mean gradient of
        the bare loss is the mean gradient of whatever else acted. Nothing has to have converged. The windows
        are the groups.

        Parameters
        ----------
        result : ModelResult
            Of `fit_many`, recorded with `thetas=True` and either `gradients=True` (for plain SGD) or
            `intervals=True` (for any optimizer, dropout, and at a lower cost).
        windows : int, default=10
            Windows of as many recorded intervals as possible, at least two each.
        baseline : {"auto", "full", "batches"}
            The bare gradient: of all rows at the recorded steps ("full", by trapezoids; it leaves the
            batches' own effects in the equations, with their noise), or of the very batches of each step
            ("batches"; it holds what masks, noise and penalties add, and nothing else). "auto" takes the
            batches where they were recorded. Their equations have no noise: what is left comes from the
            parameters between two records, about 1e-5 of a coefficient, and intervals know nothing of it.
        start : int, default=0
            Leave out what was recorded before this step.

        References
        ----------
        .. [1] arXiv:2605.05436, equation 4, summed over a window.

        Examples
        --------
        >>> import numpy as np
        >>> from rfpcore.implicit import Equations, GradientMatching
        >>> from rfpcore.many import Model, Record, fit_many
        >>> from rfpcore.optimizers import SGD
        >>> from rfpcore.regularize import L2
        >>> X = np.linspace(-1, 1, 64)[:, None]
        >>> model = Model((8,), optimizer=SGD(0.02), regularization=L2(0.05), n_epochs=200)
        >>> record = Record(every=5, thetas=True, gradients=True)
        >>> run = fit_many(X, np.sin(3 * X), model, record=record).results[0]
        >>> found = GradientMatching([L2(1)]).fit(Equations.trajectory(run))
        >>> bool(abs(found.coef_[0] / 0.05 - 1) < 0.05)
        True
        """
        if not isinstance(result, ModelResult):
            raise TypeError(f"result is a {type(result).__name__}; a ModelResult of fit_many is needed")
        count = integer(windows, "windows", 1, MAX_BINS)
        found = windows_of(result, count, baseline, integer(start, "start", 0, MAX_STEPS))
        return cls(
            found.points, np.array(found.targets), shares=found.shares, times=found.times, net=result.net
        )

    @classmethod
    def flow(
        cls,
        net: MLP,
        thetas: Any,
        data: Clusters,
        step: float,
        loss: Loss = "squared",
        *,
        substeps: int = 2,
        n_jobs: int | None = None,
    ) -> "Self":
        """Of one step of gradient descent beside the gradient flow of the same length [1]_.

        (flow(h) − (θ − h ∇L)) / h, with the flow by Runge and Kutta's fourth order: what the step's length
        adds, to leading order h/4 · ∇|∇L|².

        Parameters
        ----------
        net : MLP
        thetas : array (P,) or (E, P)
        data, loss
            As in `value_and_grad`, the mean over rows.
        step : float
            h. With h · λ_max(Hessian) below 0.06 the leading order holds to 2 %.
        substeps : int, default=2
            Of the flow; its error falls with their fourth power.
        n_jobs : int, optional

        References
        ----------
        .. [1] Barrett and Dherin (2021), "Implicit gradient regularization", theorem 3.1.
        """
        points, h = lines(thetas, "thetas", require_net(net).n_parameters), positive(step, "step")

        field = field_of(net, data, loss, n_jobs)
        arrived = flow_ends(field, points, h, integer(substeps, "substeps", 1, MAX_STEPS))
        return cls(points, (arrived - points) / h + field(points), net=net)

    @classmethod
    def epochs(
        cls,
        net: MLP,
        thetas: Any,
        data: Clusters,
        batches: Any,
        step: float,
        loss: Loss = "squared",
        *,
        pairs: int = 4,
        substeps: int = 2,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> "Self":
        """Of an epoch of SGD in an order and in its reverse, beside the gradient flow [1]_.

        (flow(mε) − mean end) / (mε) for m batches and steps ε: what going batch by batch adds, to leading
        order ε/4 times the mean of the batches' squared gradients. The mean over an order and its reverse
        cancels what depends on the order, up to ε²; one order alone is mostly noise.

        Parameters
        ----------
        net : MLP
        thetas : array (P,) or (E, P)
        data, loss
            As in `value_and_grad`; clusters play no part.
        batches : int, or sequence of arrays of int
            Rows a batch (they have to divide the rows of `data`), or the rows of each batch.
        step : float
            ε.
        pairs : int, default=4
            Orders that are drawn, each with its reverse.
        substeps : int, default=2
            Of the flow, for each batch.
        random_state : None, int, Generator or RandomState
            Of the orders.
        n_jobs : int, optional

        References
        ----------
        .. [1] Smith, Dherin, Barrett and De (2021), "On the origin of implicit regularization in stochastic
           gradient descent", equation 1.
        """
        points, h = lines(thetas, "thetas", require_net(net).n_parameters), positive(step, "step")
        parts = batches_of(data, batches)
        fields = [field_of(net, part, loss, n_jobs) for part in parts]
        ends = epoch_ends(fields, points, h, integer(pairs, "pairs", 1, MAX_DRAWS), random_state)
        length = h * len(parts)
        fine = integer(substeps, "substeps", 1, MAX_STEPS) * len(parts)
        arrived = flow_ends(field_of(net, data, loss, n_jobs), points, length, fine)
        return cls(points, (arrived - ends) / length, net=net)

    @classmethod
    def dropout(
        cls,
        net: MLP,
        thetas: Any,
        data: Clusters,
        rate: float,
        loss: Loss = "squared",
        *,
        inputs: float = 0.0,
        n_draws: int = 200,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> "Self":
        """Of dropout's mean gradient beside the gradient without masks, at given parameters [1]_.

        Parameters
        ----------
        net : MLP
        thetas : array (P,) or (E, P)
        data, loss
            As in `value_and_grad`.
        rate : float
            Of the hidden units, in [0, 1).
        inputs : float, default=0.0
            Rate of the inputs.
        n_draws : int, default=200
            Masks of each row that are averaged.
        random_state : None, int, Generator or RandomState
            Of the masks.
        n_jobs : int, optional

        References
        ----------
        .. [1] Wei, Kakade and Ma (2020), "The implicit and explicit regularization effects of dropout",
           equation 5.
        """
        points = lines(thetas, "thetas", require_net(net).n_parameters)
        rates = below_one(rate, "rate"), below_one(inputs, "inputs")
        draws = integer(n_draws, "n_draws", 2, MAX_DRAWS)
        masked = masked_gradients(net, points, data, rates, loss, draws, random_state, n_jobs)
        bare = gradient(net, points, data, loss, n_jobs).astype(np.float64)
        return cls(points, masked - bare, net=net)
