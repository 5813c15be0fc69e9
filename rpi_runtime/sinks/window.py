"""A window on the screen, in a process of its own.

The window libraries below OpenCV end their process when the screen goes away, and abort it when there is none:
that must not be this one.
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
import subprocess
import sys
from dataclasses import dataclass

import numpy as np

from rpi_runtime.errors import OutputError
from rpi_runtime.optional import load
from rpi_runtime.sinks.draw import draw_people
from rpi_runtime.sinks.sink import About, Result, SinkLeftError

_COMMAND = (sys.executable, "-m", "rpi_runtime.sinks.screen")
_OPEN_S = 8.0
HEADER = struct.Struct("<II")  # height and width of the (H, W, 3) BGR picture that follows
READY = b"ready\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowOptions:
    """Options of the sink ``window``.

    Attributes
    ----------
    target : str
        The window's title.
    """

    target: str = "pipose"


class WindowSink:
    """Shows the newest frame; closing the window, or Escape or q in it, ends the sink."""

    backlog = 1
    wants_image = True

    def __init__(self, options: WindowOptions) -> None:
        self.name = "window"
        self._title = options.target
        self._about: About | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, about: About) -> None:
        """Open the window; `OutputError` when there is no screen, or an OpenCV without windows."""
        self._about = about
        load("cv2", "a window and its pictures")
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise OutputError(
                "sink window: there is no screen (DISPLAY is not set); use a video or jsonl sink"
            )
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [*_COMMAND, self._title], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        answers, _, _ = select.select([self._process.stdout], [], [], _OPEN_S)
        if not answers or self._process.stdout.readline() != READY:
            raise OutputError(
                "sink window: no window can be opened; check DISPLAY, and that the OpenCV installed is one "
                "with windows (pip install opencv-python)"
            )

    def write(self, result: Result) -> None:
        """Draw and show; raises `SinkLeftError` when the window was closed, or the screen is gone."""
        assert self._about is not None and result.image is not None
        assert self._process is not None and self._process.stdin is not None
        picture = draw_people(result.image, result.tracks, self._about.skeleton)
        try:
            self._process.stdin.write(HEADER.pack(*picture.shape[:2]))
            self._process.stdin.write(np.ascontiguousarray(picture).data)
            self._process.stdin.flush()
        except BrokenPipeError:
            closed = self._process.wait(1) == 0
            raise SinkLeftError(f"window: {'it was closed' if closed else 'the screen is gone'}") from None

    def stop(self) -> None:
        """Close the window; its process ends when nothing more comes."""
        if self._process is None:
            return
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
