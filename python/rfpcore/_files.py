"""Tensors and one JSON document in a file: safetensors, written in one go, read without executing a thing.

The metadata entry "rfpcore" is the document, "sha256" its digest; the document holds that of every tensor.
Files of format 1 have neither, and are read all the same.
"""

import contextlib
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from ._arrays import F32, F64, I64, Array

__all__ = ["FORMAT_VERSION", "digest", "holding_together", "read", "target_mode", "write"]

FORMAT_VERSION = 2
_READABLE = (1, FORMAT_VERSION)
_DTYPES = (F32, F64, I64)
MARK = b"\x89rfpcore"  # of a shard
_KINDS = {
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def digest(array: Array) -> str:
    """Of dtype, shape and values."""
    found = hashlib.sha256(f"{array.dtype.str}{list(array.shape)}".encode())
    found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)  # without a copy
    return found.hexdigest()[:32]


def write(path: Path, tensors: Mapping[str, Array], document: Mapping[str, Any]) -> None:
    """Replace the file in one go, so that a reader or a crash never meets half of it.

    The permissions of a file that is there are kept. Several threads or processes may write at once: the last
    one's file stays.

    Parameters
    ----------
    path : path
        Of a regular file, or of nothing yet.
    tensors : mapping of arrays
        Of float32, float64 or int64.
    document : mapping
        In JSON's types.

    Raises
    ------
    ValueError
        If something else than a regular file is at the path, or a number of the document is not finite.
    FileNotFoundError
        If there is no such folder.
    """
    target_mode(path)  # before any work
    replace(path, pack(tensors, document))


def pack(tensors: Mapping[str, Array], document: Mapping[str, Any]) -> bytes:
    """What `unpack` reads, with the digests of all of it."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    digests = {name: digest(array) for name, array in contiguous.items()}
    text = json.dumps({"format_version": FORMAT_VERSION, **document, "digests": digests}, allow_nan=False)
    return safetensors.numpy.save(contiguous, {"rfpcore": text, "sha256": _digest_of(text)})


def replace(path: Path, data: bytes) -> None:
    """Put a file of these bytes in the place of what is there."""
    mode = target_mode(path)
    part = path.with_name(f".{secrets.token_hex(8)}.rfpcore.part")
    try:
        with open(part, "xb") as file:  # never one that is there; permissions as the umask has them
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            part.chmod(mode)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def target_mode(path: Path) -> int | None:
    """Permissions of the file that is to be replaced; None if there is none."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to")
    try:
        found = path.lstat().st_mode
    except FileNotFoundError:
        return None
    _require_regular(path, found)
    return stat.S_IMODE(found)


def _require_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "special file")
        raise ValueError(f"{path} is a {kind}; a regular file is needed")


def _sync_folder(folder: Path) -> None:
    """Let the new name outlive a crash, where the system can."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):  # not all file systems sync folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The tensors and the document of a file of this format or the one before.

    Raises
    ------
    ValueError
        If the file is truncated or damaged, is not one of rfpcore's, or has another version.
    """
    require_regular(path)
    return unpack(path.read_bytes(), path)


def require_regular(path: Path) -> None:
    """ValueError where something else than a file, or a link to one, is there: opening a FIFO would wait."""
    _require_regular(path, path.stat().st_mode)


def unpack(data: bytes, path: Path | str) -> tuple[dict[str, Array], dict[str, Any]]:
    """The tensors and the document in the bytes of a file, whose name is for messages."""
    if data.startswith(MARK):
        raise ValueError(f"{path} is the file of a sweep: `sweep`, called again, reads it")
    try:
        tensors = safetensors.numpy.load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    except (safetensors.SafetensorError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} ({len(data)} bytes) is not a complete safetensors file: {error}") from None
    if "rfpcore" not in metadata:
        raise ValueError(f"{path} is a safetensors file, but not one of rfpcore's: it has no entry 'rfpcore'")
    document = _parse(path, metadata)
    _require_undamaged(path, tensors, document, metadata)
    return tensors, document


def _parse(path: Path | str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The document, of a version that can be read."""
    text = metadata["rfpcore"]
    if metadata.get("sha256", _digest_of(text)) != _digest_of(text):
        raise ValueError(f"{path} is damaged: its metadata do not have the digest they were written with")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} has metadata that are no JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{path} has metadata of type {type(document).__name__}; an object is needed")
    version = document.get("format_version")
    if type(version) is not int or version not in _READABLE:
        known = " and ".join(map(str, _READABLE))
        raise ValueError(f"{path} has format version {version!r}; this rfpcore reads versions {known}")
    return document


def _require_undamaged(
    path: Path | str, tensors: dict[str, Array], document: dict[str, Any], metadata: Mapping[str, str]
) -> None:
    """All tensors as they were written, and of dtypes that are written."""
    for name, array in tensors.items():
        if array.dtype not in _DTYPES:
            known = ", ".join(map(str, _DTYPES))
            raise ValueError(f"{path} holds {name!r} of dtype {array.dtype}; one of {known} is needed")
    if document["format_version"] == 1:
        return
    digests = document.get("digests")
    if "sha256" not in metadata or not isinstance(digests, dict):
        raise ValueError(f"{path} has no digests; a file of format {FORMAT_VERSION} has them")
    if digests.keys() != tensors.keys():
        odd = min(digests.keys() ^ tensors.keys())
        raise ValueError(f"{path} is damaged: of {odd!r} it has only one of tensor and digest")
    for name, array in tensors.items():
        if digest(array) != digests[name]:
            raise ValueError(f"{path} is damaged: {name!r} does not have the digest it was written with")


@contextlib.contextmanager
def holding_together(path: Path | str) -> Iterator[None]:
    """What a file lacks or has wrong, as a ValueError that names the file."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{path} lacks {error}") from None
    except (ArithmeticError, AttributeError, IndexError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not hold together: {error}") from None
