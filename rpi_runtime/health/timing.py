"""Percentiles of latencies over a run of any length, in constant memory.

A histogram with logarithmic buckets, 2 % wide: a percentile is off by at most 1 %. The idea is that of
HdrHistogram (G. Tene): keep the relative precision, not the samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LEAST_NS = 1_000  # a microsecond; everything below counts as one
_GROWTH = math.log(1.02)
_BUCKETS = math.ceil(math.log(1e9) / _GROWTH)  # up to 1000 s; everything above counts as that


class Histogram:
    """Durations in nanoseconds; adding one takes constant time and no memory."""

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(_BUCKETS, np.int64)
        self.count = 0
        self.total_ns = 0
        self.most_ns = 0

    def add(self, duration_ns: int) -> None:
        """Count one duration; a negative one counts as zero."""
        duration_ns = max(duration_ns, 0)
        bucket = int(math.log(max(duration_ns / _LEAST_NS, 1.0)) / _GROWTH)
        self._counts[min(bucket, _BUCKETS - 1)] += 1
        self.count += 1
        self.total_ns += duration_ns
        self.most_ns = max(self.most_ns, duration_ns)

    def percentile_ms(self, percent: float) -> float:
        """Return the duration, in ms, that `percent` of all stay at or below; 0.0 without any."""
        if self.count == 0:
            return 0.0
        rank = max(math.ceil(self.count * percent / 100), 1)
        bucket = int(np.searchsorted(np.cumsum(self._counts), rank))
        middle_ns = _LEAST_NS * math.exp((bucket + 0.5) * _GROWTH)
        return min(middle_ns, self.most_ns) / 1e6

    def summary(self) -> Percentiles:
        """Return the figures that tables show."""
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


def format_table(stages: Mapping[str, Percentiles]) -> str:
    """Return a table of milliseconds, one line a stage."""
    width = max([len(stage) for stage in stages] + [5])
    lines = [f"{'ms':<{width}}  {'median':>8}  {'95 %':>8}  {'99 %':>8}  {'most':>8}"]
    lines += [
        f"{stage:<{width}}  {p.p50_ms:8.2f}  {p.p95_ms:8.2f}  {p.p99_ms:8.2f}  {p.max_ms:8.2f}"
        for stage, p in stages.items()
    ]
    return "\n".join(lines)
