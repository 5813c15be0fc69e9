"""Files that are either whole or not there, and what is said of files that cannot be read or written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rpi_runtime.errors import InputError, OutputError


def write_bytes(path: Path, data: bytes) -> None:
    """Write to a temporary name beside `path`, flush to disk, rename.

    Raises
    ------
    OutputError
        The folder cannot be made or written, or the disk is full; a former file at `path` is still whole.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as err:
        raise OutputError(
            f"{path}: cannot be written ({err.strerror}); free some space or choose another folder"
        ) from err


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text like `write_bytes`; bytes of names that are not UTF-8 are written as ``\\udcXX``."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def ensure_writable(folder: Path) -> None:
    """Make a folder, or fail now rather than after minutes of work.

    Raises
    ------
    OutputError
        The folder cannot be made, or nothing can be written in it.
    """
    probe = folder / ".pipose-write-test"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as err:
        raise OutputError(
            f"{folder}: cannot be written ({err.strerror or err}); choose another folder"
        ) from err


@contextmanager
def reading(place: Path, remedy: str, error: type[InputError] = InputError) -> Iterator[None]:
    """Say of an input that the system does not let us read which one it is, why, and what to do.

    An `OSError` that leaves a command is taken for a failed output, so inputs are read inside this.

    Parameters
    ----------
    place : path
        Named where the system's error names no file itself.
    remedy : str
        What the user can do.
    error : type of InputError

    Raises
    ------
    InputError
        As `error` says, for every `OSError` inside the block.
    """
    try:
        yield
    except OSError as err:
        raise error(f"{err.filename or place}: cannot be read ({err.strerror or err}); {remedy}") from err
