"""One thread per sink, so that a slow or stuck sink delays nothing else. A sink that fails is opened again."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from rpi_runtime.backoff import Backoff
from rpi_runtime.errors import DependencyError, InputError, OutputError, PiposeError, UsageError
from rpi_runtime.health.timing import Histogram
from rpi_runtime.sinks.sink import About, OpenSink, Result, Sink, SinkLeftError, SinkNotReadyError

log = logging.getLogger(__name__)
_FULL = "the disk is full; free some space"
_START_S = 10.0
_PATIENT_START_S = 1.0
_FIRST_WAIT_S, _MOST_WAIT_S = 0.5, 30.0
_PICTURE_BYTES = 48 * 2**20  # may wait in a queue: eight frames of 1080p, one of 4K


class SinkRunner:
    """Feeds one sink from a bounded queue.

    With a live source, a sink that fails is closed and opened again, after waits that grow; then the results that
    still fit the queue are written. With a recording, which waits for its sinks, a failure is final, because the
    run can be repeated.

    Parameters
    ----------
    sink : Sink
    lossless : bool
        Wait for room instead of dropping results: for recordings, where the pipeline can wait.
    stopping : callable
        Returns True once the run is being stopped; then nothing waits for room any more.
    patient : bool
        Also retry a sink that cannot be opened at the start, instead of ending the run.
    backoff : Backoff, optional
        Waits between two attempts.

    Attributes
    ----------
    over : bool
        Whether the sink has ended for good.
    error : PiposeError or None
        Why the sink does not work, or why it ended early; a `SinkLeftError` if its reader left.
    outages : int
        Number of failures after it had worked.
    written, dropped : int
    age : Histogram
        Age of the frames when they were written.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        lossless: bool = False,
        stopping: Callable[[], bool] = lambda: False,
        patient: bool = False,
        backoff: Backoff | None = None,
    ) -> None:
        self.sink, self.lossless, self._stopping, self._patient = sink, lossless, stopping, patient
        self._backoff = backoff if backoff is not None else Backoff(_FIRST_WAIT_S, _MOST_WAIT_S)
        self.over = False
        self.error: PiposeError | None = None
        self.outages = 0
        self.written = 0
        self.dropped = 0
        self.age = Histogram()
        self._open: OpenSink | None = None
        self._queue: deque[Result] = deque()
        self._changed = threading.Condition()
        self._tried = threading.Event()
        self._finishing = False
        self._thread = threading.Thread(target=self._run, name=f"pipose-{sink.name}", daemon=True)
        self._about: About | None = None
        self._lost_at = 0.0
        self._failed_in_opening = False
        self._said = ""

    @property
    def wants_image(self) -> bool:
        """Whether the sink needs the picture of the next result."""
        opened = self._open
        return opened is not None and opened.wants_image

    @property
    def opened(self) -> OpenSink | None:
        """The object that `Sink.open` returned, while it is open."""
        return self._open

    @property
    def trouble(self) -> str:
        """What does not work; empty if everything works, or if the reader left by itself."""
        if self.error is not None:
            return "" if isinstance(self.error, SinkLeftError) else str(self.error)
        opened = self._open
        return opened.trouble if opened is not None else ""

    def start(self, about: About) -> None:
        """Open the sink in its thread. Raises the error of the first opening, unless a retry may succeed."""
        self._about = about
        self._thread.start()
        deadline = time.monotonic() + (_PATIENT_START_S if self._patient else _START_S)
        while not self._tried.wait(0.1) and not self._stopping():
            if time.monotonic() > deadline:
                if self._patient:
                    return
                raise OutputError(f"sink {self.sink.name}: did not start within {_START_S:g} s")
        if self.over and self.error is not None:
            raise self.error

    def put(self, result: Result) -> None:
        """Queue one result. Without room, the oldest waiting result is dropped. An ended sink takes nothing."""
        with self._changed:
            while self.lossless and self._is_full(result) and self._waits():
                self._changed.wait(0.1)
            if self.over:
                return
            if self.error is not None and result.image is not None:
                self.dropped += 1  # a picture is too large to be kept for later
                return
            while self._is_full(result):
                self._queue.popleft()
                self.dropped += 1
            self._queue.append(result)
            self._changed.notify_all()

    def finish(self) -> None:
        """Announce the end of the results. The queued ones are still written."""
        with self._changed:
            self._finishing = True
            self._changed.notify_all()

    def join(self, timeout_s: float | None) -> bool:
        """Wait until everything is written and the sink is closed; return False if the time was not enough."""
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
        """Number of queued results."""
        return len(self._queue)

    def _waits(self) -> bool:
        return not self.over and not self._stopping()

    def _is_full(self, result: Result) -> bool:
        """Whether the queue is full, by number or by size of its pictures. An empty queue has room for one result."""
        if not self._queue:
            return False
        size = result.image.nbytes if result.image is not None else 0
        return len(self._queue) >= self.sink.backlog or (
            size > 0 and (len(self._queue) + 1) * size > _PICTURE_BYTES
        )

    def _run(self) -> None:
        """Open, write and close, again after each failure, until the end or a final failure."""
        while not self.over:
            try:
                self._serve()
                self.over = True
            except Exception as err:  # no error of a sink may leave its thread
                self._fail(_explain(self.sink.name, err))
            self._close()
            self._tried.set()
            if not self.over:
                self._wait_for_next_try()
        self._let_go()
        self._tried.set()

    def _serve(self) -> None:
        """Open the sink and write results until the end."""
        assert self._about is not None
        self._open = self.sink.open(self._about)
        if self.error is None:
            self._tried.set()
        elif self._failed_in_opening:
            self._recover()
        while (result := self._next()) is not None:
            try:
                self._open.write(result)
            except (OSError, OutputError) as err:
                if not isinstance(err, SinkLeftError | BrokenPipeError):
                    self._put_back(result)
                raise
            self.written += 1
            self.age.add(time.monotonic_ns() - result.taken_ns)
            if self.error is not None:
                self._recover()

    def _recover(self) -> None:
        """Record that the sink works again: it was opened, if opening had failed, or a result was written."""
        self.error, self._said = None, ""
        self._tried.set()
        self._backoff.reset()
        log.warning("sink works again: %s, after %.1f s", self.sink.name, time.monotonic() - self._lost_at)

    def _next(self) -> Result | None:
        with self._changed:
            while not self._queue and not self._finishing:
                self._changed.wait()
            if not self._queue:
                return None
            result = self._queue.popleft()
            self._changed.notify_all()
            return result

    def _put_back(self, result: Result) -> None:
        """Put an unwritten result back until the sink works again, unless it holds a picture."""
        with self._changed:
            if result.image is None and len(self._queue) < self.sink.backlog:
                self._queue.appendleft(result)
            else:
                self.dropped += 1

    def _fail(self, error: PiposeError) -> None:
        """Keep the reason, log it if it is new, and decide whether to try again."""
        worked = self.error is None and self.written > 0
        self.over = self._is_final(error)
        if self.over and str(error).endswith(_FULL):
            error = OutputError(f"{error} and start again")
        if self.error is None:
            self._lost_at = time.monotonic()
            self.outages += worked
        self.error, self._failed_in_opening = error, self._open is None
        if self.over and not self._tried.is_set():
            return  # `start` raises it
        if str(error) != self._said:
            self._said = str(error)
            if isinstance(error, SinkLeftError):
                log.info("sink ended: %s", error)
            elif self.over:
                log.error("sink ended: %s", error)
            else:
                log.error("sink fails: %s; trying again and again", error)

    def _is_final(self, error: PiposeError) -> bool:
        if isinstance(error, SinkNotReadyError):
            return False
        lasting = isinstance(error, SinkLeftError | UsageError | InputError | DependencyError)
        first = self.written == 0 and not self._tried.is_set()
        return lasting or self.lossless or self._finishing or (first and not self._patient)

    def _wait_for_next_try(self) -> None:
        until = time.monotonic() + self._backoff.wait_s()
        with self._changed:
            if any(result.image is not None for result in self._queue):
                self.dropped += len(self._queue)  # pictures are too large to be kept for later
                self._queue.clear()
            while not self._finishing and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            self.over = self._finishing

    def _close(self) -> None:
        opened, self._open = self._open, None
        if opened is None:
            return
        try:
            opened.close()
        except Exception as err:
            if self.error is None:
                self._fail(_explain(self.sink.name, err))

    def _let_go(self) -> None:
        """Drop all queued results."""
        with self._changed:
            self.dropped += len(self._queue)
            self._queue.clear()
            self._changed.notify_all()


def _explain(name: str, err: Exception) -> PiposeError:
    """Return the error in a form that a user can act on."""
    if isinstance(err, PiposeError):
        return err
    if isinstance(err, BrokenPipeError):
        return SinkLeftError(f"{name}: its reader has closed the pipe")
    if isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"{name}: {_FULL}")
    if isinstance(err, OSError):
        return OutputError(f"{name}: cannot be written ({err.strerror or err})")
    return OutputError(f"{name}: {type(err).__name__}: {err}")
