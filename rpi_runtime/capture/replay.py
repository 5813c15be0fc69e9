"""A recorded source, played back frame by frame: for tests and for bug reports."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from rpi_runtime.capture.recording import Recording
from rpi_runtime.capture.source import Delivered, Wanted
from rpi_runtime.errors import InputError, SourceError
from rpi_runtime.poses import Frame, Image

log = logging.getLogger(__name__)


class ReplaySource:
    """Frames from a recording made by `python -m rpi_runtime record`.

    A frame that cannot be decoded is passed over and counted; the first is named in the log. At the end of such a
    recording, `SourceError` is raised, so that the exit code reports it, too.

    Parameters
    ----------
    path : path
        Folder or .zip.
    loop : bool
        Start again at the end; timestamps continue.
    """

    live = False

    def __init__(self, path: Path, *, loop: bool = False) -> None:
        self._path, self._loop = path, loop
        self._recording: Recording | None = None
        self._entries: list[tuple[str, int]] = []
        self._damaged: set[str] = set()
        self._damage = ""  # what is wrong with the first of them
        self._position = 0
        self._index = 0
        self._lap_ns = 0

    def configure(self, wanted: Wanted) -> Delivered:
        """Read the index and the first picture. The pictures keep their recorded size."""
        del wanted
        self._recording = Recording(self._path)
        self._entries = self._recording.entries
        first = next((p for name, _ in self._entries if (p := self._picture(name)) is not None), None)
        if first is None:
            raise SourceError(self._damage)
        count = len(self._entries)
        span_s = (self._entries[-1][1] - self._entries[0][1]) / 1e9
        fps = (count - 1) / span_s if span_s > 0 else 0.0
        height, width = first.shape[:2]
        return Delivered(width=width, height=height, fps=fps, frames=count, what=f"recording {self._path}")

    def start(self) -> None:
        """Start with the first frame."""
        self._position = self._index = self._lap_ns = 0

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame that can be decoded; None at the end."""
        del timeout_s
        skipped = 0
        while True:
            if self._position == len(self._entries) and not self._begins_again():
                return None
            name, stamp = self._entries[self._position]
            self._position += 1
            image = self._picture(name)
            if image is not None:
                break
            skipped += 1
        index, self._index = self._index, self._index + 1
        return Frame(
            image=image,
            index=index,
            timestamp_ns=stamp + self._lap_ns,
            taken_ns=time.monotonic_ns(),
            name=name,
            undecodable=skipped,
        )

    def stop(self) -> None:
        """Close the .zip."""
        if self._recording is not None:
            self._recording.close()

    def _picture(self, name: str) -> Image | None:
        """Return a picture; None, and a line in the log for the first, if it cannot be decoded."""
        assert self._recording is not None
        try:
            return self._recording.picture(name)
        except InputError as err:
            if not self._damaged:
                self._damage = str(err)
                log.warning("passed over, and further ones are counted: %s", err)
            self._damaged.add(name)
            return None

    def _begins_again(self) -> bool:
        """Rewind a loop; return False at the end. Raises if frames could not be decoded."""
        if self._loop and self._index:
            self._lap_ns += self._lap_length_ns()
            self._position = 0
            return True
        if self._damaged:
            raise SourceError(
                f"{self._path}: {len(self._damaged)} of {len(self._entries)} frames could not be decoded; all others "
                f"were played; the first: {self._damage}"
            )
        return False

    def _lap_length_ns(self) -> int:
        """Duration from the first frame to the end of the last one."""
        span = self._entries[-1][1] - self._entries[0][1]
        return span + (span // (len(self._entries) - 1) if len(self._entries) > 1 else 100_000_000)
