"""Times that only go forward, whatever a driver or a container says."""

from __future__ import annotations

import logging
from dataclasses import replace

from rpi_runtime.poses import Frame

log = logging.getLogger(__name__)
_STEP_NS = 1_000_000  # two frames that arrive at once
_INTERVAL_NS = 40_000_000  # of a recording whose second time goes back already


class Steady:
    """Gives each frame a `timestamp_ns` later than the one before.

    A live source whose driver's times have gone back once gets the times at which its frames arrived, from then
    on: they are late by the transfer and never wrong. A recording goes on by its usual interval. Trackers divide
    by the time between two frames, so a tiny step would do as much harm as one backwards.
    """

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._usual_ns = _INTERVAL_NS
        self._distrusted = self._said = False

    def frame(self, frame: Frame, *, live: bool, arrived_ns: int) -> Frame:
        """Return the frame, with another time where its own does not follow the last one.

        Parameters
        ----------
        frame : Frame
        live : bool
        arrived_ns : int
            When it came, on `time.monotonic_ns`.
        """
        last, stamp = self._last_ns, frame.timestamp_ns
        if last is not None and stamp <= last and not self._said:
            self._said, self._distrusted = True, live
            what = "the times when its frames arrive" if live else "its usual interval"
            log.info(
                "the source's times go back (by %.1f ms); from now on %s count", (last - stamp) / 1e6, what
            )
        if self._distrusted:
            stamp = arrived_ns
        if last is not None and stamp <= last:
            stamp = last + (_STEP_NS if live else self._usual_ns)
        elif last is not None:
            self._usual_ns = stamp - last
        self._last_ns = stamp
        if stamp == frame.timestamp_ns:
            return frame
        return replace(frame, timestamp_ns=stamp, taken_ns=stamp if live else frame.taken_ns)
