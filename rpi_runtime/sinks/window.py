"""A window on the screen.

The window libraries below OpenCV end their process when the screen disappears, and abort it without a screen.
Therefore the window has a process of its own.
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
from rpi_runtime.installing import pip_line
from rpi_runtime.model.card import Skeleton
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
    """Shows the newest frame. Closing the window, or Escape or q in it, ends the sink."""

    backlog = 1

    def __init__(self, options: WindowOptions) -> None:
        self.name = "window"
        self._title = options.target

    def open(self, about: About) -> Window:
        """Open the window; raises `OutputError` without a screen or with an OpenCV that has no windows."""
        load("cv2", "a window and its pictures")
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise OutputError(
                "sink window: there is no screen (DISPLAY is not set); use a video or jsonl sink"
            )
        return Window(self._title, about.skeleton)


class Window:
    """An open window."""

    wants_image = True
    trouble = ""

    def __init__(self, title: str, skeleton: Skeleton) -> None:
        self._skeleton = skeleton
        pipe = subprocess.PIPE
        process = subprocess.Popen([*_COMMAND, title], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        assert process.stdin is not None and process.stdout is not None
        self._process, self._pictures, self._answers = process, process.stdin, process.stdout
        answers, _, _ = select.select([self._answers], [], [], _OPEN_S)
        if not answers or self._answers.readline() != READY:
            self.close()
            raise OutputError(
                "sink window: no window can be opened; check DISPLAY, and that the OpenCV installed is one "
                f"with windows; run: {pip_line('opencv-python')}"
            )

    def write(self, result: Result) -> None:
        """Draw and show; raises `SinkLeftError` if the window was closed or the screen disappeared."""
        if result.image is None:
            return
        picture = draw_people(result.image, result.tracks, self._skeleton)
        try:
            self._pictures.write(HEADER.pack(*picture.shape[:2]))
            self._pictures.write(np.ascontiguousarray(picture).data)
            self._pictures.flush()
        except BrokenPipeError:
            closed = self._process.wait(1) == 0
            raise SinkLeftError(f"window: {'it was closed' if closed else 'the screen is gone'}") from None

    def close(self) -> None:
        """Close the window; its process ends with its input."""
        with contextlib.suppress(BrokenPipeError):
            self._pictures.close()
        self._answers.close()
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
