"""A source that fails on demand is recovered without a restart."""

from __future__ import annotations

import gc
import logging
import random
import threading
import time
import weakref
from dataclasses import replace

import pytest

from rpi_runtime.capture.feed import Feed, Recovery
from rpi_runtime.capture.source import Wanted
from rpi_runtime.errors import DependencyError, SourceError
from rpi_runtime.optional import load
from tests.rpi_runtime.faulty import SLOW_S, Script

QUICK = Recovery(open_s=0.2, stall_s=0.1, first_wait_s=0.005, most_wait_s=0.02, close_s=0.05, most_hung=2)


def make_feed(script, recovery=QUICK, **options):
    feed = Feed(script.make, Wanted(), recovery, rng=random.Random(0), **options)
    feed.start()
    return feed


def take(feed, count, patience_s=20.0):
    """Take frames until there are `count`, or the feed has ended."""
    frames = []
    deadline = time.monotonic() + patience_s
    while len(frames) < count and not feed.ended and time.monotonic() < deadline:
        frame = feed.take(0.01)
        if frame is not None:
            frames.append(feed.index(frame))
            frame.done()
    return frames


@pytest.mark.parametrize("fault", ["stall", "vanish", "crash"])
def test_a_live_source_that_fails_comes_back(fault):
    script = Script(["frame", "frame", fault], ["frame"])
    feed = make_feed(script)
    assert len(take(feed, 10)) == 10
    assert feed.stop(5)
    assert (feed.restarts, feed.state) == (1, "running")
    assert feed.last_recovery_s > 0
    assert script.made == script.stopped == 2


@pytest.mark.parametrize("fault", ["stall", "vanish", "crash"])
def test_a_lost_source_and_its_last_picture_are_let_go_at_once(fault):
    script = Script(["frame", "frame", fault], ["frame"])
    made = []

    def make():
        source = Script.make(script)
        made.append(weakref.ref(source))
        return source

    gc.collect()
    gc.disable()  # what a cycle holds stays until the collector comes, which may be hours
    try:
        feed = Feed(make, Wanted(), QUICK, rng=random.Random(0))
        feed.start()
        take(feed, 10)
        assert (feed.restarts, len(made)) == (1, 2)
        assert made[0]() is None
    finally:
        gc.enable()
        feed.stop(5)


def test_a_camera_that_stays_away_for_some_tries():
    script = Script(["frame", "vanish"], ["unopened"], ["unopened"], ["unopened"], ["frame"])
    feed = make_feed(script)
    assert len(take(feed, 5)) == 5
    feed.stop(5)
    assert (script.made, feed.restarts) == (5, 1)


def test_a_hanging_driver_is_left_behind_and_replaced():
    script = Script(["frame", "hang"], ["frame"])
    feed = make_feed(script)
    assert len(take(feed, 5)) == 5
    assert feed.restarts == 1
    assert not feed.stop(5), "the hung reader is reported"
    script.unhang.set()


def test_too_many_hanging_drivers_end_the_run():
    script = Script(["frame", "hang"])
    feed = make_feed(script)
    with pytest.raises(SourceError, match="hung 3 times"):
        take(feed, 100)
    script.unhang.set()


def test_frames_are_numbered_on_over_a_restart():
    feed = make_feed(Script(["frame", "frame", "vanish"], ["frame"]))
    indices = take(feed, 12)
    feed.stop(5)
    assert indices == sorted(set(indices))


def test_a_loss_is_said_once_and_so_is_the_return(caplog):
    caplog.set_level(logging.WARNING)
    script = Script(["frame", "vanish"], ["unopened"], ["unopened"], ["unopened"], ["frame"])
    feed = make_feed(script)
    take(feed, 5)
    feed.stop(5)
    said = [r.getMessage().split(";")[0] for r in caplog.records]
    assert said[:2] == ["source lost: camera 0: gone", "source lost: camera 0: cannot be opened"]
    assert said[2].startswith("source is back after")
    assert len(said) == 3


def test_the_first_opening_fails_at_once_unless_told_to_wait():
    with pytest.raises(SourceError, match="cannot be opened"):
        take(make_feed(Script(["unopened"])), 1)
    patient = Recovery(first_wait_s=0.005, most_wait_s=0.01, at_start=True)
    feed = make_feed(Script(["unopened"], ["unopened"], ["frame"]), patient)
    assert len(take(feed, 2)) == 2
    feed.stop(5)


def test_a_missing_package_is_not_waited_for():
    def make():
        source = Script(["frame"]).make()
        source.configure = lambda wanted: load("cv2.none", "cameras")
        return source

    feed = Feed(make, Wanted(), Recovery(at_start=True))
    feed.start()
    with pytest.raises(DependencyError, match="opencv-python"):
        take(feed, 1)


def test_a_recording_loses_nothing_and_ends():
    feed = make_feed(Script(["frame"] * 50, live=False))
    assert take(feed, 1000) == list(range(50))
    assert feed.ended
    assert (feed.dropped, feed.state) == (0, "ended")


def test_a_disk_that_takes_long_does_not_end_a_recording():
    assert 2 * QUICK.stall_s < SLOW_S
    feed = make_feed(Script(["frame", "slow", "frame", "slow"], live=False))
    assert take(feed, 1000) == [0, 1, 2, 3]


def test_a_disk_that_never_answers_ends_a_recording():
    script = Script(["frame", "hang"], live=False)
    feed = Feed(script.make, Wanted(), replace(QUICK, patient_s=0.3))
    feed.start()
    with pytest.raises(SourceError, match="its disk or network drive"):
        take(feed, 1000)
    script.unhang.set()


def test_a_camera_that_sends_nothing_but_damage_is_lost_with_that_reason(caplog):
    feed = make_feed(Script(["frame", "garbled"], ["frame"]))
    assert len(take(feed, 3)) == 3
    feed.stop(5)
    assert "source lost: no frame that can be decoded for" in caplog.text


def test_a_recording_that_fails_is_not_tried_again():
    script = Script(["frame", "frame", "vanish"], live=False)
    feed = make_feed(script)
    with pytest.raises(SourceError, match="gone"):
        take(feed, 1000)
    assert script.made == 1


def test_every_buffer_is_given_back():
    script = Script(["frame"] * 20 + ["vanish"], ["frame"])
    feed = make_feed(script)
    take(feed, 30)
    assert feed.stop(5)
    assert script.buffers == []


def test_hundreds_of_restarts_leave_nothing_behind():
    threads = threading.active_count()
    script = Script(["frame", "frame", "vanish"], period_s=0.0)
    feed = make_feed(script, Recovery(first_wait_s=0.0001, most_wait_s=0.0002))
    taken = take(feed, 400)
    assert feed.stop(5)
    assert len(taken) == 400
    assert feed.restarts > 100
    assert script.made == script.stopped
    assert script.buffers == []
    assert threading.active_count() == threads


def test_a_paced_recording_drops_frames_like_a_camera():
    script = Script(["frame"] * 40, live=False, period_s=0.0)
    feed = make_feed(script, pace=True)
    taken = []
    while not feed.ended:
        frame = feed.take(0.01)
        if frame is not None:
            taken.append(frame.index)
            time.sleep(0.002)
    assert taken == sorted(taken)
    assert len(taken) + feed.dropped == 40
