"""What every source of pictures looks like: configure, start, read, stop.

A source is made, used and stopped by one thread, the reader of `rpi_runtime.capture.feed`. It does not
recover by itself: whatever goes wrong is raised, and the feed makes a new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rpi_runtime.errors import SourceError
from rpi_runtime.poses import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the pipeline would like to get; a source may deliver something else, and says so.

    Attributes
    ----------
    width, height : int
        Pixels; 0 leaves it to the source.
    fps : float
        Frames per second; 0 leaves it to the source.
    """

    width: int = 0
    height: int = 0
    fps: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What a source really delivers, read back after `configure`.

    Attributes
    ----------
    width, height : int
        Pixels; 0 when the pictures differ in size.
    fps : float
        Frames per second; 0 when unknown.
    frames : int
        How many pictures there are; 0 when unknown or endless.
    what : str
        For the log, as in ``V4L2 camera 0, MJPG``; never holds a password.
    """

    width: int
    height: int
    fps: float = 0.0
    frames: int = 0
    what: str = ""


class StalledError(SourceError):
    """No picture within the time-out."""


class Source(Protocol):
    """One source of pictures.

    Attributes
    ----------
    live : bool
        True: pictures come at the world's pace, so the newest wins, and a failure is worth another try.
        False: pictures wait until they are asked for, so none is dropped, and a failure is final.
    """

    live: bool

    def configure(self, wanted: Wanted) -> Delivered:
        """Open, ask for what is wanted and read back what comes; `SourceError` when it fails."""

    def start(self) -> None:
        """Begin to deliver."""

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next picture, or None at the end of a recording.

        Raises
        ------
        StalledError
            Nothing came within `timeout_s` (where the device can be asked with a time-out).
        SourceError
            The device vanished, or the recording is damaged.
        """

    def stop(self) -> None:
        """Stop and close; may be called at any time, also twice; never raises for a device that is gone."""
