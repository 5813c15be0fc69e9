"""Hold back a stream that is faster than its own time, such as a file behind a URL or the segments of HLS."""

from __future__ import annotations

import time
from collections.abc import Callable

_LATE_S = 5.0  # if it is this far behind, the stream's clock is reset: the network paused, or the time jumped
_LONGEST_S = 10.0  # of one wait; a larger jump in time is skipped


class Ahead:
    """Waits until a frame is due by the stream's own time.

    Parameters
    ----------
    clock : callable
        Returns monotonic seconds.
    sleep : callable
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._offset_s: float | None = None

    def wait(self, position_ms: float) -> int:
        """Wait until the frame at `position_ms` of the stream is due; return that time in nanoseconds of the clock."""
        now = self._clock()
        if self._offset_s is None:
            self._offset_s = now - position_ms / 1e3
        early = position_ms / 1e3 + self._offset_s - now
        if not -_LATE_S <= early <= _LONGEST_S:
            self._offset_s = now - position_ms / 1e3
        elif early > 0:
            self._sleep(early)
        return int(self._clock() * 1e9)
