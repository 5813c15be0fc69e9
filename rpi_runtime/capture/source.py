"""The protocol of sources of pictures: configure, start, read, stop.

One thread makes, uses and stops a source: the reader of `rpi_runtime.capture.feed`. A source does not recover by
itself: it raises every failure, and the feed makes a new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rpi_runtime.errors import SourceError
from rpi_runtime.poses import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The format that the pipeline requests. A source may deliver another one, which it reports.

    Attributes
    ----------
    width, height : int
        Pixels; 0: the source decides.
    fps : float
        Frames per second; 0: the source decides.
    """

    width: int = 0
    height: int = 0
    fps: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The format that a source delivers, read back after `configure`.

    Attributes
    ----------
    width, height : int
        Pixels; 0 if the pictures differ in size.
    fps : float
        Frames per second; 0 if unknown.
    frames : int
        Number of pictures; 0 if unknown or endless.
    what : str
        Description for the log, as in ``V4L2 camera 0, MJPG``. It never holds a password.
    """

    width: int
    height: int
    fps: float = 0.0
    frames: int = 0
    what: str = ""


class StalledError(SourceError):
    """No picture arrived within the time-out."""


class UndecodableError(StalledError):
    """Pictures arrived within the time-out, and none of them could be decoded."""


class Source(Protocol):
    """One source of pictures.

    Attributes
    ----------
    live : bool
        True: pictures arrive in real time, so the newest wins, and the feed recovers from a failure.
        False: pictures wait until they are read, so none is dropped, and a failure is final.
    """

    live: bool

    def configure(self, wanted: Wanted) -> Delivered:
        """Open, request the wanted format and return the delivered one. Raises `SourceError`."""

    def start(self) -> None:
        """Start to deliver."""

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next picture, or None at the end of a recording.

        Raises
        ------
        StalledError
            Nothing arrived within `timeout_s` (for devices that can be read with a time-out), or nothing that can be
            decoded: `UndecodableError`.
        SourceError
            The device disappeared, or the recording is damaged.
        """

    def stop(self) -> None:
        """Stop and close. May be called at any time, also twice. Never raises for a device that is gone."""
