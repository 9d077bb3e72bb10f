"""Size and power of the test of monotone curves.

    python -m benches.studies.monotonicity                # 2000 data sets a cell, some minutes
    python -m benches.studies.monotonicity --quick        # the same in short form, into target/bench-quick

Writes the table of MONOTONICITY.md. A data set is a function of its cell and number alone.
"""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from rfpcore.studies import MonotonicityTest, monotonicity_test

ROOT = Path(__file__).parents[2]
DRAWS = (
    1999  # of the reference with the curves' own variances; fewer than by default, and new for each data set
)
CURVES = {
    "flat": np.full(12, 0.20),
    "valley, then flat": np.r_[0.35, 0.25, 0.20, np.full(9, 0.17)],
    "falling": np.linspace(0.35, 0.15, 12),
    "bump of .04": np.array([0.35, 0.25, 0.18, 0.17, 0.18, 0.20, 0.21, 0.20, 0.19, 0.17, 0.16, 0.15]),
    "bump of .09": np.array([0.33, 0.23, 0.17, 0.17, 0.18, 0.22, 0.24, 0.26, 0.25, 0.21, 0.18, 0.155]),
}
NOISES = ("equal", "unequal", "unequal, correlated", "unequal, correlated, exponential", "one point loud")
SEED_EFFECT, DEVIATION, CORRELATION = 0.015, 0.02, 0.5
TEXT = """# Size and power of `studies.monotonicity_test`

{count} data sets a cell of {points} points, made by `python -m benches.studies.monotonicity`. Share of
p ≤ 0.05, in brackets of p ≤ 0.01, with the curves' own variances (the default) and with the flat table. On
curves that never rise it is the size, at most 5 % if all is well; a standard error is up to {error:.1f}
points. Then the mean of the cross-fitted rise, its standard deviation over data sets beside the mean of the
standard error that is given, and the largest rise of the mean curve, which is what one sees.

Noise: an effect of the seed on all points of sd {effect}; then sd {deviation} at each point ("equal"), or
from {high:.3f} at the first to {low:.3f} at the last ("unequal"), with a correlation of {correlation} between
neighbours, and from an exponential law; or three times as large at the sixth point as at the others. The flat
table takes the noise for equal; both take it for independent and Gaussian.

| curve | noise | seeds | own variances, % | flat table, % | true rise | cross-fitted | sd | given | largest |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""
TAIL = """
Far out, where a correction for many tests looks: share of p ≤ 0.001 per thousand flat curves, of {count}; a
standard error is about {error:.1f}.

| noise | seeds | own variances, ‰ | flat table, ‰ |
| --- | --- | --- | --- |
"""


class Cell(NamedTuple):
    """A kind of data set."""

    curve: str
    noise: str
    seeds: int

    def draw(self, random: np.random.Generator) -> np.ndarray:
        """Curves (seeds, points)."""
        mean = CURVES[self.curve]
        shape = self.seeds, len(mean)
        noise = (
            random.exponential(size=shape) - 1
            if "exponential" in self.noise
            else random.standard_normal(shape)
        )
        if "correlated" in self.noise:
            for k in range(1, len(mean)):
                noise[:, k] = CORRELATION * noise[:, k - 1] + np.sqrt(1 - CORRELATION**2) * noise[:, k]
        scale = np.linspace(1.6, 0.6, len(mean)) if "unequal" in self.noise else np.ones(len(mean))
        scale[5] = 3.0 if "loud" in self.noise else scale[5]
        return mean + SEED_EFFECT * random.standard_normal((self.seeds, 1)) + DEVIATION * scale * noise

    @property
    def rise(self) -> float:
        """Largest true rise; negative where the curve falls throughout."""
        mean = CURVES[self.curve]
        return float((mean[1:] - np.minimum.accumulate(mean)[:-1]).max())


def cells() -> Iterator[Cell]:
    return (Cell(curve, noise, seeds) for curve in CURVES for noise in NOISES for seeds in (5, 10))


def curves_of(cell: Cell, number: int) -> np.ndarray:
    """The data set of a number."""
    key = [list(CURVES).index(cell.curve), NOISES.index(cell.noise), cell.seeds, number]
    return cell.draw(np.random.default_rng(key))


def both(curves: np.ndarray, number: int, draws: int, enough: float) -> tuple[float, MonotonicityTest]:
    """The p of the curves' own variances, taken as 1 where that of the flat table, a cheap one, is large."""
    flat = monotonicity_test(curves, reference="flat")
    if flat.p_value > enough:
        return 1.0, flat
    return monotonicity_test(curves, n_draws=draws, random_state=number).p_value, flat


def measure(cell: Cell, count: int) -> dict[str, float]:
    """Shares of rejections, and means of the estimates."""
    found = []
    for number in range(count):
        own, test = both(curves_of(cell, number), number, DRAWS, 0.3)
        found.append([own, test.p_value, test.rise, test.rise_std_error, test.largest_rise])
    own, flat, rise, error, largest = np.array(found).T
    return {
        "own": np.mean(own <= 0.05), "own1": np.mean(own <= 0.01),
        "flat": np.mean(flat <= 0.05), "flat1": np.mean(flat <= 0.01),
        "rise": rise.mean(), "sd": rise.std(ddof=1), "error": error.mean(), "largest": largest.mean(),
    }  # fmt: skip


def tail(cell: Cell, count: int) -> dict[str, float]:
    """Shares of p ≤ 0.001, per thousand."""
    found = []
    for number in range(count):
        own, test = both(curves_of(cell, number), number, 10 * DRAWS, 0.02)
        found.append([own, test.p_value])
    own, flat = 1000 * np.mean(np.array(found) <= 0.001, axis=0)
    return {"own": own, "flat": flat}


def measured(
    what: Callable[[Cell, int], dict[str, float]], listed: Sequence[Cell], count: int, workers: int
) -> list[dict[str, float]]:
    """What is measured of each cell."""
    if workers == 1:
        return [what(cell, count) for cell in listed]
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(what, listed, [count] * len(listed)))


def table(count: int, workers: int) -> str:
    """The page."""
    text = TEXT.format(
        count=count,
        points=len(CURVES["flat"]),
        error=100 * np.sqrt(0.05 * 0.95 / count),
        effect=SEED_EFFECT,
        deviation=DEVIATION,
        high=1.6 * DEVIATION,
        low=0.6 * DEVIATION,
        correlation=CORRELATION,
    )
    listed = list(cells())
    for cell, got in zip(listed, measured(measure, listed, count, workers), strict=True):
        shares = [f"{100 * got[name]:.1f} ({100 * got[name + '1']:.1f})" for name in ("own", "flat")]
        means = [f"{got[name]:.3f}" for name in ("rise", "sd", "error", "largest")]
        row = [cell.curve, cell.noise, str(cell.seeds), *shares, f"{cell.rise:.2f}", *means]
        text += f"| {' | '.join(row)} |\n"
    flat = [cell for cell in listed if cell.curve == "flat"]
    text += TAIL.format(count=10 * count, error=1000 * np.sqrt(0.001 / (10 * count)))
    for cell, got in zip(flat, measured(tail, flat, 10 * count, workers), strict=True):
        text += f"| {cell.noise} | {cell.seeds} | {got['own']:.1f} | {got['flat']:.1f} |\n"
    return text


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-sets", type=int, help="of a cell; default 2000, with --quick 20")
    parser.add_argument("--quick", action="store_true", help="does it work?")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--output", type=Path, help="default benches/MONOTONICITY.md")
    options = parser.parse_args(arguments)
    folder = ROOT / "target" / "bench-quick" if options.quick else ROOT / "benches"
    path = options.output or folder / "MONOTONICITY.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(table(options.data_sets or (20 if options.quick else 2000), options.workers))
    print(path)


if __name__ == "__main__":
    main()
