"""Which camera a device file is, where the same camera is after it was plugged in again, and who has it open."""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


class Device:
    """One V4L2 camera, by the name that the user gave it and by its own.

    The kernel numbers cameras as they come, so ``/dev/video0`` may be another one after a replug. udev keeps
    links by the maker's name and serial number in ``/dev/v4l/by-id``; the link that led to the camera when it was
    opened first is followed from then on.

    Parameters
    ----------
    target : str
        A number or a path, as in ``0`` or ``/dev/video0``.
    root : path
        Of the machine; for tests.
    """

    def __init__(self, target: str, root: Path = Path("/")) -> None:
        self._root = root
        self._given = root / "dev" / f"video{target}" if target.isdigit() else Path(target)
        self._link: Path | None = None
        self._last: Path | None = None

    def find(self) -> Path:
        """Return the path at which the camera should be now."""
        path = self._given if self._link is None else self._link.resolve()
        if self._last is not None and path != self._last and path.exists():
            log.warning("the camera that was %s is %s now", self._last, path)
            self._last = path
        return path

    def opened(self, path: Path) -> None:
        """Say that the camera was opened at `path`: from now on it is known by its id, where it has one."""
        self._last = path
        links = sorted(self._root.glob("dev/v4l/by-id/*"))
        if self._link is None and not self._given.is_symlink():
            self._link = next((link for link in links if link.resolve() == path.resolve()), None)


def describe_users(path: Path, proc: Path = Path("/proc")) -> str:
    """Name the processes that have a device open, as in ``motion (process 731)``; empty when none can be seen.

    The processes of other users can be seen by root only.
    """
    try:
        wanted = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return ""
    found = []
    for process in sorted(proc.glob("[0-9]*"), key=lambda p: int(p.name)):
        if _has_open(process, wanted):
            name = "this very process" if process.name == str(os.getpid()) else _name(process)
            found.append(f"{name} (process {process.name})")
    return " and ".join(found)


def _has_open(process: Path, wanted: Path) -> bool:
    try:
        files = list((process / "fd").iterdir())
    except OSError:  # another user's, or it has ended
        return False
    for file in files:
        try:
            if file.readlink() == wanted:
                return True
        except OSError:
            continue
    return False


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text("utf-8", "replace").strip() or "a program"
    except OSError:
        return "a program"
