"""Images of digits and clothes: from local files, from scikit-learn, or from OpenML if asked.

MNIST: LeCun, Cortes and Burges (1998); Fashion-MNIST: Xiao, Rasul and Vollgraf (2017). Both have the same
shapes and files.
"""

import gzip
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._arrays import Array
from .._options import boolean, file_path

__all__ = ["Images", "load_digits", "load_fashion_mnist", "load_mnist"]

_IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_NPZ_KEYS = {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")}


class Images(NamedTuple):
    """What the loaders return.

    Attributes
    ----------
    X : ndarray (N, height · width), float32
        Pixels in [0, 1], an image row by row.
    y : ndarray (N,), int64
        Classes, 0 to 9.
    image_shape : (int, int)
        Height and width.
    name : str
        Of the data set.
    """

    X: NDArray[np.float32]
    y: NDArray[np.int64]
    image_shape: tuple[int, int]
    name: str


def load_mnist(path: str | PathLike[str] | None = None, *, download: bool = False) -> Images:
    """70 000 handwritten digits of 28 × 28 pixels, the 60 000 of the training set first.

    Parameters
    ----------
    path : str or path, optional
        Either an npz file with the arrays x_train, y_train, x_test and y_test, or a folder with the four IDX
        files (train-images-idx3-ubyte and so on), packed with gzip or not.
    download : bool, default=False
        Fetch them from OpenML with scikit-learn, which keeps them in its own data folder. Nothing is ever
        downloaded without this.

    Returns
    -------
    Images

    Raises
    ------
    FileNotFoundError
        If there is no such file, or neither a path nor `download` is given.
    ValueError
        If a file does not hold such images.

    Examples
    --------
    >>> from rfpcore.datasets import load_mnist
    >>> load_mnist()
    Traceback (most recent call last):
    ...
    FileNotFoundError: MNIST is not part of rfpcore; path=... names an npz file or a folder with the IDX
    files, download=True fetches it from OpenML
    """
    return _load("MNIST", "mnist_784", path, download)


def load_fashion_mnist(path: str | PathLike[str] | None = None, *, download: bool = False) -> Images:
    """70 000 pictures of clothes of 28 × 28 pixels, the 60 000 of the training set first.

    Parameters, result and errors are those of `load_mnist`.
    """
    return _load("Fashion-MNIST", "Fashion-MNIST", path, download)


def load_digits() -> Images:
    """1797 handwritten digits of 8 × 8 pixels, which come with scikit-learn.

    Examples
    --------
    >>> from rfpcore.datasets import load_digits
    >>> digits = load_digits()
    >>> digits.X.shape, float(digits.X.max()), digits.image_shape
    ((1797, 64), 1.0, (8, 8))
    """
    from sklearn import datasets

    X, y = datasets.load_digits(return_X_y=True)
    return Images((X / 16).astype(np.float32), y.astype(np.int64), (8, 8), "scikit-learn's digits")


def _load(name: str, openml_name: str, path: str | PathLike[str] | None, download: bool) -> Images:
    if path is not None:
        place = file_path(path)
        parts = _read_folder(place) if place.is_dir() else _read_npz(place)
        return _images(name, *(np.concatenate([parts[part][i] for part in _NPZ_KEYS]) for i in range(2)))
    if not boolean(download, "download"):
        raise FileNotFoundError(
            f"{name} is not part of rfpcore; path=... names an npz file or a folder with the IDX files, "
            "download=True fetches it from OpenML"
        )
    from sklearn.datasets import fetch_openml

    pixels, labels = fetch_openml(openml_name, version=1, return_X_y=True, as_frame=False)
    return _images(name, pixels, labels.astype(np.int64))


def _images(name: str, pixels: Array, labels: Array) -> Images:
    """Bytes to numbers, after a look at whether they are such images."""
    pixels = pixels.reshape(len(pixels), -1)
    if pixels.shape[1] != 784 or len(pixels) != len(labels):
        raise ValueError(
            f"{name} has images of 784 pixels and one class each; found {pixels.shape[1]} pixels, "
            f"{len(pixels)} images and {len(labels)} classes"
        )
    if pixels.min() < 0 or pixels.max() > 255 or labels.min() < 0 or labels.max() > 9:
        raise ValueError(
            f"{name} has pixels of 0 to 255 and classes of 0 to 9; found pixels of {pixels.min()} to "
            f"{pixels.max()} and classes of {labels.min()} to {labels.max()}"
        )
    return Images((pixels / np.float32(255)).astype(np.float32), labels.astype(np.int64), (28, 28), name)


def _read_npz(path: Path) -> dict[str, tuple[Array, ...]]:
    with np.load(path, allow_pickle=False) as arrays:
        missing = [key for keys in _NPZ_KEYS.values() for key in keys if key not in arrays]
        if missing:
            raise ValueError(f"{path} has the arrays {sorted(arrays)}; {', '.join(missing)} are missing")
        return {part: tuple(arrays[key] for key in keys) for part, keys in _NPZ_KEYS.items()}


def _read_folder(path: Path) -> dict[str, tuple[Array, ...]]:
    return {part: tuple(_read_idx(path / file) for file in files) for part, files in _IDX_FILES.items()}


def _read_idx(path: Path) -> Array:
    """An array of bytes in the IDX format: 0, 0, 8 (bytes), dimensions, sizes as big-endian int32, data."""
    packed = path.with_name(f"{path.name}.gz")
    data: bytes = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    if data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
        raise ValueError(f"{path} starts with {data[:4].hex(' ')}; an IDX file of bytes with 00 00 08")
    shape: tuple[Any, ...] = tuple(np.frombuffer(data, ">i4", data[3], offset=4).tolist())
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * data[3])
    if len(values) != np.prod(shape):
        raise ValueError(f"{path} holds {len(values)} bytes; an array of shape {shape} has {np.prod(shape)}")
    return values.reshape(shape)
