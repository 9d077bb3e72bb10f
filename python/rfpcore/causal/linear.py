"""The linear comparison: a treatment's coefficient in least squares, with cluster-robust inference."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from .._arrays import Array
from .._limits import seed
from .._options import choice, integer
from .._scaling import named
from .._warn import warn
from ..exceptions import DesignWarning
from . import _intervals
from ._about import about
from ._checks import warn_of_concentration, warn_of_few, warn_of_leverage
from ._complete import Missing
from ._inference import MANY_DRAWS
from ._linear_rows import read_rows
from ._partialled import Partialled, partialled
from ._wild_test import WildTest
from .results import Effect

__all__ = ["linear_effect"]

LinearInference = Literal["cr1", "cr3", "wild", "webb"]


def linear_effect(
    X: Any,
    y: Any,
    treatment: Any,
    groups: Any,
    *,
    covariates: Any = None,
    absorb: Any = None,
    sample_weight: Any = None,
    missing: Missing = "raise",
    inference: LinearInference = "cr3",
    n_draws: int = 9999,
    random_state: Any = 0,
) -> Effect:
    """Coefficient of the treatment in least squares on an intercept, the covariates and the treatment.

    The regression an economist would run first. With an effect that varies it does not estimate the average
    effect on anybody in particular.

    Parameters
    ----------
    X, y, treatment, groups, covariates
        As in `ClusterEffect.fit`; the treatment may be any number, and vary inside a cluster.
    absorb : list of columns or of arrays (N,), or one of them, optional
        Fixed effects: each label of each column has a constant of its own. In a formula they are behind a
        bar, as in pyfixest: "rent ~ law + size | town + year". The finest column whose labels are inside
        clusters may have any number of labels; its means are taken off, and it does not count as
        coefficients. Those of all others do, and there may be 1000.
    sample_weight : array (N,) or str, optional
        Weights of the rows; those of weight 0 are left out.
    missing : {"raise", "drop"}, default="raise"
        What becomes of rows that lack a value in a column that is used: an error, or they are left out, and
        `method` of the effect says how many.
    inference : {"cr3", "cr1", "wild", "webb"}, default="cr3"
        Leave-one-cluster-out jackknife; Stata's cluster-robust variance; or the wild cluster bootstrap with
        the hypothesis of no effect imposed and Rademacher or Webb weights. The bootstrap's interval is the
        estimate plus and minus a quantile of |t| times the CR1 error; its p-value is that of the test.
        `wild_interval` has the interval of the coefficients that the test does not refuse.
    n_draws : int, default=9999
        Of the bootstrap; where there are no more sign vectors than this, all are used.
    random_state : int, RandomState or None, default=0
        Of the draws. By default they are the same each time, and so are intervals.

    Returns
    -------
    Effect

    Raises
    ------
    ValueError
        If the treatment is a linear function of the covariates, or, with "cr3", is one without some cluster.

    Warns
    -----
    DesignWarning
        If a covariate is a linear function of those before it: it is left out, and not counted. If the
        coefficient rests on few clusters: on one (no standard error), on fewer than 5 that are treated or
        controls, or on an effective number below 5 [1]_. If one or two make up the standard error, or it is
        rounding.

    Notes
    -----
    Columns are centred and scaled inside, and decomposed (QR): units and levels do not matter. Where leaving
    out a cluster makes a covariate redundant, "cr3" uses the generalized inverse, as if that covariate were
    dropped there.

    References
    ----------
    Cameron, Gelbach and Miller (2008), "Bootstrap-based improvements for inference with clustered errors",
    Review of Economics and Statistics 90. MacKinnon, Nielsen and Webb (2023), "Fast and reliable jackknife
    and bootstrap methods for cluster-robust inference", Journal of Applied Econometrics 38.

    .. [1] Carter, Schnepel and Steigerwald (2017), "Asymptotic behavior of a t-test robust to cluster
       heterogeneity", Review of Economics and Statistics 99, with errors independent and equally large.

    Examples
    --------
    >>> from rfpcore.causal import linear_effect
    >>> from rfpcore.datasets import make_policy
    >>> data = make_policy(n_clusters=30, effect=1.0, random_state=0)
    >>> effect = linear_effect(data.X, data.y, data.treatment, data.groups)
    >>> print(f"{effect.estimate:.2f} ({effect.std_error:.2f})")
    0.77 (0.46)
    """
    choice(inference, "inference", LinearInference)
    integer(n_draws, "n_draws", 2, MANY_DRAWS)
    chosen = seed(random_state, "random_state")
    data = read_rows(X, y, treatment, groups, covariates, absorb, sample_weight, missing)
    labels, names, d = data.labels, data.names, data.d
    model, dropped = partialled(data.X, d, data.y, data.codes, len(labels), data.fixed)
    alone = labels[model.rests_on]
    if len(alone) and inference == "cr3":
        raise ValueError(
            f"without cluster {alone[0]!s} the covariates and the treatment are collinear: the coefficient "
            "rests on that cluster alone, so the jackknife has no value. inference='cr1' gives the "
            "coefficient, and no standard error either"
        )
    _warn_of_redundant([names[i] for i in dropped if i < len(names)])
    _warn_of_clusters(model, labels, d)
    if inference == "cr3":
        effect = _jackknifed(model, labels)
    else:
        effect = _from_scores(model, labels, inference, n_draws, chosen)
    given = {"y": y, "treatment": treatment, "groups": groups}
    effect = replace(effect, about=about(X, given, names, data.references, len(data.y), len(labels)))
    if not data.n_dropped:
        return effect
    return replace(effect, method=f"{effect.method}, {data.n_dropped} rows without a value dropped")


def _jackknifed(model: Partialled, labels: Array) -> Effect:
    without = model.without()
    error = _intervals.jackknife_error(model.estimate, without)
    warn_of_concentration((without - model.estimate) ** 2, labels)
    return Effect(
        "treatment",
        model.unit * model.estimate,
        model.unit * _but_for_rounding(error, model),
        len(labels) - 1.0,
        "least squares, leave-one-cluster-out jackknife",
        model.unit * without,
    )


def _from_scores(model: Partialled, labels: Array, inference: str, n_draws: int, seed: int) -> Effect:
    """CR1, and the wild bootstrap, whose interval it scales."""
    scores, error = model.scores(), math.nan
    if not model.rests_on.any():
        warn_of_concentration(scores**2, labels)
        error = _but_for_rounding(float(np.sqrt(model.correction)) * _intervals.length(scores), model)
    estimate, df = model.unit * model.estimate, len(labels) - 1.0
    if inference == "cr1":
        return Effect("treatment", estimate, model.unit * error, df, "least squares, CR1")
    weights = "webb" if inference == "webb" else "rademacher"
    random = np.random.default_rng(seed)
    blocks = _intervals.sign_blocks(len(labels), n_draws, weights, random)
    statistics = WildTest(model).statistics(blocks)
    title = f"least squares, wild cluster bootstrap ({weights}, {len(statistics)} draws)"
    if math.isnan(error):
        return Effect("treatment", estimate, error, df, title)
    # The first draw is the data as they are.
    p = _intervals.monte_carlo_p(model.estimate / error, statistics[1:])
    return Effect("treatment", estimate, model.unit * error, df, title, statistics=statistics, p=p)


def _but_for_rounding(error: float, model: Partialled) -> float:
    """The error, or NaN with a warning where there is nothing but rounding in it."""
    if error > model.noise:
        return error
    warn(
        "the residuals are zero but for rounding: the outcome is a linear function of the covariates and the "
        "treatment, and there is no standard error",
        DesignWarning,
    )
    return math.nan


def _warn_of_redundant(names: Sequence[str]) -> None:
    if names:
        many = len(names) > 1
        warn(
            f"{'the covariates' if many else 'the covariate'} {named([repr(name) for name in names])} "
            f"{'are linear functions' if many else 'is a linear function'} of the intercept and the "
            f"covariates before, and {'are' if many else 'is'} left out",
            DesignWarning,
        )


def _warn_of_clusters(model: Partialled, labels: Array, d: Array) -> None:
    """`DesignWarning` where the coefficient rests on few clusters."""
    alone = labels[model.rests_on]
    values, sizes = np.unique(d), np.array([np.ptp(d[own]) for own in model.rows])
    if len(alone):
        warn(
            f"the coefficient of the treatment rests on cluster {alone[0]!s} alone: without it, it has no "
            "value, so there is no standard error",
            DesignWarning,
        )
    elif np.array_equal(values, [0.0, 1.0]) and not sizes.any():
        treated = np.array([d[own[0]] == 1 for own in model.rows])
        warn_of_few(labels[treated], labels[~treated])
    else:
        warn_of_leverage(model.leverage(), labels)
