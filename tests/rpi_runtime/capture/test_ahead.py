"""A stream that comes faster than its own time."""

from __future__ import annotations

from rpi_runtime.capture.ahead import Ahead


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_frames_that_come_at_once_are_handed_on_at_their_times():
    clock = Clock()
    ahead = Ahead(clock, clock.sleep)
    assert [round(ahead.wait(40.0 * i) / 1e9, 3) for i in range(4)] == [100.0, 100.04, 100.08, 100.12]


def test_what_comes_late_is_not_held_back_further():
    clock = Clock()
    ahead = Ahead(clock, clock.sleep)
    ahead.wait(0)
    clock.now += 1
    ahead.wait(500)
    assert clock.now == 101


def test_a_pause_and_a_jump_set_the_clock_anew():
    clock = Clock()
    ahead = Ahead(clock, clock.sleep)
    ahead.wait(0)
    clock.now += 60
    ahead.wait(40)
    ahead.wait(80)
    assert round(clock.now, 3) == 160.04
    ahead.wait(36_000_000)
    ahead.wait(36_000_040)
    assert round(clock.now, 3) == 160.08
    ahead.wait(0)
    ahead.wait(40)
    assert round(clock.now, 3) == 160.12
