"""One thread for each sink, so that a slow or dead one slows nobody."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from rpi_runtime.errors import OutputError, PiposeError
from rpi_runtime.health.timing import Histogram
from rpi_runtime.sinks.sink import About, Result, Sink, SinkLeftError

log = logging.getLogger(__name__)
_START_S = 10.0


class SinkRunner:
    """Feeds one sink from a bounded queue.

    Parameters
    ----------
    sink : Sink
    lossless : bool
        Wait for room instead of dropping: for recordings, where the pipeline has all the time in the world.
    stopping : callable
        True once the run is being stopped; nothing waits for room any more then.

    Attributes
    ----------
    error : PiposeError or None
        Why the sink ended early; a `SinkLeftError` when its reader went away.
    written, dropped : int
    age : Histogram
        Age of the frames when they were written.
    """

    def __init__(
        self, sink: Sink, *, lossless: bool = False, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self.sink, self.lossless, self._stopping = sink, lossless, stopping
        self.error: PiposeError | None = None
        self.written = 0
        self.dropped = 0
        self.age = Histogram()
        self._queue: deque[Result] = deque()
        self._changed = threading.Condition()
        self._started = threading.Event()
        self._finishing = False
        self._thread = threading.Thread(target=self._run, name=f"pipose-{sink.name}", daemon=True)
        self._about: About | None = None

    @property
    def alive(self) -> bool:
        """Whether the sink still takes results."""
        return self.error is None

    def start(self, about: About) -> None:
        """Start the sink in its thread; raises what its `start` raised."""
        self._about = about
        self._thread.start()
        deadline = time.monotonic() + _START_S
        while not self._started.wait(0.1) and not self._stopping():
            if time.monotonic() > deadline:
                raise OutputError(f"sink {self.sink.name}: did not start within {_START_S:g} s")
        if self.error is not None:
            raise self.error

    def put(self, result: Result) -> None:
        """Queue one result; without room the oldest waiting one is dropped; a dead sink takes nothing."""
        with self._changed:
            while self.lossless and len(self._queue) >= self.sink.backlog and self._waits():
                self._changed.wait(0.1)
            if not self.alive:
                return
            if len(self._queue) >= self.sink.backlog:
                self._queue.popleft()
                self.dropped += 1
            self._queue.append(result)
            self._changed.notify_all()

    def finish(self) -> None:
        """Say that nothing more comes: what is queued is still written."""
        with self._changed:
            self._finishing = True
            self._changed.notify_all()

    def join(self, timeout_s: float | None) -> bool:
        """Wait until everything is written and the sink is closed; False when it was not in time."""
        if self._thread.ident is None:
            return True
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while self._thread.is_alive():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            if left is None and self._stopping():
                return False
            self._thread.join(0.1 if left is None else min(left, 0.1))
        return True

    def waiting(self) -> int:
        """How many results are queued."""
        return len(self._queue)

    def _waits(self) -> bool:
        return self.alive and not self._stopping()

    def _run(self) -> None:
        assert self._about is not None
        try:
            self.sink.start(self._about)
            self._started.set()
            while (result := self._next()) is not None:
                self.sink.write(result)
                self.written += 1
                self.age.add(time.monotonic_ns() - result.taken_ns)
        except Exception as err:  # whatever a sink does, only the sink ends
            self._fail(err)
        try:
            self.sink.stop()
        except Exception as err:
            self._fail(err)
        self._started.set()

    def _next(self) -> Result | None:
        with self._changed:
            while not self._queue and not self._finishing:
                self._changed.wait()
            if not self._queue:
                return None
            result = self._queue.popleft()
            self._changed.notify_all()
            return result

    def _fail(self, err: Exception) -> None:
        """Remember and say the first reason, and let go of what is queued."""
        if self.error is not None:
            return
        with self._changed:
            self.error = _explain(self.sink.name, err)
            self.dropped += len(self._queue)
            self._queue.clear()
            self._changed.notify_all()
        if self._started.is_set():
            level = logging.INFO if isinstance(self.error, SinkLeftError) else logging.ERROR
            log.log(level, "sink ended: %s", self.error)


def _explain(name: str, err: Exception) -> PiposeError:
    """The error as a user can act on it."""
    if isinstance(err, PiposeError):
        return err
    if isinstance(err, BrokenPipeError):
        return SinkLeftError(f"{name}: whoever read it has closed the pipe")
    if isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"{name}: the disk is full; free some space and start again")
    if isinstance(err, OSError):
        return OutputError(f"{name}: cannot be written ({err.strerror or err})")
    return OutputError(f"{name}: {type(err).__name__}: {err}")
