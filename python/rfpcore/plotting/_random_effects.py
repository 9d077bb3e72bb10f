"""Clusters' effects with intervals, in order of size."""

from typing import Any

import numpy as np

from .._arrays import Array, shown
from .._axes import BLUE, GREY, axes, learnt
from .._options import fraction, integer

__all__ = ["RandomEffectsDisplay"]

MOST_LABELS = 40  # that can be read beside each other


class RandomEffectsDisplay:
    """Posterior means of clusters' effects with intervals, from the least to the largest: a caterpillar plot.

    Parameters
    ----------
    random_effects : RandomEffects
        `random_effects_` of a fitted mixed model; of nested groups one of its levels.

    Attributes
    ----------
    points_ : matplotlib container
        Means and intervals; after `plot`.
    ax_, figure_ : matplotlib axes and figure

    Examples
    --------
    >>> from rfpcore import MixedRegressor
    >>> from rfpcore.datasets import make_vee
    >>> from rfpcore.plotting import RandomEffectsDisplay
    >>> model = MixedRegressor(mean="linear").fit(*make_vee(random_state=0))
    >>> RandomEffectsDisplay.from_estimator(model).order("intercept").shape
    (20,)
    """

    points_: Any
    ax_: Any
    figure_: Any

    def __init__(self, random_effects: Any) -> None:
        from ..estimators.mixed import RandomEffects

        if not isinstance(random_effects, RandomEffects):
            raise TypeError(
                f"random_effects is a {type(random_effects).__name__}; random_effects_ of a fitted mixed "
                "model is needed (with nested groups: one of its levels)"
            )
        if not len(random_effects):
            raise ValueError(
                "there are no clusters to draw: a model fitted on shards keeps none; adapt to some of them"
            )
        if not random_effects.names:
            raise ValueError("the clusters have no intercept and no slopes: their effects are smooth only")
        self.random_effects = random_effects

    @classmethod
    def from_estimator(cls, estimator: Any, *, level: int = 0) -> "RandomEffectsDisplay":
        """Take the effects of a fitted mixed model.

        Parameters
        ----------
        estimator : MixedRegressor or MixedClassifier
        level : int, default=0
            With nested groups 0 for the clusters, 1 for the groups within them.
        """
        found = learnt(estimator, "random_effects_")
        levels = found if isinstance(found, list) else [found]
        return cls(levels[integer(level, "level", 0, len(levels) - 1)])

    def order(self, name: str) -> Array:
        """Positions of the clusters (C,), from the least effect to the largest.

        Parameters
        ----------
        name : str
            "intercept" or a column with slopes.
        """
        return np.argsort(self.random_effects.effects[:, self._column(name)], kind="stable")

    def _column(self, name: str) -> int:
        known = self.random_effects.names
        if not isinstance(name, str) or name not in known:
            listed = ", ".join(map(repr, known))
            raise ValueError(f"name={shown(name)} is no effect of the clusters; one of {listed} is needed")
        return known.index(name)

    def plot(
        self, ax: Any = None, *, name: str | None = None, level: float = 0.95, **errorbar_options: Any
    ) -> "RandomEffectsDisplay":
        """Draw one effect of every cluster, with names where there are at most 40.

        Parameters
        ----------
        ax : matplotlib axes, optional
        name : str, optional
            "intercept" or a column with slopes; None takes the first.
        level : float in (0, 1), default=0.95
            Of the intervals, which are normal.
        **errorbar_options
            For matplotlib's `errorbar`.

        Returns
        -------
        self
        """
        found = self.random_effects
        name, level = found.names[0] if name is None else name, fraction(level, "level")
        order, column = self.order(name), self._column(name)
        low, high = found.confidence_interval(level)[order, column].T
        effect, at = found.effects[order, column], np.arange(len(order))
        ax = axes(self, ax)
        ax.axvline(0.0, color=GREY, linewidth=0.8)
        options = {"color": BLUE, "fmt": "o", "markersize": 3, "elinewidth": 1} | errorbar_options
        self.points_ = ax.errorbar(effect, at, xerr=[effect - low, high - effect], **options)
        if len(order) <= MOST_LABELS:
            ax.set_yticks(at, [_text(found.labels[i]) for i in order])
        else:
            ax.set_yticks([])
            ax.set_ylabel(f"{len(order)} clusters")
        ax.set_xlabel(f"effect: {name}")
        return self


def _text(label: Any) -> str:
    """A cluster's name, or cluster and group."""
    return " / ".join(map(str, label)) if isinstance(label, tuple) else str(label)
