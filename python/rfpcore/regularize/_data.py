"""What changes the rows of a batch: their targets or their features."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, Literal

from .._arrays import shown
from .._options import MAX_STEPS, at_least, below_one, choice, integer, positive, real
from ._terms import LARGEST_RATE, Term

__all__ = ["InputNoise", "LabelSmoothing", "Mixup", "Shifts"]

SmoothingForm = Literal["others", "uniform"]


@dataclass(frozen=True, repr=False)
class LabelSmoothing(Term):
    """Train towards class probabilities short of certainty.

    Parameters
    ----------
    epsilon : float
        In [0, 1).
    form : {"others", "uniform"}, default="others"
        Of K classes, the true one gets 1 − ε and each other ε/(K − 1) [1]_; or all get ε/K and the true one
        1 − ε more, as PyTorch and [2]_. "others" with ε is "uniform" with ε K/(K − 1).

    References
    ----------
    .. [1] Praturu (2026), "Regularization", section 4.
    .. [2] Szegedy, Vanhoucke, Ioffe, Shlens and Wojna (2016), "Rethinking the Inception architecture",
       section 7.

    Examples
    --------
    >>> from rfpcore.regularize import LabelSmoothing
    >>> LabelSmoothing(0.015)
    LabelSmoothing(epsilon=0.015)
    """

    _strengths: ClassVar[Mapping[str, float]] = {"epsilon": LARGEST_RATE}

    epsilon: float
    form: SmoothingForm = "others"

    def __post_init__(self) -> None:
        choice(self.form, "form", SmoothingForm)
        self._store(epsilon=below_one(self.epsilon, "epsilon"))


@dataclass(frozen=True, repr=False)
class InputNoise(Term):
    """Add normal noise of standard deviation `scale` to every feature, anew in every step.

    Parameters
    ----------
    scale : float
        At least 0, in the features' units.

    References
    ----------
    Bishop (1995), "Training with noise is equivalent to Tikhonov regularization".

    Examples
    --------
    >>> from rfpcore.regularize import InputNoise
    >>> InputNoise(0.1)
    InputNoise(scale=0.1)
    """

    _strengths: ClassVar[Mapping[str, float]] = {"scale": inf}

    scale: float

    def __post_init__(self) -> None:
        self._store(scale=at_least(self.scale, "scale", 0.0))


@dataclass(frozen=True, repr=False)
class Mixup(Term):
    """Mix each row of a batch, features and targets, with another: λ · row + (1 − λ) · other.

    The other row is that of a random order of the batch. λ ~ Beta(alpha, alpha) is drawn once a batch.

    Parameters
    ----------
    alpha : float
        Above 0. Small values leave most batches nearly unmixed, 1 draws λ uniformly.

    References
    ----------
    Zhang, Cisse, Dauphin and Lopez-Paz (2018), "mixup: beyond empirical risk minimization", equation 1.

    Examples
    --------
    >>> from rfpcore.regularize import Mixup
    >>> Mixup(0.2)
    Mixup(alpha=0.2)
    """

    _strengths: ClassVar[Mapping[str, float]] = {"alpha": inf}

    alpha: float

    def __post_init__(self) -> None:
        self._store(alpha=positive(self.alpha, "alpha"))


@dataclass(frozen=True, repr=False)
class Shifts(Term):
    """Shift whole batches of images by a few pixels, zeros moving in.

    With `probability` every image of a batch is moved by the same dy rows (down, where positive) and dx
    columns (right, where positive), each drawn from `offsets` on its own; the other batches stay as they
    are. The rule is that of [1]_.

    Parameters
    ----------
    image_shape : (int, int)
        Height and width; a row of X holds an image row by row, so X has height · width columns.
    offsets : sequence of int, default=(-2, -1, 1, 2)
        Each smaller in size than height and width.
    probability : float in [0, 1], default=0.5

    References
    ----------
    .. [1] Praturu (2026), "Regularization", section 1.

    Examples
    --------
    >>> from rfpcore.regularize import Shifts
    >>> Shifts((28, 28))
    Shifts(image_shape=(28, 28))
    >>> Shifts((8, 8)).n_pixels
    64
    >>> Shifts((2, 2))
    Traceback (most recent call last):
    ...
    ValueError: offsets holds -2, which empties images of shape (2, 2); at most 1 in size is possible
    """

    _strengths: ClassVar[Mapping[str, float]] = {"probability": 1.0}

    image_shape: tuple[int, int]
    offsets: tuple[int, ...] = (-2, -1, 1, 2)
    probability: float = 0.5

    def __post_init__(self) -> None:
        height, width = _integers(self.image_shape, "image_shape", 1, 2)
        offsets = _integers(self.offsets, "offsets", -MAX_STEPS)
        limit = min(height, width) - 1
        for offset in offsets:
            if abs(offset) > limit:
                raise ValueError(
                    f"offsets holds {offset}, which empties images of shape {(height, width)}; "
                    f"at most {limit} in size is possible"
                )
        probability = real(self.probability, "probability", "a number in [0, 1]")
        if not 0 <= probability <= 1:
            raise ValueError(f"probability={probability}; a number in [0, 1] is needed")
        self._store(image_shape=(height, width), offsets=offsets, probability=probability)

    @property
    def n_pixels(self) -> int:
        """Columns that X has to have."""
        return self.image_shape[0] * self.image_shape[1]


def _integers(values: Any, name: str, low: int, count: int | None = None) -> tuple[int, ...]:
    """A tuple of integers, `count` of them or at least one."""
    needed = "at least one integer is" if count is None else f"{count} integers are"
    if isinstance(values, str | bytes) or not isinstance(values, Iterable) or getattr(values, "ndim", 1) == 0:
        raise TypeError(f"{name}={shown(values)} is a {type(values).__name__}; {needed} needed")
    found = tuple(integer(value, f"{name}[{i}]", low, MAX_STEPS) for i, value in enumerate(values))
    if len(found) != count if count is not None else not found:
        raise ValueError(f"{name}={found} has {len(found)} entries; {needed} needed")
    return found
