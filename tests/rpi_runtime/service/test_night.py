"""The verdict of the night's benchmark: it has to be able to fail."""

from __future__ import annotations

import pytest

pytest.importorskip("aiohttp")

from tests.benchmarks.night import Row, judge, unit_value
from tests.benchmarks.watched import Heard, Look


def row(frames, rss_mib=100.0, files=12, threads=9, most_mib=101.0):
    looks = [Look(rss_mib=rss_mib, files=files + n % 5, threads=threads + n % 3) for n in range(9)]
    looks.append(Look(rss_mib=most_mib, files=files, threads=threads))
    return Row.of(looks, frames, frames / 100, 0)


def heard(gap_s=1.0, seconds=100):
    ears = Heard(30.0)
    ears.note("STATUS=waiting for the first picture", 0.0)
    ears.note("READY=1", 1.0)
    for step in range(int(seconds / gap_s)):
        ears.note("WATCHDOG=1", 1.0 + (step + 1) * gap_s)
    return ears


GOOD = [row(1000), row(2000), row(10_000), row(20_000)]


def test_a_quiet_night_is_a_good_one():
    assert judge(GOOD, heard(), 2.0) == []
    started_small = [row(1000, rss_mib=60.0, files=8), *GOOD[1:]]
    assert judge(started_small, heard(), 2.0) == [], "the first tenth does not count"


@pytest.mark.parametrize(
    ("last", "complaint"),
    [
        ({"rss_mib": 102.5}, "memory grew by 2.5 MiB, tolerated 2"),
        ({"files": 13}, "files grew from 12 to 13"),
        ({"threads": 10}, "threads grew from 9 to 10"),
        ({"most_mib": 600.0}, "memory reached 600 MiB, more than the unit's MemoryMax"),
    ],
)
def test_what_grows_is_named(last, complaint):
    assert judge([*GOOD[:3], row(20_000, **last)], heard(), 2.0) == [complaint]


def test_one_row_proves_nothing():
    assert judge([row(20_000)], heard(), 2.0) == ["the run was too short to compare anything"]


def test_a_silence_longer_than_the_watchdogs_time_is_heard():
    assert judge(GOOD, heard(gap_s=29.0), 2.0) == []
    assert judge(GOOD, heard(gap_s=31.0), 2.0) == ["no sign of life for 31.0 s, WatchdogSec is 30"]
    ears = heard()
    ears.look(131.5)
    assert judge(GOOD, ears, 2.0) == ["no sign of life for 30.5 s, WatchdogSec is 30"], "also one that lasts"


def test_readiness_comes_once_and_first():
    ears = Heard(30.0)
    ears.note("WATCHDOG=1", 0.5)
    assert "READY came 0 times" in judge(GOOD, ears, 2.0)[0]
    twice = heard()
    twice.note("READY=1", 102.0)
    assert "READY came 2 times" in judge(GOOD, twice, 2.0)[0]


def test_the_bounds_are_the_units():
    assert (unit_value("WatchdogSec"), unit_value("MemoryMax")) == (30.0, 512.0)
