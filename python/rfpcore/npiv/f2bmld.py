"""F²BMLD, the estimator: both stages mean-field networks, trained by first-order gradients alone."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from sklearn.utils.validation import check_is_fitted

from .._dask import require_client, threads_of_each
from .._limits import Limits, auto_or_bool, one_of, positives, randomness, threads
from .._options import boolean, choice, fraction, integer, positive, random_source
from . import _fit
from ._bands import BandMethod, Bands, bands, bootstrap, corrections, linear_parts
from ._bilevel import LIMITS, BilevelSolver, Problem, networks, settings
from ._data import InstrumentedRows, Scales, split
from ._fitted import FittedBilevel
from ._flexible import LinearPart
from ._select import HeldOut
from .particles import ParticleActivation

__all__ = ["F2BMLD"]

FloatName = Literal["float32", "float64"]


class F2BMLD(FittedBilevel):
    """Nonparametric instrumental variables by fully first-order bilevel mean-field Langevin dynamics [1]_.

    Estimates h in E[Y | Z] = E[h(X) | Z]. Three networks of one hidden layer are trained together: the
    structural h_x, a first stage h_z that follows h_x(X) on the instruments, and its twin that is also pulled
    towards Y. The gap between the two, times λ, is the gradient of h_x: none goes through a first stage, and
    no second derivative is needed. λ and the moment to stop are chosen by the held-out error of Y minus
    the kernel regression of h_x(X) on Z; then all rows are fitted again. Where the instruments are weak the
    earliest moment is taken whose error is within one standard error of the smallest.

    Inputs and outcome are standardised inside. Steps, penalties and temperatures are in units of λ / (1 + λ),
    so that λ changes neither speed nor ridge; `rates_` has the slides' own numbers.

    Parameters
    ----------
    solver : {"adam", "langevin"}, default="adam"
        "langevin" is the slides' noisy gradient descent, "adam" the practical choice: Adam (0.5, 0.9) without
        noise. The None below stand for the solver's preset, in this order.
    lambdas : sequence of float, default=(0.1, 1, 10)
        Penalties λ to choose from.
    n_particles : int, optional
        N of each network: 50, 100.
    activation : {"relu", "tanh"}, default="relu"
    particle_bound : float, optional
        Smooth bound R of a particle's output, as the theory asks for; None: none.
    inner_steps : int, default=10
        Steps of both inner networks before each outer one.
    max_iter : int, optional
        Outer steps: 5000, 4000.
    batch_size : int or None, default=64
        Rows a step; None takes all of them, as in the slides.
    inner_lr : float, optional
        Step α of the first stage: 0.005, 0.3. The twin's β is α / (1 + λ) with "langevin", else α.
    learning_rate_init : float, optional
        Step γ of h_x: 0.005, 0.3; times (1 + λ) / λ with "langevin".
    weight_decay_instrument, weight_decay : float, optional
        Penalties ζ1 and ζ2, times |θ|² / 2, of the inner networks and of h_x: 1e-5, 3e-4; ζ2 times
        λ / (1 + λ).
    temperature_instrument, temperature : float, optional
        Temperatures σ1 and σ2 of the Langevin noise: 3e-4; σ2 times λ / (1 + λ). "adam" has none.
    inner_warm_start : bool, default=True
        Whether the inner networks go on where they were; False starts them anew before each outer step.
    shared_noise : bool, default=True
        Whether first stage and twin see the same noise and mini-batches. False, as the slides have it,
        amplifies the noise by λ.
    n_checkpoints : int, default=40
        How often losses are recorded and h_x is looked at for the choice.
    validation_fraction : float in (0, 1), default=0.2
        Share of the rows (whole groups) held out for the choice.
    refit : bool, default=True
        Whether the chosen λ is trained again on all rows, as long as chosen.
    dtype : {"float32", "float64"}, default="float32"
    linear_part : {"auto"} or bool, default="auto"
        Whether to take two-stage least squares off the outcome first, and add that of what is left at the
        end: neither is penalised, so that the slope in X is not lost beside covariates. "auto": where
        covariates explain most of what a second stage sees of X, for a single X of two values, and for
        instruments of two (with d columns of X: d + 1) values, which tell no more than a line.
    random_state : int, RandomState or None, default=None
    n_jobs : int or None, default=None
        Threads; the result does not depend on it.

    Attributes
    ----------
    linear_part_ : bool
        Whether there is a linear part.
    lambda_ : float
        The λ chosen.
    best_step_ : int
        Outer steps chosen.
    errors_ : ndarray (n_lambdas, n_checkpoints)
        Held-out stage-two errors in units of the variance of y; NaN, with a `DivergenceWarning`, after a run
        has ended early.
    history_ : dict of ndarray
        Of the last fit, at each checkpoint: "step", "first_stage" F1(x, z), "twin_first_stage" F1(x, z~),
        "second_stage" F2(x, z), "twin_second_stage" F2(x, z~) and "bilevel_gap" F1(x, z~) - F1(x, z).
    rates_ : dict of float
        λ, α, β, γ, ζ1, ζ2, σ1, σ2 as the slides have them.
    instrument_strength_ : InstrumentStrength
        How much the instruments say about each column of X.
    network_, theta_ : MeanField, ndarray
        The structural network and its particles, for standardised inputs and outcome.
    n_halvings_ : int
        How often the last fit halved its steps because numbers stopped being finite.
    n_features_in_, n_covariates_ : int

    References
    ----------
    .. [1] Chen, Nitanda, Gretton and Suzuki (2025), "Towards a Unified Analysis of Neural Networks in
       Nonparametric Instrumental Variable Regression: Optimization and Generalization".

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore.npiv import F2BMLD
    >>> rng = np.random.default_rng(0)
    >>> z, u = rng.standard_normal((2, 500))
    >>> x = z + u
    >>> y = np.sin(x) + u  # u moves x and y: a regression of y on x is wrong
    >>> model = F2BMLD(max_iter=400, random_state=0).fit(x, y, Z=z)
    >>> model.predict([[0.0], [1.0]]).shape, sorted(model.rates_)[:3]
    ((2,), ['alpha', 'beta', 'gamma'])
    """

    def __init__(
        self,
        *,
        solver: BilevelSolver = "adam",
        lambdas: Sequence[float] = (0.1, 1.0, 10.0),
        n_particles: int | None = None,
        activation: ParticleActivation = "relu",
        particle_bound: float | None = None,
        inner_steps: int = 10,
        max_iter: int | None = None,
        batch_size: int | None = 64,
        inner_lr: float | None = None,
        learning_rate_init: float | None = None,
        weight_decay_instrument: float | None = None,
        weight_decay: float | None = None,
        temperature_instrument: float | None = None,
        temperature: float | None = None,
        inner_warm_start: bool = True,
        shared_noise: bool = True,
        n_checkpoints: int = 40,
        validation_fraction: float = 0.2,
        refit: bool = True,
        dtype: FloatName = "float32",
        linear_part: LinearPart = "auto",
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.solver = solver
        self.lambdas = lambdas
        self.n_particles = n_particles
        self.activation = activation
        self.particle_bound = particle_bound
        self.inner_steps = inner_steps
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.inner_lr = inner_lr
        self.learning_rate_init = learning_rate_init
        self.weight_decay_instrument = weight_decay_instrument
        self.weight_decay = weight_decay
        self.temperature_instrument = temperature_instrument
        self.temperature = temperature
        self.inner_warm_start = inner_warm_start
        self.shared_noise = shared_noise
        self.n_checkpoints = n_checkpoints
        self.validation_fraction = validation_fraction
        self.refit = refit
        self.dtype = dtype
        self.linear_part = linear_part
        self.random_state = random_state
        self.n_jobs = n_jobs

    _limits: ClassVar[Limits] = LIMITS | {
        "lambdas": positives,
        "validation_fraction": fraction,
        "refit": boolean,
        "dtype": one_of(FloatName),
        "linear_part": auto_or_bool,
        "random_state": randomness,
        "n_jobs": threads,
    }

    def _learn(self, rows: InstrumentedRows, given: dict[str, Any]) -> None:
        config, random = settings(given), given["random_state"]
        scales = Scales.of(rows)
        scaled = scales.apply(rows)
        held_out = HeldOut(
            scaled.instruments, rows.weights, split(rows, given["validation_fraction"], random), random
        )
        problem = Problem(scaled.inputs, scaled.instruments, scaled.y, rows.weights).cast(self.dtype)
        fit = _fit.run(
            problem,
            config,
            given["lambdas"],
            held_out,
            random,
            refit=given["refit"],
            cautious=self.instrument_strength_.is_weak,
            n_threads=given["n_jobs"],
        )
        self._learnt, self._scales, self._rows = fit, scales, rows
        self._config, self._records = fit.config, fit.path.records
        self.network_, _ = networks(problem, config)
        self.theta_, self.lambda_, self.best_step_ = fit.theta, fit.lam, fit.step
        self.errors_ = fit.errors
        self.n_halvings_ = fit.path.halvings

    def bands(
        self,
        X: Any,
        covariates: Any = None,
        *,
        level: float = 0.95,
        n_bootstraps: int = 200,
        method: BandMethod = "corrected",
        penalty: float = 0.1,
        random_state: Any = None,
        scheduler: Any = None,
    ) -> Bands:
        """Pointwise and uniform bands for the structural function.

        Rows (whole groups, where `fit` had groups) are drawn with replacement and h_x is trained anew from
        new first particles, with the λ and the number of steps of the fit: all of them in one call of the
        kernel. The linear part that is added at the end is fitted to each anew. Each is then corrected for
        what training has not reached: a kernel regression with the instruments of its residuals is added, on
        X beside the covariates and on X alone, with a penalty so light that bias gives way to variance. Where
        the estimate lies outside it the band is widened to it.

        Parameters
        ----------
        X, covariates
            As in `predict`.
        level : float in (0, 1), default=0.95
        n_bootstraps : int, default=200
        method : {"corrected", "spread"}, default="corrected"
            "spread" leaves the correction out: how far the estimate moves, narrower, but around an estimate
            whose bias the bands do not hold.
        penalty : float, default=0.1
            Of the correction: it is a Gaussian process of 1 / penalty times the variance of the residuals
            y - h(X). The smaller, the less bias and the wider the bands.
        random_state : int, RandomState or None, default=None
        scheduler : dask.distributed.Client, optional
            Train on its workers, in jobs of some draws each, with the same result, as
            `rfpcore.many.fit_many` does; the rest is worked out here. `n_jobs` is then of each job, by
            default 1.

        Returns
        -------
        Bands
        """
        check_is_fitted(self)
        share = fraction(level, "level")
        count = integer(n_bootstraps, "n_bootstraps", 2, 10**6)
        choice(method, "method", BandMethod)
        light, client = positive(penalty, "penalty"), require_client(scheduler)
        inputs = self._inputs(X, covariates)
        random = random_source(random_state)
        fit, scales = self._learnt, self._scales
        if fit is None:
            raise ValueError("bands need the data of fit, which a file does not hold; fit again")
        threads = threads_of_each(client, self.n_jobs)
        thetas, counts = bootstrap(fit, self._rows, count, random, threads, client)
        points = scales.inputs.apply(inputs)
        replicates = self._first(points) + self._values(thetas, inputs)
        residuals = fit.problem.y - self.network_.values(thetas, fit.problem.x, n_jobs=self.n_jobs)
        if self.linear_part_:
            at_rows, at_points = linear_parts(scales.apply(self._rows), residuals, counts, points)
            residuals -= at_rows
            replicates += scales.y_scale * at_points
        if method == "corrected":
            n_covariates = self.n_covariates_
            found = corrections(fit, residuals, counts, points, light, random, n_covariates)
            replicates += scales.y_scale * found
        return bands(self._at(inputs), replicates, share)
