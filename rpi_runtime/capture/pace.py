"""Playback of a recording at its original speed."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from rpi_runtime.poses import Frame

log = logging.getLogger(__name__)

LONGEST_GAP_S = 60.0  # a clock that was set while something was recorded leaves gaps of years


class Pace:
    """Determines when each frame is due: the first at once, the others at the intervals of their timestamps.

    An interval longer than `LONGEST_GAP_S` is cut down to that. The frames keep their timestamps.
    """

    def __init__(self) -> None:
        self._offset_ns: int | None = None
        self._last_ns = 0

    def due(self, frame: Frame) -> Frame:
        """Return the frame with `taken_ns` set to the time, on `time.monotonic_ns`, at which it is due."""
        if self._offset_ns is None:
            self._offset_ns = time.monotonic_ns() - frame.timestamp_ns
            self._last_ns = frame.timestamp_ns
        gap_ns = frame.timestamp_ns - self._last_ns
        if gap_ns > LONGEST_GAP_S * 1e9:
            self._offset_ns -= gap_ns - round(LONGEST_GAP_S * 1e9)
            log.info("a gap of %.0f s in the source's times is played as %.0f s", gap_ns / 1e9, LONGEST_GAP_S)
        self._last_ns = frame.timestamp_ns
        return replace(frame, taken_ns=frame.timestamp_ns + self._offset_ns)
