"""Linear regression and random features beside networks: where theory knows the curve of test risk."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from .._arrays import Array, shown
from .._files import digest
from .._limits import optional
from .._options import MAX_ROWS, choice, integer, positive
from .._value import Value
from . import theory
from ._checks import Feature, energy_of, finite_vector, require_room
from ._design import Design, as_scales
from ._least_squares import activation_of, least_squares, spread

__all__ = ["LeastSquares", "LinearTarget", "RandomFeatures"]

OPTIMAL = "optimal"


class TargetDraw(NamedTuple):
    """One seed's rows: X (n, D), noise (n,), coefficients β (D,), and what draws the rest."""

    X: Array
    noise: Array
    beta: Array
    random: np.random.Generator

    @property
    def y(self) -> Array:
        """Outcomes Xβ + ε."""
        return np.asarray(self.X @ self.beta + self.noise)


@dataclass(frozen=True, eq=False)
class LinearTarget:
    """Outcomes y = x'β + ε of Gaussian features, drawn anew for each seed.

    For `RandomFeatures` rows lie on the sphere of radius √D, as in their theory.

    Parameters
    ----------
    n_train : int
        Rows of each seed.
    n_features : int
        D; all matter alike, but for `coefficients`.
    signal : float, default=1.0
        |β|²; the direction of β is drawn.
    noise : float, default=0.25
        Variance of ε: the label noise.
    scales : float or array (D,), default=1.0
        Standard deviations of the features.
    coefficients : array (D,), optional
        β, the same for all seeds, instead of one of energy `signal`.

    See Also
    --------
    rfpcore.studies.theory.two_scales : scales and coefficients of a double descent over time.

    Examples
    --------
    >>> from rfpcore.studies import Descent, LeastSquares, LinearTarget
    >>> curve = Descent(LinearTarget(30, 90), LeastSquares(), widths=[10, 30, 90], seeds=50).curve()
    >>> curve.threshold, curve.theory.round(2)
    (30.0, array([1.49,  inf, 0.79]))
    """

    n_train: int
    n_features: int
    signal: float = 1.0
    noise: float = 0.25
    scales: Any = 1.0
    coefficients: Any = None

    def __post_init__(self) -> None:
        def store(name: str, value: object) -> None:
            object.__setattr__(self, name, value)  # frozen: the one place that writes

        store("n_train", integer(self.n_train, "n_train", 1, MAX_ROWS))
        store("n_features", integer(self.n_features, "n_features", 1, MAX_ROWS))
        require_room(self.n_train, self.n_features)
        store("signal", energy_of(self.signal, "signal"))
        store("noise", energy_of(self.noise, "noise"))
        store("scales", as_scales(self.scales, self.n_features))
        if self.coefficients is not None:
            beta = finite_vector(self.coefficients, "coefficients")
            if len(beta) != self.n_features:
                raise ValueError(f"coefficients has {len(beta)} numbers; n_features={self.n_features}")
            store("coefficients", beta)

    @property
    def name(self) -> str:
        """In reports."""
        return "linear target"

    def identity(self) -> str:
        """What tells the target from others."""
        beta = "drawn" if self.coefficients is None else digest(self.coefficients)
        numbers = (self.n_train, self.n_features, self.signal, self.noise)
        return " ".join(["linear target", *map(repr, numbers), digest(self.scales), beta])

    @property
    def is_isotropic(self) -> bool:
        """Whether all features are alike, as theory over sizes needs it."""
        return self.coefficients is None and bool((self.scales == 1).all())

    def draw(self, seed: int) -> TargetDraw:
        """The rows of a seed; those of fewer rows are the first of these."""
        random = np.random.default_rng([2718, integer(seed, "seed", 0, 2**32 - 1)])
        X = random.standard_normal((self.n_train, self.n_features)) * self.scales
        noise = np.sqrt(self.noise) * random.standard_normal(self.n_train)
        drawn = spread(random.standard_normal(self.n_features), self.signal)
        return TargetDraw(X, noise, drawn if self.coefficients is None else self.coefficients, random)


class Regression(Value):
    """How a `LinearTarget` is learnt in `Descent`: `LeastSquares` or `RandomFeatures`."""

    def require(self, data: LinearTarget) -> None:
        """ValueError where the target is not one for it."""
        raise NotImplementedError

    def n_parameters(self, data: LinearTarget) -> int:
        """Numbers that are fitted."""
        raise NotImplementedError

    def errors(self, data: LinearTarget, seed: int, n: int) -> tuple[float, float]:
        """Excess risk and mean squared residual of the first n rows of a seed."""
        raise NotImplementedError

    def risk(self, data: LinearTarget, seeds: int, n: int) -> float:
        """The excess risk that theory knows, or NaN."""
        raise NotImplementedError


@dataclass(frozen=True, repr=False)
class LeastSquares(Regression):
    """Least squares, of least norm where there are many; with a ridge penalty; or on the way there.

    Parameters
    ----------
    n_features : int, optional
        p, the first features of the target, which are used; `widths` of `Descent` vary it. None: all.
    penalty : float or "optimal", default=0.0
        λ of argmin |y − Xb|²/n + λ|b|². "optimal" is the best for n and p, of `theory.optimal_ridge`.
    epochs : int, optional
        Steps of gradient descent from 0, instead of its end; `epochs` of `Descent` vary it. Without
        penalty.
    learning_rate : float, optional
        Of those steps. None: gradient flow for so long, the limit of small steps.

    Examples
    --------
    >>> from rfpcore.studies import Descent, LeastSquares, LinearTarget
    >>> tuned = Descent(LinearTarget(30, 90), LeastSquares(penalty="optimal"), widths=[10, 30, 90], seeds=50)
    >>> tuned.curve().test_errors.mean(axis=0).round(1)  # no peak is left
    array([1. , 0.9, 0.8])
    """

    n_features: int | None = None
    penalty: float | Literal["optimal"] = 0.0
    epochs: int | None = None
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        if self.n_features is not None:
            self._store(n_features=integer(self.n_features, "n_features", 1, MAX_ROWS))
        if isinstance(self.penalty, str):
            choice(self.penalty, "penalty", Literal["optimal"])
        else:
            self._store(penalty=energy_of(self.penalty, "penalty"))
        if self.epochs is not None:
            self._store(epochs=integer(self.epochs, "epochs", 1, MAX_ROWS))
        self._store(learning_rate=optional(positive)(self.learning_rate, "learning_rate"))

    def require(self, data: LinearTarget) -> None:
        """ValueError where the target is not one for it."""
        if self.n_features is not None and self.n_features > data.n_features:
            raise ValueError(f"n_features={self.n_features} is more than the {data.n_features} of the target")
        if self.penalty != 0 and self.epochs is not None:
            raise ValueError(f"penalty={self.penalty} and epochs={self.epochs}; one of them is possible")
        if self.penalty == OPTIMAL and not (data.is_isotropic and data.signal > 0):
            raise ValueError("penalty='optimal' takes a target of equal features with a signal")

    def n_parameters(self, data: LinearTarget) -> int:
        """Numbers that are fitted."""
        return self.n_features or data.n_features

    def _arguments(self, data: LinearTarget, n: int) -> dict[str, Any]:
        given = {"n": n, "p": self.n_parameters(data), "n_features": data.n_features}
        return given | {"signal": data.signal, "noise": data.noise}

    def _level(self, data: LinearTarget, n: int) -> float:
        if self.penalty == OPTIMAL:
            return float(theory.optimal_ridge(**self._arguments(data, n)).penalty)
        return float(self.penalty)

    def errors(self, data: LinearTarget, seed: int, n: int) -> tuple[float, float]:
        """Excess risk and mean squared residual of the first n rows of a seed."""
        drawn, used = data.draw(seed), self.n_parameters(data)
        X, y = drawn.X[:n, :used], drawn.y[:n]
        error = drawn.beta.copy()
        if self.epochs is None:
            found = least_squares(X[None], y[None], n * self._level(data, n))[0]
        else:
            design = Design.of(X, drawn.beta[:used], [self.epochs], 1.0, 0.0)
            along = design.left_vectors.T @ y / design.singular
            found = (design.learnt(self.learning_rate)[0] * along) @ design.vectors
        error[:used] -= found
        return float(np.square(error * data.scales).sum()), float(np.square(y - X @ found).mean())

    def risk(self, data: LinearTarget, seeds: int, n: int) -> float:
        """The excess risk that theory knows, or NaN."""
        if self.epochs is not None:
            if self.n_parameters(data) < data.n_features:
                return float("nan")
            draws = (data.draw(seed) for seed in range(seeds))
            options: dict[str, Any] = {"scales": data.scales, "noise": data.noise}
            options["learning_rate"] = self.learning_rate
            return float(
                np.mean(
                    [theory.gradient_descent(one.X[:n], one.beta, [self.epochs], **options) for one in draws]
                )
            )
        if not data.is_isotropic:
            return float("nan")
        level = self._level(data, n)
        if level == 0:
            return float(theory.ridgeless(**self._arguments(data, n)))
        return float(theory.ridge(penalty=level, **self._arguments(data, n)))


@dataclass(frozen=True, repr=False)
class RandomFeatures(Regression):
    """Least squares, of least norm or with a ridge penalty, on σ(θ_j'x/√d) of random θ_j on the sphere.

    Parameters
    ----------
    n_units : int, default=100
        N, features; `widths` of `Descent` vary it.
    activation : {"relu", "erf"}, default="relu"
        σ.
    penalty : float, default=0.0
        λ of Σ_i (y_i − f̂(x_i))²/n + (Nλ/d)|a|².
    n_test : int, default=1000
        New rows that a risk is the mean over.

    Examples
    --------
    >>> from rfpcore.studies import Descent, LinearTarget, RandomFeatures
    >>> study = Descent(LinearTarget(60, 20), RandomFeatures(activation="erf"), widths=[20, 60, 600], seeds=5)
    >>> curve = study.curve()
    >>> curve.threshold, curve.theory.round(1)
    (60.0, array([0.5, inf, 0.1]))
    """

    n_units: int = 100
    activation: Feature = "relu"
    penalty: float = 0.0
    n_test: int = 1000

    def __post_init__(self) -> None:
        choice(self.activation, "activation", Feature)
        self._store(
            n_units=integer(self.n_units, "n_units", 1, MAX_ROWS),
            penalty=energy_of(self.penalty, "penalty"),
            n_test=integer(self.n_test, "n_test", 1, MAX_ROWS),
        )

    def require(self, data: LinearTarget) -> None:
        """ValueError where the target is not one for it."""
        if not data.is_isotropic:
            raise ValueError("random features take a target of equal features: no scales, no coefficients")

    def n_parameters(self, data: LinearTarget) -> int:
        """Numbers that are fitted."""
        return self.n_units

    def errors(self, data: LinearTarget, seed: int, n: int) -> tuple[float, float]:
        """Excess risk and mean squared residual of the first n rows of a seed."""
        drawn, d = data.draw(seed), data.n_features
        require_room(n + self.n_test + d, self.n_units)
        act = activation_of(self.activation)
        X = spread(drawn.X[:n], d)
        X_new = spread(drawn.random.standard_normal((self.n_test, d)), d)
        weights = spread(drawn.random.standard_normal((self.n_units, d)), d)
        Z, Z_new = (act(rows @ weights.T / np.sqrt(d)) for rows in (X, X_new))
        y = X @ drawn.beta + drawn.noise[:n]
        a = least_squares(Z[None], y[None], n * self.penalty * self.n_units / d)[0]
        test, training = Z_new @ a - X_new @ drawn.beta, Z @ a - y
        return float(np.square(test).mean()), float(np.square(training).mean())

    def risk(self, data: LinearTarget, seeds: int, n: int) -> float:
        """The excess risk that theory knows, or NaN."""
        d, energies = data.n_features, {"signal": data.signal, "noise": data.noise}
        return float(
            theory.random_features(self.n_units / d, n / d, self.penalty, self.activation, **energies)
        )


def require_target(data: Any) -> LinearTarget:
    """The target; TypeError for anything else."""
    if not isinstance(data, LinearTarget):
        raise TypeError(f"data={shown(data)} is no LinearTarget, which regressions are studied on")
    return data
