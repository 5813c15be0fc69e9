"""An annotated video file, written with OpenCV beside its place, and renamed when it is whole."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rpi_runtime.errors import OutputError, UsageError
from rpi_runtime.model.card import Skeleton
from rpi_runtime.names import PlainPath
from rpi_runtime.optional import load
from rpi_runtime.sinks.beside import Beside
from rpi_runtime.sinks.draw import draw_people
from rpi_runtime.sinks.sink import About, Result

CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
_RESERVE_BYTES = 8_000_000  # more than a container needs to be finished properly
_LONGEST_GAP_S = 2.0
_LOOK_EVERY = 30  # frames, at the free space


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoOptions:
    """Options of the sink ``video``.

    Attributes
    ----------
    target : str
        File ending in .mp4, .m4v, .mkv or .avi.
    fps : float
        Rate of the file; 0 takes the source's rate, or 10 if that is unknown.
    """

    target: str
    fps: float = 0.0

    def __post_init__(self) -> None:
        if Path(self.target).suffix.lower() not in CODECS:
            raise UsageError(
                f"got {self.target!r}, expected a file ending in {', '.join(CODECS)}", key="target"
            )
        if not 0 <= self.fps <= 240:
            raise UsageError(f"got {self.fps:g}, expected 0 to 240", key="fps")


class VideoSink:
    """Annotated video files. After a full disk the next is ``out-2.mp4``, because a finished file is never changed."""

    backlog = 8

    def __init__(self, options: VideoOptions) -> None:
        self.name = f"video:{options.target}"
        self._options, self._path = options, Path(options.target)
        self._begun: list[Film] = []

    def open(self, about: About) -> Film:
        """Check that the file can be written. It is opened with the first picture, which determines its size."""
        load("cv2", "video files")
        path = self._path
        number = sum(film.frames > 0 for film in self._begun) + 1
        while number > 1 and (path == self._path or path.exists()):
            path = self._path.with_stem(f"{self._path.stem}-{number}")
            number += 1
        film = Film(path, self.name, self._options.fps, about.skeleton)
        self._begun = [f for f in self._begun if f.frames] + [film]
        return film


class Film:
    """Writes at a constant rate: a frame is repeated for as long as its timestamps require, also across dropped frames.

    OpenCV's writer does not report a full disk. Therefore the free space is checked, and the file is finished while
    there is room.

    Attributes
    ----------
    frames : int
        Number of frames written so far.
    """

    wants_image = True
    trouble = ""

    def __init__(self, path: Path, name: str, fps: float, skeleton: Skeleton) -> None:
        self.frames = 0
        self._path, self._name, self._fps, self._skeleton = path, name, fps, skeleton
        self._plain: PlainPath | None = None
        self._writer: Any = None
        self._size = (0, 0)
        self._first_ns = 0
        self._beside = Beside(path)
        if not self._has_room():
            self.close()
            raise OutputError(f"{name}: the disk is full; free some space")

    def write(self, result: Result) -> None:
        """Draw the people and append the picture as often as the constant rate requires."""
        if result.image is None:  # from before the file was open
            return
        if self.frames % _LOOK_EVERY == 0 and not self._has_room():
            raise OutputError(f"{self._name}: the disk is full; the file is complete up to here")
        picture = draw_people(result.image, result.tracks, self._skeleton)
        if self._writer is None:
            self._begin(result)
        if (result.width, result.height) != self._size:
            picture = load("cv2", "video files").resize(picture, self._size)
        for _ in range(self._repeats(result.timestamp_ns)):
            self._writer.write(picture)
            self.frames += 1

    def close(self) -> None:
        """Finish the file and give it its name; a file without frames is removed."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None
        self._beside.close(keep=self.frames > 0)
        if self._plain is not None:
            self._plain.close()

    def _has_room(self) -> bool:
        return shutil.disk_usage(self._path.parent).free >= _RESERVE_BYTES

    def _begin(self, result: Result) -> None:
        cv2 = load("cv2", "video files")
        codec = cv2.VideoWriter.fourcc(*CODECS[self._path.suffix.lower()])
        self._fps = self._fps or (result.fps if math.isfinite(result.fps) else 0.0) or 10.0
        self._size = (result.width, result.height)
        self._first_ns = result.timestamp_ns
        self._plain = PlainPath(self._beside.path)
        # FFmpeg, and OpenCV's own writer for .avi where there is no FFmpeg: others take some names for patterns
        for backend in (cv2.CAP_FFMPEG, cv2.CAP_OPENCV_MJPEG):
            self._writer = cv2.VideoWriter(str(self._plain), backend, codec, self._fps, self._size)
            if self._writer.isOpened():
                return
        raise OutputError(f"{self._name}: OpenCV cannot write this format; try a file ending in .avi")

    def _repeats(self, timestamp_ns: int) -> int:
        """Return how often to write a picture so that the file lasts as long as the run; a long gap is shortened."""
        due = math.floor((timestamp_ns - self._first_ns) * self._fps / 1e9 + 0.25) + 1  # 0.25: rounded times
        most = max(1, round(_LONGEST_GAP_S * self._fps))
        if due - self.frames > most:
            self._first_ns += round((due - self.frames - 1) * 1e9 / self._fps)
            return 1
        return max(due - self.frames, 0)
