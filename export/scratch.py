"""Where an export works: a folder of its own in one folder of ours, which the next export clears of what was left.

A process that is killed cannot tidy up: its files, up to 100 MB, stayed in the system's temporary folder for good.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rpi_runtime.errors import OutputError

LOCK = "lock"


def scratch_root() -> Path:
    """Return the folder of this user below TMPDIR that holds the exports' folders."""
    return Path(tempfile.gettempdir()) / f"pipose-{os.getuid()}"


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder for one export, locked while it is in use and removed afterwards; first remove abandoned ones.

    Raises
    ------
    OutputError
        The folder cannot be made, or another user made it.
    """
    root = scratch_root()
    try:
        _make(root)
        _clear(root)
        folder = root / secrets.token_hex(8)
        folder.mkdir(mode=0o700)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as err:
        raise OutputError(
            f"{root}: cannot be written ({err.strerror}); free some space or set TMPDIR to another folder"
        ) from err
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        with suppress(OSError):  # another export is at work in it
            root.rmdir()


def _make(root: Path) -> None:
    root.mkdir(mode=0o700, exist_ok=True)
    found = root.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise OutputError(f"{root}: belongs to another user, or is a link; set TMPDIR to another folder")


def _clear(root: Path) -> None:
    """Remove folders whose lock no process holds: theirs is gone."""
    for folder in root.iterdir():
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # just being made, or not ours
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)
