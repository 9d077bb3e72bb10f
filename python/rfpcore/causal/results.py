"""An estimated effect with what is known of its uncertainty."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from .._arrays import F64
from .._file_parts import Document, Tensors, object_of, only, tensor, text
from .._options import fraction
from ..files import Saved
from ._about import About, about_of_file, about_to_file
from ._intervals import monte_carlo_p
from ._tables import EffectTable, Tabulated, summary_table, to_frame

__all__ = ["Effect", "summary_table", "to_frame"]

TITLES = {"att": "Average effect on the treated", "ate": "Average effect"}


@dataclass(frozen=True, eq=False)
class Effect(Tabulated, Saved):
    """An estimate, its standard error, and how to get from there to an interval.

    Attributes
    ----------
    name : str
        What is estimated.
    estimate : float
    std_error : float
        NaN where the method gives none (randomization inference), and where nothing can be known of it: one
        cluster stands for an arm, or there is nothing but rounding in it.
    df : float
        Degrees of freedom of the t distribution; infinite for the normal one.
    method : str
        How the uncertainty was found.
    draws : ndarray or None
        Estimates without each cluster, or of each bootstrap sample.
    statistics : ndarray or None
        Bootstrapped t statistics: they take the place of the t distribution.
    p : float or None
        The p-value, where it is not that of the t distribution, or (1 + how many statistics are as large as
        that observed) / (1 + how many there are).
    about : About
        Names of the columns behind it, and numbers of rows and clusters, where they are known.
    """

    name: str
    estimate: float
    std_error: float
    df: float
    method: str
    draws: NDArray[np.float64] | None = field(default=None, repr=False)
    statistics: NDArray[np.float64] | None = field(default=None, repr=False)
    p: float | None = field(default=None, repr=False)
    about: About = field(default=About(), repr=False)

    @property
    def statistic(self) -> float:
        """The estimate over its standard error."""
        return self.estimate / self.std_error if self.std_error > 0 else math.nan

    @property
    def p_value(self) -> float:
        """Of the hypothesis that there is no effect, against both sides."""
        if self.p is not None:
            return self.p
        if math.isnan(self.statistic):
            return math.nan
        if self.statistics is not None:
            return monte_carlo_p(self.statistic, self.statistics)
        return 2 * _t_below(-abs(self.statistic), self.df)

    def confidence_interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval that covers the effect with this probability.

        Parameters
        ----------
        level : float in (0, 1)

        Returns
        -------
        low, high : float

        Raises
        ------
        ValueError
            If the level is outside (0, 1), or the method gives a p-value only.
        """
        share = fraction(level, "level")
        if math.isnan(self.std_error):
            raise ValueError(f"there is no standard error for {self.name!r} ({self.method}), so no interval")
        half = self.critical_value(share) * self.std_error
        return self.estimate - half, self.estimate + half

    def critical_value(self, level: float = 0.95) -> float:
        """How many standard errors the interval reaches to either side."""
        level = fraction(level, "level")
        if self.statistics is None:
            return _t_quantile((1 + level) / 2, self.df)
        finite = np.abs(self.statistics[~np.isnan(self.statistics)])
        if len(finite) == 0:
            return math.nan
        return float(np.quantile(finite, level, method="higher"))

    def to_frame(self, level: float = 0.95) -> Any:
        """The effect as a pandas DataFrame of one row.

        Parameters
        ----------
        level : float in (0, 1)
            Of the interval in the columns ci_low and ci_high.

        Returns
        -------
        frame : pandas.DataFrame
            Columns estimate, std_error, t, p_value, ci_low, ci_high.
        """
        return to_frame([self], level)

    def _table(self) -> EffectTable:
        facts = [*self.about.facts(), ("Standard errors", self.method)]
        stats = self._stats()
        facts += [
            (title, stats[key]) for key, title in (("N", "Rows"), ("n_clusters", "Clusters")) if key in stats
        ]
        return EffectTable("Effect", facts, [self])

    def _repr_html_(self) -> str:
        return self._html()

    def _coefficients(self) -> Any:
        is_whole = self.name in ("treatment", *TITLES.values())  # and no event time or subgroup
        name = self.about.treatment if is_whole else None
        return self.to_frame().rename(index={self.name: name or self.name})

    def _stats(self) -> dict[str, Any]:
        counts = {"N": self.about.n_rows, "n_clusters": self.about.n_clusters}
        return {key: count for key, count in counts.items() if count} | {"se_type": self.method}

    def _outcome(self) -> str | None:
        return self.about.outcome

    def _document(self, tensors: Tensors) -> Document:
        p = math.nan if self.p is None else self.p
        tensors["numbers"] = np.array([self.estimate, self.std_error, self.df, p], F64)
        for name in ("draws", "statistics"):
            if getattr(self, name) is not None:
                tensors[name] = np.asarray(getattr(self, name), F64)
        learnt: Document = {"name": self.name, "method": self.method, "has_p": self.p is not None}
        if self.about != About():
            learnt["about"] = about_to_file(self.about)
        return {"class": "Effect", "learnt": learnt}

    @classmethod
    def _of_document(cls, tensors: Tensors, document: Document) -> "Effect":
        only(document, "the file", {"class", "learnt", "format_version", "digests"})
        learnt = object_of(document, "learnt")
        only(learnt, "learnt", {"name", "method", "has_p", "about"})
        numbers = tensor(tensors, "numbers", 4, nan=True, dtype=F64).tolist()
        if numbers[1] < 0 or numbers[2] <= 0:
            raise ValueError(f"std_error={numbers[1]} and df={numbers[2]}; positive numbers are needed")
        draws, statistics = (
            tensor(tensors, name, None, nan=True, dtype=F64) if name in tensors else None
            for name in ("draws", "statistics")
        )
        estimate, error, df, p = numbers
        name, method = text(learnt["name"], "name"), text(learnt["method"], "method")
        has_p = learnt["has_p"] is True
        return cls(
            name, estimate, error, df, method, draws, statistics, p if has_p else None, about_of_file(learnt)
        )


def _t_below(value: float, df: float) -> float:
    """The probability below a value, of Student's t or of the normal distribution it tends to."""
    return float(stdtr(df, value) if math.isfinite(df) else ndtr(value))


def _t_quantile(share: float, df: float) -> float:
    """The value with so much probability below it."""
    return float(stdtrit(df, share) if math.isfinite(df) else ndtri(share))
