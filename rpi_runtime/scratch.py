"""Temporary folders of ours: removed after use, and by the next command where a process was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "pipose-scratch-"  # not a name that a user gives a folder of their own
_YOUNG_S = 60.0  # a folder that was just made may not be locked yet


class Scratch:
    """A folder for as long as this object lasts, or until `remove`.

    It is locked meanwhile. The system lets go of the lock when the process ends in whatever way, so a folder of this
    user without a lock was left behind, and goes when the next one is made.

    Attributes
    ----------
    path : Path
    """

    def __init__(self) -> None:
        sweep(Path(tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a folder and remove it."""
    made = Scratch()
    try:
        yield made.path
    finally:
        made.remove()


def sweep(place: Path) -> int:
    """Remove the folders in `place` that killed processes of this user left behind; return how many."""
    removed = 0
    with contextlib.suppress(OSError):
        for folder in place.glob(f"{PREFIX}*"):
            removed += _remove_if_left(folder)
    return removed


def _remove_if_left(folder: Path) -> bool:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # a file, a link, another user's, or gone already
        return False
    try:
        facts = os.fstat(handle)
        if facts.st_uid != os.geteuid() or time.time() - facts.st_mtime < _YOUNG_S:
            return False
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # its owner lives
        return False
    finally:
        os.close(handle)
    return True
