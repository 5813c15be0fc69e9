"""Read a source from its beginning to its end."""

from __future__ import annotations

from rpi_runtime.capture.source import Source, Wanted
from rpi_runtime.poses import Frame


def read_all(source: Source, most: int = 100) -> list[Frame]:
    """Configure and start a source, and return its frames, `most` at most."""
    source.configure(Wanted())
    source.start()
    frames: list[Frame] = []
    while len(frames) < most and (frame := source.read(1)) is not None:
        frames.append(frame)
    source.stop()
    return frames
