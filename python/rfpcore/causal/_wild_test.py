"""The wild cluster bootstrap with a hypothesis imposed (WCR): t statistics, p-values, and where they turn."""

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from .._arrays import Array
from . import _intervals
from ._partialled import Partialled

FARTHEST = 2.0**30  # standard errors from the estimate at which an interval is taken for infinite
WIDTH = 1e-6  # standard errors to which an end is known


class WildTest:
    """Tests of the coefficient of a regression, from the clusters' own sums.

    Under the hypothesis the residuals are y less the covariates' part and the effect's. With signs v the
    bootstrap's score of cluster g is linear in v, so that all draws are a few matrix products (MacKinnon,
    Nielsen and Webb, 2023, section 4).
    """

    def __init__(self, model: Partialled) -> None:
        d, X = model.d[:, None], model.vectors[:, :-1]
        self._correction, self._share = model.correction, model.leverage()
        self._own = model.by_cluster(model.d * model.y)
        self._d_x, self._x_y = model.by_cluster(X * d), model.by_cluster(X * model.y[:, None])

    def statistics(self, blocks: Iterable[Array], effect: float = 0.0) -> Array:
        """(B,) t statistics of the hypothesis that the coefficient is `effect`, by signs (B, G) in blocks."""
        own, x_y = self._own - effect * self._share, self._x_y - effect * self._d_x
        found = []
        for signs in blocks:
            top = signs @ own
            scores = signs * own - (signs @ x_y) @ self._d_x.T - np.outer(top, self._share)
            with np.errstate(invalid="ignore", divide="ignore"):
                found.append(top / np.sqrt(self._correction * np.sum(scores**2, axis=1)))
        return np.concatenate(found)

    def p_value(self, blocks: Iterable[Array], effect: float) -> float:
        """Of the hypothesis; the first draw is the data as they are."""
        statistics = self.statistics(blocks, effect)
        return _intervals.monte_carlo_p(float(statistics[0]), statistics[1:])

    def interval(
        self, blocks: Callable[[], Iterator[Array]], level: float, estimate: float, error: float
    ) -> tuple[float, float]:
        """The effects around the estimate that are not refused at 1 - level, the same draws for all."""

        def kept(step: float) -> bool:
            return self.p_value(blocks(), estimate + step * error) > 1 - level

        low, high = (_end(lambda step, side=side: kept(side * step)) for side in (-1.0, 1.0))  # type: ignore[misc]
        return estimate - low * error, estimate + high * error


def _end(kept: Callable[[float], bool]) -> float:
    """The largest step that is kept, by doubling and halving; infinite where none is refused."""
    inside, outside = 0.0, 1.0
    while kept(outside):
        inside, outside = outside, 2 * outside
        if outside > FARTHEST:
            return math.inf
    while outside - inside > WIDTH * max(1.0, inside):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if kept(middle) else (inside, middle)
    return outside
