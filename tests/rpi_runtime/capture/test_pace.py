"""When the frames of a recording are due."""

from __future__ import annotations

import time

import numpy as np
import pytest

from rpi_runtime.capture.pace import LONGEST_GAP_S, Pace
from rpi_runtime.poses import Frame

SECOND = 1_000_000_000


def due(*seconds: float) -> list[float]:
    """When frames with these timestamps are due, after the first."""
    pace = Pace()
    taken = []
    for index, second in enumerate(seconds):
        stamp = round(second * SECOND)
        frame = Frame(image=np.zeros((1, 1, 3), np.uint8), index=index, timestamp_ns=stamp, taken_ns=0)
        played = pace.due(frame)
        assert played.timestamp_ns == stamp
        taken.append(played.taken_ns)
    return [round((t - taken[0]) / SECOND, 6) for t in taken]


def test_frames_are_due_at_the_intervals_of_their_timestamps() -> None:
    before = time.monotonic_ns()
    assert due(5.0, 5.1, 7.0, 66.9) == [0.0, 0.1, 2.0, 61.9]
    assert time.monotonic_ns() - before < 60 * SECOND


@pytest.mark.parametrize("jump", [3e8, 61.0])
def test_a_clock_that_was_set_is_no_wait_of_years(jump: float) -> None:
    """A recording that began before the clock was set, as of a Pi at boot, was played for years."""
    assert due(0.0, 0.1, 0.1 + jump, 0.2 + jump) == [0.0, 0.1, 0.1 + LONGEST_GAP_S, 0.2 + LONGEST_GAP_S]
