"""Several parts in a file, each as `_files` has a whole one: parts are added; the last may be torn."""

import contextlib
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from .._arrays import Array
from .._files import MARK, pack, require_regular, target_mode, unpack

__all__ = ["append", "read_shards", "shard", "tail"]

_HEAD = struct.Struct("<8sQ")
_TAIL = 4096  # bytes


def shard(tensors: Mapping[str, Array], document: Mapping[str, Any]) -> bytes:
    """What `pack` gives, with a mark and its length before it, so that one can follow another in a file."""
    data = pack(tensors, document)
    return _HEAD.pack(MARK, len(data)) + data


def tail(path: Path, end: int) -> bytes:
    """The last bytes before `end`, by which a file is known again: not everywhere does its number stay."""
    with open(path, "rb") as file:
        return _tail(file, end)


def _tail(file: Any, end: int) -> bytes:
    start = max(end - _TAIL, 0)
    file.seek(start)
    return bytes(file.read(end - start))


def append(path: Path, data: bytes, end: int, size: int, last: bytes) -> int:
    """Add shards after the last whole one, and return where they end.

    Parameters
    ----------
    path : path
    data : bytes
    end, size : int
        Where the last whole shard ends and how long the file is: what is between was torn, and goes.
    last : bytes
        Of `tail`, as they were.

    Raises
    ------
    ValueError
        If the file has another length by now, or another is in its place.
    """
    target_mode(path)
    # Without a buffer nothing is left to be written after an error.
    with open(path, "r+b", buffering=0) as file, _locked(file):
        found = os.fstat(file.fileno()).st_size
        if found not in (size, end) or _tail(file, end) != last:  # `end` after an attempt that failed
            raise ValueError(
                f"{path} has {found} bytes, where {size} are known of, or is another file by now: "
                "somebody else has written to it"
            )
        _write_from(file, end, data)
    return end + len(data)


def _write_from(file: Any, end: int, data: bytes) -> None:
    """All of the data, or nothing after `end`."""
    try:
        file.truncate(end)
        file.seek(end)
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())
    except BaseException:
        file.truncate(end)
        raise


@contextlib.contextmanager
def _locked(file: Any) -> Iterator[None]:
    """Meanwhile nobody else looks how long the file is, where the system can see to that."""
    if fcntl is None:
        yield
        return
    with contextlib.suppress(OSError):  # not all file systems lock
        fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:  # closing is not enough where a process that was forked meanwhile has the file open too
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)


def read_shards(path: Path) -> tuple[list[tuple[dict[str, Array], dict[str, Any]]], int, int]:
    """The shards of a file, where the last whole one ends, and the file's size.

    Raises
    ------
    ValueError
        If one is damaged and another comes after it. Where none does, the end was torn.
    """
    require_regular(path)
    shards: list[tuple[dict[str, Array], dict[str, Any]]] = []
    with open(path, "rb") as file:
        size, end = os.fstat(file.fileno()).st_size, 0
        while end < size:
            mark, length = _HEAD.unpack(file.read(_HEAD.size).ljust(_HEAD.size, b"\0"))
            whole = mark == MARK and length <= size - end - _HEAD.size
            try:
                shards.append(unpack(file.read(length) if whole else b"", f"{path}, shard {len(shards)},"))
            except ValueError as error:
                file.seek(end + 1)
                if MARK in file.read() or (mark == MARK and not shards):  # the first is never torn
                    raise ValueError(f"{path} is damaged at byte {end}: {error}") from None
                break
            end += _HEAD.size + length
    return shards, end, size
