"""Source to sinks: frame -> preprocess -> infer -> decode (-> refine) -> track -> sinks.

Three kinds of threads: the reader (see `rpi_runtime.capture.feed`), this one, which has the network, and one
for each sink (see `rpi_runtime.sinks.runner`). Between them nothing grows. When a stage is slow:

=====================  ==========================================  ===================================
source                 the network is slower than the source       a sink is slower than the network
=====================  ==========================================  ===================================
live, or paced replay  the newest frame wins, others are dropped   its oldest waiting result is dropped
recording              the source waits                            the network waits
=====================  ==========================================  ===================================
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rpi_runtime.capture.feed import Feed
from rpi_runtime.errors import PiposeError
from rpi_runtime.estimate import Estimate, Estimator
from rpi_runtime.health.status import CascadeSummary, SinkSummary, Status
from rpi_runtime.health.thermal import HeatWatch
from rpi_runtime.health.throttle import Throttle
from rpi_runtime.health.timing import StageClock
from rpi_runtime.poses import Frame, Image
from rpi_runtime.sinks.runner import SinkRunner
from rpi_runtime.sinks.sink import About, Result, SinkLeftError
from rpi_runtime.stop import StopFlag

log = logging.getLogger(__name__)

POLL_S = 0.1  # how long a stop may go unnoticed
STOP_S = 1.4  # for flushing after a stop; the whole stop has to stay below 2 s


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """`max_fps` frames per second, and the end after `frames`; 0 for no limit."""

    max_fps: float = 0.0
    frames: int = 0


class Pipeline:
    """One run.

    Parameters
    ----------
    feed : Feed
    estimator : Estimator
    sinks : sequence of SinkRunner
    limits : RunLimits
    heat : HeatWatch, optional
    stopping : StopFlag, optional
        Stops the run from outside; shared with the code that may do so.

    Attributes
    ----------
    hung : bool
        After `run`: a thread is stuck in a driver or a pipe, so the process should end by `os._exit`.

    Examples
    --------
    >>> from rpi_runtime import open_pipeline
    >>> pipeline = open_pipeline("M.tflite", source="images:street", sinks=["null"])
    >>> pipeline.run().frames
    1
    """

    def __init__(
        self,
        feed: Feed,
        estimator: Estimator,
        sinks: Sequence[SinkRunner],
        *,
        limits: RunLimits = RunLimits(),
        heat: HeatWatch | None = None,
        stopping: StopFlag | None = None,
    ) -> None:
        self.feed, self.estimator, self.sinks, self.limits = feed, estimator, tuple(sinks), limits
        self.heat = heat
        self.stopping = stopping if stopping is not None else StopFlag()
        self.hung = False
        self._throttle = Throttle(limits.max_fps, len(estimator.models))
        self._clock = StageClock()
        self._frames = 0
        self._people = 0
        self._cascade: CascadeSummary | None = None
        self._over = False
        self._first_s = 0.0
        self._last_s = 0.0

    @property
    def error(self) -> PiposeError | None:
        """The first failure of a sink; disconnected readers (`SinkLeftError`) do not count."""
        failed = [
            r.error for r in self.sinks if r.error is not None and not isinstance(r.error, SinkLeftError)
        ]
        return failed[0] if failed else None

    def run(self) -> Status:
        """Run until the recording ends, the limit is reached, all sinks have ended or `stopping` is set.

        Returns
        -------
        Status
            The summary of the run.

        Raises
        ------
        PiposeError
            The source failed for good, or a sink could not be started. Everything is stopped and flushed by
            then, and `status` gives the summary.
        """
        about = About(model=self.estimator.networks, skeleton=self.estimator.skeleton, status=self.status)
        try:
            for runner in self.sinks:
                runner.start(about)
            if self.heat is not None:
                self.heat.start()
            self.feed.start()
            self._loop()
        finally:
            self._finish()
        return self.status()

    def status(self) -> Status:
        """Return what the run is doing; may be called from any thread."""
        seconds = self._last_s - self._first_s
        return Status(
            state="ended" if self._over else self.feed.state,
            frames=self._frames,
            dropped=self.feed.dropped,
            seconds=seconds,
            fps=(self._frames - 1) / seconds if self._over and seconds > 0 else self._throttle.fps,
            people=self._people,
            undecodable=self.feed.undecodable,
            restarts=self.feed.restarts,
            last_recovery_s=self.feed.last_recovery_s,
            heat=self.heat.heat.describe() if self.heat else "",
            heat_level=(self.heat.most_level if self._over else self.heat.level) if self.heat else 0,
            celsius=self.heat.heat.celsius if self.heat else None,
            throttled=self.heat.heat.throttled if self.heat else False,
            stages=self._clock.summary(),
            histograms=self._clock.buckets(),
            sinks=tuple(_sink_summary(r) for r in self.sinks),
            cascade=self._cascade,
        )

    def _loop(self) -> None:
        while self._goes_on():
            level = self.heat.level if self.heat else 0
            wait = self._throttle.wait_s(time.monotonic(), level)
            if wait > 0:
                time.sleep(min(wait, POLL_S))
                continue
            frame = self.feed.take(POLL_S)
            if frame is not None:
                self._throttle.begin(time.monotonic(), level)
                self._process(frame, self._throttle.smaller(level))

    def _goes_on(self) -> bool:
        reached = 0 < self.limits.frames <= self._frames
        alive = not self.sinks or not all(r.over for r in self.sinks)
        return alive and not (reached or self.stopping() or self.feed.ended)

    def _process(self, frame: Frame, smaller: int) -> None:
        begin_ns = time.monotonic_ns()
        kept = self._keep(frame)
        estimate = self.estimator(frame.image, frame.timestamp_ns, smaller=smaller, prepared=frame.done)
        result = self._result(frame, kept, estimate, begin_ns)
        for runner in self.sinks:
            runner.put(result)
        self._clock.add(result.latency_ns)
        self._frames += 1
        self._people = len(estimate.tracks)
        if estimate.looked is not None:
            summary = self._cascade or CascadeSummary()
            self._cascade = summary.after(estimate.tracks, looked=estimate.looked)
        self._last_s = time.monotonic()
        self._first_s = self._first_s or self._last_s

    def _keep(self, frame: Frame) -> Image | None:
        """The picture for sinks that want it: a copy only where the camera wants its buffer back."""
        if not any(r.wants_image for r in self.sinks):
            return None
        return frame.image.copy() if frame.release is not None else frame.image

    def _result(self, frame: Frame, image: Image | None, estimate: Estimate, begin_ns: int) -> Result:
        height, width = frame.image.shape[:2]
        delivered = self.feed.delivered
        return Result(
            index=self.feed.index(frame),
            timestamp_ns=frame.timestamp_ns,
            taken_ns=frame.taken_ns,
            time_ns=time.time_ns() - (time.monotonic_ns() - frame.taken_ns),
            name=frame.name,
            width=width,
            height=height,
            tracks=estimate.tracks,
            dropped=self.feed.dropped,
            latency_ns={"wait": max(begin_ns - frame.taken_ns, 0)} | estimate.latency_ns,
            fps=delivered.fps if delivered else 0.0,
            looked=estimate.looked,
            image=image,
        )

    def _finish(self) -> None:
        """Stop everything: without haste after a recording, within `STOP_S` when asked to stop."""
        self._over = True
        for runner in self.sinks:
            runner.finish()
        if self.heat is not None:
            self.heat.stop()
        self.hung = not self.feed.stop(STOP_S / 2)
        hurry_at: float | None = None
        for runner in self.sinks:
            if not self.stopping() and runner.join(None):
                continue
            hurry_at = hurry_at or time.monotonic() + STOP_S / 2
            if not runner.join(max(hurry_at - time.monotonic(), 0.05)):
                self.hung = True
                lost = runner.waiting()
                log.error("sink %s did not finish in time: %d results are lost", runner.sink.name, lost)


def _sink_summary(runner: SinkRunner) -> SinkSummary:
    return SinkSummary(
        name=runner.sink.name,
        written=runner.written,
        dropped=runner.dropped,
        error=str(runner.error) if runner.error else "",
        trouble=runner.trouble,
        over=runner.over,
        outages=runner.outages,
        age=runner.age.summary(),
    )
