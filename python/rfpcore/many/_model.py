"""What a model is and how it is trained."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from .. import _rfpcore
from .._options import MAX_PARAMETERS, MAX_STEPS, Activation, boolean, choice, integer, layer_sizes
from .._value import LATER, Value, kinds
from ..losses import Loss, read
from ..network import MLP
from ..optimizers import Adam, AdamW, Optimizer
from ..regularize import L2, BatchNorm, Dropout, LabelSmoothing, Regularization, Shifts, Term

__all__ = ["Model"]

DEFAULT_EPOCHS = 100


@dataclass(frozen=True, repr=False)
class Model(Value):
    """One network and how it is trained; frozen, hashable and printable.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Widths of the hidden layers; empty for a linear model.
    activation : {"identity", "tanh", "relu", "softplus", "silu", "gelu", "elu"}
    loss : str
        As in `value_and_grad`; "cross_entropy" is softmax with shares of the classes for labels.
    optimizer : SGD, Adam or AdamW of `rfpcore.optimizers`, default=Adam()
    regularization : Regularization, term, sequence of terms or None
        Of `rfpcore.regularize`.
    batch_size : int or None, default=32
        Rows a step; None, or more than the model has, for all of them. Rows are gone through in a new order
        each epoch, and an epoch's last batch has the rows that are left.
    replacement : bool, default=False
        Draw each batch with replacement instead; an epoch then is ⌈rows / batch_size⌉ draws. It needs a
        batch_size.
    n_steps, n_epochs : int, optional
        Optimizer steps, or passes over the rows; at most one of them. Without both: 100 epochs.
    seed : int, default=0
        Of the initial weights (`MLP.init`), the batches, the masks and the noise.
    bias : bool, default=True
        Whether layers have biases, as in `MLP`. `BatchNorm` needs them.

    Examples
    --------
    >>> from rfpcore.many import Model
    >>> from rfpcore.optimizers import SGD
    >>> from rfpcore.regularize import L2, Dropout
    >>> Model((8,), optimizer=SGD(0.1), regularization=L2(1e-3) + Dropout(0.2), n_steps=50)
    Model(hidden_layer_sizes=(8,), optimizer=SGD(lr=0.1),
          regularization=Regularization([Dropout(rate=0.2), L2(strength=0.001)]), n_steps=50)
    >>> Model(n_steps=10, n_epochs=2)
    Traceback (most recent call last):
    ...
    ValueError: n_steps=10 and n_epochs=2 say twice how long to train; one of them is needed
    """

    hidden_layer_sizes: tuple[int, ...] = (64, 64)
    activation: Activation = "tanh"
    loss: Loss = "squared"
    optimizer: Optimizer = field(default=Adam())
    regularization: Regularization | Term | Sequence[Term] | None = field(default=Regularization())
    batch_size: int | None = 32
    replacement: bool = False
    n_steps: int | None = None
    n_epochs: int | None = None
    seed: int = 0
    bias: bool = field(default=True, metadata=LATER)

    def __post_init__(self) -> None:
        choice(self.activation, "activation", Activation)
        loss = read(self.loss)
        if self.n_steps is not None and self.n_epochs is not None:
            raise ValueError(
                f"n_steps={self.n_steps} and n_epochs={self.n_epochs} say twice how long to train; "
                "one of them is needed"
            )
        values = {
            "hidden_layer_sizes": layer_sizes(self.hidden_layer_sizes),
            "loss": loss.text,
            "regularization": Regularization.of(self.regularization),
            "replacement": boolean(self.replacement, "replacement"),
            "seed": integer(self.seed, "seed", 0, 2**64 - 1),
            "bias": boolean(self.bias, "bias"),
        }
        for name in ("batch_size", "n_steps", "n_epochs"):
            value = getattr(self, name)
            values[name] = None if value is None else integer(value, name, 1, MAX_STEPS)
        self._store(**values)
        if self.replacement and self.batch_size is None:
            raise ValueError(
                "replacement=True with batch_size=None; a batch_size is needed to draw that many rows"
            )
        if self.terms.get(LabelSmoothing) is not None and not loss.kind.has_labels:
            raise ValueError(f"LabelSmoothing with loss={self.loss!r}; 'softmax' or 'logistic' is needed")
        if not isinstance(self.optimizer, Optimizer):
            kind, known = type(self.optimizer).__name__, ", ".join(kinds(Optimizer))
            raise TypeError(f"optimizer={self.optimizer!r} is a {kind}; one of {known} is needed")
        _require_one_decay(self.optimizer, self.terms.get(L2))
        if not self.bias and self.terms.get(BatchNorm) is not None:
            raise ValueError("BatchNorm with bias=False; it shifts units by biases, so bias=True is needed")
        if (dropout := self.terms.get(Dropout)) is not None:
            dropout.rates(len(self.hidden_layer_sizes))

    @property
    def terms(self) -> Regularization:
        """The regularization, as the constructor has brought it into form."""
        assert isinstance(self.regularization, Regularization)
        return self.regularization

    def net(self, n_inputs: int, n_outputs: int) -> MLP:
        """The network, for data of so many features and outputs."""
        sizes = (
            integer(size, name, 1, MAX_PARAMETERS)
            for size, name in ((n_inputs, "n_inputs"), (n_outputs, "n_outputs"))
        )
        return _network(next(sizes), self.hidden_layer_sizes, next(sizes), self.activation, self.bias)

    def steps_for(self, n_rows: int) -> int:
        """Optimizer steps in all, where the model has so many rows.

        Examples
        --------
        >>> from rfpcore.many import Model
        >>> Model(batch_size=32, n_epochs=10).steps_for(100)
        40
        """
        if self.n_steps is not None:
            return self.n_steps
        size = n_rows if self.batch_size is None else min(self.batch_size, n_rows)
        return self._epochs * -(-n_rows // size)

    @property
    def _epochs(self) -> int:
        """Passes over the rows, where `n_steps` does not say how long."""
        return DEFAULT_EPOCHS if self.n_epochs is None else self.n_epochs

    def kernel(self, net: MLP) -> _rfpcore.Model:
        """What the kernel takes, for a network of `net`."""
        shifts = self.terms.get(Shifts)
        if shifts is not None and shifts.n_pixels != net.n_inputs:
            raise ValueError(
                f"{shifts!r} needs {shifts.n_pixels} features, one a pixel; "
                f"the network has {net.n_inputs} inputs"
            )
        return _rfpcore.Model(net._architecture, self)


@lru_cache(maxsize=64)
def _network(
    n_inputs: int, hidden: tuple[int, ...], n_outputs: int, activation: Activation, bias: bool
) -> MLP:
    return MLP(n_inputs, hidden, n_outputs, activation, bias)


def _require_one_decay(optimizer: Optimizer, l2: L2 | None) -> None:
    """ValueError where AdamW and a term each have a decoupled decay."""
    own = optimizer.weight_decay if isinstance(optimizer, AdamW) else 0.0
    if own > 0 and l2 is not None and l2.decoupled and l2.strength > 0:
        raise ValueError(
            f"{optimizer!r} decays with weight_decay={own}, and {l2!r} is a second decoupled decay; one is "
            "possible: weight_decay=0, or Adam"
        )
