"""The process behind the sink `window`: it shows pictures from standard input in a window.

It ends with exit code 0 when the window is closed, Escape or q is pressed in it, or the input ends.
"""

from __future__ import annotations

import io
import select
import signal
import sys
from typing import IO, Any

import numpy as np

from rpi_runtime.optional import load
from rpi_runtime.poses import Image
from rpi_runtime.sinks.window import HEADER, READY

_KEYS = (27, ord("q"))
_POLL_S = 0.02  # between two polls of the window's events


def main(title: str) -> int:
    """Show pictures until the window is closed or the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which then closes the pipe
    cv2 = load("cv2", "a window and its pictures")
    cv2.namedWindow(title, cv2.WINDOW_AUTOSIZE)
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    pipe = io.FileIO(0, closefd=False)  # unbuffered, so that `select` sees everything
    while not _closed(cv2, title):
        ready, _, _ = select.select([pipe], [], [], _POLL_S)
        if ready:
            picture = _read_picture(pipe)
            if picture is None:
                break
            cv2.imshow(title, picture)
    return 0


def _closed(cv2: Any, title: str) -> bool:
    key = cv2.waitKey(1) & 0xFF
    return key in _KEYS or cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) < 1


def _read_picture(pipe: IO[bytes] | io.FileIO) -> Image | None:
    """Return the next (H, W, 3) BGR picture; None at the end."""
    header = _read(pipe, HEADER.size)
    if header is None:
        return None
    height, width = HEADER.unpack(header)
    pixels = _read(pipe, height * width * 3)
    return None if pixels is None else np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


def _read(pipe: IO[bytes] | io.FileIO, size: int) -> bytes | None:
    """Return exactly `count` bytes, or None if the input ends before."""
    parts = []
    while size:
        part = pipe.read(size)
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
