"""What a fit that goes on from an earlier one has to have in common with it."""

from typing import TYPE_CHECKING

from ..network import MLP

if TYPE_CHECKING:
    from ._network import NetworkEstimator

__all__ = ["require_same"]


def require_same(estimator: "NetworkEstimator", net: MLP, method: str) -> None:
    """Refuse another architecture or loss: there parameters mean something else, also if as many."""
    if estimator.net_ != net:
        raise ValueError(
            f"{method} goes on from {estimator.net_}, but data and parameters now make it {net}; fit anew"
        )
    before = getattr(estimator, "_fit_loss", estimator._loss)
    if estimator._loss != before:
        raise ValueError(f"{method} goes on from loss={before!r}, but loss={estimator._loss!r} now; fit anew")
