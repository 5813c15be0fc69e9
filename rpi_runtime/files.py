"""Files that are either whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

from rpi_runtime.errors import OutputError


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
    """Write UTF-8 text like `write_bytes`."""
    write_bytes(path, text.encode())
