"""Shards in Parquet files: what their columns are, and their rows as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import F32, F64, Array, shown
from .._options import items

__all__ = ["ParquetShards"]


@dataclass(frozen=True)
class Rows:
    """The rows of a shard, as estimators take them.

    Attributes
    ----------
    X, y, groups, sample_weight : ndarrays (N, d), (N,) or (N, outputs), (N,), (N,) or None
    """

    X: Array
    y: Array
    groups: Array
    sample_weight: Array | None

    @property
    def nbytes(self) -> int:
        """Memory that they take."""
        weight = 0 if self.sample_weight is None else self.sample_weight.nbytes
        return int(self.X.nbytes + self.y.nbytes + self.groups.nbytes + weight)


@dataclass(frozen=True)
class ShardColumns:
    """Which columns say what; `several` where y was given as a list."""

    X: tuple[str, ...]
    y: tuple[str, ...]
    groups: str
    sample_weight: str | None
    several: bool

    @property
    def names(self) -> list[str]:
        """All of them, each once."""
        weight = () if self.sample_weight is None else (self.sample_weight,)
        return list(dict.fromkeys((*self.X, *self.y, self.groups, *weight)))


class ParquetShards:
    """Rows in Parquet files, each of which holds whole clusters.

    Parameters
    ----------
    path : path, or sequence of paths
        A folder, whose `.parquet` files are taken in the order of their names; or the files. On a cluster
        every worker has to see them at these paths.
    y : str or sequence of str
        Column of the outcome, or columns of several; of a classifier the labels.
    groups : str
        Column of the clusters' labels: integers, numbers, strings or dates.
    X : sequence of str, optional
        Columns of the features, numbers; None takes all that are nothing else, and no index of pandas. If all
        of them are float32, so is the computation.
    sample_weight : str, optional
        Column of the rows' weights.

    Attributes
    ----------
    files : list of str
        One a shard, in their order, which is that of all sums.
    n_rows : list of int
        Rows of each.
    columns : ShardColumns
        Names of the columns of `X`, `y`, `groups` and `sample_weight`.

    Raises
    ------
    ImportError
        Without pyarrow.
    ValueError, TypeError
        If there are no files, columns are missing or of no use, or files differ in them.

    See Also
    --------
    write_shards : Makes such files.

    Examples
    --------
    A folder that `write_shards` has written:

    >>> shards = ParquetShards("people", y="wage", groups="zip_code")  # doctest: +SKIP
    >>> RFPRegressor(max_iter=100).fit_shards(shards)  # doctest: +SKIP
    """

    def __init__(
        self, path: Any, *, y: Any, groups: str, X: Any = None, sample_weight: str | None = None
    ) -> None:
        parquet = require_pyarrow()
        self.files = parquet_files(path)
        headers = [parquet.ParquetFile(file) for file in self.files]
        schema = headers[0].schema_arrow
        self.columns = read_columns(schema.names, y, groups, X, sample_weight, _index_columns(schema))
        types = [schema.field(name).type for name in self.columns.names]
        for file, header in zip(self.files, headers, strict=True):
            own = {field.name: field.type for field in header.schema_arrow}
            for name, kind in zip(self.columns.names, types, strict=True):
                if own.get(name) != kind:
                    raise ValueError(
                        f"{file} has {own.get(name, 'no')} column {name!r}; {self.files[0]} has it as {kind}"
                    )
        self.n_rows = [int(header.metadata.num_rows) for header in headers]
        empty = next((file for file, rows in zip(self.files, self.n_rows, strict=True) if rows == 0), None)
        if empty is not None:
            raise ValueError(f"{empty} has no rows; every shard needs some")
        require_numbers(schema, self.columns)
        single = all(str(schema.field(name).type) == "float" for name in self.columns.X)
        self.dtype = F32 if single else F64

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return (
            f"ParquetShards({len(self)} files, {sum(self.n_rows)} rows, {len(self.columns.X)} features, "
            f"y={shown(list(self.columns.y))})"
        )

    def read(self, index: int) -> Rows:
        """The rows of a shard."""
        columns = self.columns
        table = (
            require_pyarrow().ParquetFile(self.files[index]).read(columns=columns.names, use_threads=False)
        )
        X = np.empty((table.num_rows, len(columns.X)), self.dtype)
        for j, name in enumerate(columns.X):
            X[:, j] = column(table, name)
        outcomes = [column(table, name) for name in columns.y]
        weight = columns.sample_weight
        return Rows(
            X,
            np.column_stack(outcomes) if columns.several else outcomes[0],
            column(table, columns.groups),
            None if weight is None else column(table, weight),
        )


def require_pyarrow() -> Any:
    """`pyarrow.parquet`."""
    try:
        from pyarrow import parquet
    except ImportError:
        raise ImportError("shards need pyarrow: pip install 'rfpcore[parquet]'") from None
    return parquet


def parquet_files(path: Any) -> list[str]:
    """A folder's files by name, or those listed."""
    if isinstance(path, str | Path):
        folder = Path(path)
        found = sorted(folder.glob("*.parquet")) if folder.is_dir() else [folder]
    else:
        found = [Path(each) for each in items(path, "path", "a path or a sequence of paths")]
    if not found:
        raise ValueError(f"path={shown(path)} has no .parquet files")
    missing = next((file for file in found if not file.is_file()), None)
    if missing is not None:
        raise ValueError(f"there is no file {missing}")
    return [str(file) for file in found]


def _index_columns(schema: Any) -> list[str]:
    """Columns that pandas or dask wrote of a frame's index, such as row numbers that a selection left."""
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    return [name for name in index if isinstance(name, str)]


def read_columns(
    names: Sequence[str], y: Any, groups: Any, X: Any, sample_weight: Any, index: Sequence[str] = ()
) -> ShardColumns:
    """The columns by what they are, each there and of one use; none of an index unless it is named."""
    outcomes = (y,) if isinstance(y, str) else tuple(items(y, "y", "a column or a sequence of columns"))
    own = [*outcomes, groups, *([] if sample_weight is None else [sample_weight])]
    if X is None:
        features = tuple(name for name in names if name not in (*own, *index))
    else:
        features = tuple(items(X, "X", "a sequence of columns"))
    for use, given in (("X", features), ("y", outcomes), ("groups", own[len(outcomes) :])):
        if not given:
            raise ValueError(f"{use} names no column; at least one is needed")
        absent = next((name for name in given if name not in names), None)
        if absent is not None:
            raise ValueError(f"{use} names column {shown(absent)}; there are {', '.join(map(repr, names))}")
    every = [*features, *own]
    twice = next((name for name in every if every.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"column {twice!r} has two uses; one is possible")
    return ShardColumns(features, outcomes, groups, sample_weight, several=not isinstance(y, str))


def require_numbers(schema: Any, columns: ShardColumns) -> None:
    """TypeError where features or weights are none."""
    from pyarrow import types

    for name in (*columns.X, *filter(None, [columns.sample_weight])):
        kind = schema.field(name).type
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
            raise TypeError(f"column {name!r} is of type {kind}; numbers are needed")


def column(table: Any, name: str) -> NDArray[Any]:
    """A column as an array: strings as objects, categories as what they stand for."""
    import pyarrow

    found = table.column(name)
    if pyarrow.types.is_dictionary(found.type):
        found = found.cast(found.type.value_type)
    try:
        return np.asarray(found.to_numpy())
    except pyarrow.ArrowException as error:  # bytes that are no text, for one
        raise ValueError(f"column {name!r} cannot be read: {error}") from None
