"""Labels that come with an order of their own: ordered Categoricals of pandas, Enums of polars."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def own_order(values: Any) -> tuple[list[Any], NDArray[np.intp]] | None:
    """The categories in their order, and each row's among them (-1: none); None where there is no order.

    An order is the user's word on which label comes first: it takes precedence over numbers and the alphabet.
    A Categorical that is not ordered (of polars: every Categorical) says nothing, and is a column of labels.
    """
    dtype: Any = getattr(values, "dtype", None)
    if getattr(dtype, "ordered", None) is True and hasattr(dtype, "categories"):
        codes = values.cat.codes if hasattr(values, "cat") else values.codes
        return list(dtype.categories), np.asarray(codes).astype(np.intp)
    if type(dtype).__name__ == "Enum" and hasattr(values, "to_physical"):
        categories = dtype.categories.to_list()
        return categories, values.to_physical().cast(int).fill_null(-1).to_numpy().astype(np.intp)
    return None


def is_unordered_categorical(values: Any) -> bool:
    """Whether the labels are categories without an order."""
    dtype = getattr(values, "dtype", None)
    return getattr(dtype, "ordered", None) is False or type(dtype).__name__ == "Categorical"
