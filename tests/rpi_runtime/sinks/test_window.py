"""The window, whose process may end at any time."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from rpi_runtime.errors import OutputError
from rpi_runtime.sinks import screen, window
from rpi_runtime.sinks.sink import SinkLeftError
from rpi_runtime.sinks.window import HEADER, WindowOptions, WindowSink
from tests.rpi_runtime.pictures import gradient
from tests.rpi_runtime.results import ABOUT, make_result

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")

SIZE = HEADER.size + 64 * 48 * 3
BEGIN = "import sys; print('ready', flush=True); read = sys.stdin.buffer.read;"


@pytest.fixture
def behave(monkeypatch):
    """Put a process that does what the given code says in the place of the window's."""

    def behave(code):
        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr(window, "_COMMAND", (sys.executable, "-c", code))

    return behave


def write_until_the_end(sink, most=2000):
    for index in range(most):
        sink.write(make_result(index, image=True))


def test_a_window_needs_a_screen(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    sink = WindowSink(WindowOptions())
    with pytest.raises(OutputError, match="DISPLAY is not set"):
        sink.open(ABOUT)


def test_a_screen_that_cannot_be_reached_ends_no_process(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":96")
    sink = WindowSink(WindowOptions())
    with pytest.raises(OutputError, match="no window can be opened"):
        sink.open(ABOUT)


def test_pictures_arrive_whole(behave, tmp_path):
    behave(f"{BEGIN} open({str(tmp_path / 'out')!r}, 'wb').write(read({2 * SIZE}))")
    sink = WindowSink(WindowOptions()).open(ABOUT)
    sink.write(make_result(0, people=0, image=True))
    sink.write(make_result(1, people=0, image=True))
    sink.close()
    pipe = io.BytesIO((tmp_path / "out").read_bytes())
    for index in range(2):
        assert np.array_equal(screen._read_picture(pipe), gradient(shift=index))
    assert screen._read_picture(pipe) is None


@pytest.mark.parametrize(("code", "message"), [(0, "it was closed"), (1, "the screen is gone")])
def test_a_window_that_ends_ends_the_sink(behave, code, message):
    behave(f"{BEGIN} read({SIZE}); sys.exit({code})")
    sink = WindowSink(WindowOptions()).open(ABOUT)
    with pytest.raises(SinkLeftError, match=message):
        write_until_the_end(sink)
    sink.close()


def test_a_window_that_hangs_is_killed_at_the_end(behave):
    behave(f"{BEGIN} import time; time.sleep(1000)")
    sink = WindowSink(WindowOptions()).open(ABOUT)
    sink.close()
    assert sink._process.returncode == -9


@pytest.mark.parametrize(("visible", "key"), [(0.0, -1), (1.0, ord("q")), (1.0, 27)])
def test_closing_and_keys_end_the_process(monkeypatch, visible, key):
    monkeypatch.setattr(cv2, "waitKey", lambda _: key)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: visible)
    assert screen._closed(cv2, "pipose")


def test_an_open_window_stays(monkeypatch):
    monkeypatch.setattr(cv2, "waitKey", lambda _: -1)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: 1.0)
    assert not screen._closed(cv2, "pipose")
    assert screen._read_picture(io.BytesIO(HEADER.pack(4, 4) + b"short")) is None
