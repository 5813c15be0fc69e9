"""V4L2 and USB cameras and streams (RTSP, HTTP), read with OpenCV; `Capture` also opens the video files of `film`."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rpi_runtime.capture.ahead import Ahead
from rpi_runtime.capture.devices import Device, describe_users
from rpi_runtime.capture.source import Delivered, StalledError, UndecodableError, Wanted
from rpi_runtime.errors import SourceError
from rpi_runtime.masking import mask_address
from rpi_runtime.optional import load
from rpi_runtime.poses import Frame, Image

_PURPOSE = "cameras, streams and video files"
_OPEN_MS, _READ_MS = 8000, 4000  # of a stream; the feed has its own limits
_END_FAILURES, _AT_ONCE_S = 8, 0.01  # in a row and each at once, of a stream that has ended


class Capture:
    """One `cv2.VideoCapture`, which skips and counts frames that cannot be decoded.

    Attributes
    ----------
    cv2 : module
    undecodable : int
        Number of frames that arrived and could not be decoded.
    """

    def __init__(self) -> None:
        # none of FFmpeg's messages: this file reports what matters, and OpenCV prints them on standard output, where
        # the JSON lines may go
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        self.cv2: Any = load("cv2", _PURPOSE)
        _quieten(self.cv2)
        self.undecodable = 0
        self._capture: Any = None
        self._compressed = False

    def open(self, target: int | str, backend: int, options: Sequence[int] = ()) -> bool:
        """Open a device, URL or file; return False if OpenCV cannot."""
        if isinstance(target, str) and not _is_utf8(target):
            return False  # OpenCV would crash: it converts the name without a check
        self.release()
        self._capture = self.cv2.VideoCapture(target, backend, list(options))
        return bool(self._capture.isOpened())

    def get(self, key: int) -> float:
        """Return one of OpenCV's properties; 0 if it is not supported."""
        return float(self._capture.get(key))

    def set(self, key: int, value: float) -> None:
        """Request a property. `get` tells whether it was accepted."""
        self._capture.set(key, value)

    def grab(self, tries: int = 1) -> bool:
        """Wait for the next frame; return False at the end or if none arrives.

        FFmpeg's capture fails alike for a damaged frame and for the end, where each further try fails, too. With more
        than one try, damaged frames are passed over and counted.
        """
        for failures in range(tries):
            if self._capture.grab():
                self.undecodable += failures
                return True
        return False

    def decode_here(self) -> None:
        """Take a V4L2 camera's JPEG frames as they come and decode them in `retrieve`.

        Where OpenCV decodes them in its capture and one is damaged, it returns the frame before as if it were new.
        """
        if int(self.get(self.cv2.CAP_PROP_FOURCC)) in map(_code, ("MJPG", "JPEG")):
            self._compressed = bool(self._capture.set(self.cv2.CAP_PROP_CONVERT_RGB, 0))

    def retrieve(self) -> Image | None:
        """Return the grabbed frame, (H, W, 3) BGR; None if it cannot be decoded."""
        try:
            good, image = self._capture.retrieve()
            if good and image is not None and self._compressed and 1 in image.shape[:2]:
                image = self.cv2.imdecode(image.reshape(-1), self.cv2.IMREAD_COLOR)
        except self.cv2.error:  # for example an empty buffer after a USB transfer error
            good, image = False, None
        if not good or image is None or image.ndim != 3:
            self.undecodable += 1
            return None
        upright: Image = image
        return upright

    def release(self) -> None:
        """Close."""
        if self._capture is not None:
            self._capture.release()


class OpenCvSource:
    """A camera through V4L2, or a stream through FFmpeg.

    A frame that cannot be decoded is skipped and counted. The source counts as lost only when no frame arrives.

    Parameters
    ----------
    target : str
        ``0`` or ``/dev/video0`` for a camera, a URL for a stream.
    kind : {"camera", "stream"}
    fourcc : str
        Pixel format to request from a camera. Most USB cameras reach their full rate only with ``MJPG``.
    device : Device, optional
        Facts about the camera from earlier openings.
    patience_s : float
        Maximum time without a frame of a stream.

    Notes
    -----
    A URL may name a file or an HLS stream, whose frames arrive as fast as the network allows. These are read no
    faster than their own times, and the end of a file ends the source.
    """

    live = True

    def __init__(
        self,
        target: str,
        *,
        kind: Literal["camera", "stream"],
        fourcc: str = "MJPG",
        device: Device | None = None,
        patience_s: float = 3.0,
    ) -> None:
        self._target, self._kind, self._fourcc = target, kind, fourcc
        self._read_ms = max(_READ_MS, round(1000 * (patience_s + 1)))
        self._device = device if device is not None else Device(target)
        self._name = mask_address(target)
        self._capture: Capture | None = None
        self._ahead: Ahead | None = None
        self._frames = 0
        self._index = 0
        self._told = 0  # undecodable frames that a frame has counted

    def configure(self, wanted: Wanted) -> Delivered:
        """Open, request size, rate and pixel format from a camera, and read back what it set."""
        capture = self._capture = Capture()
        cv2 = capture.cv2
        if self._kind == "camera":
            self._open_camera(capture, wanted)
        else:
            self._open_stream(capture)
        return Delivered(
            width=int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            height=int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            fps=capture.get(cv2.CAP_PROP_FPS),
            frames=self._frames,
            what=f"{self._kind} {self._name}{self._read_back_fourcc(capture)}",
        )

    def start(self) -> None:
        """Do nothing, because OpenCV's captures run once they are open."""

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next decodable frame; None at the end of a file that a URL names."""
        assert self._capture is not None
        capture, begin = self._capture, time.monotonic()
        while True:
            if not self._grab(capture, timeout_s):
                self._check_end(time.monotonic() - begin, timeout_s)
                return None
            now_ns = time.monotonic_ns()
            image = capture.retrieve()
            if image is not None:
                break
            if time.monotonic() - begin >= timeout_s:
                raise self._undecodable(timeout_s)
        if self._ahead is not None:
            now_ns = self._ahead.wait(capture.get(capture.cv2.CAP_PROP_POS_MSEC))
        elif self._kind == "camera":
            now_ns = self._sensor_time(capture, now_ns)
        index, self._index = self._index, self._index + 1
        skipped, self._told = capture.undecodable - self._told, capture.undecodable
        return Frame(image=image, index=index, timestamp_ns=now_ns, taken_ns=now_ns, undecodable=skipped)

    def stop(self) -> None:
        """Close the device."""
        if self._capture is not None:
            self._capture.release()

    def _grab(self, capture: Capture, timeout_s: float) -> bool:
        """Wait for the next frame, passing over damaged ones of a stream; return False if none arrives."""
        begin = tried = time.monotonic()
        damaged = at_once = 0
        while at_once < _END_FAILURES:
            if capture.grab():
                capture.undecodable += damaged
                return True
            now = time.monotonic()
            if self._kind == "camera" or now - tried >= timeout_s:
                return False
            damaged += 1
            if now - begin >= timeout_s:
                capture.undecodable += damaged
                raise self._undecodable(timeout_s)
            at_once = at_once + 1 if now - tried < _AT_ONCE_S else 0
            time.sleep(_AT_ONCE_S if at_once else 0)
            tried = time.monotonic()
        return False

    def _undecodable(self, timeout_s: float) -> UndecodableError:
        return UndecodableError(f"{self._name}: none of the frames of {timeout_s:g} s can be decoded")

    def _open_camera(self, capture: Capture, wanted: Wanted) -> None:
        cv2 = capture.cv2
        path = self._device.find()
        if not capture.open(str(path), cv2.CAP_V4L2):
            raise SourceError(f"{self._name}: cannot be opened as a camera{_why_not(path)}")
        self._device.opened(path)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, not the one of three frames ago
        if self._fourcc:
            capture.set(cv2.CAP_PROP_FOURCC, _code(self._fourcc))
        for key, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, wanted.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, wanted.height),
            (cv2.CAP_PROP_FPS, wanted.fps),
        ):
            if value:
                capture.set(key, value)
        capture.decode_here()

    def _open_stream(self, capture: Capture) -> None:
        cv2 = capture.cv2
        options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, self._read_ms]
        if not capture.open(self._target, cv2.CAP_FFMPEG, options):
            raise SourceError(
                f"{self._name}: cannot be opened as a stream; check the address, the network and the password"
            )
        self._frames = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        is_list = self._target.split("?")[0].lower().endswith((".m3u8", ".m3u", ".mpd"))
        if self._frames or is_list:
            self._ahead = Ahead()

    def _read_back_fourcc(self, capture: Capture) -> str:
        if self._kind != "camera":
            return ""
        code = int(capture.get(capture.cv2.CAP_PROP_FOURCC))
        return ", " + "".join(chr(code >> shift & 0xFF) for shift in (0, 8, 16, 24)).strip("\0 ")

    def _sensor_time(self, capture: Capture, now_ns: int) -> int:
        """Return the driver's time of the buffer if it is on the monotonic clock (V4L2), otherwise the current time."""
        stamp_ns = int(capture.get(capture.cv2.CAP_PROP_POS_MSEC) * 1e6)
        return stamp_ns if 0 <= now_ns - stamp_ns < 5_000_000_000 else now_ns

    def _check_end(self, waited_s: float, timeout_s: float) -> None:
        """Raise for a missing frame, unless it is the end of a file that a URL names."""
        if self._frames and self._index:
            return
        if self._frames:
            raise SourceError(
                f"{self._name}: no frame of this file can be read over the network; download it and give the file (its "
                "index may be at its end, and the server not be able to begin there)"
            )
        what = StalledError if waited_s >= timeout_s else SourceError
        users = describe_users(self._device.find()) if self._kind == "camera" else ""
        users = users if users and "this very process" not in users else ""
        cause = f"it is in use by {users}" if users else f"the {self._kind} is gone or stalls"
        raise what(f"{self._name}: no frame after {waited_s:.1f} s; {cause}")


def _why_not(path: Path) -> str:
    """Return why a camera could not be opened and what to do, as the end of a message."""
    if users := describe_users(path):
        return f": it is in use by {users}; end that, or choose another camera"
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    except PermissionError:
        return '; this user may not: sudo usermod -aG video "$USER", then log out and in again'
    except OSError as err:
        if err.errno == errno.EBUSY:
            return "; a program of another user has it: `sudo fuser -v /dev/video*` names it"
    return "; list the cameras with `v4l2-ctl --list-devices`, and see that you are in group video"


def _code(fourcc: str) -> int:
    """Return a pixel format's four letters as V4L2's number (linux/videodev2.h, v4l2_fourcc)."""
    return int.from_bytes(fourcc.encode("latin-1"), "little")


def _quieten(cv2: Any) -> None:
    """Make OpenCV print errors only. Version 5.0 has the function in another place than version 4."""
    quieten = getattr(sys.modules.get("cv2.utils.logging", cv2), "setLogLevel", None)
    if quieten is not None:
        quieten(2)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
