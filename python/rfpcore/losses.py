"""Row losses: what each takes for outcomes, and what the outputs of a network mean under it.

A loss is named by a string, and one with parameters by `huber` or `quantile`, which write it: wherever there
is an argument `loss`, "huber" means `huber()` and `huber(2.0)` is "huber(2.0)". scikit-learn's names are
understood too. The values and derivatives are the kernel's; what else there is to know of a loss stands in
`TABLE`.

References
----------
Huber (1964), "Robust estimation of a location parameter", Annals of Mathematical Statistics 35. Zheng
(2011), "Gradient descent algorithms for quantile regression with smooth approximation", International Journal
of Machine Learning and Cybernetics 2. He, Pan, Tan and Zhou (2023), "Smoothed quantile regression with
large-scale inference", Journal of Econometrics 232.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np

from ._arrays import Array
from ._options import fraction, positive

__all__ = ["Loss", "RegressionLoss", "huber", "quantile"]

Name = Literal["squared", "logistic", "softmax", "cross_entropy", "poisson", "huber", "quantile"]
RegressionName = Literal["squared", "poisson", "huber", "quantile"]
Loss = Name | str
"""One of the names, or what `huber` and `quantile` return."""
RegressionLoss = RegressionName | str
"""A loss of numbers or counts."""

ALIASES = {"squared_error": "squared", "log_loss": "softmax"}
"""scikit-learn's names of the same losses, where they differ."""


def huber(delta: float = 1.345) -> str:
    """The squared loss with bounded slope: r² for |r| ≤ delta, delta·(2|r| − delta) beyond.

    Outcomes far from their mean pull at a fit no more than those at `delta`. It is twice the loss that
    PyTorch and scikit-learn call so, as "squared" is twice theirs: with a large delta it *is* "squared".

    Parameters
    ----------
    delta : float
        In units of the outcome, positive. The default is 95 % efficient under normal errors of variance 1.

    Returns
    -------
    loss : str

    Examples
    --------
    >>> import rfpcore
    >>> rfpcore.losses.huber(2.0)
    'huber(2.0)'
    >>> net, data = rfpcore.MLP(1, ()), rfpcore.Clusters([[1.0]], [5.0])  # one residual of 5: 2 (2 · 5 − 2)
    >>> value, _ = rfpcore.value_and_grad(net, [0.0, 0.0], data, 1.0, 0, 0.1, loss=rfpcore.losses.huber(2.0))
    >>> round(value, 9)
    16.0
    """
    return f"huber({positive(delta, 'delta')!r})"


def quantile(level: float = 0.5, width: float = 0.1) -> str:
    """The loss whose minimizer is a quantile: level·r + width·log(1 + exp(−r / width)), r = y − f.

    As the width goes to 0 this is the pinball loss, max(level·r, (level − 1)·r), which it exceeds by at most
    width·log 2. The smoothing (by the logistic density) is there because second-order gradients need a second
    derivative. The quantile is that of the outcomes with logistic noise of this scale added: a width well
    below their spread keeps it where it was.

    Parameters
    ----------
    level : float in (0, 1)
    width : float
        In units of the outcome, positive.

    Returns
    -------
    loss : str

    Examples
    --------
    >>> import numpy as np, rfpcore
    >>> y = np.random.default_rng(0).standard_normal(1000)
    >>> net, data = rfpcore.MLP(1, ()), rfpcore.Clusters(np.zeros((1000, 1)), y)
    >>> theta, loss = np.zeros(2), rfpcore.losses.quantile(0.9)
    >>> for _ in range(300):
    ...     theta -= rfpcore.value_and_grad(net, theta, data, 1.0, 0, 0.1, loss=loss)[1]
    >>> print(f"{theta[1]:.2f} {np.quantile(y, 0.9):.2f}")
    1.24 1.23
    """
    return f"quantile({fraction(level, 'level')!r}, {positive(width, 'width')!r})"


def _same(f: Array) -> Array:
    return f


def _sigmoid(f: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0, -f)))  # without overflow on either side


def _softmax(f: Array) -> Array:
    from sklearn.utils.extmath import softmax  # here, so that `import rfpcore` does not import scikit-learn

    with np.errstate(over="ignore"):  # logits that are further apart than float64 reaches
        return np.asarray(softmax(f))


def _any(y: Array, n_outputs: int) -> None:
    return None


def _unit(y: Array, n_outputs: int) -> tuple[Array, str]:
    return (y < 0) | (y > 1), "values in [0, 1]"


def _counts(y: Array, n_outputs: int) -> tuple[Array, str]:
    return y < 0, "values of at least 0"


def _shares(y: Array, n_outputs: int) -> tuple[Array, str]:
    odd = np.abs(y.sum(axis=1, dtype=np.float64) - 1) > 1e-5  # float32 shares of many classes
    return (y < 0) | odd[:, None], "shares of the classes that add up to 1"


def _codes(y: Array, n_outputs: int) -> tuple[Array, str]:
    rule = f"class codes, the integers 0 to {n_outputs - 1} (the network has {n_outputs} outputs)"
    return (y < 0) | (y >= n_outputs) | (y != np.floor(y)), rule


def _mean(y: Array, weights: Array | None, parameters: tuple[float, ...]) -> Array:
    return np.asarray(np.average(y, axis=0, weights=weights))


def _log_mean(y: Array, weights: Array | None, parameters: tuple[float, ...]) -> Array:
    # Without a single event the logarithm has no value; half an event in all the data stands for none.
    total = len(y) if weights is None else max(weights.sum(), np.count_nonzero(weights))
    mean = _mean(y, weights, parameters)
    return np.asarray(np.log(np.where(mean > 0, mean, 0.5 / total)))


def _zero(y: Array, weights: Array | None, parameters: tuple[float, ...]) -> Array:
    return np.zeros(y.shape[1])


def _median(y: Array, weights: Array | None, parameters: tuple[float, ...]) -> Array:
    return _quantile(y, weights, (0.5,))


def _quantile(y: Array, weights: Array | None, parameters: tuple[float, ...]) -> Array:
    """The smallest outcome up to which a share `level` of the weight lies, of each column."""
    level = parameters[0] if parameters else 0.5
    weights = np.ones(len(y)) if weights is None else weights
    order = np.argsort(y, axis=0, kind="stable")
    reached = np.cumsum(weights[order], axis=0, dtype=np.float64)
    reached = reached >= level * weights.sum(dtype=np.float64) * (1 - 1e-12)
    return np.asarray(np.take_along_axis(y, order, axis=0)[reached.argmax(axis=0), np.arange(y.shape[1])])


Odd = Callable[[Array, int], tuple[Array, str] | None]


@dataclass(frozen=True)
class Kind:
    """What there is to know of a loss beside its derivatives.

    Attributes
    ----------
    odd : callable
        Of outcomes (N, m) and a number of outputs: which entries do not suit, and what is needed.
    mean : callable
        From linear outputs to the outcomes' expectation (or quantile): the inverse link.
    first_bias : callable
        Of outcomes (N, m), weights and the loss's parameters: where an output bias starts.
    has_labels : bool
        Whether outcomes are classes, so that there is an accuracy and labels can be smoothed.
    is_regression : bool
        Whether regressors take it.
    """

    odd: Odd = _any
    mean: Callable[[Array], Array] = _same
    first_bias: Callable[[Array, Array | None, tuple[float, ...]], Array] = _mean
    has_labels: bool = False
    is_regression: bool = False

    @property
    def keeps_units(self) -> bool:
        """Whether outputs are in the units of the outcomes."""
        return self.mean is _same


TABLE: dict[str, Kind] = {
    "squared": Kind(is_regression=True),
    "logistic": Kind(_unit, _sigmoid, _zero, has_labels=True),
    "softmax": Kind(_codes, _softmax, _zero, has_labels=True),
    "cross_entropy": Kind(_shares, _softmax, _zero),
    "poisson": Kind(_counts, np.exp, _log_mean, is_regression=True),
    "huber": Kind(first_bias=_median, is_regression=True),
    "quantile": Kind(first_bias=_quantile, is_regression=True),
}


@dataclass(frozen=True)
class Known:
    """A loss that was understood.

    Attributes
    ----------
    name : str
        A key of `TABLE`.
    text : str
        As the kernel takes it.
    parameters : tuple of float
        As given; none where the defaults are meant.
    """

    name: str
    text: str
    parameters: tuple[float, ...]

    @property
    def kind(self) -> Kind:
        """Its row of the table."""
        return TABLE[self.name]

    def target_columns(self, n_outputs: int) -> int:
        """Columns of y for so many outputs."""
        return 1 if self.name == "softmax" else n_outputs


def read(loss: Any, name: str = "loss", *, regression: bool = False) -> Known:
    """A loss by its name; ValueError for what is none, or none of numbers where `regression` is asked for."""
    known = _parse(loss) if isinstance(loss, str) else None
    if known is None or (regression and not known.kind.is_regression):
        names = get_args(RegressionName if regression else Name)
        raise ValueError(
            f"{name}={loss!r} is unknown; one of {', '.join(map(repr, names))} is needed, or what "
            "losses.huber and losses.quantile return"
        )
    return known


def kernel_name(loss: str) -> str:
    """What the kernel calls a loss that has passed its checks."""
    return ALIASES.get(loss, loss)


@lru_cache(maxsize=256)
def _parse(text: str) -> Known | None:
    text = ALIASES.get(text, text)
    if text in TABLE:
        return Known(text, text, ())
    match = _WITH_PARAMETERS.fullmatch(text)
    if match is None:
        return None
    try:
        parameters = tuple(float(number) for number in match[2].split(","))
    except ValueError:  # signs and points that make no number
        return None
    try:
        written = _WRITERS[match[1]](*parameters)
    except TypeError:  # more parameters than the loss has
        return None
    return Known(match[1], written, parameters)


_WRITERS: dict[str, Callable[..., str]] = {"huber": huber, "quantile": quantile}
_NUMBERS = r"\s*[-+.0-9eE]+\s*(?:,\s*[-+.0-9eE]+\s*)*"
_WITH_PARAMETERS = re.compile(rf"({'|'.join(_WRITERS)})\(({_NUMBERS})\)")


def check_targets(y: Array, loss: Any, n_outputs: int, order: Array) -> None:
    """Whether outcomes (N, m) suit loss and network; `order` gives each row's place in the user's data."""
    known = read(loss)
    if loss == "log_loss" and n_outputs == 1:
        raise ValueError("loss='log_loss' needs an output a class; with one output 'logistic' is that loss")
    needed = known.target_columns(n_outputs)
    if y.shape[1] != needed:
        codes = known.name == "softmax"
        what = "one column of class codes" if codes else f"{needed} (the network's n_outputs)"
        raise ValueError(f"y has {y.shape[1]} columns; loss={loss!r} needs {what}")
    found = known.kind.odd(y, n_outputs)
    if found is None:
        return
    bad, rule = found
    if bad.any():
        rows = order[bad.any(axis=1)]
        row = int(rows.min())
        value = y[order == row][bad[order == row]][0]
        raise ValueError(
            f"loss={loss!r} needs {rule} in y, but {len(rows)} of {len(y)} rows have others; "
            f"the first is {value} in row {row}"
        )
