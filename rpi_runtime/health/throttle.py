"""The frame rate: the user's limit, reduced when the processor is hot."""

from __future__ import annotations

from rpi_runtime.rate import RunningRate


class Throttle:
    """Decides which model to use and when the next frame may begin.

    The first steps down switch to the smaller models; each further step halves the frame rate that was reached
    before.

    Parameters
    ----------
    max_fps : float
        0: no limit.
    models : int
        Number of models, including the first.

    Attributes
    ----------
    fps : float
        Running mean of the frames per second.
    """

    def __init__(self, max_fps: float = 0.0, models: int = 1) -> None:
        self._least_s = 1 / max_fps if max_fps else 0.0
        self._models = models
        self._last_s: float | None = None
        self._rate = RunningRate()
        self._full_s = 0.0  # mean of the intervals at full rate

    @property
    def fps(self) -> float:
        """Running mean of the frames per second."""
        return self._rate.per_second

    def smaller(self, level: int) -> int:
        """Return the index of the model to use at this heat level."""
        return min(level, self._models - 1)

    def wait_s(self, now_s: float, level: int) -> float:
        """Return how long the next frame has to wait; 0 or less if it may begin."""
        if self._last_s is None:
            return 0.0
        halvings = level - self.smaller(level)
        slower = self._full_s * 2**halvings if halvings else 0.0
        return self._last_s + max(self._least_s, slower) - now_s

    def begin(self, now_s: float, level: int) -> None:
        """Record the start of a frame."""
        if self._last_s is not None:
            self._rate.add(now_s - self._last_s)
            if level == self.smaller(level):
                self._full_s = self._rate.mean_s
        self._last_s = now_s
