"""Percentiles of latencies over a run of any length, in constant memory.

A histogram with logarithmic buckets, 2 % wide: a percentile is off by at most 1 %. The idea is that of
HdrHistogram (G. Tene): keep the relative precision, not the samples.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LEAST_NS = 1_000  # a microsecond; everything below counts as one
_GROWTH = math.log(1.02)
# Upper ends of the buckets that several Pis' histograms are added up by, in ns; a quarter of a millisecond to 5 s.
BOUNDS_NS = (
    250_000, 500_000, 1_000_000, 2_000_000, 4_000_000, 8_000_000, 16_000_000, 32_000_000, 64_000_000, 125_000_000,
    250_000_000, 500_000_000, 1_000_000_000, 5_000_000_000,
)  # fmt: skip
_BUCKETS = math.ceil(math.log(1e9) / _GROWTH)  # up to 1000 s; everything above counts as that


class Histogram:
    """Durations in nanoseconds; adding one takes constant time and no memory."""

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(_BUCKETS, np.int64)
        self._within = [0] * (len(BOUNDS_NS) + 1)
        self.count = 0
        self.total_ns = 0
        self.most_ns = 0

    def add(self, duration_ns: int) -> None:
        """Count one duration; a negative one counts as zero."""
        duration_ns = max(duration_ns, 0)
        bucket = int(math.log(max(duration_ns / _LEAST_NS, 1.0)) / _GROWTH)
        self._counts[min(bucket, _BUCKETS - 1)] += 1
        self._within[bisect.bisect_left(BOUNDS_NS, duration_ns)] += 1
        self.count += 1
        self.total_ns += duration_ns
        self.most_ns = max(self.most_ns, duration_ns)

    def percentile_ms(self, percent: float) -> float:
        """Return the duration in ms that `percent` of the durations do not exceed; 0.0 without durations."""
        if self.count == 0:
            return 0.0
        rank = max(math.ceil(self.count * percent / 100), 1)
        bucket = int(np.searchsorted(np.cumsum(self._counts), rank))
        middle_ns = _LEAST_NS * math.exp((bucket + 0.5) * _GROWTH)
        return min(middle_ns, self.most_ns) / 1e6

    def buckets(self) -> Buckets:
        """Return the exact counts at `BOUNDS_NS`, which can be added over several machines, unlike percentiles."""
        below = tuple(itertools.accumulate(self._within))
        return Buckets(below=below[:-1], count=below[-1], total_ns=self.total_ns)

    def summary(self) -> Percentiles:
        """Return count, mean and percentiles."""
        return Percentiles(
            count=self.count,
            mean_ms=self.total_ns / self.count / 1e6 if self.count else 0.0,
            p50_ms=self.percentile_ms(50),
            p90_ms=self.percentile_ms(90),
            p95_ms=self.percentile_ms(95),
            p99_ms=self.percentile_ms(99),
            max_ms=self.most_ns / 1e6,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """One line of a latency table, in milliseconds."""

    count: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """A histogram with fixed buckets.

    Attributes
    ----------
    below : tuple of int
        Number of durations up to each of `BOUNDS_NS`.
    count, total_ns : int
        Number and sum of all durations.
    """

    below: tuple[int, ...]
    count: int
    total_ns: int


class StageClock:
    """One histogram for each stage, in the order in which the stages first appeared."""

    def __init__(self) -> None:
        self._stages: dict[str, Histogram] = {}

    def add(self, durations_ns: Mapping[str, int]) -> None:
        """Count the durations of one frame."""
        for stage, duration in durations_ns.items():
            if stage not in self._stages:
                self._stages[stage] = Histogram()
            self._stages[stage].add(duration)

    def summary(self) -> dict[str, Percentiles]:
        """Return the figures of each stage."""
        return {stage: histogram.summary() for stage, histogram in list(self._stages.items())}

    def buckets(self) -> dict[str, Buckets]:
        """Return the histogram of each stage."""
        return {stage: histogram.buckets() for stage, histogram in list(self._stages.items())}


def format_table(stages: Mapping[str, Percentiles]) -> str:
    """Return a table of milliseconds, one line per stage."""
    width = max([len(stage) for stage in stages] + [5])
    lines = [f"{'ms':<{width}}  {'median':>8}  {'95 %':>8}  {'99 %':>8}  {'most':>8}"]
    lines += [
        f"{stage:<{width}}  {p.p50_ms:8.2f}  {p.p95_ms:8.2f}  {p.p99_ms:8.2f}  {p.max_ms:8.2f}"
        for stage, p in stages.items()
    ]
    return "\n".join(lines)
