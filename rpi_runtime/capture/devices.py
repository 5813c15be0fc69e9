"""Identify the camera behind a device file, find it again after a replug, and name the processes that use it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from rpi_runtime.inputs import real_path

log = logging.getLogger(__name__)


class Device:
    """One V4L2 camera, by the user's name and by its own.

    The kernel numbers cameras in order of arrival, so ``/dev/video0`` may be another one after a replug. udev keeps
    links by the maker's name and serial number in ``/dev/v4l/by-id``; the link that led to the camera when it was
    opened first is followed from then on.

    Parameters
    ----------
    target : str
        A number or a path, as in ``0`` or ``/dev/video0``.
    root : path
        Root folder of the machine; for tests.
    """

    def __init__(self, target: str, root: Path = Path("/")) -> None:
        self._root = root
        self._given = root / "dev" / f"video{target}" if target.isdigit() else Path(target)
        self._link: Path | None = None
        self._last: Path | None = None

    def find(self) -> Path:
        """Return the current path of the camera."""
        path = self._given if self._link is None else real_path(self._link)
        if self._last is not None and path != self._last and path.exists():
            log.warning("the camera that was %s is %s now", self._last, path)
            self._last = path
        return path

    def opened(self, path: Path) -> None:
        """Record that the camera was opened at `path`. From now on it is identified by its id, if it has one."""
        self._last = path
        links = sorted(self._root.glob("dev/v4l/by-id/*"))
        if self._link is None and not self._given.is_symlink():
            self._link = next((link for link in links if real_path(link) == real_path(path)), None)


def describe_users(path: Path, proc: Path = Path("/proc")) -> str:
    """Name the processes that have a device open, as in ``motion (process 731)``; empty if none is visible.

    Only root sees the processes of other users.
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
    except OSError:  # the process belongs to another user or has ended
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
