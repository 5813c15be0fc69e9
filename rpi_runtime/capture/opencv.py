"""V4L2 and USB cameras, streams (RTSP, HTTP) and video files, by OpenCV."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from rpi_runtime.capture.source import Delivered, StalledError, Wanted
from rpi_runtime.errors import SourceError
from rpi_runtime.optional import load
from rpi_runtime.poses import Frame

_PURPOSE = "cameras, streams and video files"


def redact(target: str) -> str:
    """Return a URL without its user name and password, for logs."""
    return re.sub(r"(://)[^/@]*@", r"\1", target)


class OpenCvSource:
    """One `cv2.VideoCapture`.

    OpenCV cannot tell the end of a file from damage, so a file that ends well before its own count of frames
    is a `SourceError`; its frames up to there were delivered.

    Parameters
    ----------
    target : str
        ``0`` or ``/dev/video0`` for a camera, a URL for a stream, a path for a video file.
    kind : {"camera", "stream", "video"}
    fourcc : str
        Pixel format to ask a camera for; most USB cameras reach their full rate only with ``MJPG``.
    loop : bool
        Begin a video file again at its end; timestamps go on.
    """

    def __init__(self, target: str, *, kind: str, fourcc: str = "MJPG", loop: bool = False) -> None:
        self.live = kind != "video"
        self._target, self._kind, self._fourcc, self._loop = target, kind, fourcc, loop
        self._cv2: Any = None
        self._capture: Any = None
        self._fps = 0.0
        self._frames = 0
        self._index = 0
        self._lap = 0

    def configure(self, wanted: Wanted) -> Delivered:
        """Open, ask a camera for size, rate and pixel format, and read back what it set."""
        if self._kind == "video" and not Path(self._target).is_file():
            raise SourceError(f"{self._target}: no such video file")
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "8")  # fatal only: what matters is said here
        self._cv2 = load("cv2", _PURPOSE)
        _quieten(self._cv2)
        self._open()
        get = self._capture.get
        if self._kind == "camera":
            self._ask(wanted)
        elif self._kind == "video":
            self._fps = get(self._cv2.CAP_PROP_FPS) or 25.0
            self._frames = max(int(get(self._cv2.CAP_PROP_FRAME_COUNT)), 0)
        return Delivered(
            width=int(get(self._cv2.CAP_PROP_FRAME_WIDTH)),
            height=int(get(self._cv2.CAP_PROP_FRAME_HEIGHT)),
            fps=get(self._cv2.CAP_PROP_FPS),
            frames=0 if self._loop else self._frames,
            what=f"{self._kind} {redact(self._target)}{self._read_back_fourcc()}",
        )

    def start(self) -> None:
        """Nothing to do: OpenCV's captures run when they are open."""

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame; None at the end of a video file."""
        begin = time.monotonic()
        if not self._capture.grab():
            return self._at_end(time.monotonic() - begin, timeout_s)
        now = time.monotonic_ns()
        good, image = self._capture.retrieve()
        if not good:
            raise SourceError(f"{redact(self._target)}: frame {self._index} cannot be decoded")
        index = self._index
        self._index += 1
        if self.live:
            now = self._sensor_time(now)
        stamp = now if self.live else round((self._lap + index) * 1e9 / self._fps)
        return Frame(image=image, index=self._lap + index, timestamp_ns=stamp, taken_ns=now)

    def stop(self) -> None:
        """Close the device or file."""
        if self._capture is not None:
            self._capture.release()

    def _open(self) -> None:
        cv2 = self._cv2
        target: int | str = self._target
        backend, options = cv2.CAP_FFMPEG, []
        if self._kind == "camera":
            backend = cv2.CAP_V4L2
            target = int(self._target) if self._target.isdigit() else self._target
        elif self._kind == "stream":
            options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 8000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, 4000]
        self._capture = cv2.VideoCapture(target, backend, options)
        if not self._capture.isOpened():
            raise SourceError(f"{redact(self._target)}: cannot be opened as a {self._kind}; {self._remedy()}")

    def _remedy(self) -> str:
        return {
            "camera": "list the cameras with `v4l2-ctl --list-devices`, and see that you are in group video",
            "stream": "check the address, the network and the password",
            "video": "check that it plays elsewhere; a download that was cut short does not open",
        }[self._kind]

    def _ask(self, wanted: Wanted) -> None:
        cv2 = self._cv2
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, not the one of three frames ago
        if self._fourcc:
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*self._fourcc))
        for key, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, wanted.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, wanted.height),
            (cv2.CAP_PROP_FPS, wanted.fps),
        ):
            if value:
                self._capture.set(key, value)

    def _read_back_fourcc(self) -> str:
        if self._kind != "camera":
            return ""
        code = int(self._capture.get(self._cv2.CAP_PROP_FOURCC))
        return ", " + "".join(chr(code >> shift & 0xFF) for shift in (0, 8, 16, 24)).strip("\0 ")

    def _sensor_time(self, now_ns: int) -> int:
        """The driver's time of the buffer where it gives one on the monotonic clock (V4L2), otherwise now."""
        stamp_ns = int(self._capture.get(self._cv2.CAP_PROP_POS_MSEC) * 1e6)
        return stamp_ns if self._kind == "camera" and 0 <= now_ns - stamp_ns < 5_000_000_000 else now_ns

    def _at_end(self, waited_s: float, timeout_s: float) -> Frame | None:
        """What a refused frame means: a lost camera, a damaged file, or the end."""
        if self.live:
            what = StalledError if waited_s >= timeout_s else SourceError
            raise what(
                f"{redact(self._target)}: no frame after {waited_s:.1f} s; the {self._kind} is gone or stalls"
            )
        missing = self._frames - self._index
        if missing > max(1, self._frames // 100):
            raise SourceError(
                f"{self._target}: ended after {self._index} of {self._frames} frames; the file is damaged "
                "or cut short; all frames up to there were processed"
            )
        if not self._loop or self._index == 0:
            return None
        self._lap += self._index
        self._index = 0
        self._capture.release()
        self._open()
        return self.read(timeout_s)


def _quieten(cv2: Any) -> None:
    """Have OpenCV print errors only; version 5.0 keeps the function elsewhere than version 4."""
    quieten = getattr(sys.modules.get("cv2.utils.logging", cv2), "setLogLevel", None)
    if quieten is not None:
        quieten(2)
