"""What training gave, of one model and of all."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .. import _rfpcore
from .._arrays import Array, cast, matrix, shown
from .._frames import pandas_for
from .._options import MAX_MEMBERS, MAX_STEPS, choice, integer, n_threads
from ..network import MLP
from ..regularize import BatchNorm, Dropout, EarlyStopping
from ._model import Model
from ._norms import Norms, norms

__all__ = ["ManyResult", "ModelResult"]

_LOST = 2.0**53  # a growth that leaves nothing of the start, in float64

PARAMETERS = (
    "theta",
    "batch_norm",
    "thetas",
    "batch_norms",
    "gradients",
    "applied_gradients",
    "bare_gradients",
)
Score = Literal[
    "train_losses",
    "held_out_losses",
    "test_losses",
    "train_accuracies",
    "held_out_accuracies",
    "test_accuracies",
]
SCORES: tuple[str, ...] = get_args(Score)


class ModelResult:
    """One trained model.

    Attributes
    ----------
    model : Model
    net : MLP
    theta : ndarray (P,)
        Parameters: the last, or with `EarlyStopping` those of the lowest held-out loss.
    batch_norm : ndarray
        Scale, shift, running mean and running variance of each hidden layer in turn; empty without
        `BatchNorm`.
    loss_curve : ndarray (n_epochs,)
        Mean over each epoch's steps of the loss that was minimized, without penalties.
    validation_losses : ndarray
        Held-out losses that `EarlyStopping` has looked at.
    steps : ndarray (R,) of int
        After how many steps something was recorded.
    train_losses, held_out_losses, test_losses : ndarray (R,)
    train_accuracies, held_out_accuracies, test_accuracies : ndarray (R,)
        As `Record` describes them; empty where not asked for.
    thetas, gradients : ndarray (R, P)
        Recorded parameters and gradients; empty where not asked for.
    applied_gradients, bare_gradients : ndarray (R, P)
        Mean gradients of the steps since the step recorded before, as applied and of the bare loss on the
        same batches, as `Record` describes them; empty where not asked for.
    weight_norms : ndarray (R, L + 1)
        Frobenius norm of each layer's weights; empty where not asked for.
    n_steps : int
        Steps taken.
    best_step : int
        After how many steps the parameters were those of `theta`.
    status : {"finished", "stopped", "diverged"}
        "diverged" where the loss stopped being finite, or a parameter grew beyond 2⁵³ times the largest at
        the start (or 1): so far that rounding leaves nothing of it.
    diverged_loss : float or None
        The loss at step `n_steps` of a model that diverged; the last of `loss_curve` where it is its
        parameters that did.
    """

    def __init__(self, model: Model, net: MLP, outcome: _rfpcore.Outcome, start: float = np.inf) -> None:
        self.model, self.net = model, net
        self.theta: Array = outcome.theta
        self.batch_norm: Array = outcome.batch_norm
        self.loss_curve, self.validation_losses = outcome.loss_curve, outcome.validation_losses
        self.steps = outcome.steps
        self.train_losses, self.train_accuracies = outcome.train_losses, outcome.train_accuracies
        self.held_out_losses, self.held_out_accuracies = outcome.held_out_losses, outcome.held_out_accuracies
        self.test_losses, self.test_accuracies = outcome.test_losses, outcome.test_accuracies
        self.thetas: Array = outcome.thetas
        self.batch_norms: Array = outcome.batch_norms
        self.gradients: Array = outcome.gradients
        self.applied_gradients: Array = outcome.applied_gradients
        self.bare_gradients: Array = outcome.bare_gradients
        self.weight_norms: NDArray[np.float64] = outcome.weight_norms
        self.n_steps, self.best_step = outcome.n_steps, outcome.best_step
        self.status, self.diverged_loss = outcome.status, outcome.diverged_loss
        if self.status != "diverged" and not np.abs(self.theta).max(initial=0.0) <= _LOST * max(start, 1.0):
            self.status, self.diverged_loss = "diverged", float(self.loss_curve[-1])

    def __repr__(self) -> str:
        return f"ModelResult({self.status} after {self.n_steps} steps, {self.model!r})"

    def without_parameters(self) -> "ModelResult":
        """The same with its curves and scores only: it cannot predict."""
        lean = copy.copy(self)
        for name in PARAMETERS:
            setattr(lean, name, getattr(self, name)[:0].copy())
        return lean

    def kept(self, name: Score) -> float:
        """A recorded score of the parameters that are kept: that after `best_step` steps.

        Parameters
        ----------
        name : {"train_losses", "held_out_losses", "test_losses", "train_accuracies", \
                "held_out_accuracies", "test_accuracies"}

        Returns
        -------
        score : float
            NaN of a model that diverged and has no such record.

        Raises
        ------
        ValueError
            If it was not recorded there. With `EarlyStopping(every=…)` a record after as many steps has it;
            the held-out loss is known without.

        Examples
        --------
        >>> import numpy as np
        >>> from rfpcore.many import Model, Record, fit_many
        >>> X = np.linspace(-1, 1, 20)[:, None]
        >>> found = fit_many(X, X, Model((), n_steps=50), record=Record(every=25), test=(X, X))[0]
        >>> bool(found.kept("test_losses") == found.test_losses[-1])
        True
        """
        name = choice(name, "name", Score)  # type: ignore[assignment]
        at, scores = np.flatnonzero(self.steps == self.best_step), getattr(self, name)
        if len(at) and len(scores):
            return float(scores[at[0]])
        stopping = self.model.terms.get(EarlyStopping)
        if name == "held_out_losses" and stopping is not None and self.best_step > 0:
            look = -(-self.best_step // stopping.every) - 1  # the last look may come early
            if look < len(self.validation_losses):
                return float(self.validation_losses[look])
        if self.status == "diverged":
            return float("nan")
        raise ValueError(
            f"no {name} are recorded of step {self.best_step}, whose parameters are kept; a record after it, "
            "such as Record(every=1), and rows to be measured are needed"
        )

    def parameters(self) -> Array:
        """The parameters (P,) of the network that predicts: `theta`, with batch normalization folded in.

        W ← W · scale/σ and b ← (b − mean) · scale/σ + shift, with the running statistics.
        """
        if len(self.theta) != self.net.n_parameters:
            raise ValueError("the parameters were not kept, as keep=('scores',) says: nothing predicts")
        return self._folded(self.theta, self.batch_norm)

    def _folded(self, theta: Array, batch_norm: Array) -> Array:
        norm = self.model.terms.get(BatchNorm)
        if norm is None or not len(batch_norm):
            return theta
        folded: Array = _rfpcore.fold_batch_norm(self.net._architecture, theta, batch_norm, norm.epsilon)
        return folded

    def _recorded(self, step: Any) -> Array:
        """The recorded parameters after so many steps, as `parameters` has them."""
        after = integer(step, "step", 0, MAX_STEPS)
        if not len(self.thetas):
            raise ValueError(f"step={after}, but no parameters are recorded; Record(thetas=True) does it")
        at = np.flatnonzero(self.steps == after)
        if not len(at):
            raise ValueError(f"step={after} is not recorded; the steps are {shown(self.steps.tolist())}")
        return self._folded(self.thetas[at[0]], self.batch_norms[at[0]] if len(self.batch_norms) else [])

    def norms(self, X: Any, step: int | None = None) -> Norms:
        """Norms of the network that predicts: of weights, hidden units, and outputs' derivatives by inputs.

        The Jacobian costs as much as n_outputs passes; a hundred rows are enough for its mean.

        Parameters
        ----------
        X : array or frame (N, d)
        step : int, optional
            After how many steps, of those that `Record(thetas=True)` records; None: at the parameters that
            are kept.

        Returns
        -------
        Norms
            In float64, with batch normalization folded in.

        Examples
        --------
        >>> import numpy as np
        >>> from rfpcore.many import Model, fit_many
        >>> X = np.linspace(-1, 1, 20)[:, None]
        >>> found = fit_many(X, 3 * X, Model((), n_steps=3), theta=np.array([3.0, 0.0]))[0]
        >>> norms = found.norms(X)
        >>> norms.weights.round(6), norms.hidden, round(norms.jacobian, 6)
        (array([3.]), array([], dtype=float64), 3.0)
        """
        theta = self.parameters() if step is None else self._recorded(step)
        if not np.isfinite(theta).all():
            raise ValueError(
                f"the parameters of a model that {self.status} are not finite: they have no norms"
            )
        return norms(self.net, theta, cast(matrix(X, "X", self.net.n_inputs), theta.dtype, "X"))

    def predict(
        self, X: Any, n_jobs: int | None = None, dropout_samples: int | None = None, seed: int | None = None
    ) -> Array:
        """Linear outputs (N, n_outputs), or (dropout_samples, N, n_outputs): see `ManyResult.predict`."""
        samples = _samples(dropout_samples)
        rows = cast(matrix(X, "X", self.net.n_inputs), self.theta.dtype, "X")
        return self._predict(rows, n_threads(n_jobs), samples, _seed(seed))

    def _predict(self, X: Array, threads: int, samples: int | None, seed: int | None) -> Array:
        """As `predict`, for options that have been checked."""
        theta = self.parameters()

        def outputs(theta: Array) -> Array:
            try:
                found: Array = _rfpcore.predict(self.net._architecture, theta, X, threads)
            except ValueError:  # the outputs overflow
                if self.status != "diverged":
                    raise
                # Of one that did nothing can be said, which the fit has said; the others are not lost.
                found = np.full((len(X), self.net.n_outputs), np.nan, theta.dtype)
            return found

        if samples is None:
            return outputs(theta)
        drawn = [
            self._masked(theta, sample, self.model.seed if seed is None else seed)
            for sample in range(samples)
        ]
        return np.stack([outputs(own) for own in drawn])

    def _masked(self, theta: Array, sample: int, seed: int) -> Array:
        """Parameters of the network a draw of masks leaves: masks scale the weights behind them."""
        dropout = self.model.terms.get(Dropout)
        if dropout is None:
            raise ValueError(f"dropout_samples needs a model with Dropout; it has {self.model.terms!r}")
        widths = self.model.hidden_layer_sizes
        masks = _rfpcore.dropout_mask(widths, dropout.rates(len(widths)), seed, sample)
        if dropout.inputs > 0:
            masks = [_rfpcore.input_mask(self.net.n_inputs, dropout.inputs, seed, sample), *masks]
        masked = theta.copy()
        layers = self.net.unflatten(masked)
        for (W, _), mask in zip(layers[len(layers) - len(masks) :], masks, strict=True):
            W *= mask[:, None].astype(theta.dtype)
        return masked


class ManyResult:
    """What `fit_many` found: a sequence of `ModelResult`, and their numbers stacked over models.

    Curves and records of unequal lengths are filled up with NaN, steps with -1.

    Attributes
    ----------
    results : list of ModelResult
    models : list of Model
    classes : ndarray of str or None
        The class of each code, where y held texts.
    thetas : ndarray (n_models, P), or a list where the networks differ
        Parameters.
    loss_curves : ndarray (n_models, n_epochs)
    validation_losses : ndarray (n_models, n_evaluations)
    steps : ndarray (n_models, R) of int
    train_losses, held_out_losses, test_losses : ndarray (n_models, R)
    train_accuracies, held_out_accuracies, test_accuracies : ndarray (n_models, R)
    recorded_thetas, recorded_gradients : list of ndarray (R, P)
    recorded_applied_gradients, recorded_bare_gradients : list of ndarray (R, P)
    recorded_weight_norms : list of ndarray (R, L + 1)
    n_steps, best_step : ndarray (n_models,) of int
    status : ndarray (n_models,) of str
    stopped : ndarray (n_models,) of bool
        Which models were stopped early.

    See Also
    --------
    ModelResult : what the numbers mean.
    """

    def __init__(self, results: Sequence[ModelResult], classes: NDArray[np.str_] | None = None) -> None:
        self.results = list(results)
        self.classes = classes
        self.models = [result.model for result in self.results]
        thetas = [result.theta for result in self.results]
        alike = all(len(theta) == len(thetas[0]) for theta in thetas)
        self.thetas: Array | list[Array] = np.stack(thetas) if alike else thetas
        self.loss_curves = _filled([result.loss_curve for result in self.results], np.nan)
        self.validation_losses = _filled([result.validation_losses for result in self.results], np.nan)
        self.steps = _filled([result.steps for result in self.results], -1)
        scores = {
            name: _filled([getattr(result, name) for result in self.results], np.nan) for name in SCORES
        }
        self.train_losses, self.train_accuracies = scores["train_losses"], scores["train_accuracies"]
        self.held_out_losses = scores["held_out_losses"]
        self.held_out_accuracies = scores["held_out_accuracies"]
        self.test_losses, self.test_accuracies = scores["test_losses"], scores["test_accuracies"]
        self.recorded_thetas = [result.thetas for result in self.results]
        self.recorded_gradients = [result.gradients for result in self.results]
        self.recorded_applied_gradients = [result.applied_gradients for result in self.results]
        self.recorded_bare_gradients = [result.bare_gradients for result in self.results]
        self.recorded_weight_norms = [result.weight_norms for result in self.results]
        self.n_steps = np.array([result.n_steps for result in self.results])
        self.best_step = np.array([result.best_step for result in self.results])
        self.status = np.array([result.status for result in self.results])
        self.stopped: NDArray[np.bool_] = self.status == "stopped"

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: int) -> ModelResult:
        return self.results[index]

    def __iter__(self) -> Iterator[ModelResult]:
        return iter(self.results)

    def __repr__(self) -> str:
        kinds, counts = np.unique(self.status, return_counts=True)
        told = ", ".join(f"{count} {kind}" for kind, count in zip(kinds, counts, strict=True))
        return f"ManyResult({len(self)} models: {told})"

    def predict(
        self, X: Any, n_jobs: int | None = None, dropout_samples: int | None = None, seed: int | None = None
    ) -> Array:
        """Linear outputs of every model for every row.

        They are logits for the logistic and the softmax loss, and log rates for the Poisson loss. Batch
        normalization uses its running statistics.

        Parameters
        ----------
        X : array or frame (N, d)
        n_jobs : int, optional
            Threads; -1 for all cores.
        dropout_samples : int, optional
            Monte-Carlo dropout: so many draws with dropout on, one mask of units for all rows of a draw, so
            that each draw is one network.
        seed : int, optional
            Of the masks; by default each model's own.

        Returns
        -------
        outputs : ndarray (n_models, N, n_outputs), or (n_models, dropout_samples, N, n_outputs)
            NaN of a model that diverged and whose outputs overflow.
        """
        samples = _samples(dropout_samples)
        first, threads, seed = self.results[0], n_threads(n_jobs), _seed(seed)
        rows = cast(matrix(X, "X", first.net.n_inputs), first.theta.dtype, "X")
        return np.stack([result._predict(rows, threads, samples, seed) for result in self.results])

    def kept(self, name: Score) -> NDArray[np.float64]:
        """A recorded score of the parameters that each model keeps, (n_models,): see `ModelResult.kept`."""
        return np.array([result.kept(name) for result in self.results])

    def to_frame(self) -> Any:
        """A pandas DataFrame, one line a model and recorded step.

        The columns are model, seed, step, what was recorded of losses and accuracies, the norm of all weights
        where norms were recorded (`weight_norm`), and the status; without a record there is one line a model,
        at its last step, with the last value of its loss curve as loss.
        """
        pandas = pandas_for("to_frame")
        lines = []
        for index, result in enumerate(self.results):
            head = {"model": index, "seed": result.model.seed}
            if not len(result.steps):
                loss = result.loss_curve[-1] if len(result.loss_curve) else np.nan
                lines.append(head | {"step": result.n_steps, "loss": loss, "status": result.status})
            for i, step in enumerate(result.steps):
                recorded = {name: getattr(result, name)[i] for name in SCORES if len(getattr(result, name))}
                if len(result.weight_norms):
                    recorded["weight_norm"] = float(np.linalg.norm(result.weight_norms[i]))
                lines.append(head | {"step": int(step)} | recorded | {"status": result.status})
        return pandas.DataFrame(lines)


def _samples(count: int | None) -> int | None:
    return None if count is None else integer(count, "dropout_samples", 1, MAX_MEMBERS)


def _seed(seed: int | None) -> int | None:
    return None if seed is None else integer(seed, "seed", 0, 2**64 - 1)


def _filled(lines: Sequence[Array], empty: float) -> Array:
    """Lines of unequal lengths as one array."""
    found = np.full((len(lines), max(map(len, lines))), empty, lines[0].dtype)
    for to, line in zip(found, lines, strict=True):
        to[: len(line)] = line
    return found
