"""A file that is written for long: beside its place, by one process alone, and put there when it is whole."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

from rpi_runtime.errors import OutputError

log = logging.getLogger(__name__)

# players read such a film up to where it was cut off; an .mp4 has its index at the end
READABLE_CUT = (
    ".avi",
    ".mkv",
)
_TRIES = 10


class Beside:
    """The unfinished file of a target, ``.NAME.unfinished.SUFFIX`` in the same folder.

    What lies at the target stays until `close`, whatever ends the process. The unfinished file keeps its name, so that
    the next run for the same target finds what a killed one has left: a readable film gets the name
    ``NAME-unfinished.SUFFIX``, any other is written over.

    Parameters
    ----------
    target : path

    Attributes
    ----------
    path : path
        The unfinished file, empty.

    Raises
    ------
    OutputError
        The folder or the target cannot be written, or another process writes there.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self.path = target.with_name(f".{target.stem}.unfinished{target.suffix}")
        try:
            _check_target(target)
            self._lock = self._open_alone()
            if os.fstat(self._lock).st_size:
                self._put_aside()
        except OSError as err:
            raise OutputError(f"{target}: cannot be written ({err.strerror}); choose another place") from err

    def close(self, *, keep: bool) -> None:
        """Give the file its name, or remove it; a second call does nothing."""
        if self._lock < 0:
            return
        try:
            if keep:
                self.path.replace(self._target)
            else:
                self.path.unlink(missing_ok=True)
        except OSError as err:
            raise OutputError(
                f"{self._target}: cannot be renamed ({err.strerror}); the film is in {self.path}"
            ) from err
        finally:
            os.close(self._lock)
            self._lock = -1

    def _open_alone(self) -> int:
        """Return the descriptor that keeps other processes out."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        for _ in range(_TRIES):
            lock = os.open(self.path, flags, 0o666)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as err:
                os.close(lock)
                raise OutputError(
                    f"{self._target}: another process writes a film there; end it, or choose another name"
                ) from err
            except OSError:  # a file system without locks
                return lock
            if _is_still(lock, self.path):
                return lock
            os.close(lock)  # finished in the meantime: what was opened is the other's whole film
        raise OutputError(f"{self._target}: other processes write films there; choose another name")

    def _put_aside(self) -> None:
        """Deal with what a killed run has left."""
        if self._target.suffix.lower() not in READABLE_CUT:
            os.truncate(self.path, 0)
            return
        number, aside = 1, self._target.with_stem(f"{self._target.stem}-unfinished")
        while aside.exists():
            number += 1
            aside = self._target.with_stem(f"{self._target.stem}-unfinished-{number}")
        self.path.rename(aside)
        os.close(self._lock)
        self._lock = self._open_alone()
        log.warning("%s: an earlier run was cut off; what it wrote is in %s", self._target, aside)


def _is_still(descriptor: int, path: Path) -> bool:
    """Whether a name still leads to the file that was opened."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _check_target(target: Path) -> None:
    """Open what lies at the target without changing it: a folder, a pipe or a read-only file is refused at once."""
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except FileNotFoundError:
        return
