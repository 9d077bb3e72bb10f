"""Data made harder on purpose: flipped labels, noisy pixels, images that have moved."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import make_moons

from .._arrays import as_floats, matrix, require_finite, shown
from .._options import MAX_ROWS, MAX_STEPS, integer, random_source, real
from ._sizes import standard_deviation

__all__ = ["NoisyMoons", "flip_labels", "jitter_images", "make_noisy_moons"]

MAX_SIDE = 10_000  # pixels of a canvas
RandomState = int | np.random.RandomState | None


class NoisyMoons(NamedTuple):
    """What `make_noisy_moons` returns.

    Attributes
    ----------
    X : ndarray (N, 2), float64
    y : ndarray (N,), int64
        Classes 0 and 1, some of them flipped.
    y_clean : ndarray (N,), int64
        The classes before.
    """

    X: NDArray[np.float64]
    y: NDArray[np.int64]
    y_clean: NDArray[np.int64]


def make_noisy_moons(
    n_samples: int = 250, *, noise: float = 0.15, flipped: float = 0.1, random_state: RandomState = None
) -> NoisyMoons:
    """Two half moons, a share of whose labels is wrong.

    Parameters
    ----------
    n_samples : int, default=250
    noise : float, default=0.15
        Standard deviation of the points around their moon.
    flipped : float in [0, 1], default=0.1
        Probability that a label is the other one.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    NoisyMoons
        `(X, y, y_clean)`.

    References
    ----------
    Praturu (2026), "Regularization", section 2.1.

    Examples
    --------
    >>> from rfpcore.datasets import make_noisy_moons
    >>> X, y, y_clean = make_noisy_moons(random_state=0)
    >>> X.shape, int((y != y_clean).sum())
    ((250, 2), 26)
    """
    rng = random_source(random_state)
    X, y = make_moons(
        integer(n_samples, "n_samples", 2, MAX_ROWS),
        noise=standard_deviation(noise, "noise"),
        random_state=rng,
    )
    return NoisyMoons(X, flip_labels(y, flipped, n_classes=2, random_state=rng), y)


def flip_labels(
    y: NDArray[np.int64], share: float, *, n_classes: int, random_state: RandomState = None
) -> NDArray[np.int64]:
    """Give each label, with a probability of `share`, one of the other classes.

    Parameters
    ----------
    y : int array (N,)
        Classes, 0 to n_classes − 1.
    share : float in [0, 1]
    n_classes : int
        At least 2.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    y : ndarray (N,), int64

    Examples
    --------
    >>> import numpy as np
    >>> from rfpcore.datasets import flip_labels
    >>> flip_labels(np.array([0, 1, 2]), 1.0, n_classes=3, random_state=0)
    array([1, 0, 1])
    """
    probability = real(share, "share", "a number in [0, 1]")
    if not 0 <= probability <= 1:
        raise ValueError(f"share={probability}; a number in [0, 1] is needed")
    classes = integer(n_classes, "n_classes", 2, MAX_STEPS)
    labels = _codes(y, classes)
    rng = random_source(random_state)
    others = (labels + rng.randint(1, classes, len(labels))) % classes
    return np.where(rng.uniform(size=len(labels)) < probability, others, labels).astype(np.int64)


def _codes(y: Any, n_classes: int) -> NDArray[np.int64]:
    """Classes as integers from 0."""
    codes = as_floats(y, "y")
    if codes.ndim != 1:
        raise ValueError(f"y has shape {codes.shape}; (N,), one class a row, is needed")
    require_finite(codes, "y")
    wrong = (codes < 0) | (codes >= n_classes) | (codes != np.floor(codes))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"y holds {codes[row]:g} in row {row}; the classes 0 to {n_classes - 1} are needed")
    return codes.astype(np.int64)


def _shape(values: Any, name: str) -> tuple[int, int]:
    """Height and width."""
    if (
        not isinstance(values, Sequence | np.ndarray)
        or isinstance(values, str | bytes)
        or getattr(values, "ndim", 1) == 0
    ):
        raise TypeError(f"{name}={shown(values)} is a {type(values).__name__}; (height, width) is needed")
    if len(values) != 2:
        raise ValueError(f"{name} has {len(values)} entries; (height, width) is needed")
    height, width = (integer(value, f"{name}[{i}]", 1, MAX_SIDE) for i, value in enumerate(values))
    return height, width


def jitter_images(
    X: NDArray[np.float32],
    image_shape: tuple[int, int],
    canvas_shape: tuple[int, int],
    max_shift: int,
    *,
    random_state: RandomState = None,
) -> NDArray[np.float32]:
    """Place each image on a larger black canvas, off the centre by a random number of pixels each way.

    Parameters
    ----------
    X : array (N, height · width)
    image_shape, canvas_shape : (int, int)
        Height and width.
    max_shift : int
        Shifts are drawn from −max_shift to max_shift, down and to the right.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    X : ndarray (N, canvas height · canvas width)

    Examples
    --------
    >>> from rfpcore.datasets import jitter_images, load_digits
    >>> digits = load_digits()
    >>> jitter_images(digits.X, digits.image_shape, (12, 12), 2, random_state=0).shape
    (1797, 144)
    """
    rows = matrix(X)
    shift = integer(max_shift, "max_shift", 0, MAX_STEPS)
    (height, width), (tall, wide) = _shape(image_shape, "image_shape"), _shape(canvas_shape, "canvas_shape")
    if rows.shape[1] != height * width:
        raise ValueError(f"X has {rows.shape[1]} columns; images of {height} × {width} have {height * width}")
    top, left = (tall - height) // 2, (wide - width) // 2
    if min(top, left) < shift:
        raise ValueError(
            f"an image of {height} × {width} in the middle of a canvas of {tall} × {wide} can move by "
            f"{min(top, left)}, not by max_shift={shift}"
        )
    rng = random_source(random_state)
    canvas = np.zeros((len(rows), tall, wide), rows.dtype)
    offsets = np.array([top, left]) + rng.randint(-shift, shift + 1, (len(rows), 2))
    for image, (y, x), place in zip(rows.reshape(-1, height, width), offsets, canvas, strict=True):
        place[y : y + height, x : x + width] = image
    return canvas.reshape(len(rows), -1)
