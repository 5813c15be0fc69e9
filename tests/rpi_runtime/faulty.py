"""A source that does what a script says, fault by fault."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np

from rpi_runtime.capture.source import Delivered, StalledError, UndecodableError, Wanted
from rpi_runtime.errors import SourceError
from rpi_runtime.poses import Frame

SLOW_S = 0.4  # s


class Script:
    """Makes sources one after the other, each with the next list of steps; the last list is repeated.

    Steps: ``frame``; ``stall``, no frame within the time-out; ``garbled``, only such as cannot be
    decoded; ``slow``, a frame after `SLOW_S`; ``hang``, a driver that does not return until
    `unhang` is set; ``vanish``; ``crash``, an exception that is not ours; ``unopened``, `configure` fails.
    After the last step the source ends, as a recording does, or goes on with frames when it is live.
    """

    def __init__(self, *runs: Sequence[str], live: bool = True, period_s: float = 0.001) -> None:
        self.runs, self.live, self.period_s = list(runs), live, period_s
        self.made = 0
        self.stopped = 0
        self.buffers: list[int] = []  # not yet given back
        self.unhang = threading.Event()

    def make(self) -> FaultySource:
        steps = self.runs[min(self.made, len(self.runs) - 1)]
        self.made += 1
        return FaultySource(self, steps)


class FaultySource:
    def __init__(self, script: Script, steps: Sequence[str]) -> None:
        self.live = script.live
        self._script, self._steps, self._index = script, list(steps), 0
        self._image = np.full((24, 32, 3), 128, np.uint8)

    def configure(self, wanted: Wanted) -> Delivered:
        if self._steps[:1] == ["unopened"]:
            raise SourceError("camera 0: cannot be opened")
        return Delivered(width=32, height=24, what="faulty source")

    def start(self) -> None:
        pass

    def read(self, timeout_s: float) -> Frame | None:
        step = self._steps.pop(0) if self._steps else ("frame" if self.live else "end")
        if step in ("stall", "garbled"):
            self._steps.insert(0, step)
            time.sleep(timeout_s)
            if step == "garbled":
                raise UndecodableError(f"none of the frames of {timeout_s:g} s can be decoded")
            raise StalledError(f"no frame for {timeout_s:g} s")
        if step == "slow":
            time.sleep(SLOW_S)
        if step == "hang":
            self._script.unhang.wait()
            raise SourceError("came back from the driver much too late")
        if step == "vanish":
            raise SourceError("camera 0: gone")
        if step == "crash":
            raise RuntimeError("driver says no")
        if step == "end":
            return None
        time.sleep(self._script.period_s)
        return self._frame()

    def stop(self) -> None:
        self._script.stopped += 1

    def _frame(self) -> Frame:
        index, self._index = self._index, self._index + 1
        now = time.monotonic_ns()
        self._script.buffers.append(index)
        return Frame(image=self._image, index=index, timestamp_ns=now, taken_ns=now, release=self._release)

    def _release(self) -> None:
        self._script.buffers.pop()
