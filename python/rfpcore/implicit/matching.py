"""The estimator: which penalty a training procedure behaves like, and how sure that is."""

from typing import Any, ClassVar

import numpy as np
from scipy.linalg import block_diag
from scipy.special import stdtrit

from .._atomic import all_or_nothing
from .._limits import Limits, check, one_of, optional, whole
from .._options import MAX_BINS, at_least, below_one, fraction
from .._warn import warn
from ..exceptions import DesignWarning
from ..regularize import Regularization, Term
from ._checks import Floats, lines
from ._estimate import Constraint, Covariance, Estimate, Identified, estimate
from ._least_squares import listed
from ._penalty import Penalty, TermPenalty, as_penalties, columns_of
from ._report import summary_of, to_frame
from .data_penalties import DataPenalty
from .equations import Equations
from .nonlinear import NonLinear

__all__ = ["GradientMatching"]

COLLINEAR = 30.0  # Belsley, Kuh and Welsch (1980): condition numbers above it do harm


class GradientMatching:
    r"""Least squares of a training procedure's equations on the gradients of penalties [1]_.

    min over φ of Σ_e w_e |target_e − Σⱼ φⱼ mean_w ∇Rⱼ(θ_ew)|², by the singular values of the columns, each
    brought to length one. The coefficients are exact where the equations are; nothing is trained.

    Parameters
    ----------
    penalties : list of terms, penalties and functions
        `L1`, `L2` of `rfpcore.regularize` (whose strength is the unit of the coefficient: `L2(1)` is ½|θ|²),
        the penalties of this module, and functions θ (P,) → ∇R (P,).
    constraint : {None, "nonneg", "psd"}, default=None
        Coefficients of at least 0; or, of a single `Quadratic`, a positive semidefinite matrix.
    covariance : {"group", "classical"}, default="group"
        Of the coefficients: from groups of equations (windows, runs), with G/(G−1) and Student's t with
        G − 1 degrees; or as if all E·P numbers were independent, which they are not: intervals are then
        far too narrow.
    n_pieces : int, default=1
        Coefficients that change: one set for each of so many stretches of time, estimated apart.
    identified : {"required", "minimum_norm"}, default="required"
        Where columns depend on each other: an error that names them, or the solution of least norm, which is
        one of many.
    rtol : float, default=1e-8
        Columns depend on each other where a singular value is below so large a share of the largest.

    Attributes
    ----------
    names_ : list of str
        Of the J coefficients, in the order of the penalties; with pieces, of one piece after the other.
    coef_, std_error_, vif_ : ndarray (J,)
        Coefficients, their standard errors (NaN of a single group, and of coefficients that a constraint
        holds), and variance inflation factors.
    covariance_ : ndarray (J, J)
    degrees_ : ndarray (J,)
        Degrees of freedom of Student's t.
    explained_ : float
        Share of the targets' squares that the penalty explains, at most 1; below 0 it is worse than none.
    condition_number_ : float
        Of the normalised columns: the largest of all pieces.
    singular_values_ : ndarray
    rank_, n_groups_ : int
    effective_parameters_ : float
        What the P numbers of an equation are worth, by how their errors go together along the columns.
    pieces_ : ndarray (n_pieces, 2)
        First and last time of each piece.

    References
    ----------
    .. [1] "Estimating implicit regularization in deep learning" (2026), arXiv:2605.05436, equation 3.

    Examples
    --------
    Weight decay of a user's own gradient descent, from its windows:

    >>> import numpy as np
    >>> from rfpcore.implicit import Equations, GradientMatching
    >>> from rfpcore.regularize import L1, L2
    >>> random = np.random.default_rng(0)
    >>> X = random.standard_normal((200, 5))
    >>> y = X @ [1, -1, 2, 0.5, 0] + random.standard_normal(200)
    >>> bare = lambda theta: X.T @ (X @ theta - y) / 200
    >>> theta, thetas, targets = np.zeros(5), [], []
    >>> for window in range(8):
    ...     path = [theta := theta - 0.05 * (bare(theta) + 0.2 * theta) for _ in range(10)]
    ...     thetas.append(path[:-1])
    ...     mean_bare = np.mean([bare(at) for at in path[:-1]], axis=0)
    ...     targets.append((path[0] - path[-1]) / (0.05 * 9) - mean_bare)
    >>> found = GradientMatching([L1(1, smoothing=0.01), L2(1)]).fit(Equations(thetas, targets))
    >>> np.abs(found.coef_).round(9).tolist(), round(found.explained_, 9)
    ([0.0, 0.2], 1.0)
    >>> round(found.regularization_.get(L2).strength, 9)
    0.2
    """

    _limits: ClassVar[Limits] = {
        "constraint": optional(one_of(Constraint)),
        "covariance": one_of(Covariance),
        "n_pieces": whole(1, MAX_BINS),
        "identified": one_of(Identified),
        "rtol": below_one,
    }

    def __init__(
        self,
        penalties: Any,
        *,
        constraint: Constraint | None = None,
        covariance: Covariance = "group",
        n_pieces: int = 1,
        identified: Identified = "required",
        rtol: float = 1e-8,
    ) -> None:
        self.penalties = penalties
        self.constraint = constraint
        self.covariance = covariance
        self.n_pieces = n_pieces
        self.identified = identified
        self.rtol = rtol

    def __repr__(self) -> str:
        return f"GradientMatching({self.penalties!r})"

    @all_or_nothing
    def fit(self, equations: Equations) -> "GradientMatching":
        """Estimate the coefficients.

        Parameters
        ----------
        equations : Equations

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For fewer equations than coefficients, penalties whose gradients are the same or 0 there, and
            gradients that are not finite; it names the penalties.

        Warns
        -----
        DesignWarning
            If the penalties' gradients are nearly the same: a condition number above 30.
        """
        options = check(vars(self), self._limits)
        if not isinstance(equations, Equations):
            raise TypeError(f"equations is a {type(equations).__name__}; Equations are needed")
        self._penalties = as_penalties(self.penalties, equations.net)
        pieces = _pieces(equations, options["n_pieces"])
        found = [estimate(self._penalties, piece, options) for piece in pieces]
        self._take(found)
        self.pieces_ = np.array([(piece.times.min(), piece.times.max()) for piece in pieces])
        self.n_groups_ = equations.n_groups
        self._n_numbers = equations.n_equations * equations.n_parameters
        self._named_pieces(len(pieces))
        if self.condition_number_ > COLLINEAR:
            warn(
                f"the penalties' gradients are nearly the same here (condition number "
                f"{self.condition_number_:.3g}): {listed(self._entangled)}; their "
                "coefficients go together",
                DesignWarning,
            )
        return self

    def _take(self, found: list[Estimate]) -> None:
        """One piece after the other; what is said of all is the worst of them."""
        self.names_ = [name for one in found for name in one.names]
        self.coef_ = np.concatenate([one.coefficients for one in found])
        self.covariance_ = block_diag(*(one.covariance for one in found))
        self.std_error_ = np.sqrt(np.diag(self.covariance_))
        self.degrees_ = np.concatenate([np.full(len(one.names), one.n_groups - 1.0) for one in found])
        self.vif_ = np.concatenate([one.vif for one in found])
        self.singular_values_ = np.concatenate([one.singular_values for one in found])
        self.rank_ = sum(one.rank for one in found)
        worst = max(found, key=lambda one: one.condition_number)
        self.condition_number_, self._entangled = worst.condition_number, worst.entangled
        unexplained, total = (sum(getattr(one, name) for one in found) for name in ("unexplained", "total"))
        self.explained_ = 1 - unexplained / total if total > 0 else float("nan")
        self.effective_parameters_ = min(one.effective_parameters for one in found)
        self._bounds = [one.bound for one in found]

    def _named_pieces(self, count: int) -> None:
        if count > 1:
            each = len(self.names_) // count
            spans = [f" [{low:g} to {high:g}]" for low, high in self.pieces_ for _ in range(each)]
            self.names_ = [name + span for name, span in zip(self.names_, spans, strict=True)]

    def confidence_interval(self, level: float = 0.95) -> Floats:
        """Intervals (J, 2) by Student's t; NaN where there is no standard error."""
        share = fraction(level, "level")
        self._require_fitted()
        half = self.std_error_ * stdtrit(np.maximum(self.degrees_, 1), (1 + share) / 2)
        return np.column_stack([self.coef_ - half, self.coef_ + half])

    def bound_(self, delta: float = 0.05, bias: float = 0.0) -> float:
        r"""How far the coefficients are off at most, with probability 1 − delta [1]_.

        \|φ̂ − φ\| ≤ 2 √(2 σ²κ (r log 5 + log 1/δ) / (n λ_min)) + b/√λ_min, with σ²κ the largest variance of
        the errors along the columns, as the groups show it, n λ_min the least squared singular value, and r
        columns. It orders problems and is no interval: it was 16 times the error where that was measured.

        Parameters
        ----------
        delta : float in (0, 1)
        bias : float, default=0.0
            b: the root mean square of what no choice of coefficients explains.

        References
        ----------
        .. [1] arXiv:2605.05436, appendix B.1.
        """
        self._require_fitted()
        share, off = fraction(delta, "delta"), at_least(bias, "bias", 0.0)
        return max(bound(share, off) for bound in self._bounds)

    @property
    def regularization_(self) -> Regularization:
        """The estimated terms, ready for `Model`; ValueError where a penalty is no term, or is negative."""
        self._require_fitted()
        self._require_one_piece()
        terms: list[Term] = []
        for penalty, coefficient in zip(self._penalties, self._not_negative(), strict=False):
            if not isinstance(penalty, TermPenalty):
                raise ValueError(
                    f"{type(penalty).__name__} is no term of a Model; `validate` trains with its gradient"
                )
            terms.append(penalty.scaled(coefficient))
        return Regularization(tuple(terms))

    def _not_negative(self) -> list[float]:
        """The coefficients, 0 for those below it whose intervals, or roundings, reach it."""
        high = np.nan_to_num(self.confidence_interval()[:, 1], nan=-np.inf)
        rounding = 1e-10 * np.abs(self.coef_).max()
        wrong = (self.coef_ < -rounding) & (high < 0)
        if wrong.any():
            first = int(np.argmax(wrong))
            raise ValueError(
                f"the coefficient of {self.names_[first]} is {self.coef_[first]:.4g}; a term has no "
                "negative strength"
            )
        return [max(float(coefficient), 0.0) for coefficient in self.coef_]

    def gradient(self, thetas: Any) -> Floats:
        """The estimated penalty's gradient Σ φ ∇R at parameters (W, P) or (P,)."""
        self._require_fitted()
        points = lines(thetas, "thetas")
        found: Floats = self._slope(self._penalties, points).reshape(np.shape(thetas))
        return found

    def gradient_on(self, theta: Any, data: Any) -> Floats:
        """The estimated penalty's gradient (P,) at θ (P,), penalties of data taken on other data: a batch."""
        self._require_fitted()
        moved = [one.on(data) if isinstance(one, DataPenalty) else one for one in self._penalties]
        found: Floats = self._slope(moved, lines(theta, "theta"))[0]
        return found

    def _slope(self, penalties: list[Penalty], points: Floats) -> Floats:
        """Σ φ ∇R (W, P); shapes that were estimated stand behind the linear coefficients."""
        self._require_one_piece()
        n_linear = sum(len(one.names(points.shape[1])) for one in penalties)
        shapes, columns = self.coef_[n_linear:], []
        for one in penalties:
            if isinstance(one, NonLinear):
                columns.append(one.at(points, shapes[: len(one.start)]))
                shapes = shapes[len(one.start) :]
            else:
                columns.append(columns_of(one, points))
        found: Floats = np.concatenate(columns, axis=2) @ self.coef_[:n_linear]
        return found

    def _require_one_piece(self) -> None:
        if len(self.pieces_) > 1:
            raise ValueError(
                f"n_pieces={len(self.pieces_)} gives coefficients that change; n_pieces=1 gives one set"
            )

    @property
    def is_term(self) -> bool:
        """Whether all penalties are terms, so that the kernel trains with them."""
        return all(isinstance(one, TermPenalty) for one in self._penalties)

    def summary(self, level: float = 0.95) -> str:
        """A table of the coefficients, and what is known of them."""
        self._require_fitted()
        return summary_of(self, fraction(level, "level"))

    def to_frame(self, level: float = 0.95) -> Any:
        """A pandas DataFrame, one coefficient a line."""
        self._require_fitted()
        return to_frame(self, fraction(level, "level"))

    def _require_fitted(self) -> None:
        if not hasattr(self, "coef_"):
            raise ValueError("nothing has been estimated yet; call fit(equations) first")


def _pieces(equations: Equations, count: int) -> list[Equations]:
    """The equations by their times, as many in each piece as possible."""
    if count > equations.n_equations:
        raise ValueError(f"n_pieces={count} of {equations.n_equations} equations; each piece needs one")
    if count == 1:
        return [equations]
    order = np.argsort(equations.times, kind="stable")
    return [equations.take(part) for part in np.array_split(order, count)]
