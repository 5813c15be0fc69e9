"""A source's times go forward, whatever its driver says."""

from __future__ import annotations

import logging
from itertools import pairwise

import numpy as np

from rpi_runtime.capture.steady import Steady
from rpi_runtime.poses import Frame

IMAGE = np.zeros((2, 2, 3), np.uint8)
MS = 1_000_000


def times(stamps_ms, *, live, arrivals_ms=None):
    steady = Steady()
    arrivals = arrivals_ms or [stamp + 5 for stamp in range(0, 34 * len(stamps_ms), 34)]
    frames = [
        steady.frame(
            Frame(image=IMAGE, index=i, timestamp_ns=stamp * MS, taken_ns=stamp * MS),
            live=live,
            arrived_ns=arrived * MS,
        )
        for i, (stamp, arrived) in enumerate(zip(stamps_ms, arrivals, strict=True))
    ]
    return [f.timestamp_ns / MS for f in frames]


def test_good_times_stay_as_they_are():
    assert times([0, 33, 66, 500], live=True) == [0, 33, 66, 500]
    assert times([0, 33, 66, 500], live=False) == [0, 33, 66, 500]


def test_a_driver_whose_times_went_back_is_not_believed_any_more(caplog):
    caplog.set_level(logging.INFO)
    stamps = [34 * i - (60 if i % 3 == 2 else 0) for i in range(30)]  # every third one 60 ms early
    got = times(stamps, live=True)
    assert got[:2] == stamps[:2]
    assert got[2:] == [34 * i + 5 for i in range(2, 30)]
    assert len(caplog.records) == 1


def test_steps_are_never_tiny():
    for stamps in ([5, 5, 5, 5], [50, 40, 30, 20], [0, 10**12, 0, 5]):
        got = times(stamps, live=True, arrivals_ms=[7, 7, 7, 7])
        assert all(b - a >= 1 for a, b in pairwise(got))


def test_a_recording_goes_on_by_its_usual_interval():
    assert times([0, 100, 50, 60, 500], live=False) == [0, 100, 200, 300, 500]
