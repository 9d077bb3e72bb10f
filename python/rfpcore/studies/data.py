"""Data of a study: labels that are wrong with a chance, drawn anew for each seed."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._arrays import Array, matrix, targets
from .._files import digest
from .._options import MAX_ROWS, below_one, integer
from ..datasets import Images, load_digits

__all__ = ["Draw", "NoisyLabels", "noisy_digits", "noisy_images", "noisy_teacher"]


class Draw(NamedTuple):
    """One seed's rows.

    Attributes
    ----------
    X, y : ndarrays (n_train, d), (n_train,)
        To train on, with wrong labels.
    X_validation, y_validation : ndarrays
        To stop and to choose by, with wrong labels too.
    X_test, y_test : ndarrays
        To measure, all labels right.
    """

    X: Array
    y: Array
    X_validation: Array
    y_validation: Array
    X_test: Array
    y_test: Array


@dataclass(frozen=True, eq=False)
class NoisyLabels:
    """Classes of which a share is wrong in training, and none in the test.

    Parameters
    ----------
    X, y : arrays (N, d), (N,) of class codes
        Each seed draws its rows for training and validation from them.
    X_test, y_test : arrays
    n_train, n_validation : int
        Rows of each seed.
    noise : float, default=0.2
        Chance of a label to be another class, each alike.
    name : str
        In reports.

    Examples
    --------
    >>> from rfpcore.studies import noisy_digits
    >>> data = noisy_digits(n_train=500)
    >>> draw = data.draw(0)
    >>> draw.X.shape, draw.X_validation.shape, draw.X_test.shape
    ((500, 64), (300, 64), (497, 64))
    """

    X: Array
    y: Array
    X_test: Array
    y_test: Array
    n_train: int
    n_validation: int
    noise: float = 0.2
    name: str = "data"

    def __post_init__(self) -> None:
        def store(name: str, value: object) -> None:
            object.__setattr__(self, name, value)  # frozen: the one place that writes

        store("X", matrix(self.X))
        store("X_test", matrix(self.X_test, "X_test", self.X.shape[1]))
        for name, rows in (("y", self.X), ("y_test", self.X_test)):
            codes = targets(getattr(self, name), len(rows))[:, 0]
            if codes.min() < 0 or (codes != np.floor(codes)).any():
                raise ValueError(f"{name} holds {codes.min():g} and is no class code 0, 1, …")
            store(name, codes.astype(np.int64))
        store("n_train", integer(self.n_train, "n_train", 1, MAX_ROWS))
        store("n_validation", integer(self.n_validation, "n_validation", 1, MAX_ROWS))
        store("noise", below_one(self.noise, "noise"))
        if self.n_train + self.n_validation > len(self.X):
            raise ValueError(
                f"n_train={self.n_train} and n_validation={self.n_validation} need "
                f"{self.n_train + self.n_validation} rows; there are {len(self.X)}"
            )

    @property
    def n_classes(self) -> int:
        """Classes of training and test rows."""
        return int(max(self.y.max(), self.y_test.max())) + 1

    def identity(self) -> str:
        """What tells the data from others: all rows, and how seeds draw from them."""
        rows = [digest(one) for one in (self.X, self.y, self.X_test, self.y_test)]
        return " ".join([*rows, str(self.n_train), str(self.n_validation), repr(self.noise)])

    def draw(self, seed: int) -> Draw:
        """The rows of a seed."""
        random = np.random.default_rng([3141, integer(seed, "seed", 0, 2**32 - 1)])
        chosen = random.permutation(len(self.X))[: self.n_train + self.n_validation]
        labels = self.y[chosen]
        wrong = random.random(len(chosen)) < self.noise
        shift = random.integers(1, max(self.n_classes, 2), len(chosen))
        labels = np.where(wrong, (labels + shift) % self.n_classes, labels)
        X, n = self.X[chosen], self.n_train
        return Draw(X[:n], labels[:n], X[n:], labels[n:], self.X_test, self.y_test)


def noisy_images(
    images: Images, n_train: int, n_validation: int, n_test: int, noise: float = 0.2
) -> NoisyLabels:
    """Of images, the last `n_test` for the test; pixels are centred, and divided by the spread of all values.

    Parameters
    ----------
    images : Images
        Of a loader of `rfpcore.datasets`, such as `load_mnist`.
    n_train, n_validation, n_test : int
    noise : float, default=0.2

    Returns
    -------
    NoisyLabels
    """
    if not isinstance(images, Images):
        raise TypeError(f"images is a {type(images).__name__}; Images of rfpcore.datasets are needed")
    n = integer(n_test, "n_test", 1, len(images.X) - 1)
    middle, spread = images.X[:-n].mean(axis=0), images.X[:-n].std()
    X, y = (images.X - middle) / spread, images.y
    return NoisyLabels(X[:-n], y[:-n], X[-n:], y[-n:], n_train, n_validation, noise, images.name)


def noisy_digits(n_train: int = 1000, n_validation: int = 300, noise: float = 0.2) -> NoisyLabels:
    """The digits of scikit-learn, 497 of them for the test."""
    return noisy_images(load_digits(), n_train, n_validation, 497, noise)


def noisy_teacher(
    n_train: int = 500,
    n_features: int = 20,
    n_classes: int = 5,
    noise: float = 0.2,
    n_validation: int = 300,
    random_state: int = 0,
) -> NoisyLabels:
    """Classes that a random network with one hidden layer of 10 tanh units tells apart, from normal features.

    Parameters
    ----------
    n_train, n_features, n_classes, n_validation : int
    noise : float, default=0.2
    random_state : int
        Of the network and the rows; seeds of a study draw from 4000 rows.

    Returns
    -------
    NoisyLabels
    """
    d, classes = integer(n_features, "n_features", 1, 10**4), integer(n_classes, "n_classes", 2, 10**4)
    random = np.random.default_rng(integer(random_state, "random_state", 0, 2**32 - 1))
    first, second = random.standard_normal((d, 10)) / np.sqrt(d), random.standard_normal((10, classes))
    X = random.standard_normal((6000, d))
    y = (np.tanh(2 * X @ first) @ second).argmax(axis=1)
    return NoisyLabels(X[:4000], y[:4000], X[4000:], y[4000:], n_train, n_validation, noise, "teacher")


def require_data(data: Any) -> NoisyLabels:
    """The data; TypeError for anything else."""
    if not isinstance(data, NoisyLabels):
        raise TypeError(f"data is a {type(data).__name__}; NoisyLabels is needed, such as noisy_digits()")
    return data
