"""A fit of F²BMLD: the λ grid and its checkpoints in one batch, the choice, and the refit on all rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from .._warn import warn
from ..exceptions import DivergenceError, DivergenceWarning
from ._bilevel import BilevelSettings, Path, Problem, Start, first_particles, networks, solve
from ._select import HeldOut, largest_as_good


@dataclass(frozen=True)
class BilevelFit:
    """What was chosen, and all that led there."""

    problem: Problem
    config: BilevelSettings
    """With as many outer steps as were chosen."""
    lam: float
    step: int
    errors: Array
    """(λ, checkpoint): held-out stage-two errors; NaN after a run has ended early."""
    paths: list[Path]
    """One for each λ, on the rows that were not held out."""
    path: Path
    """The one that predicts."""
    rows: NDArray[np.intp]
    """Those that it was fitted on."""
    start: Start
    seed: int

    @property
    def theta(self) -> Array:
        """Structural particles."""
        theta: Array = self.path.structural[-1]
        return theta


def run(
    problem: Problem,
    config: BilevelSettings,
    lambdas: Sequence[float],
    held_out: HeldOut,
    random: np.random.RandomState,
    *,
    refit: bool,
    cautious: bool = False,
    n_threads: int,
) -> BilevelFit:
    """Solve for every λ, choose λ and checkpoint on the rows held out, and solve again on all rows.

    Cautious: the first checkpoint within one standard error of the best one, at its λ.
    """
    start = first_particles(problem, config, random)
    seed = int(random.randint(2**31 - 1))
    n = len(lambdas)
    rows = [held_out.fitted] * n
    paths = solve(problem, config, lambdas, [seed] * n, rows, [start] * n, n_threads)
    squares = _squares(problem, config, paths, held_out, n_threads)
    errors = squares.mean(axis=2)
    _warn_of_ends(errors, config, lambdas)
    best, checkpoint = divmod(int(np.nanargmin(errors)), errors.shape[1])
    if cautious:
        checkpoint = _first_as_good(squares[best])
    lam, path = lambdas[best], paths[best]
    step = int(path.records[checkpoint, 0])
    chosen = replace(config, max_iter=step, n_checkpoints=checkpoint + 1)
    fitted = held_out.fitted
    if refit:
        fitted = np.arange(len(problem.y))
        path = solve(problem, chosen, [lam], [seed], [fitted], [start], n_threads)[0]
        require_records([path], chosen)
        warn_of_early_end([path], chosen, "the refit on all rows")
    else:
        path = path._replace(
            records=path.records[: checkpoint + 1], structural=path.structural[: checkpoint + 1]
        )
    return BilevelFit(problem, chosen, float(lam), step, errors, paths, path, fitted, start, seed)


def _squares(
    problem: Problem, config: BilevelSettings, paths: list[Path], held_out: HeldOut, n_threads: int
) -> Array:
    """Held-out squared errors (λ, checkpoint, row)."""
    require_records(paths, config)
    structural, _ = networks(problem, config)
    n_checkpoints = -(-config.max_iter // config.record_every)
    errors = np.full((len(paths), n_checkpoints, len(held_out.held)), np.nan)
    for row, path in zip(errors, paths, strict=True):
        if len(path.records):
            h = structural.values(path.structural, problem.x, n_jobs=n_threads or None)
            targets = problem.targets(h, held_out.fitted).astype(np.float64)
            row[: len(targets)] = held_out.squares(targets, problem.y.astype(np.float64))
    return errors


def _first_as_good(squares: Array) -> int:
    """The first checkpoint (of rows of squared errors) that is as good as the best.

    Where the instruments say little, E[h_x(X) | Z] hardly moves with h_x and the held-out error neither,
    while h_x grows without end in the directions of X that the instruments do not move.
    """
    finished = squares[np.isfinite(squares).all(axis=1)]
    return len(finished) - 1 - largest_as_good(finished[::-1].T)


def _warn_of_ends(errors: Array, config: BilevelSettings, lambdas: Sequence[float]) -> None:
    """Name each λ whose errors (λ, checkpoint) are not finite to the end; DivergenceError where none is."""
    finite = np.isfinite(errors)
    if not finite.any():
        raise DivergenceError(
            "F²BMLD diverged with every λ: its predictions overflow on the rows held out; smaller steps or "
            "scaled data are needed",
            n_diverged=len(errors),
        )
    ends = [
        f"λ = {lam:g} after {int(row.argmin()) * config.record_every} of {config.max_iter}"
        for lam, row in zip(lambdas, finite, strict=True)
        if not row.all()
    ]
    if ends:
        warn(
            f"F²BMLD diverged with {', '.join(ends)} outer steps, although its steps were halved: errors_ is "
            "NaN from there on, and the choice is among what is finite; smaller inner_lr and "
            "learning_rate_init, or other lambdas, are needed where that matters",
            DivergenceWarning,
        )


def warn_of_early_end(paths: Sequence[Path], config: BilevelSettings, what: str) -> None:
    """DivergenceWarning where runs ended before the number of steps that were asked for."""
    short = sum(not len(path.records) or path.records[-1, 0] < config.max_iter for path in paths)
    if short:
        warn(
            f"F²BMLD diverged in {what}: {short} of {len(paths)} runs ended before outer step "
            f"{config.max_iter}, although their steps were halved; smaller inner_lr and "
            "learning_rate_init are needed",
            DivergenceWarning,
        )


def require_records(paths: list[Path], config: BilevelSettings) -> None:
    if not any(len(path.records) for path in paths):
        raise DivergenceError(
            f"F²BMLD diverged with inner_lr={config.inner_lr} and learning_rate_init="
            f"{config.learning_rate_init} although its steps were halved {paths[0].halvings} times; smaller "
            "steps or scaled data are needed",
            n_diverged=len(paths),
        )
