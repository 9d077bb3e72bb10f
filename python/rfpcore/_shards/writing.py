"""Dealing clusters to shards, once."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array, group_codes, shown
from .._options import MAX_ROWS, file_path, integer
from .keys import label_keys
from .parquet import (
    ParquetShards,
    ShardColumns,
    column,
    parquet_files,
    read_columns,
    require_numbers,
    require_pyarrow,
)

__all__ = ["write_shards"]

BYTES = 2**25
"""Of a shard's numbers, unless rows are counted: a few times as much is needed while one is worked on."""
BATCH = 2**17  # rows read at a time
BUFFER = 2**20  # bytes of a column read at a time


def write_shards(
    source: Any,
    folder: Any,
    *,
    y: Any,
    groups: str,
    X: Any = None,
    sample_weight: str | None = None,
    rows_per_shard: int | None = None,
) -> ParquetShards:
    """Write the clusters to Parquet files that hold whole ones.

    Which shard a cluster goes to depends on its label alone, how many shards there are on the data alone. The
    rows are read in pieces and never held together: memory is that of a shard and of what is read at a time.

    Parameters
    ----------
    source : path, sequence of paths, or dask.dataframe.DataFrame
        Parquet files, or a folder of them, with rows in any order; or a data frame in parts, which its
        workers deal and write (rows of a cluster are then sorted by their values, so that the shards do not
        depend on who was first).
    folder : path
        Where to write: a folder that is empty or does not exist. For a cluster, one that all workers see.
    y, groups, X, sample_weight
        As in `ParquetShards`; other columns are left out.
    rows_per_shard : int, optional
        About how many rows a shard has; None: as many as take 32 MiB as float64.

    Returns
    -------
    shards : ParquetShards

    Raises
    ------
    ImportError
        Without pyarrow.
    ValueError, TypeError
        On misuse, before any work; and if the folder has something in it, which is never overwritten.
    """
    require_pyarrow()
    target = file_path(folder, "folder")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"folder={shown(str(target))} has something in it; a new or an empty one is needed")
    rows = None if rows_per_shard is None else integer(rows_per_shard, "rows_per_shard", 1, MAX_ROWS)
    is_frame = hasattr(source, "npartitions") and hasattr(source, "map_partitions")
    if is_frame:
        columns = read_columns(list(source.columns), y, groups, X, sample_weight)
        _deal_frame(source, target, columns, rows)
    else:
        files = parquet_files(source)
        first = ParquetShards(files, y=y, groups=groups, X=X, sample_weight=sample_weight)
        _deal_files(files, target, first, rows)
    return ParquetShards(target, y=y, groups=groups, X=X, sample_weight=sample_weight)


def _n_shards(n_rows: int, columns: ShardColumns, rows: int | None) -> int:
    rows = rows or max(1, BYTES // (8 * len(columns.names)))
    return max(1, -(-n_rows // rows))


def _name(index: int) -> str:
    return f"shard-{index:06d}.parquet"


def _write(table: Any, path: Path) -> None:
    """One row group, not dense: what is read again and again should cost no time to unpack."""
    parquet = require_pyarrow()
    parquet.write_table(
        table, path, row_group_size=max(1, len(table)), compression="lz4", use_dictionary=False
    )


def _deal_files(files: list[str], target: Path, shards: ParquetShards, rows: int | None) -> None:
    """By way of a scratch file a shard, to which its rows are added as they come."""
    import pyarrow

    columns, n = shards.columns, _n_shards(sum(shards.n_rows), shards.columns, rows)
    target.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".dealing-", dir=target))
    try:
        for batch in _batches(files, columns.names):
            for shard, part in _parts(batch, columns.groups, n):
                _add(part, scratch / _name(shard))
        for path in sorted(scratch.iterdir()):
            table = _added(path)
            codes = group_codes(column(table, columns.groups), len(table))[1]
            _write(table.take(np.argsort(codes, kind="stable")), target / path.name)
            path.unlink()
            del table
            pyarrow.default_memory_pool().release_unused()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _add(part: Any, path: Path) -> None:
    """A stream of its own at the end of the file, which is open no longer: there may be thousands of them."""
    from pyarrow import ipc

    with path.open("ab") as file, ipc.new_stream(file, part.schema) as writer:
        writer.write_batch(part)


def _added(path: Path) -> Any:
    """All that was added to a file."""
    from pyarrow import concat_tables, ipc

    parts, size = [], path.stat().st_size
    with path.open("rb") as file:
        while file.tell() < size:
            parts.append(ipc.open_stream(file).read_all())
    return concat_tables(parts).combine_chunks()


def _batches(files: list[str], names: list[str]) -> Iterator[Any]:
    parquet = require_pyarrow()
    for file in files:
        # Without these two all of the file that was read stays in memory until its end.
        opened = parquet.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER)
        yield from opened.iter_batches(BATCH, columns=names, use_threads=False)


def _parts(batch: Any, groups: str, n: int) -> Iterator[tuple[int, Any]]:
    """The rows of each shard, in their order."""
    labels, codes = group_codes(_labels(batch, groups), batch.num_rows)
    shard = _shard_of(labels, n)[codes]
    order = np.argsort(shard, kind="stable")
    ends = np.cumsum(np.bincount(shard, minlength=n))
    sorted_rows = batch.take(order)
    for index in np.unique(shard).tolist():
        first = int(ends[index - 1]) if index else 0
        yield index, sorted_rows.slice(first, int(ends[index]) - first)


def _labels(batch: Any, groups: str) -> Array:
    import pyarrow

    return column(pyarrow.Table.from_batches([batch]), groups)


def _shard_of(labels: Array, n: int) -> Array:
    return np.asarray(label_keys(labels) % np.uint64(n), np.intp)


def _deal_frame(frame: Any, target: Path, columns: ShardColumns, rows: int | None) -> None:
    """By dask's own shuffle, on its workers."""
    import pyarrow

    frame = frame[columns.names]
    schema = pyarrow.Schema.from_pandas(frame._meta, preserve_index=False)
    # Of objects only their values say what they are.
    known = [name for name in columns.X if not pyarrow.types.is_null(schema.field(name).type)]
    require_numbers(schema, replace(columns, X=tuple(known)))
    n = _n_shards(int(frame.shape[0].compute()), columns, rows)
    target.mkdir(parents=True, exist_ok=True)
    numbered = frame.map_partitions(_numbered, columns.groups, n)
    dealt = numbered.shuffle("__shard", npartitions=n).map_partitions(
        _write_frames, str(target), columns.groups, meta=("written", "int64")
    )
    written = int(dealt.sum().compute())
    if written == 0:
        raise ValueError("the data frame has no rows")


def _numbered(frame: Any, groups: str, n: int) -> Any:
    labels, codes = group_codes(frame[groups].to_numpy(), len(frame))
    return frame.assign(__shard=_shard_of(labels, n)[codes])


def _write_frames(frame: Any, target: str, groups: str) -> Any:
    """The shards that have come to one part; how many rows."""
    import pandas
    import pyarrow

    others = [name for name in frame.columns if name not in (groups, "__shard")]
    for shard, own in frame.groupby("__shard"):
        whole = own.drop(columns="__shard").sort_values([groups, *others], kind="stable")
        _write(pyarrow.Table.from_pandas(whole, preserve_index=False), Path(target) / _name(int(shard)))
    return pandas.Series([len(frame)], name="written")
