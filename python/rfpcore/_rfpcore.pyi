"""Typed stubs of the compiled extension.

Arrays are C-contiguous and of one dtype per call, float32 or float64, unless a stub says otherwise. The Python layer
(`_arrays.py`) brings any input into that form; the extension checks again whatever memory safety needs.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

__all__ = [
    "Architecture",
    "BilevelData",
    "BilevelOptions",
    "ClusterData",
    "Covariance",
    "DivergenceError",
    "Factors",
    "Inner",
    "InternalError",
    "Model",
    "Objective",
    "Optimizer",
    "Outcome",
    "Particles",
    "Patience",
    "Precision",
    "Trainer",
    "adapt",
    "curvature",
    "draws",
    "dropout_gradient",
    "dropout_mask",
    "fit_many",
    "fold_batch_norm",
    "gradients",
    "hvp",
    "input_mask",
    "isa",
    "jvp",
    "objective",
    "output_hvp",
    "particle_gradient",
    "particle_noise",
    "particle_rows",
    "particle_values",
    "predict",
    "predict_each",
    "refit",
    "solve_bilevel",
    "value_and_grad",
    "vjp",
]

_Floats = NDArray[np.float32] | NDArray[np.float64]
_NewRows = tuple[
    NDArray[np.int64], NDArray[np.float64], Sequence[NDArray[np.int64] | None], NDArray[np.float64] | None
]

class DivergenceError(ArithmeticError):
    """Clusters whose loss became non-finite. `args` is (message, cluster, step, loss, n_diverged), and the index of theta
    where many were given."""

class InternalError(RuntimeError):
    """A defect of rfpcore."""

@final
class Architecture:
    """Widths and activation of a network, and the layout of its flat parameter vector."""

    def __new__(
        cls,
        n_inputs: int,
        hidden_layer_sizes: Sequence[int],
        n_outputs: int,
        activation: str,
        bias: bool = True,
    ) -> Self: ...
    @property
    def n_parameters(self) -> int: ...

@final
class ClusterData:
    """Rows sorted by cluster, checked once.

    x (N, d); y (N, n_outputs), or (N, 1) class codes; offsets (C + 1,) int64; weights (N,) or None;
    n_support (C,) int64 or None: the first n_support[c] rows of a cluster adapt, the others measure;
    cluster_weights (C,) float64 or None (None: each cluster counts by its number of rows);
    precision of the same dtype or None: the squared loss is r'A_c r / n_c.
    """

    def __new__(
        cls,
        x: _Floats,
        y: _Floats,
        offsets: NDArray[np.int64],
        weights: _Floats | None = None,
        n_support: NDArray[np.int64] | None = None,
        cluster_weights: NDArray[np.float64] | None = None,
        precision: Precision | None = None,
    ) -> Self: ...
    @property
    def n_rows(self) -> int: ...
    @property
    def n_clusters(self) -> int: ...

@final
class Covariance:
    """Which effects the rows of a cluster share: V = s² diag(1/weights) + Σ Z D Z' + v exp(-|x - x'|²/(2 l²)).

    offsets (C + 1,); columns (N, q), of all effects; terms: for each its columns (q_t,) and None (one effect vector a
    cluster) or codes (N,): one for each distinct code within the cluster. rbf (N, d) or None: inputs of the kernel;
    weights (N,) or None. Clusters of more than dense_rows rows take the kernel in low rank.
    """

    def __new__(
        cls,
        offsets: NDArray[np.int64],
        columns: NDArray[np.float64],
        terms: Sequence[tuple[NDArray[np.int64], NDArray[np.int64] | None]],
        rbf: NDArray[np.float64] | None = None,
        weights: NDArray[np.float64] | None = None,
        dense_rows: int = 512,
    ) -> Self: ...
    @property
    def n_clusters(self) -> int: ...
    @property
    def n_rows(self) -> int: ...
    def factor(
        self,
        noise: float,
        matrices: Sequence[NDArray[np.float64]],
        rbf: tuple[float, float] | None = None,
        n_threads: int = 0,
    ) -> Factors:
        """V at s² = noise > 0, D_t = matrices[t] (q_t, q_t) positive semidefinite, (v, l) = rbf, factored."""

    def laplace(
        self,
        eta: NDArray[np.float64],
        y: NDArray[np.float64],
        family: str,
        matrices: Sequence[NDArray[np.float64]],
        rbf: tuple[float, float] | None = None,
        weights: NDArray[np.float64] | None = None,
        mode: NDArray[np.float64] | None = None,
        n_threads: int = 0,
    ) -> tuple[
        NDArray[np.float64],
        NDArray[np.float64],
        NDArray[np.float64],
        tuple[list[NDArray[np.float64]], tuple[float, float] | None],
    ]:
        """Laplace's approximation of log p(y | eta), the effects u ~ N(0, V without noise) integrated out.

        y has log-density w (y f - log(1 + exp f)) ("logistic", y in [0, 1]) or w (y f - exp f) ("poisson"), f = eta + u, w
        the weights of this call (N,). mode (N,): where to look for the mode of u first. Returned: that of each cluster (C,),
        without terms in y alone; the mode (N,); and of the sum the derivatives in eta (N,) and in the matrices and (v, l),
        the mode's dependence included.
        """

    def laplace_posterior(
        self,
        eta: NDArray[np.float64],
        y: NDArray[np.float64],
        family: str,
        matrices: Sequence[NDArray[np.float64]],
        rbf: tuple[float, float] | None,
        rows: _NewRows,
        weights: NDArray[np.float64] | None = None,
        mode: NDArray[np.float64] | None = None,
        variance: bool = False,
        n_threads: int = 0,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Mean and variance (M,) of all effects together at M new rows, as `Factors.posterior`, for outcomes of `laplace`."""

@final
class Factors:
    """Covariances of all clusters, factored."""

    @property
    def log_determinant(self) -> NDArray[np.float64]:
        """log |V| of each cluster, (C,)."""

    def solve(self, B: NDArray[np.float64], n_threads: int = 0) -> NDArray[np.float64]:
        """V⁻¹B, (N, p)."""

    def gradient(
        self, A: NDArray[np.float64], n_threads: int = 0
    ) -> tuple[float, list[NDArray[np.float64]], tuple[float, float] | None]:
        """½ Σ tr((V⁻¹ - AA') ∂V) for A (N, p): in s², in each D_t as if its elements were free, in (v, l)."""

    def precision(self, float32: bool, scale: float = 1.0, n_threads: int = 0) -> Precision:
        """scale·V⁻¹ of each cluster."""

    def posterior(
        self,
        residual: NDArray[np.float64],
        rows: _NewRows,
        variance: bool = False,
        n_threads: int = 0,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Mean and variance (M,) of all effects together, without noise, at M new rows of the same clusters.

        rows: offsets (C + 1,), of which some may be equal; columns (M, q); codes (M,) of each term that has inner groups:
        those not seen in the cluster are new; what the smooth functions take, (M, d).
        """

    def draws(
        self,
        residual: NDArray[np.float64],
        rows: _NewRows,
        n_draws: int,
        seed: int,
        n_threads: int = 0,
    ) -> NDArray[np.float64]:
        """Joint draws of what `posterior` has the moments of, (n_draws, M).

        Where V is made as it is, 1e-12 of the largest prior variance is added to the posterior covariance's diagonal, up to
        1e-6 where rounding asks for it.
        """

@final
class Precision:
    """A symmetric matrix for each cluster: (n_c, n_c) of all clusters one after the other, float32 or float64."""

    def __new__(cls, offsets: NDArray[np.int64], matrices: _Floats) -> Self: ...
    @property
    def n_clusters(self) -> int: ...
    @property
    def dtype(self) -> str:
        """ "float32" or "float64"."""

@final
class Inner:
    """The inner loop: `steps` of gradient descent with step `lr` (a number, or (P,) float64)."""

    def __new__(
        cls,
        steps: int,
        lr: float | NDArray[np.float64],
        momentum: float = 0.0,
        head_only: bool = False,
        first_order: bool = False,
    ) -> Self: ...

@final
class Model:
    """One model of `fit_many`: what a `rfpcore.many.Model` says, read by its fields' names."""

    def __new__(cls, architecture: Architecture, model: Any) -> Self: ...
    def steps_for(self, n_rows: int) -> int:
        """Steps in all, for so many rows."""

@final
class Optimizer:
    """What an optimizer of `rfpcore.optimizers` and terms of `rfpcore.regularize` say, read by their fields' names."""

    def __new__(cls, optimizer: Any, regularization: Iterable[Any] | None = None) -> Self: ...
    def step(
        self,
        t: int,
        gradient: _Floats,
        theta: _Floats,
        first: _Floats,
        second: _Floats,
        *,
        architecture: Architecture | None = None,
    ) -> tuple[Any, Any, Any]:
        """theta, first and second moment (P,) after step t, counted from 0, of a network's parameters.

        Without an architecture all count as weights. SGD keeps the velocity in `first` and nothing in `second`; at t = 0
        both are zeros. ValueError with `MaxNorm` on a bare vector, which does not say which weights go into which unit.
        """
    def learning_rates(self, start: int, stop: int) -> NDArray[np.float64]:
        """lr * factor(t) of the steps t = start, ..., stop - 1."""

@final
class Outcome:
    """A trained model, and what was recorded of it: R recorded steps, P parameters, Q numbers of batch normalization."""

    @property
    def theta(self) -> Any:
        """(P,)."""
    @property
    def batch_norm(self) -> Any:
        """(Q,) scale, shift, running mean and variance of each hidden layer; empty without batch normalization."""
    @property
    def loss_curve(self) -> NDArray[np.float64]:
        """Mean batch loss of each epoch."""
    @property
    def validation_losses(self) -> NDArray[np.float64]:
        """Held-out losses that early stopping has looked at."""
    @property
    def steps(self) -> NDArray[np.int64]:
        """(R,)."""
    @property
    def train_losses(self) -> NDArray[np.float64]: ...
    @property
    def train_accuracies(self) -> NDArray[np.float64]: ...
    @property
    def held_out_losses(self) -> NDArray[np.float64]: ...
    @property
    def held_out_accuracies(self) -> NDArray[np.float64]: ...
    @property
    def test_losses(self) -> NDArray[np.float64]: ...
    @property
    def test_accuracies(self) -> NDArray[np.float64]: ...
    @property
    def thetas(self) -> Any:
        """(R, P) where recorded."""
    @property
    def batch_norms(self) -> Any:
        """(R, Q) where recorded."""
    @property
    def gradients(self) -> Any:
        """(R, P) where recorded."""
    @property
    def applied_gradients(self) -> Any:
        """(R, P) where recorded: means over the steps since the record before."""
    @property
    def bare_gradients(self) -> Any:
        """(R, P) where recorded: of the bare loss on the same batches."""
    @property
    def weight_norms(self) -> Any:
        """(R, L + 1) where recorded, float64."""
    @property
    def n_steps(self) -> int: ...
    @property
    def best_step(self) -> int: ...
    @property
    def status(self) -> str:
        """ "finished", "stopped" or "diverged"."""
    @property
    def diverged_loss(self) -> float | None: ...

@final
class Trainer:
    """The outer loop: minimizes R_k, mini-batches of `batch_size` whole clusters a step (None: all of them)."""

    def __new__(
        cls,
        architecture: Architecture,
        theta: _Floats,
        alpha: float,
        inner: Inner,
        loss: str,
        optimizer: Optimizer,
        batch_size: int | None = None,
        seed: int = 0,
        skip_diverged: bool = False,
        n_threads: int = 0,
    ) -> Self: ...
    def advance(self, data: ClusterData, n_steps: int) -> NDArray[np.float64]:
        """Take n_steps outer steps; the objective at the start of each, (n_steps,). On any error (also
        KeyboardInterrupt) the trainer stays at the last completed step."""
    @property
    def theta(self) -> _Floats: ...
    @property
    def n_steps(self) -> int: ...
    @property
    def n_skipped(self) -> int:
        """Clusters left out so far because they diverged, counted once a step."""
    def set_inner(self, inner: Inner) -> None: ...
    def state(self) -> tuple[int, _Floats, _Floats, _Floats]:
        """(steps taken, theta, first moment or velocity, second moment)."""
    def restore(self, state: tuple[int, _Floats, _Floats, _Floats]) -> None: ...

@final
class Objective:
    """R_k, its gradients, and what happened to each cluster."""

    @property
    def value(self) -> float: ...
    @property
    def gradient(self) -> _Floats: ...
    @property
    def alpha_gradient(self) -> float: ...
    @property
    def inner_lr_gradient(self) -> _Floats | None:
        """(P,) when asked for: the derivative in each parameter's own step (its sum: in a common step)."""
    @property
    def loss_before(self) -> NDArray[np.float64]:
        """(C,) over all rows of a cluster, also with a support/query split."""
    @property
    def loss_after(self) -> NDArray[np.float64]: ...
    @property
    def diverged_step(self) -> NDArray[np.int32]:
        """(C,) the inner step at which a cluster's loss stopped being finite, -1 where it did not."""

@final
class Patience:
    """Says when a value that is to fall has not fallen by more than `min_gain` for `patience`, in the caller's time."""

    def __new__(cls, patience: int, min_gain: float) -> Self: ...
    def look(self, value: float, time: int) -> tuple[bool, bool]:
        """Take a value in: whether it is the lowest so far, and whether patience is over. Time starts at 0."""

@final
class Particles:
    """A mean-field network of two layers: h(x) is the mean over particles of w2 * a(w1 @ x + b).

    activation "tanh" or "relu"; with `clip` a particle's output is clip * tanh(w2 * a(...) / clip). The flat
    parameters are a matrix (n_inputs + 2, n_particles), row by row: w1, then b, then w2.
    """

    def __new__(cls, n_inputs: int, n_particles: int, activation: str, clip: float | None = None) -> Self: ...
    @property
    def n_parameters(self) -> int: ...

@final
class BilevelOptions:
    """What the runs of `solve_bilevel` share; adam (beta1, beta2, epsilon), None for Langevin steps."""

    def __new__(
        cls,
        structural: Particles,
        instrumental: Particles,
        inner_steps: int,
        outer_steps: int,
        batch_size: int | None = None,
        warm: bool = True,
        shared: bool = True,
        record_every: int = 1,
        adam: tuple[float, float, float] | None = None,
    ) -> Self: ...

@final
class BilevelData:
    """x (n * terms, d), z (n, q), y (n,), coefficients (n * terms,), weights (n,), all of one dtype.

    The first stage follows sum over terms of coefficient * h(x).
    """

    def __new__(
        cls,
        x: _Floats,
        z: _Floats,
        y: _Floats,
        coefficients: _Floats | None = None,
        weights: _Floats | None = None,
    ) -> Self: ...

def solve_bilevel(
    data: BilevelData,
    options: BilevelOptions,
    rates: NDArray[np.float64],
    seeds: Sequence[int],
    rows: NDArray[np.int64],
    offsets: NDArray[np.int64],
    starts: tuple[_Floats, _Floats, _Floats],
    n_threads: int = 0,
) -> list[tuple[NDArray[np.float64], Any, Any, Any, int]]:
    """Solves R runs; run r takes rows[offsets[r]:offsets[r + 1]] and starts at row r of each of `starts`.

    rates (R, 8): lambda, alpha, beta, gamma, zeta1, zeta2, sigma1, sigma2. starts: structural (R, P), first stage
    (R, Q), twin (R, Q). A run's result: records (K, 5) with step, F1(x, z), F1(x, twin), F2(x, z), F2(x, twin);
    structural particles (K, P) at each record; those of first stage and twin (Q,) at the last; times it was halved.
    """

def particle_values(particles: Particles, thetas: _Floats, x: _Floats, n_threads: int = 0) -> Any:
    """Values of every network at every row, (K, n); thetas (K, P), x (n, d)."""

def particle_gradient(particles: Particles, theta: _Floats, x: _Floats, residual: _Floats) -> Any:
    """The sum over rows of residual times the gradient of each particle's output, (P,)."""

def particle_noise(seed: int, purpose: str, index: int, n: int) -> NDArray[np.float32]:
    """The normals that a step draws: purpose "noise x", "noise z" or "noise twin", index of the step."""

def particle_rows(seed: int, purpose: str, index: int, n: int, size: int) -> NDArray[np.int64]:
    """Places in a run's list of n rows that a mini-batch takes: purpose "rows", "rows twin" or "rows outer"."""

def predict(architecture: Architecture, theta: _Floats, x: _Floats, n_threads: int = 0) -> Any:
    """Linear outputs, (N, n_outputs)."""

def predict_each(
    architecture: Architecture, thetas: _Floats, x: _Floats, offsets: NDArray[np.int64], n_threads: int = 0
) -> Any:
    """Linear outputs where the rows of cluster c use thetas[c]; thetas (C, P)."""

def value_and_grad(
    architecture: Architecture,
    theta: _Floats,
    data: ClusterData,
    alpha: float,
    inner: Inner,
    loss: str,
    skip_diverged: bool = False,
    n_threads: int = 0,
) -> tuple[float, Any]:
    """R_k and its exact gradient."""

def gradients(
    architecture: Architecture, thetas: _Floats, data: ClusterData, loss: str, n_threads: int = 0
) -> Any:
    """Gradients of the mean loss at many parameters; thetas (T, P)."""

def objective(
    architecture: Architecture,
    theta: _Floats,
    data: ClusterData,
    alpha: float,
    inner: Inner,
    loss: str,
    skip_diverged: bool = False,
    inner_lr_gradient: bool = False,
    n_threads: int = 0,
) -> Objective:
    """R_k with everything that can be known of it."""

def adapt(
    architecture: Architecture,
    theta: _Floats,
    data: ClusterData,
    inner: Inner,
    loss: str,
    n_threads: int = 0,
) -> tuple[Any, NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
    """(thetas (C, P), diverged_step (C,), loss_before (C,), loss_after (C,)); never raises DivergenceError.

    A diverging cluster keeps theta. With a support/query split both losses are over the query rows.
    """

def fit_many(
    models: Sequence[Model],
    thetas: Sequence[_Floats],
    data: tuple[_Floats, _Floats],
    rows: Sequence[NDArray[np.int64] | None],
    weights: _Floats | None = None,
    held_out: tuple[_Floats, _Floats, Sequence[NDArray[np.int64] | None]] | None = None,
    record: tuple[int | None, Sequence[int] | None, Sequence[bool]] = ...,
    on_finished: Callable[[int, Outcome], object] | None = None,
    n_threads: int = 0,
    batches: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]] = ...,
    test: tuple[_Floats, _Floats, Sequence[NDArray[np.int64] | None]] | None = None,
) -> list[Any]:
    """Train every model; an Outcome each.

    rows: one entry for all models or one each, None for all rows, also the third part of held_out and test; weights (1, N) or (n_models, N); record: every, or
    steps in rising order, and whether losses, metrics, parameters, gradients, mean gradients of the intervals and norms of the
    weights are recorded. `on_finished` is called with each model's index and outcome as it is done. batches: empty, one entry for
    all models or one each: row numbers, batch after batch, and offsets, batch b being rows[offsets[b]:offsets[b + 1]].
    """

def draws(model: Model, n_rows: int, step: int) -> dict[str, Any]:
    """What a model with n_rows rows draws at a step.

    "rows", "masks" (one a hidden layer, lines one after the other), "input_mask" (lines of inputs), "noise" (rows * inputs, before it is scaled), "mixup"
    (share, partners) and "shift" (down, right); empty or None for what the model has not.
    """

def dropout_mask(
    widths: Sequence[int], rates: Sequence[float], seed: int, sample: int
) -> list[NDArray[np.float64]]:
    """One mask a hidden layer for a sample of Monte-Carlo dropout: 0 or 1 / (1 - rate)."""

def input_mask(n_inputs: int, rate: float, seed: int, sample: int) -> Any:
    """A mask of the inputs for a sample of Monte-Carlo dropout, (n_inputs,) float64."""

def dropout_gradient(
    architecture: Architecture,
    theta: _Floats,
    data: ClusterData,
    loss: str,
    rates: Sequence[float],
    inputs: float,
    n_draws: int,
    seed: int,
    n_threads: int = 0,
) -> tuple[Any, Any]:
    """Mean over draws of row masks of the gradient of the mean loss, (P,), and its standard error, (P,).

    Draw d's masks of the i-th 512 rows of positive weight are those of `draws` at step d * p + i, p such parts in all.
    """

def fold_batch_norm(architecture: Architecture, theta: _Floats, batch_norm: _Floats, epsilon: float) -> Any:
    """Flat parameters of the network that a batch-normalized one is at prediction."""

def hvp(
    architecture: Architecture, theta: _Floats, v: _Floats, data: ClusterData, loss: str, n_threads: int = 0
) -> Any:
    """Hessian of the mean loss times v, (P,)."""

def jvp(architecture: Architecture, theta: _Floats, v: _Floats, x: _Floats, n_threads: int = 0) -> Any:
    """Derivative of the outputs along v, (N, n_outputs)."""

def vjp(architecture: Architecture, theta: _Floats, w: _Floats, x: _Floats, n_threads: int = 0) -> Any:
    """Gradient of the sum of w times the outputs, (P,); w (N, n_outputs)."""

def output_hvp(
    architecture: Architecture, theta: _Floats, v: _Floats, w: _Floats, x: _Floats, n_threads: int = 0
) -> Any:
    """Hessian of the sum of w times the outputs, times v, (P,); w (N, n_outputs)."""

def curvature(
    architecture: Architecture,
    theta: _Floats,
    data: ClusterData,
    loss: str,
    n_iterations: int = 20,
    n_threads: int = 0,
) -> NDArray[np.float64]:
    """Largest Hessian eigenvalue of each cluster's loss at theta by power iteration, (C,)."""

def refit(
    architecture: Architecture,
    thetas: _Floats,
    data: ClusterData,
    counts: NDArray[np.float64],
    alphas: NDArray[np.float64],
    inners: Sequence[Inner],
    loss: str,
    optimizer: Optimizer | Sequence[Optimizer],
    n_steps: int,
    seeds: NDArray[np.uint64],
    held_out: NDArray[np.bool_] | None = None,
    batch_size: int | None = None,
    every: int = 10,
    patience: int = ...,
    min_gain: float = 0.0,
    watched_alpha: float | None = None,
    skip_diverged: bool = False,
    n_threads: int = 0,
    keep_looks: bool = False,
) -> tuple[
    Any,
    NDArray[np.uint64],
    NDArray[np.uint64],
    NDArray[np.uint64],
    NDArray[np.float64],
    list[DivergenceError | None],
    Any | None,
]:
    """R training runs on one data set, each as a Trainer that starts at thetas[r] (R, P).

    counts (R, C): how often each cluster counts, 0 leaves it out. held_out (R, C) clusters are looked at every `every`
    steps and after the last: a run ends `patience` steps after the last gain of more than `min_gain` in R_k with
    `watched_alpha` (None: its own alpha), and gives its best parameters. With keep_looks the parameters of every look are
    returned too, whether there are held-out clusters or not. optimizer: one for all runs, or one each.

    (thetas (R, P), steps taken (R,), steps to thetas (R,), clusters skipped (R,), held-out objective at each look padded
    with NaN (R, looks), for each run the divergence that ended it, or None, parameters at each look (R, looks, P) padded
    with NaN, or None).
    """

def isa() -> str:
    """The instruction set in use: "avx512", "avx2", "neon" or "portable" (RFPCORE_ISA forces one)."""
