"""Waits between tries."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from rpi_runtime.backoff import Backoff


@given(st.integers(0, 2**32), st.floats(0.01, 5), st.floats(5, 100))
def test_waits_double_stay_bounded_and_are_spread(seed, first, most):
    backoff = Backoff(first, most, random.Random(seed))
    for turn in range(12):
        step = min(first * 2**turn, most)
        assert step / 2 <= backoff.wait_s() <= step
    backoff.reset()
    assert backoff.wait_s() <= first
