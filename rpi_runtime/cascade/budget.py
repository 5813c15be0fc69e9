"""Estimate what a crop costs on this machine, and whether another one fits into a frame's budget."""

from __future__ import annotations

from collections.abc import Callable

NS_PER_MS = 1_000_000
GAIN = 1 / 8  # weight of a new cost in the mean, GAIN_SPREAD in the mean deviation: RFC 6298, section 2
GAIN_SPREAD = 1 / 4
SPREADS = 2  # mean deviations above the mean, an estimate that a crop rarely exceeds
RELIEF = 0.05  # part of the way to the least cost, for each frame in which no crop was started


class Budget:
    """Predicts before each crop whether it will end in time.

    The cost of a crop is estimated as TCP estimates round trips (RFC 6298): a running mean and a multiple of the
    running mean deviation. When the estimate exceeds the budget, no crop is started and no cost is measured; the
    estimate then decays towards the least cost ever measured, so that a passing load does not switch the cascade off
    for good.

    Parameters
    ----------
    limit_ms : float
        0 for no limit.
    clock : callable
        Nanoseconds, monotonic.
    """

    def __init__(self, limit_ms: float, clock: Callable[[], int]) -> None:
        self.limit_ns = limit_ms * NS_PER_MS
        self._clock = clock
        self._begin = 0
        self._mean = 0.0
        self._spread = 0.0
        self._least = float("inf")

    @property
    def cost_ns(self) -> float:
        """Longest expected time of the next crop; 0 before the first measurement."""
        return self._mean + SPREADS * self._spread

    @property
    def hopeless(self) -> bool:
        """Whether not even one crop fits into a frame's budget."""
        return 0 < self.limit_ns < self.cost_ns

    def begin(self) -> None:
        """Start a frame's time."""
        self._begin = self._clock()

    def allows(self) -> bool:
        """Whether one more crop will end within the budget."""
        return self.limit_ns == 0 or self._clock() - self._begin + self.cost_ns <= self.limit_ns

    def learn(self, cost_ns: int) -> None:
        """Update the estimate with the measured cost of a crop."""
        if self._least == float("inf"):
            self._mean = cost_ns
        self._least = min(self._least, cost_ns)
        error = cost_ns - self._mean
        self._mean += GAIN * error
        self._spread += GAIN_SPREAD * (abs(error) - self._spread)

    def relieve(self) -> None:
        """Decay the estimate after a frame in which no crop fitted the budget."""
        if self._least < float("inf"):
            self._mean += RELIEF * (self._least - self._mean)
            self._spread *= 1 - RELIEF
