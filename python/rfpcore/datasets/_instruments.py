"""Designs with an instrument and a known structural function."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from .._options import MAX_ROWS, choice, integer, random_source, real
from ._sizes import standard_deviation

__all__ = ["InstrumentData", "make_demand", "make_iv_curve", "make_sprites"]

Floats = NDArray[np.float64]
MAX_SIDE = 1024  # pixels of an image
Curve = Literal["sin", "log", "linear"]


class InstrumentData(NamedTuple):
    """A draw of a design, and where its structural function is to be known.

    Attributes
    ----------
    X : ndarray (n, d)
        Endogenous variables.
    y : ndarray (n,)
        Outcome.
    Z : ndarray (n, q)
        Instruments.
    covariates : ndarray (n, c) or None
        Exogenous variables.
    X_test : ndarray (m, d)
        Points of the test grid.
    covariates_test : ndarray (m, c) or None
        Its covariates.
    h_test : ndarray (m,)
        The structural function there, without noise.
    """

    X: Floats
    y: Floats
    Z: Floats
    covariates: Floats | None
    X_test: Floats
    covariates_test: Floats | None
    h_test: Floats


def _checked(n_samples: int, confounding: float, noise: float) -> tuple[int, float, float]:
    rows = integer(n_samples, "n_samples", 1, MAX_ROWS)
    correlation = real(confounding, "confounding", "a correlation in [-1, 1]")
    if not -1 <= correlation <= 1:
        raise ValueError(f"confounding={correlation}; a correlation in [-1, 1] is needed")
    return rows, correlation, standard_deviation(noise, "noise")


def _season(t: Floats) -> Floats:
    return np.asarray(2 * ((t - 5) ** 4 / 600 + np.exp(-4 * (t - 5) ** 2) + t / 10 - 2))


def _demand(p: Floats, t: Floats, s: Floats) -> Floats:
    return 100 + (10 + p) * s * _season(t) - 2 * p


def make_demand(
    n_samples: int = 1000,
    *,
    confounding: float = 0.5,
    noise: float = 1.0,
    random_state: int | np.random.RandomState | None = None,
) -> InstrumentData:
    """Demand for airline tickets: price P, time of year T, customer type S, cost of fuel C.

    h(p, t, s) = 100 + (10 + p) s ψ(t) - 2p with ψ(t) = 2[(t - 5)^4 / 600 + exp(-4 (t - 5)^2) + t / 10 - 2];
    P = 25 + (C + 3) ψ(T) + V and Y = h(P, T, S) + noise E. T is uniform on (0, 10), S on 1 to 7, and C, V and
    E are standard normal with corr(V, E) = confounding.

    Parameters
    ----------
    n_samples : int, default=1000
    confounding : float in [-1, 1], default=0.5
        ρ.
    noise : float, default=1.0
        Standard deviation of the noise: 1 as in the later papers, or 158 as in the first one's code. h itself
        has the standard deviation 158, so that at 1 confounding hardly matters and plain regression wins.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    InstrumentData
        X is P, covariates are (T, S), Z is C; the test grid has 20 prices in [10, 25], 20 times and 7 types.

    References
    ----------
    Hartford, Lewis, Leyton-Brown and Taddy (2017), "Deep IV", section 5; the test grid is that of Singh,
    Sahani and Gretton (2019), "Kernel instrumental variable regression".

    Examples
    --------
    >>> from rfpcore.datasets import make_demand
    >>> data = make_demand(random_state=0)
    >>> data.X.shape, data.covariates.shape, data.h_test.shape
    ((1000, 1), (1000, 2), (2800,))
    """
    n_samples, confounding, noise = _checked(n_samples, confounding, noise)
    random = random_source(random_state)
    s, t = random.randint(1, 8, n_samples).astype(float), random.uniform(0, 10, n_samples)
    c, v, own = random.standard_normal((3, n_samples))
    e = confounding * v + np.sqrt(1 - confounding**2) * own
    p = 25 + (c + 3) * _season(t) + v
    y = _demand(p, t, s) + noise * e
    axes = np.linspace(10, 25, 20), np.linspace(0, 10, 20), np.arange(1.0, 8.0)
    grid_p, grid_t, grid_s = (part.ravel() for part in np.meshgrid(*axes, indexing="ij"))
    return InstrumentData(
        p[:, None],
        y,
        c[:, None],
        np.column_stack([t, s]),
        grid_p[:, None],
        np.column_stack([grid_t, grid_s]),
        _demand(grid_p, grid_t, grid_s),
    )


def make_iv_curve(
    n_samples: int = 1000,
    *,
    curve: Curve = "sin",
    confounding: float = 0.8,
    noise: float = 1.0,
    random_state: int | np.random.RandomState | None = None,
) -> InstrumentData:
    """One endogenous variable, one instrument, a known curve, and confounding that misleads a regression.

    "sin": Z ~ N(0, 1), X = Z + V / 2 and h(x) = sin(2x). "linear": the same with h(x) = x. "log": the design
    of Chen and Christensen, X = Φ((W + V) / √2), Z = Φ(W) with W ~ N(0, 1), and
    h(x) = log(|16x - 8| + 1) sign(x - 1/2). In all, Y = h(X) + noise E with V and E standard normal of
    correlation `confounding`.

    Parameters
    ----------
    n_samples : int, default=1000
    curve : {"sin", "log", "linear"}, default="sin"
    confounding : float in [-1, 1], default=0.8
    noise : float, default=1.0
        Standard deviation of the noise.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    InstrumentData
        Without covariates; the test grid has 100 points between the 5th and 95th percentile of X.

    References
    ----------
    Chen and Christensen (2018), "Optimal sup-norm rates and uniform inference on nonlinear functionals of
    nonparametric IV regression", Quantitative Economics, section 5.

    Examples
    --------
    >>> from rfpcore.datasets import make_iv_curve
    >>> make_iv_curve(curve="log", random_state=0).X_test.shape
    (100, 1)
    """
    n_samples, confounding, noise = _checked(n_samples, confounding, noise)
    choice(curve, "curve", Curve)
    random = random_source(random_state)
    w, v, own = random.standard_normal((3, n_samples))
    e = confounding * v + np.sqrt(1 - confounding**2) * own
    if curve == "log":
        x, z = norm.cdf((w + v) / np.sqrt(2)), norm.cdf(w)
        grid = np.linspace(0.05, 0.95, 100)  # X is uniform
    else:
        x, z = w + v / 2, w
        grid = np.linspace(-1, 1, 100) * norm.ppf(0.95) * np.sqrt(1.25)

    def h(points: Floats) -> Floats:
        if curve == "log":
            return np.asarray(np.log(np.abs(16 * points - 8) + 1) * np.sign(points - 0.5))
        return np.sin(2 * points) if curve == "sin" else points

    y = h(x) + noise * e
    return InstrumentData(x[:, None], y, z[:, None], None, grid[:, None], None, h(grid))


def _hearts(x: Floats, y: Floats, scale: Floats, angle: Floats, size: int) -> Floats:
    """Images (n, size²) of hearts: where (u² + v² - 1)³ ≤ u² v³ in the heart's own coordinates."""
    places = np.linspace(0, 1, size)
    right, up = np.meshgrid(places, places)
    images = np.empty((len(x), size * size))
    for image, cx, cy, s, a in zip(images, x, y, scale, angle, strict=True):
        dx, dy = (right - cx).ravel(), (cy - up).ravel()
        u, v = (np.cos(a) * dx + np.sin(a) * dy) / s, (np.cos(a) * dy - np.sin(a) * dx) / s
        image[:] = (u**2 + v**2 - 1) ** 3 <= u**2 * v**3
    return images


def make_sprites(
    n_samples: int = 1000, *, size: int = 64, random_state: int | np.random.RandomState | None = None
) -> InstrumentData:
    """Images of a heart as the endogenous variable: a generator in the manner of the dSprites design.

    X is the image plus N(0, 0.1²); its position is 32 by 32, its scale one of 6, its orientation one of 40.
    Z = (scale, orientation, horizontal position); h(X) = (mean_j (X A)_j² - c) / 1000 with A (pixels, 10)
    fixed and uniform on [0, 1], and c the mean of the first term over the test images. The vertical position
    confounds: Y = h(X) + (position - 16) + N(0, 0.5²). The hearts are drawn here, so that figures are not
    comparable with those of the published design's images.

    Parameters
    ----------
    n_samples : int, default=1000
    size : int, default=64
        Pixels a side.
    random_state : int, RandomState or None, default=None
        Of the draw; A is always the same.

    Returns
    -------
    InstrumentData
        Without covariates; the test set is 588 clean images on a grid of all four.

    References
    ----------
    Xu, Chen, Srinivasan, de Freitas, Doucet and Gretton (2021), "Learning deep features in instrumental
    variable regression", section 5.2.

    Examples
    --------
    >>> from rfpcore.datasets import make_sprites
    >>> data = make_sprites(10, size=16, random_state=0)
    >>> data.X.shape, data.Z.shape, data.h_test.shape
    ((10, 256), (10, 3), (588,))
    """
    n_samples = integer(n_samples, "n_samples", 1, MAX_ROWS)
    size = integer(size, "size", 8, MAX_SIDE)
    random = random_source(random_state)

    def draw(px: Floats, py: Floats, scale: Floats, turn: Floats) -> Floats:
        x, y = (0.25 + 0.5 * p / 31 for p in (px, py))
        return _hearts(x, y, 0.07 + 0.01 * scale, 2 * np.pi * turn / 40, size)

    px, py = random.randint(0, 32, (2, n_samples)).astype(float)
    scale, turn = (random.randint(0, n, n_samples).astype(float) for n in (6, 40))
    X = draw(px, py, scale, turn) + 0.1 * random.standard_normal((n_samples, size * size))
    five, scales, turns = np.arange(0, 31, 5.0), np.array([0.0, 3, 5]), np.array([0.0, 10, 20, 30])
    grid = [part.ravel() for part in np.meshgrid(five, five, scales, turns, indexing="ij")]
    X_test = draw(*grid)
    A = random_source(0).uniform(size=(size * size, 10)) * (64 / size) ** 2
    squares, squares_test = (((images @ A) ** 2).mean(axis=1) for images in (X, X_test))
    centre = squares_test.mean()
    y = (squares - centre) / 1000 + (py - 16) + 0.5 * random.standard_normal(n_samples)
    return InstrumentData(
        X, y, np.column_stack([scale, turn, px]), None, X_test, None, (squares_test - centre) / 1000
    )
