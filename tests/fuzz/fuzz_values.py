"""Hostile arguments: what a user, a data frame or a script that went wrong may hand over."""

import datetime
import decimal
import fractions
from typing import Any, get_args

import numpy as np
import pandas as pd
import polars as pl
from hypothesis import strategies as st

NAN, INF = float("nan"), float("inf")

ANYTHING: list[Any] = [
    None, True, False, 0, 1, -1, 3, 2**63, 2**64, 10**12, 10**309, 10**5000, -(2**63), 0.0, 0.5, 1.0, -0.5,
    1e300, 5e-324, NAN, INF, -INF, 1j, "", "x", "é" * 3, b"x", bytearray(b"x"), [], [1], [[1], [1, 2]], (),
    {}, {"a": 1}, set(), object, object(), len, slice(3), ..., NotImplemented, range(3), np.float32(0.5),
    np.int64(3), np.bool_(True), np.complex128(1), np.datetime64("NaT"), np.datetime64("2020-01-01"),
    np.timedelta64(1, "s"), np.array(0.5), np.array([0.5]), np.array([[1, 2]]), np.array("x"), np.empty(0),
    np.array([None, 1]), pd.NA, pd.NaT, pd.Timestamp("2020-01-01"), pd.Series([1.0]), pd.DataFrame(),
    pl.Series([1.0]), decimal.Decimal("0.1"), decimal.Decimal("sNaN"), fractions.Fraction(1, 3),
    datetime.date(2020, 1, 1), Exception("x"), "a" * 5000, ["a", None], [1, "a"], iter(()),
]  # fmt: skip
COUNTS: list[Any] = [
    0, 1, 2, 3, 5, -1, 2**31 - 1, 2**31, 2**32, 2**63, 10**6, 10**9, 10**12, 10**400, np.int64(2),
    np.uint8(1), np.array(2), 1.0, 2.5, True, "3",
]  # fmt: skip
NUMBERS: list[Any] = [
    0, 1, -1, 0.0, -0.0, 0.1, 0.5, 0.99, 1.5, 7.0, -0.5, 1e-300, 5e-324, 1e10, 1e155, 1e300, -1e300, 1.7e308,
    NAN, INF, -INF, 10**309, -(10**400), 10**5000, np.float32(0.3), np.float16(0.3), np.longdouble(0.3), True,
    fractions.Fraction(1, 3), decimal.Decimal("0.1"), np.array(0.3), np.array([0.3]), "0.5", 1j,
]  # fmt: skip
SIZES: list[Any] = [
    (), (1,), [2], (3, 2), np.array([3]), (0,), (-1,), (2.5,), ("a",), (True,), (None,), (2**31,), (2**63,),
    (10**400,), (1,) * 10**6, 5, "55", [[2]], {3}, {2: 1}, range(1, 3), (NAN,), (1e300,),
]  # fmt: skip
PATHS: list[Any] = [
    "",
    ".",
    "/",
    "no/such/folder/file",
    "a\0b",
    "\ud800",
    "x" * 5000,
    b"bytes",
    3,
    None,
    [],
    1.5,
]

BAD_CELLS = [NAN, INF, -INF, 5e-324, 1e160, 1e300, -1e300, 1.7e308, 1e-300, 0.0]
FACTORS = [0.0, 1e-320, 1e-200, 1e-14, 1e8, 1e14, 1e30, 1e155, 1e200, 1e300, -1.0]
LABEL_MAKERS: list[Any] = [
    lambda i: f"c{i}", lambda i: b"%d" % i, lambda i: 2**63 + i, lambda i: 10**400 + i, lambda i: (i, "a"),
    lambda i: "a" if i % 2 else i, lambda i: None if i == 0 else i, lambda i: NAN if i == 0 else float(i),
    lambda i: pd.NA if i == 0 else i, lambda i: [i], lambda i: frozenset([i]), lambda i: i + 0.5,
    lambda i: datetime.date(2020, 1, 1 + i % 28), lambda i: pd.Timestamp(2020, 1, 1 + i % 28, tz="UTC"),
    lambda i: bool(i % 2), lambda i: decimal.Decimal(i), lambda i: -i, lambda i: 1j * i, lambda i: "",
    lambda i: np.datetime64("NaT") if i == 0 else np.datetime64("2020-01-01") + i, lambda i: 5,
    lambda i: {i: i},
]  # fmt: skip


def in_other_form(array: np.ndarray) -> list[Any]:
    """Makers of the same values in other containers, layouts and dtypes."""
    makers = [
        lambda: np.asfortranarray(array),
        lambda: np.repeat(array, 2, axis=0)[::2],
        lambda: array[::-1][::-1],
        lambda: array.astype(array.dtype.newbyteorder()),
        lambda: array.tolist(),
        lambda: tuple(array.tolist()),
        lambda: array.astype(object),
        lambda: np.ma.masked_array(array),
        lambda: np.ma.masked_array(array, mask=np.arange(array.size).reshape(array.shape) == 0),
        lambda: read_only(array),
        lambda: array.astype(np.float32),
        lambda: array.astype(np.float16),
        lambda: array.astype(np.longdouble),
        lambda: array.astype(np.int64),
        lambda: array.astype(np.uint8),
        lambda: array.astype(bool),
        lambda: array.astype(complex),
        lambda: array.astype(str),
        lambda: array.astype("M8[s]"),
        lambda: memoryview(np.ascontiguousarray(array)),
        lambda: iter(array.tolist()),
    ]
    if array.ndim == 1:
        makers += [
            lambda: pd.Series(array),
            lambda: pd.Series(array, index=np.arange(len(array)) + 100),
            lambda: pd.Series(array).astype("category"),
            lambda: pd.Series(array).astype("string"),
            lambda: pd.Series(array).astype("Float64").where(np.arange(len(array)) > 0),
            lambda: pd.arrays.SparseArray(array),
            lambda: pd.Index(array),
            lambda: pl.Series(array),
            lambda: pl.Series([None, *array.tolist()[1:]]),
        ]
    if array.ndim == 2:
        names = [f"x{i}" for i in range(array.shape[1])]
        makers += [
            lambda: pd.DataFrame(array, columns=names),
            lambda: pd.DataFrame(array, columns=["a"] * array.shape[1]),
            lambda: pd.DataFrame(array),
            lambda: pd.DataFrame(array, columns=names, index=np.arange(len(array)) + 100),
            lambda: pd.DataFrame(array, columns=pd.MultiIndex.from_product([["a"], names])),
            lambda: pd.DataFrame(array, columns=names).assign(word="a"),
            lambda: pd.DataFrame(array, columns=names).astype("Float64").mask(array > array.max() - 1e-9),
            lambda: pd.DataFrame(array, columns=names).astype("category"),
            lambda: pl.DataFrame(array, schema=names),
            lambda: pl.DataFrame(array, schema=names).lazy(),
            lambda: pl.DataFrame(array, schema=names).with_columns(pl.lit(None).alias("empty")),
        ]
    return makers


def in_other_shape(array: np.ndarray) -> list[Any]:
    """Makers of arrays of which something is missing, added or turned."""
    return [
        lambda: array[:0],
        lambda: array[:1],
        lambda: array[:2],
        lambda: array[:-1],
        lambda: np.concatenate([array, array]),
        lambda: array[None],
        lambda: array[..., None],
        lambda: array.T,
        lambda: array.ravel(),
        lambda: array[..., :0],
        lambda: array.reshape(-1)[0],
        lambda: np.stack([array, array], axis=-1),
        lambda: array[np.zeros(len(array), int)] if len(array) else array,
    ]


def read_only(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def with_cell(array: np.ndarray, at: int, value: float) -> np.ndarray:
    copy = array.astype(np.float64)
    copy.reshape(-1)[at % max(copy.size, 1)] = value
    return copy


def scaled(array: np.ndarray, factor: float, level: float) -> np.ndarray:
    with np.errstate(all="ignore"):
        return array.astype(np.float64) * factor + level


@st.composite
def arrays(draw: Any, array: np.ndarray) -> Any:
    """An array like this one, and yet not."""
    numeric = array.dtype.kind in "biuf"
    kind = draw(st.sampled_from(["form", "shape", "cell", "scale", "labels", "anything"]))
    if kind == "form" or (kind in ("cell", "scale") and not (numeric and array.size)):
        maker = draw(st.sampled_from(in_other_form(array)))
        try:
            return maker()
        except (TypeError, ValueError, pl.exceptions.PolarsError):  # no such form of these values
            return array
    if kind == "shape":
        maker = draw(st.sampled_from(in_other_shape(array)))
        return maker() if array.ndim and array.size else array
    if kind == "cell":
        return with_cell(array, draw(st.integers(0, 10_000)), draw(st.sampled_from(BAD_CELLS)))
    if kind == "scale":
        return scaled(array, draw(st.sampled_from(FACTORS)), draw(st.sampled_from([0.0, 0.0, 1e8, 1e300])))
    if kind == "labels" and array.ndim == 1:
        return labels(
            array, draw(st.sampled_from(LABEL_MAKERS)), draw(st.sampled_from(["list", "object", "pandas"]))
        )
    return draw(st.sampled_from(ANYTHING))


def labels(array: np.ndarray, maker: Any, container: str) -> Any:
    """Labels of another kind in place of the array's values."""
    codes = np.unique(array, return_inverse=True)[1].ravel().tolist()
    made = [maker(code) for code in codes]
    if container == "list":
        return made
    objects = np.empty(len(made), object)
    objects[:] = made
    return objects if container == "object" else pd.Series(objects)


def value_like(base: Any, annotation: Any = None) -> st.SearchStrategy[Any]:
    """Values to put in the place of one that works."""
    anything = st.sampled_from(ANYTHING)
    choices = literals(annotation)
    if isinstance(base, np.ndarray):
        return arrays(base)
    if choices:
        return st.one_of(st.sampled_from(choices), anything)
    if isinstance(base, bool):
        return st.one_of(st.booleans(), anything)
    if isinstance(base, int):
        return st.one_of(st.sampled_from(COUNTS), anything)
    if isinstance(base, float):
        return st.one_of(st.sampled_from(NUMBERS), st.floats(), anything)
    if isinstance(base, tuple | list) and all(isinstance(item, int) for item in base):
        return st.one_of(st.sampled_from(SIZES), anything)
    if isinstance(base, tuple | list) and all(isinstance(item, int | float) for item in base):
        return st.one_of(st.lists(st.sampled_from(NUMBERS), max_size=4), anything)
    if base is None:
        return st.one_of(anything, st.sampled_from(COUNTS), st.sampled_from(NUMBERS))
    return anything


def literals(annotation: Any) -> list[Any]:
    """The strings that an annotation allows."""
    found = [item for item in get_args(annotation) if isinstance(item, str)]
    return found + [
        word for item in get_args(annotation) if not isinstance(item, str) for word in literals(item)
    ]
