"""Percentiles in constant memory."""

from __future__ import annotations

import numpy as np
import pytest

from rpi_runtime.health.timing import Histogram, StageClock, format_table


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
