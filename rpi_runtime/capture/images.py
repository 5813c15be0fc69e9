"""A folder of pictures, in the order of their names."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path

from rpi_runtime.capture.pictures import SUFFIXES, read_picture
from rpi_runtime.capture.source import Delivered, Wanted
from rpi_runtime.errors import InputError, SourceError
from rpi_runtime.poses import Frame

log = logging.getLogger(__name__)
_MOST_NAMED = 5  # pictures that cannot be read, in the log


class ImagesSource:
    """Pictures from a folder (not its subfolders), or one picture.

    A picture that cannot be read is skipped and counted; the first few are named in the log, each once. At the end of
    such a folder, `SourceError` is raised, so that the exit code reports it, too.

    Parameters
    ----------
    path : path
    fps : float
        Spacing of the timestamps, for tracking pictures that follow one another.
    loop : bool
        Start again at the end.
    """

    live = False

    def __init__(self, path: Path, *, fps: float = 10.0, loop: bool = False) -> None:
        self._path, self._fps, self._loop = path, fps, loop
        self._files: list[Path] = []
        self._position = 0
        self._index = 0
        self._unreadable: dict[str, None] = {}  # names, in the order in which they were found

    def configure(self, wanted: Wanted) -> Delivered:
        """List the files. The pictures keep their own sizes."""
        del wanted
        try:
            found = self._path.iterdir() if self._path.is_dir() else iter([self._path])
            self._files = sorted((f for f in found if f.suffix.lower() in SUFFIXES), key=_natural)
        except OSError as err:
            raise SourceError(f"{self._path}: cannot be listed ({err.strerror})") from err
        if not self._files:
            raise SourceError(
                f"{self._path}: no pictures there; expected files ending in {', '.join(SUFFIXES)}"
            )
        what = f"{len(self._files)} pictures in {self._path}"
        return Delivered(width=0, height=0, fps=self._fps, frames=len(self._files), what=what)

    def start(self) -> None:
        """Start with the first picture."""
        self._position = self._index = 0

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next readable picture, or None at the end."""
        del timeout_s
        skipped = 0
        while (file := self._next_file(skipped)) is not None:
            try:
                image = read_picture(file)
            except InputError as err:
                self._note(file, err)
                skipped += 1
                continue
            index = self._index
            self._index += 1
            return Frame(
                image=image,
                index=index,
                timestamp_ns=round(index * 1e9 / self._fps),
                taken_ns=time.monotonic_ns(),
                name=file.name,
                undecodable=skipped,
            )
        if self._unreadable:
            raise SourceError(
                f"{self._path}: {len(self._unreadable)} of {len(self._files)} pictures could not be read, "
                f"first {next(iter(self._unreadable))}; all others were processed"
            )
        return None

    def stop(self) -> None:
        """Do nothing, because no file is open between two pictures."""

    def _next_file(self, skipped: int) -> Path | None:
        """Return the next file; None at the end, or after a whole lap of pictures that cannot be read."""
        if skipped >= len(self._files):
            return None
        if self._position == len(self._files):
            if not self._loop:
                return None
            self._position = 0
        file = self._files[self._position]
        self._position += 1
        return file

    def _note(self, file: Path, error: InputError) -> None:
        """Name a picture that cannot be read, once, unless many have been named."""
        if file.name in self._unreadable:
            return
        self._unreadable[file.name] = None
        if len(self._unreadable) <= _MOST_NAMED:
            log.warning("passed over: %s", error)
        elif len(self._unreadable) == _MOST_NAMED + 1:
            log.warning("more pictures cannot be read; they are passed over and counted")


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a sort key by which ``2.jpg`` comes before ``10.jpg``."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(p), "") if p.isdigit() else (-1, p) for p in parts]
