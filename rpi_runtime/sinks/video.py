"""An annotated video file, by OpenCV."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rpi_runtime.errors import OutputError, UsageError
from rpi_runtime.optional import load
from rpi_runtime.sinks.draw import draw_people
from rpi_runtime.sinks.sink import About, Result

_CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
_RESERVE_BYTES = 8_000_000  # what a container needs to be finished properly, with room to spare
_LONGEST_GAP_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoOptions:
    """Options of the sink ``video``.

    Attributes
    ----------
    target : str
        File ending in .mp4, .m4v, .mkv or .avi.
    fps : float
        Rate of the file; 0 takes the source's, or 10 when that is unknown.
    """

    target: str
    fps: float = 0.0

    def __post_init__(self) -> None:
        if Path(self.target).suffix.lower() not in _CODECS:
            raise UsageError(f"target: got {self.target!r}, expected a file ending in {', '.join(_CODECS)}")
        if not 0 <= self.fps <= 240:
            raise UsageError(f"fps: got {self.fps:g}, expected 0 to 240")


class VideoSink:
    """Writes at a constant rate: a frame stays as long as its timestamps say, dropped ones leave no hole.

    OpenCV's writer does not report a full disk, so the free space is looked at, and the file is finished
    while there is room for it.
    """

    backlog = 8
    wants_image = True

    def __init__(self, options: VideoOptions) -> None:
        self.name = f"video:{options.target}"
        self._options, self._path = options, Path(options.target)
        self._about: About | None = None
        self._writer: Any = None
        self._size = (0, 0)
        self._fps = 0.0
        self._first_ns = 0
        self._frames = 0
        self._is_new = False

    def start(self, about: About) -> None:
        """Check that the file can be written; it is opened with the first picture, which gives its size."""
        load("cv2", "video files")
        self._about = about
        self._is_new = not self._path.exists()
        try:
            self._path.open("ab").close()  # a former file stays as it is until there is a picture
        except OSError as err:
            raise OutputError(
                f"{self._path}: cannot be written ({err.strerror}); choose another place"
            ) from err

    def write(self, result: Result) -> None:
        """Draw the people and append the picture, once or as often as the constant rate needs it."""
        assert self._about is not None and result.image is not None
        if self._frames % 30 == 0 and shutil.disk_usage(self._path.parent).free < _RESERVE_BYTES:
            raise OutputError(f"{self.name}: the disk is full; the file is complete up to here")
        picture = draw_people(result.image, result.tracks, self._about.skeleton)
        if self._writer is None:
            self._open(result)
        if (result.width, result.height) != self._size:
            picture = load("cv2", "video files").resize(picture, self._size)
        for _ in range(self._repeats(result.timestamp_ns)):
            self._writer.write(picture)
            self._frames += 1

    def stop(self) -> None:
        """Finish the file; one without frames is removed."""
        if self._writer is not None:
            self._writer.release()
        elif self._is_new:
            self._path.unlink(missing_ok=True)

    def _open(self, result: Result) -> None:
        cv2 = load("cv2", "video files")
        codec = cv2.VideoWriter.fourcc(*_CODECS[self._path.suffix.lower()])
        self._fps = self._options.fps or result.fps or 10.0
        self._size = (result.width, result.height)
        self._first_ns = result.timestamp_ns
        self._writer = cv2.VideoWriter(str(self._path), codec, self._fps, self._size)
        if not self._writer.isOpened():
            raise OutputError(f"{self.name}: OpenCV cannot write this format; try a file ending in .avi")

    def _repeats(self, timestamp_ns: int) -> int:
        """How often to write a picture so that the file is as long as the run; a long gap is cut short."""
        due = math.floor((timestamp_ns - self._first_ns) * self._fps / 1e9 + 0.25) + 1  # 0.25: rounded times
        most = max(1, round(_LONGEST_GAP_S * self._fps))
        if due - self._frames > most:
            self._first_ns += round((due - self._frames - 1) * 1e9 / self._fps)
            return 1
        return max(due - self._frames, 0)
