"""Video files, read with OpenCV: every frame, upright, with the file's own times."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path

import numpy as np

from rpi_runtime.capture.container import missing_bytes
from rpi_runtime.capture.opencv import Capture
from rpi_runtime.capture.source import Delivered, Wanted
from rpi_runtime.errors import SourceError
from rpi_runtime.masking import mask
from rpi_runtime.names import PlainPath
from rpi_runtime.poses import Frame, Image

_ADDRESS = re.compile(r"(?i)[a-z]{2,6}:?/|rts?p|https?|.*@")
_END_FAILURES = 500  # in a row, of a film that has ended: damage of a few megabytes has fewer
_USUAL_FPS = 25.0  # of a file that does not say


class FilmSource:
    """One video file.

    The number of frames in a container's header is often wrong (a cut without encoding, a variable rate), so the file
    ends where no frame follows. A file that is shorter than its container states raises `SourceError` after its frames;
    so does a file without a decodable frame.

    Parameters
    ----------
    path : path
    loop : bool
        Start again at the end; timestamps continue.
    """

    live = False

    def __init__(self, path: Path, *, loop: bool = False) -> None:
        self._path, self._loop = path, loop
        self._name = mask(str(path))  # it may be a stream's address, mistyped
        self._capture: Capture | None = None
        self._opened: PlainPath | None = None
        self._turns = 0
        self._interval_ns = round(1e9 / _USUAL_FPS)
        self._index = 0
        self._lap_index = 0
        self._lap_ns = 0
        self._last_ns = -1

    def configure(self, wanted: Wanted) -> Delivered:
        """Open the file and read its properties."""
        del wanted
        if not self._path.is_file():
            hint = "; a stream's address begins with rtsp:// or http://" if _ADDRESS.match(self._name) else ""
            raise SourceError(f"{self._name}: no such video file{hint}")
        capture = self._capture = Capture()
        self._opened = PlainPath(self._path)
        self._open(capture)
        cv2 = capture.cv2
        fps = capture.get(cv2.CAP_PROP_FPS)
        fps = fps if math.isfinite(fps) and 0 < fps <= 1000 else _USUAL_FPS
        self._interval_ns = round(1e9 / fps)
        self._turns = round(capture.get(cv2.CAP_PROP_ORIENTATION_META) / 90) % 4
        width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if self._turns % 2:
            width, height = height, width
        announced = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        frames = int(announced) if 0 < announced < 1e9 and not self._loop else 0
        return Delivered(
            width=int(width), height=int(height), fps=fps, frames=frames, what=f"video {self._name}"
        )

    def start(self) -> None:
        """Do nothing, because the file is open."""

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame that can be decoded; None at the end."""
        del timeout_s
        assert self._capture is not None
        before = self._capture.undecodable
        while True:
            image = self._next(self._capture)
            if image is not None:
                break
            if not self._begins_again(self._capture):
                return None
        index, self._index = self._index, self._index + 1
        return Frame(
            image=image,
            index=index,
            timestamp_ns=self._last_ns,
            taken_ns=time.monotonic_ns(),
            undecodable=self._capture.undecodable - before,
        )

    def stop(self) -> None:
        """Close the file."""
        if self._capture is not None:
            self._capture.release()
        if self._opened is not None:
            self._opened.close()

    def _open(self, capture: Capture) -> None:
        cv2 = capture.cv2
        if not capture.open(str(self._opened), cv2.CAP_FFMPEG):
            raise SourceError(
                f"{self._name}: cannot be opened as a video; check that it plays elsewhere; a download that was "
                "cut short does not open"
            )
        # OpenCV's versions differ in their default, so frames are rotated here
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)

    def _next(self, capture: Capture) -> Image | None:
        """Return the next decodable frame of this pass, upright, or None, and set its time."""
        while capture.grab(_END_FAILURES):
            position_ms = capture.get(capture.cv2.CAP_PROP_POS_MSEC)
            image = capture.retrieve()
            stamp_ns = self._lap_ns + (round(position_ms * 1e6) if 0 <= position_ms < 1e12 else 0)
            if stamp_ns <= self._last_ns:  # a file without times, or one that goes back
                stamp_ns = self._last_ns + self._interval_ns if self._last_ns >= 0 else 0
            self._last_ns = stamp_ns
            if image is not None:
                self._lap_index += 1
                # OpenCV's angle is clockwise, NumPy's is counter-clockwise
                return np.ascontiguousarray(np.rot90(image, -self._turns)) if self._turns else image
        return None

    def _begins_again(self, capture: Capture) -> bool:
        """Rewind a loop; return False at the end. Raises if the file was cut short."""
        if not self._loop and (missing := missing_bytes(self._path)):
            raise SourceError(
                f"{self._name}: ended after {self._index} frames; the file is cut short: {missing} bytes of what "
                "it says it holds are missing; all frames up to there were processed"
            )
        if not self._lap_index:
            if not self._index:
                raise SourceError(
                    f"{self._name}: none of its frames can be decoded; check that it plays elsewhere"
                )
            return False
        if not self._loop:
            return False
        self._lap_ns = self._last_ns + self._interval_ns
        self._lap_index = 0
        self._open(capture)
        return True
