"""A recording played at the speed at which it was recorded."""

from __future__ import annotations

import time
from dataclasses import replace

from rpi_runtime.poses import Frame


class Pace:
    """Says when each frame is due: the first at once, the others as far apart as their timestamps."""

    def __init__(self) -> None:
        self._offset_ns: int | None = None

    def due(self, frame: Frame) -> Frame:
        """Return the frame with `taken_ns` set to the moment, on `time.monotonic_ns`, at which it is due."""
        if self._offset_ns is None:
            self._offset_ns = time.monotonic_ns() - frame.timestamp_ns
        return replace(frame, taken_ns=frame.timestamp_ns + self._offset_ns)
