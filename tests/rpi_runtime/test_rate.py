"""A running rate: none before the first interval, exact for a steady one, and it follows a change."""

from __future__ import annotations

import pytest

from rpi_runtime.rate import RunningRate


def test_no_rate_before_the_first_interval() -> None:
    assert (RunningRate().per_second, RunningRate().mean_s) == (0.0, 0.0)


def test_a_steady_rate_is_exact_and_a_change_is_followed() -> None:
    rate = RunningRate()
    for _ in range(3):
        rate.add(0.1)
    assert rate.per_second == pytest.approx(10)
    rate.add(0.2)
    assert rate.mean_s == pytest.approx(0.11)
    for _ in range(100):
        rate.add(0.2)
    assert rate.per_second == pytest.approx(5, rel=1e-3)
