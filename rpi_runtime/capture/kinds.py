"""Sources by name, as users write them: ``picamera``, ``camera:0``, ``walk.mp4``, ``replay:walk.zip``.

A source is ``KIND:TARGET,key=value,...``. The kind may be omitted if the target implies it: a folder or a
picture, a .zip, a URL, a device, a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rpi_runtime.capture.pictures import SUFFIXES
from rpi_runtime.capture.source import Source
from rpi_runtime.errors import UsageError
from rpi_runtime.suggest import did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """The source of pictures; the table ``[source]`` of a configuration file.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    target : str
        Camera number, device, URL, file or folder.
    width, height : int
        Pixels to request from a camera; 0: the network's own size, or 640x480 if a sink shows the picture.
    fps : float
        Rate to request from a camera, 0: `max_fps` or the camera's default. For a folder of images, the rate of
        their timestamps, 0: 10.
    fourcc : str
        Pixel format to request from a V4L2 or USB camera.
    loop : bool
        Whether to start a file, folder or recording again at its end.
    pace : {"auto", "free", "recorded"}
        How a recording is played. ``free``: as fast as it can be processed, without skipping a frame.
        ``recorded``: at its own speed, like a camera; the newest frame wins. ``auto``: ``recorded`` for
        replay, otherwise ``free``.
    open_s, stall_s : float
        Maximum seconds to the first frame and between two frames, after which the source counts as lost.
    retry_at_start : bool
        Whether to keep trying if a camera cannot be opened at the start, instead of ending with an error.
    """

    kind: str
    target: str = ""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    fourcc: str = "MJPG"
    loop: bool = False
    pace: Literal["auto", "free", "recorded"] = "auto"
    open_s: float = 10.0
    stall_s: float = 3.0
    retry_at_start: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"unknown kind {self.kind!r}", remedy=did_you_mean(self.kind, KINDS), key="kind")
        if self.kind != "picamera" and not self.target:
            raise UsageError(f"{self.kind} needs one, as in {EXAMPLES[self.kind]}", key="target")
        if self.kind == "picamera" and not (self.target or "0").isdigit():
            raise UsageError(
                f"got {self.target!r}, expected a camera's number, as in picamera:0", key="target"
            )
        for name in ("width", "height", "fps"):
            if getattr(self, name) < 0:
                raise UsageError(f"got {getattr(self, name):g}, expected at least 0", key=name)
        for name in ("open_s", "stall_s"):
            if getattr(self, name) <= 0:
                raise UsageError(f"got {getattr(self, name):g}, expected more than 0", key=name)
        if self.fourcc and not (len(self.fourcc) == 4 and self.fourcc.isascii()):
            raise UsageError(
                f"got {self.fourcc!r}, expected four characters, as in MJPG or YUYV", key="fourcc"
            )

    @property
    def live(self) -> bool:
        """Whether pictures arrive in real time, as from a camera."""
        return self.kind in ("picamera", "camera", "stream")

    @property
    def paced(self) -> bool:
        """Whether a recording is played at its own speed."""
        return not self.live and (self.pace == "recorded" or (self.pace == "auto" and self.kind == "replay"))

    def make(self) -> Source:
        """Return a new source that is not open yet."""
        return self.maker()()

    def maker(self) -> Callable[[], Source]:
        """Return a function that makes new sources. Each one shares what the earlier ones have learnt of the device."""
        return KINDS[self.kind](self)


EXAMPLES: Mapping[str, str] = {
    "picamera": "picamera or picamera:1",
    "camera": "camera:/dev/video0",
    "stream": "stream:rtsp://192.168.1.7/live",
    "video": "video:walk.mp4",
    "images": "images:photos/",
    "replay": "replay:walk.zip",
}


def guess_kind(target: str) -> str:
    """Return the kind of source that a target without a kind implies."""
    path = Path(target)
    if target.isdigit() or target.startswith("/dev/"):
        return "camera"
    if "://" in target:
        return "stream"
    if path.suffix.lower() == ".zip" or (path / "frames.jsonl").is_file():
        return "replay"
    if path.is_dir() or path.suffix.lower() in SUFFIXES:
        return "images"
    return "video"


def _picamera(config: SourceConfig) -> Callable[[], Source]:
    from rpi_runtime.capture.picamera import PicameraSource

    return lambda: PicameraSource(int(config.target or "0"))


def _camera(config: SourceConfig) -> Callable[[], Source]:
    from rpi_runtime.capture.devices import Device
    from rpi_runtime.capture.opencv import OpenCvSource

    device = Device(config.target)
    return lambda: OpenCvSource(config.target, kind="camera", fourcc=config.fourcc, device=device)


def _stream(config: SourceConfig) -> Callable[[], Source]:
    from rpi_runtime.capture.opencv import OpenCvSource

    return lambda: OpenCvSource(config.target, kind="stream", patience_s=config.stall_s)


def _film(config: SourceConfig) -> Callable[[], Source]:
    from rpi_runtime.capture.film import FilmSource

    return lambda: FilmSource(Path(config.target), loop=config.loop)


def _images(config: SourceConfig) -> Callable[[], Source]:
    from rpi_runtime.capture.images import ImagesSource

    return lambda: ImagesSource(Path(config.target), fps=config.fps or 10.0, loop=config.loop)


def _replay(config: SourceConfig) -> Callable[[], Source]:
    from rpi_runtime.capture.replay import ReplaySource

    return lambda: ReplaySource(Path(config.target), loop=config.loop)


KINDS: dict[str, Callable[[SourceConfig], Callable[[], Source]]] = {
    "picamera": _picamera,
    "camera": _camera,
    "stream": _stream,
    "video": _film,
    "images": _images,
    "replay": _replay,
}
