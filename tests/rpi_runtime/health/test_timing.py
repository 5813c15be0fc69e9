"""Percentiles in constant memory."""

from __future__ import annotations

import numpy as np
import pytest

from rpi_runtime.health.timing import BOUNDS_NS, Histogram, StageClock, format_table


@pytest.mark.parametrize("percent", [1, 50, 95, 99, 100])
def test_percentiles_are_within_one_percent(percent):
    durations = np.random.default_rng(0).lognormal(15, 1.5, 20_000).astype(np.int64) + 2_000
    histogram = Histogram()
    for duration in durations.tolist():
        histogram.add(duration)
    exact = np.percentile(durations, percent, method="inverted_cdf") / 1e6
    assert histogram.percentile_ms(percent) == pytest.approx(exact, rel=0.0101)


def test_extremes_are_counted_and_not_lost():
    histogram = Histogram()
    for duration in (-5, 0, 10**15):
        histogram.add(duration)
    assert histogram.count == 3
    assert histogram.most_ns == 10**15
    assert Histogram().percentile_ms(50) == 0.0


def test_stages_keep_their_order():
    clock = StageClock()
    clock.add({"wait": 1_000_000, "infer": 3_000_000})
    clock.add({"wait": 1_000_000, "infer": 3_000_000})
    summary = clock.summary()
    assert list(summary) == ["wait", "infer"]
    assert summary["infer"].p50_ms == pytest.approx(3, rel=0.01)
    assert format_table(summary).splitlines()[2].split()[:2] == ["infer", "3.00"]


def test_buckets_count_exactly_and_add_up_over_machines():
    durations = [[100_000, 250_000, 250_001], [3_000_000, 70_000_000, 9_000_000_000]]
    each = []
    for some in durations:
        histogram = Histogram()
        for duration in some:
            histogram.add(duration)
        each.append(histogram.buckets())
    both = [sum(below) for below in zip(*(b.below for b in each), strict=True)]
    every = [d for some in durations for d in some]
    assert both == [sum(d <= bound for d in every) for bound in BOUNDS_NS]
    assert sum(b.count for b in each) == len(every)
    assert sum(b.total_ns for b in each) == sum(every)
