"""The protocol of sinks: open one, write to the object that `open` returns, close it; and the results it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from rpi_runtime.errors import OutputError, PiposeError
from rpi_runtime.health.status import Status
from rpi_runtime.model.card import Skeleton
from rpi_runtime.poses import Image, Track


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Facts that stay the same during a run.

    Attributes
    ----------
    model : str
        Name and size of the network; of a pair, of both.
    skeleton : Skeleton
        Names of the keypoints and the bones to draw.
    source : str
        Kind of the source.
    status : callable, optional
        Returns the state of the run; may be called from any thread.

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
        Size of the picture in pixels; the frame of reference of all keypoints.
    tracks : tuple of Track
    dropped : int
        Number of frames that the run has dropped so far because newer ones had arrived.
    latency_ns : mapping of str to int
        Time in each stage, in the order of the stages; ``wait`` is from `taken_ns` to the first stage.
    fps : float
        Nominal rate of the source; 0 if unknown.
    looked : bool or None
        With a cascade: whether there was a full-frame pass; None without a cascade.
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
    image: Image | None = None


class SinkLeftError(PiposeError):
    """The reader has left: a closed pipe or window. The sink ends without a failure."""

    exit_code = 0


class SinkNotReadyError(OutputError):
    """The other end is not there yet, as with a named pipe without a reader. Every command waits for it."""


class OpenSink(Protocol):
    """An open sink, used by one thread only: that of `rpi_runtime.sinks.runner`.

    Attributes
    ----------
    wants_image : bool
        Whether `write` needs `Result.image`; read before every frame, so it may change during a run.
    trouble : str
        What does not work now although `write` succeeds, for example a lost broker; empty if everything works. May
        be read from any thread.

    Examples
    --------
    >>> from rpi_runtime import OpenSink, open_pipeline
    >>> runner = open_pipeline("M.tflite", source="images:street", sinks=["null"]).sinks[0]
    >>> runner.sink.name
    'null'
    """

    @property
    def wants_image(self) -> bool:
        """Return whether results need their picture now."""

    @property
    def trouble(self) -> str:
        """Return what does not work at the moment, in words; empty when all works."""

    def write(self, result: Result) -> None:
        """Take one result. After an exception the sink is closed and, later, opened again."""

    def close(self) -> None:
        """Flush and close. Called once, also after an error in `write`."""


@runtime_checkable
class Sink(Protocol):
    """A destination of results.

    Attributes
    ----------
    name : str
        For logs, as in ``jsonl:poses.jsonl``.
    backlog : int
        Number of results that may wait while `write` is busy. Beyond it, the oldest is dropped and counted; 1 means
        that the newest wins.

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
        """Open the destination. May be called again after the returned object was closed.

        Raises
        ------
        UsageError, InputError, DependencyError
            Opening will never succeed.
        OutputError
            Opening may succeed later.
        """
