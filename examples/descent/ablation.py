"""Whether composing regularizers makes the curve of test error monotone without tuning.

Every subset of seven techniques, at three strengths and at the best of them on validation rows, over 12
widths and 10 seeds of noisy digits (46,080 trainings), and a study of how far a common strength may be off.
Killed, it goes on where it stopped. `report/` holds what came out.

    python examples/descent/ablation.py            # all of it: about 13 minutes on two cores
    python examples/descent/ablation.py --quick    # three techniques, five widths, four seeds: seconds
"""

import argparse
import os
import sys
import time
from pathlib import Path

from rfpcore.datasets import load_fashion_mnist, load_mnist
from rfpcore.many import Model
from rfpcore.optimizers import Adam
from rfpcore.regularize import L2, Dropout, EarlyStopping
from rfpcore.studies import (
    Composition,
    Curve,
    Descent,
    NoisyLabels,
    compose,
    digits_techniques,
    geometric,
    noisy_digits,
    noisy_images,
    report,
)

BASE = Model((8,), "relu", "softmax", Adam(0.01), batch_size=100, n_epochs=100)
OCTAVES = {f"c = {2.0**k:g}": 2.0**k for k in range(-4, 5)}


def curve(data: NoisyLabels, folder: Path, *, seeds: int = 10, points: int = 12, verbose: int = 0) -> Curve:
    """Without regularization."""
    widths = geometric(3, 256, points)
    return Descent(
        data, BASE, widths=widths, seeds=seeds, path=folder / "curve.jsonl", verbose=verbose
    ).curve()


def ablation(
    data: NoisyLabels, folder: Path, *, seeds: int = 10, points: int = 12, verbose: int = 0
) -> Composition:
    """All subsets at three strengths."""
    return compose(
        data, digits_techniques(), BASE, geometric(3, 256, points),
        seeds=seeds, path=folder / "ablation.jsonl", verbose=verbose,
    )  # fmt: skip


def common_strength(data: NoisyLabels, folder: Path, *, seeds: int = 10, verbose: int = 0) -> Composition:
    """Strengths times 1/16 to 16: the single techniques that have one, some compositions, and all."""
    techniques = digits_techniques()
    names = ["L1", "L2", "dropout", "smoothing", "input noise"]
    chosen = [[name] for name in names]
    chosen += [["L2", "dropout"], ["L2", "input noise"], ["dropout", "input noise"], ["dropout", "smoothing"]]
    chosen += [["L2", "dropout", "input noise"], ["L2", "dropout", "smoothing"]]
    chosen += [["L1", "L2"], ["L2", "dropout", "smoothing", "input noise"], names]
    chosen += [["L2", "early stopping"], ["L2", "dropout", "input noise", "early stopping"], list(techniques)]
    return compose(
        data, techniques, BASE, geometric(3, 256, 8),
        factors=OCTAVES, chosen=chosen, seeds=seeds, path=folder / "strengths.jsonl", verbose=verbose,
    )  # fmt: skip


def quick(data: NoisyLabels, folder: Path) -> Path:
    """Three techniques, to see whether everything runs."""
    techniques = {
        "L2": L2(0.3, decoupled=True),
        "dropout": Dropout(0.3),
        "early stopping": EarlyStopping(3, every=10),
    }
    widths = [3, 8, 16, 32, 64]
    found = compose(data, techniques, BASE, widths, seeds=4, path=folder / "quick.jsonl")
    return report(folder, found, Descent(data, BASE, widths=widths, seeds=4).curve())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "report")
    parser.add_argument(
        "--work", type=Path, default=Path("target/descent"), help="finished models are kept here"
    )
    parser.add_argument("--mnist", type=Path, help="a file or folder of MNIST, instead of digits")
    parser.add_argument("--fashion", type=Path, help="a file or folder of Fashion-MNIST")
    options = parser.parse_args()
    data = noisy_digits()
    if options.mnist or options.fashion:
        images = load_mnist(options.mnist) if options.mnist else load_fashion_mnist(options.fashion)
        data = noisy_images(images, 4000, 1000, 10_000)
    if options.quick:
        print(quick(data, options.out))
        sys.exit()
    shown, began = {"verbose": 1}, None if any(options.work.glob("*.jsonl")) else time.monotonic()
    found = ablation(data, options.work, **shown)
    strengths = common_strength(data, options.work, **shown)
    plain = curve(data, options.work, **shown)
    print(report(options.out, found, plain, strengths, taken(began)))


def taken(began: float | None) -> list[str]:
    """How long it took, where nothing was there before."""
    if began is None:
        return []
    minutes = (time.monotonic() - began) / 60
    return [f"All trainings took {minutes:.1f} minutes on {os.cpu_count()} processors."]


if __name__ == "__main__":
    main()
