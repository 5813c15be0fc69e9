"""The pipeline keeps its promises: order, completeness, faults that stay where they are."""

from __future__ import annotations

import random
import threading
import time
from types import SimpleNamespace

import pytest

from rpi_runtime.capture.feed import Feed, Recovery
from rpi_runtime.capture.source import Wanted
from rpi_runtime.errors import OutputError, SourceError
from rpi_runtime.estimate import Estimate
from rpi_runtime.health.thermal import Heat, HeatConfig, HeatWatch
from rpi_runtime.pipeline import Pipeline, RunLimits
from rpi_runtime.sinks.runner import SinkRunner
from rpi_runtime.sinks.sink import SinkLeftError
from rpi_runtime.stop import StopFlag
from tests.rpi_runtime.faulty import Script
from tests.rpi_runtime.results import make_result
from tests.rpi_runtime.toys import CARD

QUICK = Recovery(open_s=5, stall_s=0.1, first_wait_s=0.005, most_wait_s=0.02, close_s=0.05)


class StandInEstimator:
    """Always finds one person; remembers which of its models it was asked for."""

    def __init__(self, models=1, seconds=0.0):
        self.models = [SimpleNamespace(card=CARD)] * models
        self.skeleton = CARD.skeleton
        self.networks = f"{CARD.name} {CARD.input.size}"
        self.seconds = seconds
        self.asked = []

    def __call__(self, image, timestamp_ns, *, smaller=0, prepared):
        self.asked.append(smaller)
        prepared()
        time.sleep(self.seconds)
        return Estimate(tracks=make_result().tracks, latency_ns={"preprocess": 10, "infer": 20})


class KeepingSink:
    """Keeps results; fails with `error` at the third."""

    name = "keeping"
    backlog = 200
    trouble = ""

    def __init__(self, wants_image=False, error=None):
        self.wants_image, self.error = wants_image, error
        self.results = []
        self.stopped = False

    def open(self, about):
        self.about = about
        return self

    def write(self, result):
        if self.error is not None and len(self.results) == 2:
            raise self.error
        self.results.append(result)

    def close(self):
        self.stopped = True


def make_pipeline(script, *sinks, estimator=None, limits=None, heat=None):
    flag = StopFlag()
    feed = Feed(script.make, Wanted(), QUICK, rng=random.Random(0))
    runners = [SinkRunner(s, lossless=not script.live, stopping=flag) for s in sinks]
    estimator = estimator or StandInEstimator()
    return Pipeline(feed, estimator, runners, limits=limits or RunLimits(), heat=heat, stopping=flag)


def test_a_recording_reaches_every_sink_whole_and_in_order():
    sinks = KeepingSink(), KeepingSink(wants_image=True)
    script = Script(["frame"] * 60, live=False)
    status = make_pipeline(script, *sinks).run()
    for sink in sinks:
        assert [r.index for r in sink.results] == list(range(60))
        assert sink.stopped
    assert (status.frames, status.dropped, status.state) == (60, 0, "ended")
    assert sinks[0].about.model == "toy 32x24"
    assert list(sinks[0].results[0].latency_ns) == ["wait", "preprocess", "infer"]


def test_pictures_are_copied_from_the_camera_only_for_sinks_that_want_them():
    script = Script(["frame"] * 5, live=False)
    sink = KeepingSink()
    make_pipeline(script, sink).run()
    assert sink.results[0].image is None
    wanting = KeepingSink(wants_image=True)
    pipeline = make_pipeline(Script(["frame"] * 5, live=False), wanting)
    pipeline.run()
    assert wanting.results[0].image.shape == (24, 32, 3)
    assert script.buffers == []


@pytest.mark.parametrize("fault", ["stall", "vanish", "crash", "hang"])
def test_a_camera_fault_is_survived(fault):
    script = Script(["frame"] * 5 + [fault], ["frame"])
    sink = KeepingSink()
    pipeline = make_pipeline(script, sink, limits=RunLimits(frames=20))
    status = pipeline.run()
    assert (status.frames, status.restarts, len(sink.results)) == (20, 1, 20)
    assert pipeline.hung == (fault == "hang")
    script.unhang.set()


def test_a_recording_that_fails_flushes_and_raises():
    sink = KeepingSink()
    pipeline = make_pipeline(Script(["frame"] * 5 + ["vanish"], live=False), sink)
    with pytest.raises(SourceError, match="gone"):
        pipeline.run()
    assert len(sink.results) == pipeline.status().frames == 5
    assert sink.stopped


def test_a_failing_sink_leaves_the_others_alone_and_is_remembered():
    good, bad = KeepingSink(), KeepingSink(error=OutputError("disk full"))
    pipeline = make_pipeline(Script(["frame"] * 30, live=False), bad, good)
    status = pipeline.run()
    assert len(good.results) == 30
    assert str(pipeline.error) == "disk full"
    assert [s.error for s in status.sinks] == ["disk full", ""]
    assert "ended early: disk full" in status.describe()


def test_a_reader_that_leaves_is_no_failure_and_the_last_one_ends_the_run():
    pipeline = make_pipeline(Script(["frame"]), KeepingSink(error=SinkLeftError("closed")))
    pipeline.run()
    assert pipeline.error is None


def test_a_sink_that_cannot_start_ends_the_run():
    class Unstartable(KeepingSink):
        def open(self, about):
            raise OutputError("read-only")

    pipeline = make_pipeline(Script(["frame"]), KeepingSink(), Unstartable())
    with pytest.raises(OutputError, match="read-only"):
        pipeline.run()


def test_stop_from_another_thread_writes_what_was_found():
    sink = KeepingSink()
    pipeline = make_pipeline(Script(["frame"]), sink)
    threading.Timer(0.5, pipeline.stopping.stop).start()
    status = pipeline.run()
    assert status.frames == len(sink.results) > 0
    assert not pipeline.hung


def test_a_slow_network_gets_the_newest_frames():
    sink = KeepingSink()
    estimator = StandInEstimator(seconds=0.01)
    pipeline = make_pipeline(Script(["frame"]), sink, estimator=estimator, limits=RunLimits(frames=15))
    status = pipeline.run()
    indices = [r.index for r in sink.results]
    assert indices == sorted(set(indices))
    assert status.dropped > 0
    assert sink.results[-1].dropped > 0
    assert indices[-1] >= status.frames, "gaps in the numbers are the dropped frames"


def test_heat_takes_the_smaller_model():
    heat = HeatWatch(HeatConfig(period_s=0.001), lambda: Heat(celsius=90))
    estimator = StandInEstimator(models=2)
    pipeline = make_pipeline(
        Script(["frame"]), KeepingSink(), estimator=estimator, limits=RunLimits(frames=100), heat=heat
    )
    status = pipeline.run()
    assert estimator.asked[-1] == 1
    assert status.heat_level == 1
    assert "90.0 C; 1 steps down" in status.describe()


def test_the_summary_speaks_of_the_whole_run():
    status = make_pipeline(Script(["frame"]), KeepingSink(), limits=RunLimits(frames=30)).run()
    assert status.fps == pytest.approx(29 / status.seconds)


def test_status_can_be_asked_at_any_time():
    pipeline = make_pipeline(Script(["frame"] * 3, live=False), KeepingSink())
    assert pipeline.status().state == "opening"
    pipeline.run()
    assert pipeline.status().people == 1
    assert "3 frames in" in pipeline.status().describe()
