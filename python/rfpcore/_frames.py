"""Arguments of pandas that belong together: rows are paired by position, so their indexes have to agree."""

from typing import Any

from ._arrays import as_floats, is_missing, require_finite


def require_aligned(**arguments: Any) -> None:
    """ValueError where two arguments have an index, and not the same one in the same order.

    Whatever has no index (arrays, lists, polars) is paired by position, as is what differs in length: that is
    another error, which the caller's check of lengths words better.
    """
    indexed = {name: _index(values) for name, values in arguments.items()}
    indexed = {name: index for name, index in indexed.items() if index is not None}
    if len(indexed) < 2:
        return
    first, reference = next(iter(indexed.items()))
    for name, index in indexed.items():
        if index is reference or len(index) != len(reference) or index.equals(reference):
            continue
        row = _first_difference(index, reference)
        if row is None:  # the same labels in another type
            continue
        same = sorted(map(str, index)) == sorted(map(str, reference))
        raise ValueError(
            f"{name} and {first} have different indexes: row {row} is {_shown(index[row])} in {name} and "
            f"{_shown(reference[row])} in {first}"
            + (", though both have the same labels in some order" if same else "")
            + ". Rows are paired by position, so align them first, as in "
            f"{name}.loc[{first}.index], or give {name}.to_numpy() where the order is right as it is"
        )


def pandas_for(name: str) -> Any:
    """The package pandas, for a method that makes a frame."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(f"{name} needs pandas: pip install pandas") from error
    return pandas


def _index(values: Any) -> Any:
    """The index of a pandas object (or of one that is used like it), or None."""
    index = getattr(values, "index", None)
    return index if hasattr(values, "iloc") and hasattr(index, "equals") else None


def _first_difference(index: Any, reference: Any) -> int | None:
    """The first row whose labels differ."""
    pairs = enumerate(zip(index, reference, strict=True))
    return next((row for row, (a, b) in pairs if not _alike(a, b)), None)


def _shown(label: Any) -> str:
    return repr(label.item() if hasattr(label, "item") else label)


def _alike(a: Any, b: Any) -> bool:
    """Equal, or both missing; tuples (of a MultiIndex) entry by entry."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_alike, a, b))
    if is_missing(a) or is_missing(b):
        return is_missing(a) and is_missing(b)
    try:
        return bool(a == b)
    except (TypeError, ValueError):  # not comparable
        return False


class AlignedScore:
    """scikit-learn's `score`, of arguments that belong together; goes before its mixins."""

    def _require_outcomes(self, y: Any) -> None:
        """Refuse what is no outcome; a classifier has its own."""
        require_finite(as_floats(y, "y"), "y")

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R² of a regressor's predictions, accuracy of a classifier's.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        score : float
        """
        require_aligned(X=X, y=y, sample_weight=sample_weight)
        self._require_outcomes(y)
        return float(super().score(X, y, sample_weight=sample_weight))  # type: ignore[misc]
