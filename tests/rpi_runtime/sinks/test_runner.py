"""A slow, failing or dead sink harms only itself."""

from __future__ import annotations

import errno
import logging
import threading

import pytest

from rpi_runtime.errors import OutputError
from rpi_runtime.sinks.runner import SinkRunner
from rpi_runtime.sinks.sink import SinkLeftError
from tests.rpi_runtime.results import ABOUT, make_result


class ListSink:
    """Keeps the numbers of the frames; `gate` holds `write` up, `error` is raised by it."""

    name = "list"
    wants_image = False
    trouble = ""

    def __init__(self, backlog=4, error=None):
        self.backlog, self.error = backlog, error
        self.frames = []
        self.gate = threading.Event()
        self.busy = threading.Event()
        self.gate.set()
        self.stopped = 0

    def open(self, about):
        self.about = about
        return self

    def write(self, result):
        self.busy.set()
        self.gate.wait(10)
        if self.error is not None and len(self.frames) == 2:
            raise self.error
        self.frames.append(result.index)

    def close(self):
        self.stopped += 1


def test_everything_is_written_before_the_end():
    sink = ListSink(backlog=100)
    runner = SinkRunner(sink)
    runner.start(ABOUT)
    for index in range(50):
        runner.put(make_result(index))
    runner.finish()
    assert runner.join(10)
    assert sink.frames == list(range(50))
    assert (runner.written, runner.dropped, sink.stopped) == (50, 0, 1)
    assert runner.age.count == 50


def test_a_slow_sink_drops_its_oldest_and_nobody_waits():
    sink = ListSink(backlog=3)
    sink.gate.clear()
    runner = SinkRunner(sink)
    runner.start(ABOUT)
    runner.put(make_result(0))
    assert sink.busy.wait(10)
    for index in range(1, 11):
        runner.put(make_result(index))
    sink.gate.set()
    runner.finish()
    assert runner.join(10)
    assert sink.frames == [0, 8, 9, 10]
    assert runner.dropped == 7


def test_lossless_waits_for_room():
    sink = ListSink(backlog=2)
    runner = SinkRunner(sink, lossless=True)
    runner.start(ABOUT)
    for index in range(200):
        runner.put(make_result(index))
    runner.finish()
    assert runner.join(10)
    assert sink.frames == list(range(200))


def test_a_stop_ends_the_wait_for_room():
    sink = ListSink(backlog=1)
    sink.gate.clear()
    stopping = threading.Event()
    runner = SinkRunner(sink, lossless=True, stopping=stopping.is_set)
    runner.start(ABOUT)
    runner.put(make_result(0))
    assert sink.busy.wait(10)
    runner.put(make_result(1))
    threading.Timer(0.01, stopping.set).start()
    runner.put(make_result(2))
    runner.finish()
    assert not runner.join(0.01), "it is still busy"
    sink.gate.set()
    assert runner.join(10)
    assert sink.frames == [0, 2]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OutputError, "list: the disk is full"),
        (BrokenPipeError(), SinkLeftError, "list: whoever read it has closed the pipe"),
        (OSError(errno.EIO, "Input/output error"), OutputError, "cannot be written"),
        (SinkLeftError("window: it was closed"), SinkLeftError, "it was closed"),
        (ZeroDivisionError("oops"), OutputError, "ZeroDivisionError: oops"),
    ],
)
def test_a_failure_ends_the_sink_and_is_said_once(error, kind, message, caplog):
    caplog.set_level(logging.INFO)
    sink = ListSink(error=error)
    runner = SinkRunner(sink, lossless=True)
    runner.start(ABOUT)
    for index in range(20):
        runner.put(make_result(index))
    runner.finish()
    assert runner.join(10)
    assert isinstance(runner.error, kind)
    assert message in str(runner.error)
    assert (runner.written, sink.stopped, runner.waiting()) == (2, 1, 0)
    assert [r.getMessage() for r in caplog.records] == [f"sink ended: {runner.error}"]


def test_a_sink_that_cannot_start_ends_the_run_before_it_begins():
    class Unstartable(ListSink):
        def open(self, about):
            raise OutputError("list: read-only")

    runner = SinkRunner(Unstartable())
    with pytest.raises(OutputError, match="read-only"):
        runner.start(ABOUT)


def test_a_failure_in_closing_is_said_too():
    class Unclosable(ListSink):
        def close(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    runner = SinkRunner(Unclosable())
    runner.start(ABOUT)
    runner.finish()
    assert runner.join(10)
    assert "disk is full" in str(runner.error)


def test_a_runner_that_never_started_can_be_joined():
    runner = SinkRunner(ListSink())
    runner.finish()
    assert runner.join(1)
