"""A slow, failing or dead sink harms only itself."""

from __future__ import annotations

import errno
import logging
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from rpi_runtime.backoff import Backoff
from rpi_runtime.errors import DependencyError, InputError, OutputError, UsageError
from rpi_runtime.sinks.runner import SinkRunner
from rpi_runtime.sinks.sink import SinkLeftError, SinkNotReadyError
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
        (
            OSError(errno.ENOSPC, "No space left on device"),
            OutputError,
            "list: the disk is full; free some space",
        ),
        (BrokenPipeError(), SinkLeftError, "list: its reader has closed the pipe"),
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


class Moody(ListSink):
    """Fails at opening and at writing as two lists say, item by item; afterwards it works."""

    def __init__(self, *, opening=(), writing=(), **options):
        super().__init__(**options)
        self.opening, self.writing = list(opening), list(writing)
        self.opened = 0

    def open(self, about):
        self.opened += 1
        if self.opening and (error := self.opening.pop(0)):
            raise error
        return self

    def write(self, result):
        if self.writing and (error := self.writing.pop(0)):
            raise error
        self.frames.append(result.index)


FULL = OSError(errno.ENOSPC, "No space left on device")


def quick(sink, **options):
    return SinkRunner(sink, backoff=Backoff(0.005, 0.02), **options)


def wait_for(true, patience_s=20):
    deadline = time.monotonic() + patience_s
    while not true() and time.monotonic() < deadline:
        time.sleep(0.002)
    return true()


def test_a_disk_that_was_full_for_a_while_costs_nothing_that_fits_the_queue(caplog):
    caplog.set_level(logging.INFO)
    sink = Moody(writing=[None, None, FULL, FULL, FULL], backlog=100)
    runner = quick(sink)
    runner.start(ABOUT)
    for index in range(20):
        runner.put(make_result(index))
    assert wait_for(lambda: len(sink.frames) == 20)
    assert (runner.trouble, runner.error, runner.over, runner.outages) == ("", None, False, 1)
    runner.finish()
    assert runner.join(10)
    assert sink.frames == list(range(20)), "in order, without a gap"
    assert (runner.written, runner.dropped, sink.opened) == (20, 0, 4)
    said = [r.getMessage() for r in caplog.records]
    assert said[0] == "sink fails: list: the disk is full; free some space; trying again and again"
    assert [line[:16] for line in said[1:]] == ["sink works again"]


def test_while_a_sink_fails_it_is_said_and_the_oldest_results_go():
    sink = Moody(writing=[None, *[FULL] * 1000], backlog=3)
    runner = quick(sink)
    runner.start(ABOUT)
    for index in range(10):
        runner.put(make_result(index))
    assert wait_for(lambda: runner.trouble)
    assert "the disk is full" in runner.trouble
    assert not runner.over
    for index in range(10, 20):
        runner.put(make_result(index))
    assert runner.waiting() <= 3
    runner.finish()
    assert runner.join(10)
    assert runner.over
    assert runner.error is not None, "it was failing when the run ended"
    assert runner.written + runner.dropped == 20


def test_pictures_do_not_wait_for_a_sink_that_fails():
    sink = Moody(writing=[FULL], backlog=8)
    sink.wants_image = True
    runner = SinkRunner(sink, backoff=Backoff(30, 30))
    runner.start(ABOUT)
    for index in range(5):
        runner.put(make_result(index, image=True))
    assert wait_for(lambda: runner.trouble)
    assert wait_for(lambda: runner.waiting() == 0)
    assert not runner.wants_image
    runner.finish()
    assert runner.join(10)


def test_large_pictures_do_not_fill_the_memory():
    sink = ListSink(backlog=8)
    sink.wants_image = True
    sink.gate.clear()
    runner = SinkRunner(sink)
    runner.start(ABOUT)
    image = np.zeros((2160, 3840, 3), np.uint8)
    for index in range(10):
        runner.put(replace(make_result(index), image=image))
    assert runner.waiting() <= 2
    sink.gate.set()
    runner.finish()
    assert runner.join(10)
    assert sink.frames[-1] == 9


@pytest.mark.parametrize("error", [OutputError("the address is not there"), OSError(errno.EACCES, "denied")])
def test_a_service_waits_for_a_sink_that_cannot_be_opened_yet(error):
    sink = Moody(opening=[error, error, error])
    runner = quick(sink, patient=True)
    runner.start(ABOUT)
    runner.put(make_result(0))
    assert wait_for(lambda: sink.frames == [0])
    assert (runner.trouble, sink.opened) == ("", 4)
    runner.finish()
    assert runner.join(10)


def test_it_works_again_as_soon_as_it_can_be_opened():
    sink = Moody(opening=[OutputError("no address")] * 3)
    runner = quick(sink, patient=True)
    runner.start(ABOUT)
    assert wait_for(lambda: sink.opened == 4 and not runner.trouble)
    runner.finish()
    assert runner.join(10)


@pytest.mark.parametrize(
    "error", [UsageError("short token"), InputError("no key"), DependencyError("aiohttp")]
)
def test_what_waiting_does_not_help_ends_a_service_s_start_too(error):
    runner = quick(Moody(opening=[error] * 100), patient=True)
    with pytest.raises(type(error)):
        runner.start(ABOUT)


def test_a_pipe_without_a_reader_is_waited_for_in_every_run():
    sink = Moody(opening=[SinkNotReadyError("nothing reads this pipe yet")] * 2)
    runner = quick(sink, lossless=True)
    runner.start(ABOUT)
    runner.put(make_result(0))
    runner.finish()
    assert wait_for(lambda: sink.frames == [0] or runner.over)


def test_with_a_recording_a_failure_is_final():
    sink = Moody(writing=[None, FULL])
    runner = quick(sink, lossless=True)
    runner.start(ABOUT)
    for index in range(50):
        runner.put(make_result(index))
    runner.finish()
    assert runner.join(10)
    assert (sink.frames, runner.over, sink.opened) == ([0], True, 1)


def test_a_result_that_cannot_be_written_by_itself_is_not_tried_again():
    sink = Moody(writing=[None, ValueError("keypoints")])
    runner = quick(sink)
    runner.start(ABOUT)
    for index in range(4):
        runner.put(make_result(index))
    assert wait_for(lambda: sink.frames == [0, 2, 3])
    runner.finish()
    assert runner.join(10)
