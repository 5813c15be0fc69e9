"""Timestamps that always increase, even if those of a driver or container do not."""

from __future__ import annotations

import logging
from dataclasses import replace

from rpi_runtime.poses import Frame

log = logging.getLogger(__name__)
_STEP_NS = 1_000_000  # two frames that arrive at once
_INTERVAL_NS = 40_000_000  # of a recording whose second time goes back already


class Steady:
    """Gives each frame a `timestamp_ns` later than the one before.

    After the driver's times of a live source have gone back once, its frames get their times of arrival, which are
    late by the transfer but never wrong. A recording continues with its usual interval. Trackers divide by the time
    between two frames, so a tiny step would do as much harm as a step back.
    """

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._usual_ns = _INTERVAL_NS
        self._distrusted = self._said = False

    def frame(self, frame: Frame, *, live: bool, arrived_ns: int) -> Frame:
        """Return the frame, with another time if its own does not follow that of the last frame.

        Parameters
        ----------
        frame : Frame
        live : bool
        arrived_ns : int
            Time of arrival on `time.monotonic_ns`.
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
