"""A window on the screen, by OpenCV."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from rpi_runtime.draw import draw_people
from rpi_runtime.errors import OutputError
from rpi_runtime.optional import load
from rpi_runtime.sinks.sink import About, Result, SinkLeftError

_PROBE = "import cv2; cv2.namedWindow('probe'); cv2.waitKey(1); cv2.destroyAllWindows()"
_ESCAPE = 27


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
        self._cv2: Any = None
        self._about: About | None = None
        self._open = False

    def start(self, about: About) -> None:
        """Open the window; `OutputError` when there is no screen, or an OpenCV without windows."""
        self._about = about
        self._cv2 = load("cv2", "a window and its pictures")
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise OutputError(
                "sink window: there is no screen (DISPLAY is not set); use a video or jsonl sink"
            )
        # A display that is named but cannot be reached makes the window library abort its process: not ours.
        probe = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, timeout=8, check=False)
        if probe.returncode != 0:
            raise OutputError(
                "sink window: no window can be opened; check DISPLAY, and that the OpenCV installed is one "
                "with windows (pip install opencv-python)"
            )
        self._cv2.namedWindow(self._title, self._cv2.WINDOW_AUTOSIZE)
        self._open = True

    def write(self, result: Result) -> None:
        """Draw and show; raises `SinkLeftError` when the window was closed."""
        assert self._about is not None and result.image is not None
        cv2 = self._cv2
        cv2.imshow(self._title, draw_people(result.image, result.tracks, self._about.skeleton))
        key = cv2.waitKey(1) & 0xFF
        closed = cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1
        if closed or key in (_ESCAPE, ord("q")):
            raise SinkLeftError("window: it was closed")

    def stop(self) -> None:
        """Close the window."""
        if self._open:
            self._cv2.destroyAllWindows()
