"""When to stop."""

from dataclasses import dataclass

from .._options import MAX_STEPS, at_least, integer
from ._terms import Term

__all__ = ["EarlyStopping"]


@dataclass(frozen=True, repr=False)
class EarlyStopping(Term):
    """Stop when the loss on held-out rows no longer falls, and keep the parameters of its lowest value.

    It needs held-out rows. Their loss is evaluated without dropout, noise or penalties.

    Parameters
    ----------
    patience : int
        How many evaluations in a row without a gain end the training; at least 1.
    every : int, default=1
        Steps between two evaluations; at least 1.
    min_delta : float, default=0.0
        A gain is a loss below the best so far by more than this; at least 0.

    References
    ----------
    Prechelt (1998), "Early stopping — but when?"; Praturu (2026), "Regularization", section 5.

    Examples
    --------
    >>> from rfpcore.regularize import EarlyStopping
    >>> EarlyStopping(patience=10, every=50)
    EarlyStopping(patience=10, every=50)
    """

    patience: int
    every: int = 1
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        self._store(
            patience=integer(self.patience, "patience", 1, MAX_STEPS),
            every=integer(self.every, "every", 1, MAX_STEPS),
            min_delta=at_least(self.min_delta, "min_delta", 0.0),
        )
