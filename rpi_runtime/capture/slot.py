"""The slot between the reader's thread and the pipeline's: at most one frame.

Live sources overwrite a frame that was not taken, so that the newest wins. Recordings wait until it is taken, so that
no frame is lost and none accumulates.
"""

from __future__ import annotations

import threading

from rpi_runtime.poses import Frame


class Slot:
    """Holds at most one frame, between one thread that puts and one that takes.

    Parameters
    ----------
    lossless : bool
        Whether to wait for the taker instead of overwriting.

    Attributes
    ----------
    dropped : int
        Number of frames that were overwritten before they were taken.
    ended : bool
        Whether no further frame will be put. The one inside can still be taken.
    """

    def __init__(self, *, lossless: bool) -> None:
        self.lossless = lossless
        self.dropped = 0
        self.ended = False
        self._closed = False
        self._frame: Frame | None = None
        self._changed = threading.Condition()

    def put(self, frame: Frame) -> bool:
        """Hand over a frame. Return False if the taker has left; then the frame has been given back."""
        with self._changed:
            while self.lossless and self._frame is not None and not self._closed:
                self._changed.wait()
            stale: Frame | None = frame
            taken = not self._closed
            if taken:
                stale, self._frame = self._frame, frame
                self.dropped += stale is not None
                self._changed.notify_all()
        if stale is not None:
            stale.done()
        return taken

    def take(self, timeout_s: float) -> Frame | None:
        """Return the frame, waiting for it up to `timeout_s`; None if none arrives."""
        with self._changed:
            if self._frame is None and not self.ended and timeout_s > 0:
                self._changed.wait(timeout_s)
            frame, self._frame = self._frame, None
            if frame is not None:
                self._changed.notify_all()
            return frame

    def end(self) -> None:
        """Announce that no frame follows."""
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Stop taking frames: wake a waiting `put`, and give back the frame inside."""
        with self._changed:
            self._closed = True
            frame, self._frame = self._frame, None
            self._changed.notify_all()
        if frame is not None:
            frame.done()
