"""Images from files, and data made harder, without a network."""

import gzip
import struct

import numpy as np
import pytest
import sklearn.datasets
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import shift as move

from rfpcore import datasets
from rfpcore.datasets import flip_labels, jitter_images, load_fashion_mnist, load_mnist, make_noisy_moons

RNG = np.random.default_rng(0)
PARTS = {
    name: (RNG.integers(0, 256, (n, 28, 28)).astype(np.uint8), RNG.integers(0, 10, n).astype(np.uint8))
    for name, n in (("train", 5), ("test", 3))
}
PIXELS = np.concatenate([PARTS["train"][0], PARTS["test"][0]]).reshape(8, 784) / 255
LABELS = np.concatenate([PARTS["train"][1], PARTS["test"][1]])


def write_idx(path, array, packed=False):
    header = struct.pack(f">HBB{array.ndim}i", 0, 8, array.ndim, *array.shape)
    if packed:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(header + array.tobytes()))
    else:
        path.write_bytes(header + array.tobytes())


def write_folder(folder, packed=False):
    for part, prefix in (("train", "train"), ("test", "t10k")):
        for array, kind in zip(PARTS[part], ("images-idx3", "labels-idx1"), strict=True):
            write_idx(folder / f"{prefix}-{kind}-ubyte", array, packed)
    return folder


def write_npz(path, **change):
    arrays = {}
    for part, (images, labels) in PARTS.items():
        arrays |= {f"x_{part}": images, f"y_{part}": labels}
    np.savez(path, **{name: array for name, array in (arrays | change).items() if array is not None})
    return path


@pytest.mark.parametrize("load", [load_mnist, load_fashion_mnist])
@pytest.mark.parametrize("kind", ["npz", "IDX", "IDX, packed"])
def test_files(tmp_path, load, kind):
    path = write_npz(tmp_path / "a.npz") if kind == "npz" else write_folder(tmp_path, kind != "IDX")
    images = load(path)
    assert (images.X.dtype, images.y.dtype, images.image_shape) == (np.float32, np.int64, (28, 28))
    assert_allclose(images.X, PIXELS, rtol=1e-6)
    assert_array_equal(images.y, LABELS)


def test_nothing_is_downloaded_unless_asked(monkeypatch):
    asked = []

    def fetch(name, **options):
        asked.append((name, options["as_frame"]))
        return (PIXELS * 255).round().astype(np.int64), LABELS.astype("U1").astype(object)

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    with pytest.raises(FileNotFoundError, match="Fashion-MNIST is not part of rfpcore; path="):
        load_fashion_mnist()
    assert not asked
    assert_allclose(load_mnist(download=True).X, PIXELS, rtol=1e-6)
    assert_array_equal(load_fashion_mnist(download=True).y, LABELS)
    assert asked == [("mnist_784", False), ("Fashion-MNIST", False)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_test": None}, "x_test are missing"),
        ({"x_test": np.zeros((3, 8, 8)), "x_train": np.zeros((5, 8, 8))}, "found 64 pixels"),
        ({"y_test": np.zeros(1)}, "8 images and 6 classes"),
        ({"y_test": np.array([0, 1, 10])}, "classes of 0 to 10"),
        ({"x_test": np.full((3, 28, 28), -1)}, "pixels of -1 to 255"),
    ],
)
def test_npz_files_of_other_things(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        load_mnist(write_npz(tmp_path / "a.npz", **change))


def test_idx_files_of_other_things(tmp_path):
    images = write_folder(tmp_path) / "train-images-idx3-ubyte"
    whole = images.read_bytes()
    images.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=r"holds 3919 bytes; an array of shape \(5, 28, 28\) has 3920"):
        load_mnist(tmp_path)
    images.write_bytes(b"\x89PNG")
    with pytest.raises(ValueError, match="starts with 89 50 4e 47"):
        load_mnist(tmp_path)
    images.unlink()
    with pytest.raises(FileNotFoundError):
        load_mnist(tmp_path)


def test_bundled_digits():
    X, y = sklearn.datasets.load_digits(return_X_y=True)
    images = datasets.load_digits()
    assert_allclose(images.X * 16, X)
    assert_array_equal(images.y, y)


def test_moons():
    """Flipping is binomial: 1000 ± 30 of 10 000; three standard deviations."""
    X, y, clean = make_noisy_moons(10_000, noise=0.0, random_state=0)
    assert abs((y != clean).sum() - 1000) < 90
    assert_allclose(np.hypot(*X[clean == 0].T), 1)  # the outer moon is half a unit circle
    unflipped = make_noisy_moons(50, flipped=0, random_state=1)
    assert_array_equal(unflipped.y, unflipped.y_clean)
    for repeated in zip(make_noisy_moons(random_state=3), make_noisy_moons(random_state=3), strict=True):
        assert_array_equal(*repeated)


def test_flipped_labels_are_other_ones():
    y = RNG.integers(0, 5, 20_000)
    flipped = flip_labels(y, 1.0, n_classes=5, random_state=0)
    counts = np.bincount((flipped - y) % 5, minlength=5)
    assert counts[0] == 0
    assert np.abs(counts[1:] - 5000).max() < 4 * np.sqrt(20_000 * 3 / 16)  # binomial
    assert_array_equal(flip_labels(y, 0, n_classes=5), y)
    for share in (-0.1, 1.1):
        with pytest.raises(ValueError, match=f"share={share}"):
            flip_labels(y, share, n_classes=5)


def test_jittered_images_have_only_moved():
    digits = datasets.load_digits()
    placed = jitter_images(digits.X[:200], (8, 8), (12, 12), 2, random_state=0).reshape(200, 12, 12)
    centred = jitter_images(digits.X[:200], (8, 8), (12, 12), 0).reshape(200, 12, 12)
    assert_array_equal(centred[:, 2:10, 2:10].reshape(200, 64), digits.X[:200])
    seen = set()
    for image, centre in zip(placed, centred, strict=True):
        found = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if np.array_equal(move(centre, (dy, dx), order=0), image)
        ]
        assert found
        seen.update(found)
    assert len(seen) == 25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((8, 8), (10, 10), 2), "can move by 1, not by max_shift=2"),
        (((8, 8), (6, 6), 0), "can move by -1, not by max_shift=0"),
        (((8, 9), (12, 12), 1), "X has 64 columns; images of 8 × 9 have 72"),
        (((8, 8), (12, 12), -1), "max_shift=-1 is too small"),
    ],
)
def test_jitter_that_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        jitter_images(np.ones((2, 64)), *arguments)
