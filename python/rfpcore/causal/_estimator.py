"""What all estimators of effects offer once they are fitted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._arrays import shown
from .._limits import Limited, Limits, one_of, seed, shown_progress, threads, unchecked, whole
from .._options import items
from .._scaling import named
from ._about import about
from ._complete import Complete, Missing
from ._covariance import Replicates, WaldTest, covariance, difference, equality_test
from ._effort import MANY_REFITS
from ._file import SavedEffect
from ._inference import MANY_DRAWS, Method
from ._nuisance import bounds, estimator_or_none, outcome_model
from ._scores import EstimationMethod
from ._tables import EffectTable, Tabulated
from .event_study import EffectsDisplay
from .results import Effect, to_frame

SHOWN = 20  # names in a message


class EffectEstimator(Tabulated, SavedEffect, Limited, BaseEstimator):
    """The main effect's numbers, and all effects as a table."""

    _limits: ClassVar[Limits] = {
        "estimation_method": one_of(EstimationMethod),
        "propensity_bounds": bounds,
        "n_draws": whole(1, MANY_DRAWS),
        "max_refits": whole(0, MANY_REFITS),
        "random_state": seed,
        "n_jobs": threads,
        "verbose": shown_progress,
        "outcome": outcome_model,
        "propensity": estimator_or_none,
        "cluster_columns": unchecked,
        "missing": one_of(Missing),
    }

    effect_: Effect
    n_rows_: int
    n_clusters_: int
    _treated_count: ClassVar[str] = "n_treated_"
    """The attribute that counts treated clusters."""

    def _keep_about(self, data: Complete, given: Mapping[str, Any], sample: Any) -> None:
        """What summaries say of the arguments of `fit`, and of rows without a value."""
        self._about = about(data.X, given, sample.names, sample.references)
        self.n_dropped_, self.references_ = data.n_dropped, dict(sample.references)

    def _named(self, effects: Iterable[Effect]) -> list[Effect]:
        """The same effects, which say what they are of."""
        own = replace(self._about, n_rows=self.n_rows_, n_clusters=self.n_clusters_)
        return [replace(effect, about=own) for effect in effects]

    def _facts_of_rows(self) -> list[tuple[str, Any]]:
        """A line of a summary on rows dropped."""
        return [("Rows dropped, no value", self.n_dropped_)] if self.n_dropped_ else []

    @property
    def estimate_(self) -> float:
        """The estimate."""
        return self._effect().estimate

    @property
    def std_error_(self) -> float:
        """Its standard error."""
        return self._effect().std_error

    @property
    def p_value_(self) -> float:
        """Of the hypothesis of no effect."""
        return self._effect().p_value

    def _effect(self) -> Effect:
        check_is_fitted(self, "effect_")
        return self.effect_

    def confidence_interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval that covers the effect with this probability.

        Parameters
        ----------
        level : float in (0, 1)

        Returns
        -------
        low, high : float
        """
        return self._effect().confidence_interval(level)

    def to_frame(self, level: float = 0.95) -> Any:
        """The effects as a pandas DataFrame, one a row.

        Parameters
        ----------
        level : float in (0, 1)
            Of the interval in the columns ci_low and ci_high.

        Returns
        -------
        frame : pandas.DataFrame
            Columns n_treated, n_controls (clusters; rows, with treatment inside clusters), estimate,
            std_error, t, p_value, ci_low, ci_high.
        """
        self._effect()
        return to_frame(self.effects_, level, self._columns)

    def _table(self) -> EffectTable:
        effect = self._effect()
        facts = [
            *self._about.facts(),
            ("Standard errors", effect.method),
            ("Rows", self.n_rows_),
            ("Clusters", self.n_clusters_),
        ]
        return EffectTable("Effect", facts, self.effects_)

    def plot(self, ax: Any = None, *, level: float = 0.95) -> Any:
        """Draw the effects of `to_frame` with their intervals.

        Parameters
        ----------
        ax : matplotlib Axes, optional
        level : float in (0, 1)

        Returns
        -------
        display : EffectsDisplay
        """
        self._effect()
        return EffectsDisplay.from_effects(self.effects_, level, self._about.outcome).plot(ax)

    def vcov(self) -> NDArray[np.float64]:
        """Covariance matrix of the effects of `to_frame`, from the replicates of the standard errors.

        Returns
        -------
        matrix : ndarray (E, E)
            Its diagonal has the squares of the standard errors; NaN for an effect without one.

        Raises
        ------
        ValueError
            If `inference` is none of "jackknife", "cv3", "bootstrap", which have replicates.
        """
        return covariance(self._replicates_of(self.effects_))

    def difference(self, first: str, second: str) -> Effect:
        """One effect minus another, as of two subgroups, with a standard error.

        Parameters
        ----------
        first, second : str
            Names of effects, as in `to_frame`.

        Returns
        -------
        effect : Effect
            Its error is that of the difference of the replicates, so what the two have in common counts.

        Raises
        ------
        ValueError
            If there is no such effect, or `inference` is none of "jackknife", "cv3", "bootstrap".
        """
        self._effect()
        chosen = self._replicates_of(
            [self._effect_named(first, "first"), self._effect_named(second, "second")]
        )
        return self._named([difference(chosen, 0, 1, self._problem.size)])[0]

    def equality_test(self, names: Sequence[str] | None = None) -> WaldTest:
        """A joint test that effects are equal to each other, as those of subgroups.

        Parameters
        ----------
        names : sequence of str, optional
            At least two names of effects, as in `to_frame`. None: those of the subgroups given by `by`.

        Returns
        -------
        test : WaldTest
            With `statistic`, `df`, `p_value`, and the quadratic form `wald`: Hotelling's T² of the
            differences, F with q, one less than there are effects, and df - q + 1 degrees of freedom, where
            df is that of one effect.

        Raises
        ------
        ValueError
            If there are fewer than two effects, one has no standard error, there are too many for so few
            clusters, or `inference` is none of "jackknife", "cv3", "bootstrap".

        Examples
        --------
        >>> import numpy as np
        >>> from rfpcore.causal import ClusterEffect
        >>> random = np.random.default_rng(0)
        >>> town = np.repeat(np.arange(40), 9)
        >>> by, treated = np.arange(360) % 3, town % 2
        >>> y = 0.6 * treated * by + random.standard_normal(40)[town] + random.standard_normal(360)
        >>> model = ClusterEffect().fit(np.empty((360, 0)), y, treated, town, by=by)
        >>> test = model.equality_test()
        >>> print(f"F{test.df} = {test.statistic:.1f}, p = {test.p_value:.3f}")
        F(2, 37.0) = 1.9, p = 0.170
        """
        self._effect()
        chosen = self._compared() if names is None else items(names, "names", "a sequence of names")
        if len(chosen) < 2:
            raise ValueError(
                f"there are {len(chosen)} effects to compare; at least two are needed: fit with by=, or give "
                "names="
            )
        if repeated := sorted({name for name in chosen if isinstance(name, str) and chosen.count(name) > 1}):
            raise ValueError(f"names has {named(repeated)} more than once")
        effects = [self._effect_named(name, "names") for name in chosen]
        if lacking := [effect.name for effect in effects if not effect.std_error > 0]:
            raise ValueError(f"without a standard error there is no test of {named(lacking, SHOWN)}")
        return equality_test(self._replicates_of(effects), self._problem.size)

    def _compared(self) -> list[str]:
        """The effects that are compared by default."""
        return [effect.name for effect in self.effects_[1:]]

    def _effect_named(self, name: Any, role: str) -> Effect:
        effects = {effect.name: effect for effect in self._all_effects()}
        if not (isinstance(name, str) and name in effects):
            raise ValueError(f"{role}={shown(name)} names no effect; there are {named(list(effects), SHOWN)}")
        return effects[name]

    def _replicates_of(self, effects: Sequence[Effect]) -> Replicates:
        """Those of the fit; NaN for effects without rows."""
        self._effect()
        if self._fitted_method not in get_args(Method):
            raise ValueError(
                f"inference={self._fitted_method!r} has no replicates of all effects; "
                f"{', '.join(map(repr, get_args(Method)))} have"
            )
        resampled = "bootstrap" if self._fitted_method == "bootstrap" else "jackknife"
        found, names = self._problem.kept[resampled][1:], self._problem.names
        values = np.full((len(found), len(effects)), np.nan)
        for column, effect in zip(values.T, effects, strict=True):
            if effect.name in names:
                column[:] = found[:, names.index(effect.name)]
        arm = self._problem.arm
        return Replicates(effects, values, arm[arm >= 0], self._fitted_method)

    def _coefficients(self) -> Any:
        self._effect()
        frame = to_frame(self.effects_)
        return frame.set_axis([self._about.treatment or "treatment", *frame.index[1:]])

    def _stats(self) -> dict[str, Any]:
        counts = {"N": "n_rows_", "n_clusters": "n_clusters_", "n_treated": self._treated_count}
        found = {key: getattr(self, name) for key, name in counts.items()}
        return found | {"se_type": self._effect().method}

    def _outcome(self) -> str | None:
        self._effect()
        return self._about.outcome

    def _repr_html_(self) -> str:
        return self._html() if hasattr(self, "effect_") else str(super()._repr_html_())

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        # Notebooks ask this first, and scikit-learn's has a diagram of the parameters.
        if hasattr(self, "effect_"):
            return {"text/plain": self.summary(), "text/html": self._html()}
        return dict(super()._repr_mimebundle_(**kwargs))
