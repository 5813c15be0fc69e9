"""A rate per second from the intervals between events."""

from __future__ import annotations

_SMOOTHING = 0.1  # weight of the newest interval in the running mean


class RunningRate:
    """A running mean of intervals, and the rate that follows from it.

    Attributes
    ----------
    mean_s : float
        Running mean of the intervals; 0 before the first.
    """

    def __init__(self) -> None:
        self.mean_s = 0.0

    def add(self, interval_s: float) -> None:
        """Take in an interval."""
        self.mean_s += (interval_s - self.mean_s) * (_SMOOTHING if self.mean_s else 1)

    @property
    def per_second(self) -> float:
        """The rate; 0 before the first interval."""
        return 1 / self.mean_s if self.mean_s else 0.0
