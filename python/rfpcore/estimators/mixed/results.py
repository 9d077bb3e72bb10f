"""What a mixed model says of clusters: variances, effects, tests."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtrc, ndtri

from ..._arrays import Array
from ..._frames import pandas_for
from ..._options import fraction
from ._components import Floats

__all__ = ["LikelihoodRatioTest", "RandomEffects", "VarianceComponents"]


@dataclass(frozen=True, eq=False, repr=False)
class VarianceComponents:
    """Variances of the clusters' effects and of the noise, in the units of the data.

    Attributes
    ----------
    groups, names : list of str
        The level ("cluster", "group" within it, "residual"), and what varies: "intercept", a column's name
        for its slope, "smooth" for a function of the cluster's own, "" for the noise.
    variance, std_error : ndarray (K,)
        And the standard error of the variance, by the delta method from the likelihood's curvature; NaN where
        the variance is zero, at which the likelihood has no maximum inside.
    correlations : dict of str to ndarray
        Of each level whose effects are correlated, between intercept and slopes.
    length_scale : float or None
        Of the smooth functions, in standard deviations of the columns.
    at_edge : bool
        Whether the effects' covariance is at the edge of what it may be: a variance is zero, or an effect is
        a multiple of others (a correlation of 1 or -1).
    """

    groups: list[str]
    names: list[str]
    variance: Floats
    std_error: Floats
    correlations: dict[str, Floats]
    length_scale: float | None
    at_edge: bool = False

    @property
    def std_dev(self) -> Floats:
        """Square roots of the variances (K,)."""
        return np.sqrt(self.variance)

    @property
    def is_singular(self) -> bool:
        """Whether a variance is zero or a correlation 1 or -1, as lme4's isSingular."""
        return self.at_edge or bool((self.variance == 0).any())

    def __repr__(self) -> str:
        parts = (
            f"{group}{' ' * bool(name)}{name}={variance:.4g}"
            for group, name, variance in zip(self.groups, self.names, self.variance, strict=True)
        )
        return f"VarianceComponents({', '.join(parts)})"

    def to_frame(self) -> Any:
        """A pandas DataFrame, one component a row."""
        return frame_of(
            {
                "group": self.groups,
                "name": self.names,
                "variance": self.variance,
                "std_error": self.std_error,
                "std_dev": self.std_dev,
            }
        )


@dataclass(frozen=True, eq=False, repr=False)
class RandomEffects:
    """Each cluster's intercept and slopes beside the population's: the posterior means (BLUP).

    Attributes
    ----------
    labels : ndarray (C,) or list
        The clusters, or pairs of cluster and group.
    names : list of str
        "intercept" and the columns with slopes.
    effects, std_error : ndarray (C, K)
        In the units of the data, and the posterior's standard deviation.
    """

    labels: Any
    names: list[str]
    effects: Floats
    std_error: Floats

    def __len__(self) -> int:
        return len(self.effects)

    def __repr__(self) -> str:
        return f"RandomEffects({len(self)} groups, {', '.join(self.names)})"

    def to_frame(self) -> Any:
        """A pandas DataFrame, one group a row: each effect, and its standard error."""
        columns: dict[str, Any] = {}
        for name, effect, error in zip(self.names, self.effects.T, self.std_error.T, strict=True):
            columns |= {name: effect, f"{name} std_error": error}
        return frame_of(columns, list(map(tuple, self.labels)) if self._is_nested else self.labels)

    @property
    def _is_nested(self) -> bool:
        return len(self.labels) > 0 and isinstance(self.labels[0], tuple)

    def confidence_interval(self, level: float = 0.95) -> Array:
        """(C, K, 2) normal intervals of the effects."""
        z = float(ndtri((1 + fraction(level, "level")) / 2))
        return np.stack([self.effects - z * self.std_error, self.effects + z * self.std_error], axis=-1)


@dataclass(frozen=True)
class LikelihoodRatioTest:
    """Of no cluster effects at all.

    Under the null hypothesis variances lie at the edge of what they may be, so the statistic is a mixture of
    chi-squared distributions (Self and Liang 1987). With one variance that is 1/2 (chi2_0 + chi2_1); with K
    parameters 1/2 (chi2_{K-1} + chi2_K) is taken, which is too large a p-value rather than too small.

    Attributes
    ----------
    statistic : float
        Twice the difference of the log-likelihoods.
    n_parameters : int
        Of the effects' covariance.
    """

    statistic: float
    n_parameters: int

    @property
    def p_value(self) -> float:
        """Probability of a statistic as large where there are no effects."""
        x, k = max(self.statistic, 0.0), self.n_parameters
        lower = float(chdtrc(k - 1, x)) if k > 1 else float(x <= 0)
        return 0.5 * (lower + float(chdtrc(k, x)))


def frame_of(columns: dict[str, Any], index: Any = None) -> Any:
    """A pandas DataFrame, if pandas is there."""
    pandas = pandas_for("to_frame")
    return pandas.DataFrame(columns, index=index)


def table(
    title: str,
    facts: list[tuple[str, str]],
    blocks: list[tuple[list[str], list[list[str]]]],
    notes: list[str],
) -> str:
    """Lines of text: facts, then tables with heads."""
    widths = [
        [max(len(row[i]) for row in [head, *rows]) + 2 * (i > 0) for i in range(len(head))]
        for head, rows in blocks
    ]
    width = max(60, *(sum(own) for own in widths), *(len(note) for note in notes), 0)
    lines = [title.center(width).rstrip(), "=" * width]
    lines += [f"{name + ':':30}{value:>{width - 30}}" for name, value in facts]
    for (head, rows), own in zip(blocks, widths, strict=True):
        lines.append("-" * width)
        for row in [head, *rows]:
            cells = [
                f"{row[0]:<{own[0]}}",
                *(f"{cell:>{w}}" for cell, w in zip(row[1:], own[1:], strict=True)),
            ]
            lines.append("".join(cells).rstrip())
    return "\n".join([*lines, "=" * width, *notes])


def number(value: float, digits: int = 4) -> str:
    """A number for a table; nothing for what is not there."""
    return "" if math.isnan(value) else f"{value:.{digits}g}"
