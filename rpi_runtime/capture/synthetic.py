"""Noise, for measurements without a camera or a file: ``synthetic:640x480``."""

from __future__ import annotations

import re
import time

import numpy as np

from rpi_runtime.capture.source import Delivered, Wanted
from rpi_runtime.errors import UsageError
from rpi_runtime.poses import Frame

PICTURES = 4


class SyntheticSource:
    """Delivers a few pictures of seeded noise in turn, without end, as fast as they are read.

    Parameters
    ----------
    size : str
        Width and height, as in ``640x480``.
    """

    live = False

    def __init__(self, size: str) -> None:
        match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", size)
        if not match:
            raise UsageError(f"source synthetic:{size}: expected width and height, as in synthetic:640x480")
        self._width, self._height = int(match[1]), int(match[2])
        self._index = 0

    def configure(self, wanted: Wanted) -> Delivered:
        """Make the pictures."""
        shape = (PICTURES, self._height, self._width, 3)
        self._images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        what = f"noise, {self._width}x{self._height}"
        return Delivered(width=self._width, height=self._height, what=what)

    def start(self) -> None:
        """Do nothing."""

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next picture."""
        now = time.monotonic_ns()
        image = self._images[self._index % PICTURES]
        frame = Frame(image=image, index=self._index, timestamp_ns=now, taken_ns=now)
        self._index += 1
        return frame

    def stop(self) -> None:
        """Do nothing."""
