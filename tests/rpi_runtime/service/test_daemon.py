"""Runs that follow each other, with sources that fail on cue."""

from __future__ import annotations

import gc
import random
import threading
import time
import weakref

import pytest

from rpi_runtime.capture.feed import Feed, Recovery
from rpi_runtime.capture.source import Wanted
from rpi_runtime.errors import OutputError, SourceError, UsageError
from rpi_runtime.pipeline import Pipeline
from rpi_runtime.service.daemon import Daemon
from rpi_runtime.settings.run_config import RunConfig, sink_config, source_config
from rpi_runtime.sinks.runner import SinkRunner
from tests.rpi_runtime.faulty import Script
from tests.rpi_runtime.service.test_pulse import Heard
from tests.rpi_runtime.sinks.mqtt.mosquitto import wait_for
from tests.rpi_runtime.test_pipeline import KeepingSink, StandInEstimator

QUICK = Recovery(open_s=5, stall_s=1.5, first_wait_s=0.005, most_wait_s=0.02, close_s=0.05)


def config(fps, sink="null"):
    """A configuration; its max_fps says which it is."""
    source = source_config("camera:0,retry_at_start=yes")
    return RunConfig(model=("m.tflite",), source=source, sink=(sink_config(sink),), max_fps=fps)


class World:
    """Configurations that a reload finds one after the other, and a script for the source of each."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.scripts = {}
        self.built = []
        self.pipelines = []
        self.heard = Heard()
        self.daemon = Daemon(self.load, self.heard, self.build)

    def load(self):
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def build(self, config, stopping):
        self.built.append(config)
        script = self.scripts.get(config.max_fps, Script(["frame"]))
        feed = Feed(script.make, Wanted(), QUICK, rng=random.Random(0))
        runner = SinkRunner(KeepingSink(), stopping=stopping)
        pipeline = Pipeline(feed, StandInEstimator(), [runner], stopping=stopping)
        self.pipelines.append(weakref.ref(pipeline))
        return pipeline

    def wait_for(self, word, count=1):
        deadline = time.monotonic() + 20
        while sum(w.startswith(word) for w in self.heard.words) < count:
            assert time.monotonic() < deadline, f"{count} times {word} did not come: {self.heard.words}"
            time.sleep(0.01)

    def story(self, act):
        """Run the daemon while `act` is done in another thread, which ends it."""

        def acting():
            try:
                act()
            finally:
                self.daemon.leaving.stop()

        thread = threading.Thread(target=acting)
        thread.start()
        try:
            self.daemon.run()
        finally:
            thread.join()
            gc.unfreeze()

    @property
    def rates(self):
        return [config.max_fps for config in self.built]


def test_a_reload_takes_the_next_configuration():
    world = World(config(1), config(2))

    def act():
        world.wait_for("READY=1")
        world.daemon.ask_for_reload()
        world.wait_for("READY=1", 2)

    world.story(act)
    assert world.rates == [1, 2]
    words = [w for w in world.heard.words if w in ("READY=1", "STOPPING=1") or w.startswith("RELOADING")]
    assert words == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]


def test_memory_is_settled_at_readiness_and_a_former_run_is_let_go():
    world = World(config(1), config(2))

    def act():
        world.wait_for("READY=1")
        assert wait_for(lambda: gc.get_freeze_count() > 0)
        assert world.pipelines[0]() is not None
        world.daemon.ask_for_reload()
        world.wait_for("READY=1", 2)
        assert wait_for(lambda: world.pipelines[0]() is None), "frozen with the rest, it would stay for ever"
        assert world.pipelines[1]() is not None

    world.story(act)
    assert world.rates == [1, 2]


def test_a_wrong_configuration_changes_nothing(caplog):
    world = World(config(1), UsageError("c.toml:3: nonsense"))

    def act():
        world.wait_for("READY=1")
        world.daemon.ask_for_reload()
        world.wait_for("READY=1", 2)

    world.story(act)
    assert world.rates == [1]
    assert "reload refused: c.toml:3: nonsense; the former configuration stays" in caplog.text


def test_a_source_that_does_not_open_brings_the_former_configuration_back(caplog):
    world = World(config(1), config(2), config(3))
    world.scripts[2] = Script(["unopened"])

    def act():
        world.wait_for("READY=1")
        world.daemon.ask_for_reload()
        world.wait_for("READY=1", 2)
        world.daemon.ask_for_reload()
        world.wait_for("READY=1", 3)

    world.story(act)
    assert world.rates == [1, 2, 1, 3], "after a refused reload the next one is tried"
    assert world.built[1].source.retry_at_start is False, "on trial, a camera is not waited for"
    assert world.built[2].source.retry_at_start is True
    assert "reload refused: camera 0: cannot be opened" in caplog.text


def test_a_failure_after_the_first_result_is_not_the_reloads():
    world = World(config(1), config(2))
    script = Script(["frame"] * 40 + ["vanish"], live=False, period_s=0.02)
    world.scripts[2] = script

    def act():
        world.wait_for("READY=1")
        world.daemon.ask_for_reload()
        world.wait_for("READY=1", 2)
        while script.stopped == 0:
            time.sleep(0.01)
        time.sleep(0.3)

    with pytest.raises(SourceError, match="gone"):
        world.story(act)
    assert world.rates == [1, 2]


def test_asking_before_the_first_result_waits_for_it():
    world = World(config(1), config(2))
    world.daemon.ask_for_reload()
    world.story(lambda: world.wait_for("READY=1", 2))
    assert world.rates == [1, 2]


@pytest.mark.parametrize("error", [UsageError("nonsense"), OutputError("read-only")])
def test_an_error_at_the_start_is_raised(error):
    world = World(error)
    with pytest.raises(type(error)):
        world.story(lambda: None)
    assert world.heard.words[-1] == "STOPPING=1"


def test_poses_in_the_journal_are_refused():
    world = World(config(1, sink="jsonl:-"))
    with pytest.raises(UsageError, match="a line per frame does not belong there"):
        world.story(lambda: None)


def test_a_stop_during_the_start_is_a_clean_one():
    world = World(config(1))
    world.scripts[1] = Script(["stall"])
    world.story(lambda: world.wait_for("STATUS=waiting"))
    assert "READY=1" not in world.heard.words
    assert "WATCHDOG=1" not in world.heard.words


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Symlink loop from 'loop.tflite'"),
        ValueError("embedded null byte"),
        RecursionError("maximum recursion depth exceeded"),
        MemoryError(),
        OSError(40, "Too many levels of symbolic links"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_a_reload_that_fails_in_an_unforeseen_way_is_refused(error):
    world = World(config(1), error, config(3))

    def act():
        world.wait_for("READY=1")
        world.daemon.ask_for_reload()
        world.wait_for("READY=1", 2)
        assert wait_for(lambda: any("reload refused" in word for word in world.heard.words))
        pings = world.heard.words.count("WATCHDOG=1")
        assert wait_for(lambda: world.heard.words.count("WATCHDOG=1") > pings), "the attendant lives"
        world.daemon.ask_for_reload()
        world.wait_for("READY=1", 3)

    world.story(act)
    assert world.rates == [1, 3]


def test_what_cannot_be_loaded_at_the_start_is_a_configuration_error():
    world = World(RuntimeError("Symlink loop"))
    with pytest.raises(UsageError, match=r"cannot be used: RuntimeError: Symlink loop"):
        world.daemon.run()
