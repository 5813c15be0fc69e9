"""Write files completely or not at all, and report files that cannot be read or written."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rpi_runtime.errors import InputError, OutputError

_LEFT_S = 3600.0  # a part is written within seconds


def write_bytes(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write beside `path` without a name or under one of its own, flush to disk, rename.

    Any number of processes may write the same file: each reader sees one of them whole. A killed process leaves
    nothing behind where the file system knows files without a name (Linux's O_TMPFILE). A link at `path` is
    replaced, not followed.

    Parameters
    ----------
    path : path
    data : bytes
    mode : int
        Permissions before the umask: 0o600 for what holds a secret, from the first moment on.

    Raises
    ------
    OutputError
        The folder cannot be created or written, or the disk is full. An earlier file at `path` is intact.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.parent / f".pipose-{secrets.token_hex(8)}.part"
        try:
            if not _write_nameless(part, data, mode):
                _write_new(part, data, mode)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as err:
        raise OutputError(
            f"{path}: cannot be written ({err.strerror}); free some space or choose another folder"
        ) from err


def write_all(files: Mapping[Path, bytes]) -> None:
    """Write several files of one folder, all or none: each is whole on the disk before the first gets its name.

    Raises
    ------
    OutputError
        As `write_bytes`; earlier files are intact.
    """
    parts: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.parent / f".pipose-{secrets.token_hex(8)}.part"
            parts[part] = path
            if not _write_nameless(part, data, 0o666):
                _write_new(part, data, 0o666)
        for part, path in parts.items():
            part.replace(path)
    except OSError as err:
        raise OutputError(
            f"{path}: cannot be written ({err.strerror}); free some space or choose another folder"
        ) from err
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _write_nameless(part: Path, data: bytes, mode: int) -> bool:
    """Write a file that gets the name `part` when it is whole; False where the system cannot do that."""
    try:
        fd = os.open(part.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, mode)
    except (OSError, AttributeError):
        return False
    with os.fdopen(fd, "wb") as file:
        _write_through(file, data)
        try:
            os.link(f"/proc/self/fd/{fd}", part, follow_symlinks=True)
        except OSError:  # no /proc, or a file system without links
            return False
    return True


def _write_new(part: Path, data: bytes, mode: int) -> None:
    """Write a file that was not there, and is not a link that another user put there."""
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        _write_through(file, data)


def _write_through(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text like `write_bytes`; bytes of names that are not UTF-8 are written as ``\\udcXX``."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def ensure_writable(folder: Path) -> None:
    """Create a folder, or fail now rather than after minutes of work.

    Raises
    ------
    OutputError
        The folder cannot be created or is not writable.
    """
    probe = folder / f".pipose-{secrets.token_hex(8)}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_new(probe, b"", 0o600)
        probe.unlink()
        # left by a process that was killed, on a disk without nameless files
        for part in folder.glob(".pipose-*.part"):
            if part.lstat().st_mtime < time.time() - _LEFT_S:
                part.unlink()
    except OSError as err:
        raise OutputError(
            f"{folder}: cannot be written ({err.strerror or err}); choose another folder"
        ) from err


@contextmanager
def writing(place: Path, remedy: str) -> Iterator[None]:
    """Turn an `OSError` while changing files into an `OutputError` that names `place`, the reason and the remedy."""
    try:
        yield
    except OSError as err:
        raise OutputError(f"{place}: cannot be written ({err.strerror or err}); {remedy}") from err


@contextmanager
def reading(place: Path, remedy: str, error: type[InputError] = InputError) -> Iterator[None]:
    """Turn an `OSError` while reading an input into an error that names the input, the reason and the remedy.

    The command line reports an uncaught `OSError` as an output failure, so reads of inputs are wrapped in this.

    Parameters
    ----------
    place : path
        Named in the message if the system's error names no file.
    remedy : str
        What the user can do.
    error : type of InputError

    Raises
    ------
    InputError
        An instance of `error`, for every `OSError` inside the block.
    """
    try:
        yield
    except OSError as err:
        raise error(f"{err.filename or place}: cannot be read ({err.strerror or err}); {remedy}") from err
