"""Whether instruments are any: columns of Z that X or the covariates hold, and what is left of them."""

import numpy as np

from .._arrays import Array
from .._warn import warn
from ..exceptions import InstrumentWarning
from ._data import InstrumentedRows
from ._strength import orthonormal, residual, standardised


def require_identified(rows: InstrumentedRows) -> None:
    """ValueError where no instrument is left or X does not move; InstrumentWarning where one is none."""
    d, q = rows.n_endogenous, rows.n_instruments
    endogenous, instruments = rows.inputs[:, :d], rows.instruments[:, :q]
    controls = rows.inputs[:, d:]
    _require_variation(instruments, "Z", "an instrument that varies is needed")
    _require_variation(endogenous, "X", "nothing can be learnt about h of it")
    lost = _within(instruments, controls) & (np.ptp(instruments, axis=0) > 0)
    _check_excluded(lost, int((np.ptp(instruments, axis=0) > 0).sum()), controls.shape[1])
    if endogenous.shape == instruments.shape and (endogenous == instruments).all():
        warn("Z equals X: this is ordinary regression, without instruments", InstrumentWarning)
        return
    kept = instruments[:, ~lost]
    _check_endogenous(endogenous, kept, controls)
    rank = _rank(kept, controls)
    if rank < d:
        warn(
            f"Z has {rank} instruments beyond the covariates for {d} columns of X; only their curvature can "
            "tell the columns apart: leave columns of X out, or give more instruments",
            InstrumentWarning,
        )


def _require_variation(columns: Array, name: str, needed: str) -> None:
    constant = np.ptp(columns, axis=0) == 0
    if constant.all():
        values = ", ".join(f"{value:g}" for value in columns[0])
        raise ValueError(f"{name} is constant ({values} in every row); {needed}")
    if constant.any():
        column = int(constant.argmax())
        warn(
            f"column {column} of {name} is constant ({columns[0, column]:g} in every row); it says nothing",
            InstrumentWarning,
        )


def _check_excluded(lost: Array, varying: int, n_controls: int) -> None:
    if not lost.any():
        return
    names = ", ".join(str(column) for column in np.flatnonzero(lost))
    if lost.sum() == varying:
        raise ValueError(
            f"no excluded instrument is left: column {names} of Z is given by the {n_controls} covariates "
            "(a combination of them or a monotone function of one); an instrument must vary while they do not"
        )
    warn(
        f"column {names} of Z is given by the covariates (a combination of them or a monotone function of "
        f"one): it is no instrument; {varying - int(lost.sum())} of {varying} are left",
        InstrumentWarning,
    )


def _check_endogenous(endogenous: Array, instruments: Array, controls: Array) -> None:
    """Warn of columns of X that the instruments hold, or that the covariates do."""
    by_controls = _within(endogenous, controls) & (np.ptp(endogenous, axis=0) > 0)
    for column in np.flatnonzero(by_controls):
        warn(
            f"column {column} of X is given by the covariates: nothing but them moves it, so that h of it is "
            "not identified; leave one of them out",
            InstrumentWarning,
        )
    by_both = _within(endogenous, np.hstack([controls, instruments])) & ~by_controls
    for column in np.flatnonzero(by_both & (np.ptp(endogenous, axis=0) > 0)):
        warn(
            f"column {column} of X is given by Z (a combination of its columns and covariates, or a monotone "
            "function of one): the instruments contain it, and in it this is ordinary regression",
            InstrumentWarning,
        )


def _within(columns: Array, others: Array) -> Array:
    """Which columns are affine combinations of others, or monotone functions of one of them, (d,) of bool."""
    if not others.shape[1]:
        return np.zeros(columns.shape[1], bool)
    scaled = standardised(columns)
    # More columns than rows span everything and say nothing.
    base = orthonormal(np.hstack([np.ones((len(columns), 1)), standardised(others)]))
    size = np.linalg.norm(residual(base, scaled), axis=0)
    inside = (size <= 1e-7 * np.sqrt(len(columns))) & (base.shape[1] < len(columns))
    ranks = np.stack([_ranks(column) for column in others.T])
    for j, column in enumerate(columns.T):
        n_values = len(np.unique(column))
        if n_values > 2:  # two values are ordered by any column that tells them apart
            own = _ranks(column)
            inside[j] |= bool(
                (ranks == own).all(axis=1).any() or (ranks == own.max() - own).all(axis=1).any()
            )
    return np.asarray(inside)


def _ranks(column: Array) -> Array:
    """0, 1, … for the distinct values in their order."""
    return np.asarray(np.unique(column, return_inverse=True)[1])


def _rank(instruments: Array, controls: Array) -> int:
    base = orthonormal(np.hstack([np.ones((len(controls), 1)), standardised(controls)]))
    left = residual(base, standardised(instruments))
    return int(orthonormal(left, 100 * np.sqrt(len(left))).shape[1])  # 1e-7 of a standard deviation
