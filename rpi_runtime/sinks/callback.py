"""Results to a function: the shortest way to a sink of one's own."""

from __future__ import annotations

from collections.abc import Callable

from rpi_runtime.sinks.sink import About, Result


class CallbackSink:
    """Calls a function with every result, on a thread of its own; it is open from the start.

    Parameters
    ----------
    function : callable
        Takes a `Result`. An exception ends the run as a failure of this sink.
    wants_image : bool
        Whether the function needs `Result.image`.
    backlog : int
        Results that may wait while the function is busy; when more come, the oldest is dropped.
    """

    trouble = ""

    def __init__(
        self, function: Callable[[Result], object], *, wants_image: bool = False, backlog: int = 8
    ) -> None:
        self.name = f"function:{getattr(function, '__name__', type(function).__name__)}"
        self.backlog, self.wants_image = backlog, wants_image
        self._function = function

    def open(self, about: About) -> CallbackSink:
        """Return itself: there is nothing to open."""
        del about
        return self

    def write(self, result: Result) -> None:
        """Call the function."""
        self._function(result)

    def close(self) -> None:
        """Nothing to close."""
