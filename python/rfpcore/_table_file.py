"""Files with rows, as the program reads them: frames whose columns are what their names say."""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from ._frames import pandas_for

__all__ = ["read_table"]

Frame = Any
_COMMAS = (".csv", ".tsv")


def read_table(path: str, columns: Iterable[str | None]) -> Frame:
    """A pandas frame of a file, which is read by its ending, with the columns that are needed.

    Raises
    ------
    ValueError
        If the file cannot be read as what its ending says, lacks a column, or has one of its name twice.
    FileNotFoundError
    ImportError
        Without pandas, or what it needs for this kind of file.
    """
    pandas = pandas_for("reading files")
    readers = {
        ".csv": lambda place: _delimited(place, ","),
        ".tsv": lambda place: _delimited(place, "\t"),
        ".parquet": lambda place: _with_index(pandas.read_parquet(place)),
        # Labels of values would turn 0 and 1 into texts.
        ".dta": lambda place: pandas.read_stata(place, convert_categoricals=False),
    }
    place = Path(path)
    endings = [ending.lower() for ending in place.suffixes if ending.lower() in readers]
    if not endings:
        raise ValueError(f"{path} is of no kind that is read; {', '.join(readers)} are")
    if not place.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        frame = readers[endings[-1]](place)
    except (ImportError, MemoryError):
        raise
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is no text in UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    except Exception as error:  # of pandas, pyarrow and what unpacks: each has its own kinds
        raise ValueError(f"{path} cannot be read: {str(error).strip() or type(error).__name__}") from None
    _require(frame, columns, path, endings[-1])
    return frame


def _delimited(place: Path, separator: str) -> Frame:
    """A text file. `attrs` says which names its head has more than once: pandas gives the second another."""
    import pandas

    # In one go: of large files pandas would read the label 12 as a number in one part, as text in another.
    read: Any = partial(pandas.read_csv, place, sep=separator, low_memory=False)
    as_text = partial(read, dtype=str, keep_default_na=False)
    head = as_text(header=None, nrows=1)
    try:
        frame = read()
    except pandas.errors.ParserError as error:
        raise ValueError(f"{str(error).strip()}{_hint(head.iloc[0])}") from None
    # Where all rows are longer than the head, names of rows come first (R), or nothing comes last, after a
    # separator at the end of each line, for which pandas would move all columns by one.
    if _is_longer(as_text) and (as_text().iloc[:, -1] == "").all():
        frame = read(index_col=False, usecols=range(len(frame.columns)))
    elif frame.index.nlevels > 1:
        n, hint = len(head.columns), _hint(head.iloc[0])
        raise ValueError(f"rows have {n + frame.index.nlevels} values, the head {n} names{hint}")
    frame.attrs["twice"] = [name for name, count in Counter(head.iloc[0]).items() if count > 1]
    return frame


def _is_longer(as_text: Any) -> bool:
    """Whether the first row has more values than the head: the frame's index does not say so."""
    import pandas

    try:
        as_text(header=None, nrows=2)
    except pandas.errors.ParserError:
        return True
    return False


def _with_index(frame: Frame) -> Frame:
    """An index that has names as columns: in the file they are some."""
    names = [name for name in frame.index.names if name is not None]
    return frame.reset_index() if names and not set(names) & set(frame.columns) else frame


def _require(frame: Frame, columns: Iterable[str | None], path: str, ending: str) -> None:
    for name in columns:
        if name is None:
            continue
        if name not in frame.columns:
            there = ", ".join(map(str, frame.columns[:20]))
            hint = _hint(frame.columns) if ending in _COMMAS else ""
            raise ValueError(f"there is no column {name!r}; the file has {there}{hint}")
        if name in frame.attrs.get("twice", ()):
            raise ValueError(f"{path} has more than one column {name!r}; names that differ are needed")


def _hint(names: Any) -> str:
    """Where one column holds what should be several."""
    found = next((mark for mark in (";", "\t", ",", "|") if mark in str(names[0])), None)
    if len(names) > 1 or found is None:
        return ""
    return f": a single column, as it is separated by {found!r}; a .csv file needs ',' and a .tsv file a tab"
