"""What every sink looks like: open it, write to what that gives, close; and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.errors import OutputError, PiposeError
from rpi_runtime.health.status import Status
from rpi_runtime.model.card import Skeleton
from rpi_runtime.poses import Track


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What stays the same for a run.

    Attributes
    ----------
    model : str
        Name and size of the network.
    skeleton : Skeleton
        Names of the keypoints and the bones to draw.
    source : str
        Kind of the source.
    status : callable, optional
        What the run is doing at the moment; may be called from any thread.

    Examples
    --------
    >>> from rpi_runtime import About, read_card
    >>> card = read_card("M.tflite")
    >>> About(model=card.name, skeleton=card.skeleton).source
    ''
    """

    model: str
    skeleton: Skeleton
    source: str = ""
    status: Callable[[], Status] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """The people on one frame.

    Attributes
    ----------
    index : int
        Number of the frame in this run; a gap is a dropped frame.
    timestamp_ns, taken_ns : int
        See `rpi_runtime.poses.Frame`.
    time_ns : int
        Wall clock at `taken_ns`, nanoseconds since 1970 in UTC.
    name : str
        File name of the picture; empty for most sources.
    width, height : int
        Of the picture, in pixels; the frame of reference of all keypoints.
    tracks : tuple of Track
    dropped : int
        Frames that the run has dropped so far because newer ones had come.
    latency_ns : mapping of str to int
        Time in each stage, in the order of the stages; ``wait`` is from `taken_ns` to the first stage.
    fps : float
        Rate that the source promises; 0 when unknown.
    looked : bool or None
        In a cascade: whether the whole picture was looked at; None without one.
    image : ndarray, shape (H, W, 3), uint8, BGR, optional
        The picture, shared by all sinks and never written to; None unless a sink wants it.

    Examples
    --------
    >>> from rpi_runtime import open_pipeline
    >>> def show(result):
    ...     print(result.name, len(result.tracks))
    >>> status = open_pipeline("M.tflite", source="images:street", sinks=[show]).run()
    street.jpg 1
    """

    index: int
    timestamp_ns: int
    taken_ns: int
    time_ns: int
    width: int
    height: int
    tracks: tuple[Track, ...]
    name: str = ""
    dropped: int = 0
    latency_ns: Mapping[str, int] = field(default_factory=dict)
    fps: float = 0.0
    looked: bool | None = None
    image: NDArray[np.uint8] | None = None


class SinkLeftError(PiposeError):
    """The reader has gone: a closed pipe, a closed window. The sink ends without a failure."""

    exit_code = 0


class SinkNotReadyError(OutputError):
    """The other end is not there yet: a named pipe without a reader. Worth waiting for in every command."""


class OpenSink(Protocol):
    """A sink that is open; used by one thread, the runner's of `rpi_runtime.sinks.runner`.

    Attributes
    ----------
    wants_image : bool
        Whether `write` needs `Result.image`; read before every frame, so it may change during a run.
    trouble : str
        What does not work at the moment although `write` does not fail, as with a broker that is away; empty
        when everything works. May be read from any thread.

    Examples
    --------
    >>> from rpi_runtime import OpenSink, open_pipeline
    >>> runner = open_pipeline("M.tflite", source="images:street", sinks=["null"]).sinks[0]
    >>> runner.sink.name
    'null'
    """

    @property
    def wants_image(self) -> bool:
        """See the class."""

    @property
    def trouble(self) -> str:
        """See the class."""

    def write(self, result: Result) -> None:
        """Take one result. After any exception the sink is closed and opened again, sooner or later."""

    def close(self) -> None:
        """Flush and close; called once, also after an error in `write`."""


@runtime_checkable
class Sink(Protocol):
    """One place for results.

    Attributes
    ----------
    name : str
        For logs, as in ``jsonl:poses.jsonl``.
    backlog : int
        How many results may wait while `write` is busy. When more come, the oldest is dropped and counted;
        1 is "the newest wins".

    Examples
    --------
    >>> from rpi_runtime import open_pipeline
    >>> class Counter:
    ...     name, backlog, wants_image, trouble, people = "counter", 8, False, "", 0
    ...     def open(self, about):
    ...         return self
    ...     def write(self, result):
    ...         self.people += len(result.tracks)
    ...     def close(self):
    ...         pass
    >>> counter = Counter()
    >>> status = open_pipeline("M.tflite", source="images:street", sinks=[counter]).run()
    >>> counter.people
    1
    """

    name: str
    backlog: int

    def open(self, about: About) -> OpenSink:
        """Open what has to be opened; may be called again after what it returned was closed.

        Raises
        ------
        UsageError, InputError, DependencyError
            Waiting does not help.
        OutputError
            It may work later.
        """
