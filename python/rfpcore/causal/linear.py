"""The linear comparison: a treatment's coefficient in least squares, with cluster-robust inference."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array, group_codes
from .._options import choice, integer
from . import _intervals
from ._columns import number_vector, read_columns
from ._inference import MANY_DRAWS
from .results import Effect

__all__ = ["linear_effect"]

LinearInference = Literal["cr1", "cr3", "wild", "webb"]


@dataclass(frozen=True)
class _Regression:
    """Least squares of y on an intercept, covariates and the treatment, the treatment partialled out last."""

    X: Array
    d: Array
    y: Array
    codes: NDArray[np.intp]
    n_clusters: int

    @property
    def correction(self) -> float:
        """Stata's factor of CR1: G / (G - 1) * (N - 1) / (N - K)."""
        n, g, k = len(self.y), self.n_clusters, self.X.shape[1] + 1
        return float(g / (g - 1) * (n - 1) / (n - k))

    def by_cluster(self, rows: Array) -> Array:
        """Sums of rows (N, ...) in each cluster."""
        total = np.zeros((self.n_clusters, *rows.shape[1:]))
        np.add.at(total, self.codes, rows)
        return total


def linear_effect(
    X: Any,
    y: Any,
    treatment: Any,
    groups: Any,
    *,
    covariates: Any = None,
    inference: LinearInference = "cr3",
    n_draws: int = 9999,
    random_state: int = 0,
) -> Effect:
    """Coefficient of the treatment in least squares on an intercept, the covariates and the treatment.

    The regression an economist would run first. With an effect that varies it does not estimate the average
    effect on anybody in particular.

    Parameters
    ----------
    X, y, treatment, groups, covariates
        As in `ClusterEffect.fit`; the treatment may be any number, and vary inside a cluster.
    inference : {"cr3", "cr1", "wild", "webb"}, default="cr3"
        Leave-one-cluster-out jackknife; Stata's cluster-robust variance; or the wild cluster bootstrap with
        the hypothesis of no effect imposed and Rademacher or Webb weights. The bootstrap's interval is the
        estimate plus and minus a quantile of |t| times the CR1 error; its p-value is that of the test.
    n_draws : int, default=9999
        Of the bootstrap; where there are no more sign vectors than this, all are used.
    random_state : int, default=0
        Of the draws.

    Returns
    -------
    Effect

    Raises
    ------
    ValueError
        If the treatment is a linear function of the covariates, or a cluster is needed to tell them apart.

    References
    ----------
    Cameron, Gelbach and Miller (2008), "Bootstrap-based improvements for inference with clustered errors",
    Review of Economics and Statistics 90. MacKinnon, Nielsen and Webb (2023), "Fast and reliable jackknife
    and bootstrap methods for cluster-robust inference", Journal of Applied Econometrics 38.

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
    columns, rows, _ = read_columns(X, {"y": y, "treatment": treatment, "groups": groups}, covariates)
    n = len(rows)
    labels, codes = group_codes(columns["groups"], n)
    if len(labels) < 2:
        raise ValueError(f"there is {len(labels)} cluster; at least 2 are needed")
    design = np.column_stack([np.ones(n), rows])
    d = number_vector(columns["treatment"], "treatment", n)
    outcome = number_vector(columns["y"], "y", n)
    model = _Regression(design, d, outcome, codes, len(labels))
    d_rest, y_rest = (v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (d, outcome))
    strength = float(d_rest @ d_rest)
    if strength <= 1e-12 * float(d @ d):
        raise ValueError("the treatment is a linear function of the covariates: its coefficient has no value")
    estimate = float(d_rest @ y_rest) / strength
    score = model.by_cluster(d_rest * (y_rest - estimate * d_rest)) / strength
    cr1 = float(np.sqrt(model.correction * np.sum(score**2)))
    df = len(labels) - 1.0
    if inference == "cr1":
        return Effect("treatment", estimate, cr1, df, "least squares, CR1")
    if inference == "cr3":
        without = _leave_one_out(model, labels)
        error = _intervals.jackknife_error(estimate, without)
        return Effect(
            "treatment", estimate, error, df, "least squares, leave-one-cluster-out jackknife", without
        )
    integer(n_draws, "n_draws", 2, MANY_DRAWS)
    weights = "webb" if inference == "webb" else "rademacher"
    signs = _intervals.wild_signs(len(labels), n_draws, weights, np.random.default_rng(random_state))
    statistics = wild_restricted(model, d_rest, y_rest, signs)
    title = f"least squares, wild cluster bootstrap ({weights}, {len(signs)} draws)"
    return Effect("treatment", estimate, cr1, df, title, statistics=statistics)


def _leave_one_out(model: _Regression, labels: Array) -> Array:
    """The coefficient without each cluster, from the normal equations less the cluster's share."""
    W = np.column_stack([model.X, model.d])
    moments = np.column_stack([W, model.y])
    shares = model.by_cluster(W[:, :, None] * moments[:, None, :])
    left = shares.sum(axis=0) - shares
    found = np.empty(len(labels))
    for g, equations in enumerate(left):
        A, b = equations[:, :-1], equations[:, -1]
        if np.linalg.matrix_rank(A, hermitian=True) < len(A):
            raise ValueError(
                f"without cluster {labels[g]!s} the covariates and the treatment are collinear, so the "
                "jackknife "
                "has no value; inference='cr1' or 'wild' does not need it"
            )
        found[g] = np.linalg.solve(A, b)[-1]
    return found


def wild_restricted(model: _Regression, d_rest: Array, y_rest: Array, signs: Array) -> Array:
    """(B,) t statistics of the wild cluster bootstrap with no effect imposed (WCR).

    Under the hypothesis the residuals are y_rest, y less the covariates' part. With signs v the bootstrap's
    score of cluster g is linear in v, so that all draws are one matrix product (MacKinnon, Nielsen and Webb,
    2023, section 4).
    """
    strength = d_rest @ d_rest
    own = model.by_cluster(d_rest * y_rest)
    d_x = model.by_cluster(model.X * d_rest[:, None])
    x_y = model.by_cluster(model.X * y_rest[:, None])
    fitted = d_x @ np.linalg.pinv(model.X.T @ model.X) @ x_y.T
    share = np.outer(model.by_cluster(d_rest**2), own) / strength
    scores = signs @ (np.diag(own) - fitted - share).T
    return np.asarray(signs @ own / np.sqrt(model.correction * np.sum(scores**2, axis=1)))
