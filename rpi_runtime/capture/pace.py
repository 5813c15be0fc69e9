"""Playback of a recording at its original speed."""

from __future__ import annotations

import time
from dataclasses import replace

from rpi_runtime.poses import Frame


class Pace:
    """Determines when each frame is due: the first at once, the others at the intervals of their timestamps."""

    def __init__(self) -> None:
        self._offset_ns: int | None = None

    def due(self, frame: Frame) -> Frame:
        """Return the frame with `taken_ns` set to the time, on `time.monotonic_ns`, at which it is due."""
        if self._offset_ns is None:
            self._offset_ns = time.monotonic_ns() - frame.timestamp_ns
        return replace(frame, taken_ns=frame.timestamp_ns + self._offset_ns)
