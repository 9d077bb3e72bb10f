"""What the scripts of this folder share: options, data, and how numbers and claims are printed."""

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rfpcore.datasets import Images, load_fashion_mnist, load_mnist, make_noisy_moons


def options(doc: str, output: str, given: Sequence[str] | None, images: bool = False) -> argparse.Namespace:
    """The options of a script; `images` adds where to find real ones."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a few seconds: fewer seeds and settings")
    parser.add_argument("--seeds", type=int, help="networks a setting (default 5, short 3)")
    parser.add_argument("--output", default=output, help=f"the figure (default {output})")
    if images:
        parser.add_argument("--data", help="npz file, or folder with IDX files, of the real images")
        parser.add_argument("--download", action="store_true", help="fetch the real images from OpenML")
    found = parser.parse_args(given)
    if found.seeds is None:
        found.seeds = 3 if found.short else 5
    if found.seeds < 2:
        parser.error("--seeds must be at least 2: a spread needs them")
    return found


class Moons(NamedTuple):
    """Training rows of all seeds one after the other, and clean test rows for all of them."""

    X: np.ndarray
    y: np.ndarray
    rows: list[np.ndarray]
    X_test: np.ndarray
    y_test: np.ndarray


def moons(n: int, seeds: int, noise: float, flipped: float) -> Moons:
    """A draw of two moons for each seed, and 4000 test rows whose labels are right."""
    draws = [make_noisy_moons(n, noise=noise, flipped=flipped, random_state=seed) for seed in range(seeds)]
    test = make_noisy_moons(4000, noise=noise, flipped=0.0, random_state=10_000)
    X = np.concatenate([draw.X for draw in draws]).astype(np.float32)
    rows = [np.arange(n * seed, n * (seed + 1)) for seed in range(seeds)]
    return Moons(X, np.concatenate([draw.y for draw in draws]), rows, test.X.astype(np.float32), test.y)


def real_images(found: argparse.Namespace, fashion: bool = False) -> Images | None:
    """MNIST or Fashion-MNIST where the user has it, else None, and a line that says so."""
    load, name = (load_fashion_mnist, "Fashion-MNIST") if fashion else (load_mnist, "MNIST")
    if found.data is not None or found.download:
        print(f"Data: {name}, with the settings of the note's appendix.")
        return load(found.data, download=found.download)
    print(f"Data: the digits of 8 × 8 pixels that come with scikit-learn; --data or --download takes {name}.")
    return None


def draw_rows(images: Images, n_train: int, seeds: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Row numbers to train on, drawn for each seed, and those of the test images, common to all."""
    if len(images.X) == 70_000:  # the real ones: the last 10 000 are the test set
        pool, test = np.arange(60_000), np.arange(60_000, 70_000)
    else:
        order = np.random.default_rng(0).permutation(len(images.X))
        pool, test = order[:1000], order[1000:]
    return [np.random.default_rng(seed).permutation(pool)[:n_train] for seed in range(seeds)], test


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of the last axis's classes."""
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def spread(values: np.ndarray, form: str = ".1f") -> str:
    """Mean and standard deviation over seeds, and the range."""
    mean, sd, low, high = values.mean(), values.std(), values.min(), values.max()
    return f"{mean:{form}} ± {sd:{form}} ({low:{form}} to {high:{form}})"


def claim(text: str, holds: np.ndarray | bool) -> bool:
    """Print a claim and in how many seeds it holds; whether in all."""
    each = np.atleast_1d(holds)
    print(f"{'' if each.all() else 'FAILS: '}holds in {each.sum()} of {each.size} seeds: {text}")
    return bool(each.all())
