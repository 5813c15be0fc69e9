"""A source with a reader thread, a watchdog, and recovery with back-off.

The reader thread makes, uses and stops the source. The pipeline's thread takes frames. If none arrives in
time, it stops the reader, waits, and starts another one with a new source. A reader that hangs in a driver cannot be
killed, so it is abandoned. The number of abandoned readers is bounded; beyond it the process has to be restarted.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from rpi_runtime.backoff import Backoff
from rpi_runtime.capture.pace import Pace
from rpi_runtime.capture.slot import Slot
from rpi_runtime.capture.source import Delivered, Source, StalledError, UndecodableError, Wanted
from rpi_runtime.capture.steady import Steady
from rpi_runtime.errors import PiposeError, SourceError
from rpi_runtime.poses import Frame

log = logging.getLogger(__name__)
_INTERVALS = 3.0  # a source is not lost until it has missed some of the requested frames
_SLICE_S = 0.2  # how long a source may wait before it checks for a stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """When a source counts as lost, and how it is recovered. All times are in seconds.

    Attributes
    ----------
    open_s : float
        Longest time from opening to the first frame.
    stall_s : float
        Longest time between two frames.
    first_wait_s, most_wait_s : float
        The first and the longest wait between two attempts.
    healthy_s : float
        After a run of this length, the next loss starts with the first wait again.
    close_s : float
        Longest wait for a reader that was told to stop. Afterwards it counts as hung.
    most_hung : int
        Number of hung readers after which the feed gives up.
    at_start : bool
        Whether to keep trying if the very first opening fails.
    patient_s : float
        The least of `open_s` and `stall_s` for films and recordings, whose loss ends the run: a disk that spins up, a
        network drive, a card that is busy writing.
    """

    open_s: float = 10.0
    stall_s: float = 3.0
    first_wait_s: float = 0.5
    most_wait_s: float = 30.0
    healthy_s: float = 10.0
    close_s: float = 0.8
    most_hung: int = 3
    at_start: bool = False
    patient_s: float = 60.0

    def at_rate(self, fps: float) -> Recovery:
        """Return limits that allow a source of `fps` frames per second to miss some intervals."""
        intervals_s = _INTERVALS / fps if fps > 0 else 0.0
        return replace(
            self,
            open_s=self.open_s + intervals_s if intervals_s > self.stall_s else self.open_s,
            stall_s=max(self.stall_s, intervals_s),
        )


class Feed:
    """Delivers the frames of one source, and recovers it.

    Parameters
    ----------
    make : callable
        Returns a new, unopened source. Called again at each recovery.
    wanted : Wanted
    recovery : Recovery
    pace : bool
        Whether to deliver a recording at its original speed, like a camera; then the newest frame wins.
    rng : random.Random, optional
        Source of the random waits.

    Attributes
    ----------
    ended : bool
        Whether the recording has ended and every frame was taken.
    restarts : int
        Number of recoveries.
    last_recovery_s : float
        Time from the last frame before the latest loss to the first one after it.
    """

    def __init__(
        self,
        make: Callable[[], Source],
        wanted: Wanted,
        recovery: Recovery = Recovery(),
        *,
        pace: bool = False,
        rng: random.Random | None = None,
    ) -> None:
        self._make, self._wanted, self._recovery, self._pace = make, wanted, recovery, pace
        self._backoff = Backoff(recovery.first_wait_s, recovery.most_wait_s, rng)
        self._reader: _Reader | None = None
        self._hung: list[_Reader] = []
        self._retry_at = 0.0
        self._last_frame_at = 0.0
        self._lost_since = 0.0
        self._lost = False
        self._said = ""
        self._dropped = self._undecodable = 0
        self._steady = Steady()
        self._next_index = 0
        self._first_index = 0
        self.ended = False
        self.restarts = 0
        self.last_recovery_s = 0.0

    @property
    def state(self) -> str:
        """One of ``opening``, ``running``, ``lost``, ``ended``."""
        if self.ended:
            return "ended"
        if self._lost:
            return "lost"
        return "running" if self._last_frame_at else "opening"

    @property
    def dropped(self) -> int:
        """Number of frames that were overwritten by newer ones before they were taken."""
        return self._dropped + (self._reader.slot.dropped if self._reader else 0)

    @property
    def undecodable(self) -> int:
        """Number of frames that arrived and could not be decoded."""
        return self._undecodable + (self._reader.undecodable if self._reader else 0)

    @property
    def delivered(self) -> Delivered | None:
        """The format that the source delivers; None before it was opened."""
        return self._reader.delivered if self._reader else None

    def start(self) -> None:
        """Start to open the source, in the reader's thread."""
        self._reader = _Reader(self._make(), self._wanted, self._recovery, self._steady, pace=self._pace)
        self._reader.start()

    def take(self, timeout_s: float) -> Frame | None:
        """Return the next frame, or None if none arrived within `timeout_s` or the source has ended.

        Raises
        ------
        SourceError
            A recording or the first opening failed, or too many readers hang.
        """
        if self._reader is None:
            self._wait_for_retry(timeout_s)
            return None
        frame = self._reader.slot.take(timeout_s)
        if frame is not None:
            self._note(frame)
        elif self._reader.slot.ended:
            self._finish(self._reader.error)
        elif (late := self._reader.late()) is not None:
            self._finish(late)
        return frame

    def index(self, frame: Frame) -> int:
        """Return the number of the frame in this run, continued over restarts. Gaps are dropped frames."""
        return self._first_index + frame.index

    def stop(self, timeout_s: float) -> bool:
        """Stop the source, waiting at most `timeout_s` for its thread; return False if a reader hangs."""
        if self._reader is not None:
            self._close(timeout_s)
        return not any(reader.is_alive() for reader in self._hung)

    def _note(self, frame: Frame) -> None:
        now = time.monotonic()
        if self._lost:
            self.last_recovery_s = now - self._lost_since
            self.restarts += 1
            self._lost, self._said = False, ""
            log.warning("source is back after %.1f s", self.last_recovery_s)
        self._last_frame_at = now
        self._next_index = self.index(frame) + 1

    def _finish(self, error: PiposeError | None) -> None:
        """Handle the end of the reader: the end of a recording, a failure to raise, or one to recover from."""
        reader = self._reader
        assert reader is not None
        self._close(self._recovery.close_s)
        if error is None:
            self.ended = True
        elif not self._worth_retrying(error, reader):
            raise error
        else:
            self._plan_retry(error, healthy=reader.healthy_s() >= self._recovery.healthy_s)

    def _worth_retrying(self, error: PiposeError, reader: _Reader) -> bool:
        """Whether to recover: a live source that has worked or may still appear, unless a package is missing."""
        may_appear = bool(self._last_frame_at) or self._recovery.at_start
        return reader.live and may_appear and isinstance(error, SourceError)

    def _close(self, timeout_s: float) -> None:
        reader, self._reader = self._reader, None
        assert reader is not None
        self._dropped += reader.slot.dropped
        self._undecodable += reader.undecodable
        self._first_index = self._next_index
        if not reader.close(timeout_s):
            self._hung.append(reader)

    def _plan_retry(self, error: PiposeError, *, healthy: bool) -> None:
        self._hung = [r for r in self._hung if r.is_alive()]
        if len(self._hung) > self._recovery.most_hung:
            raise SourceError(
                f"the source hung {len(self._hung)} times and its driver never came back; "
                "restart the process, and the machine if that does not help"
            )
        if healthy:
            self._backoff.reset()
        wait = self._backoff.wait_s()
        self._retry_at = time.monotonic() + wait
        if not self._lost:
            self._lost_since = self._last_frame_at or time.monotonic()
        self._lost = True
        if str(error) != self._said:
            self._said = str(error)
            log.warning("source lost: %s; trying again, first in %.1f s", error, wait)

    def _wait_for_retry(self, timeout_s: float) -> None:
        left = self._retry_at - time.monotonic()
        if left > 0:
            time.sleep(min(left, timeout_s))
        if left <= timeout_s:
            self.start()


class _Reader(threading.Thread):
    """Opens, reads and stops one source. `error` is the reason of its end; None at the end of a recording."""

    def __init__(
        self, source: Source, wanted: Wanted, recovery: Recovery, steady: Steady, *, pace: bool
    ) -> None:
        super().__init__(name="pipose-reader", daemon=True)
        self._source, self._wanted, self._recovery, self._steady = source, wanted, recovery, steady
        self._pace = Pace() if pace and not source.live else None
        self.live = source.live
        self.slot = Slot(lossless=not source.live and self._pace is None)
        self.error: PiposeError | None = None
        self.delivered: Delivered | None = None
        self.undecodable = 0
        self._garbled = False  # whether what came last could not be decoded
        self._first_at = 0.0
        self._beat = time.monotonic()
        self._quit = threading.Event()

    def run(self) -> None:
        try:
            self.delivered = self._source.configure(self._wanted)
            log.info("source: %s, %dx%d", self.delivered.what, self.delivered.width, self.delivered.height)
            self._source.start()
            self._read_all()
        except PiposeError as err:
            self.error = err
            _forget_frames(err)
        except Exception as err:  # a driver may raise anything; the feed decides what to do
            self.error = SourceError(f"{type(err).__name__} in the source: {err}")
        finally:
            self._stop_source()
            self.slot.end()

    def late(self) -> StalledError | None:
        """Return the error to report if no frame has arrived for too long."""
        key, limit = (
            ("stall_s", self._recovery.stall_s) if self._first_at else ("open_s", self._recovery.open_s)
        )
        silent = time.monotonic() - self._beat
        if silent <= (limit if self.live else max(limit, self._recovery.patient_s)):
            return None
        if not self.live:
            return StalledError(f"no frame for {silent:.1f} s; see that its disk or network drive answers")
        if self._garbled:
            return UndecodableError(
                f"no frame that can be decoded for {silent:.1f} s; another cable, port or format of the camera may help"
            )
        return StalledError(f"no frame for {silent:.1f} s ({key} is {limit:g} s; a slower source needs more)")

    def healthy_s(self) -> float:
        """Seconds during which frames arrived."""
        return self._beat - self._first_at if self._first_at else 0.0

    def close(self, timeout_s: float) -> bool:
        """Tell the thread to stop; return whether it has stopped."""
        self._quit.set()
        self.slot.close()
        self.join(timeout_s)
        return not self.is_alive()

    def _read_all(self) -> None:
        while not self._quit.is_set():
            try:
                frame = self._source.read(min(self._recovery.stall_s, _SLICE_S))
            except StalledError as err:
                self._garbled = isinstance(err, UndecodableError)
                if late := self.late():
                    raise late from None
                continue
            if frame is None:
                return
            self._garbled = False
            self._count(frame)
            frame = self._steady.frame(frame, live=self.live, arrived_ns=time.monotonic_ns())
            if self._pace is not None:
                frame = self._pace.due(frame)
                self._beat = max(time.monotonic(), frame.taken_ns / 1e9)
                self._quit.wait(max(frame.taken_ns / 1e9 - time.monotonic(), 0))
            self._beat = time.monotonic()
            self._first_at = self._first_at or self._beat
            if not self.slot.put(frame):
                return
            self._beat = time.monotonic()

    def _count(self, frame: Frame) -> None:
        if (
            frame.undecodable and not self.undecodable and not frame.name
        ):  # a source with names says it itself
            log.warning("a frame cannot be decoded and is passed over; further ones are counted")
        self.undecodable += frame.undecodable

    def _stop_source(self) -> None:
        try:
            self._source.stop()
        except Exception as err:  # the device may be gone, and nothing more can be done
            log.debug("stopping the source: %s", err)


def _forget_frames(error: BaseException | None) -> None:
    """Release the stack of an error, which holds the reader, its source and the last picture."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
