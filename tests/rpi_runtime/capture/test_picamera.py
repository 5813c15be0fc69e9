"""The picamera2 adapter, against a stand-in that keeps to picamera2's documented interface."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

from rpi_runtime.capture.feed import Feed, Recovery
from rpi_runtime.capture.picamera import BUFFERS, PicameraSource
from rpi_runtime.capture.source import StalledError, Wanted
from rpi_runtime.errors import DependencyError, SourceError
from tests.rpi_runtime import standin_picamera2


@pytest.fixture
def hardware(monkeypatch):
    monkeypatch.setitem(sys.modules, "picamera2", standin_picamera2)
    monkeypatch.setattr(standin_picamera2.Picamera2, "hardware", standin_picamera2.Camera())
    return standin_picamera2.Picamera2.hardware


def open_source(width=161, height=120, fps=30.0):
    source = PicameraSource()
    delivered = source.configure(Wanted(width=width, height=height, fps=fps))
    source.start()
    return source, delivered


def test_the_configuration_is_read_back(hardware):
    source, delivered = open_source()
    assert (delivered.width, delivered.height) == (160, 120)
    assert delivered.what == "camera 0, imx708, RGB888"
    assert source._camera.config["controls"] == {"FrameDurationLimits": (33333, 33333)}
    source.stop()


def test_frames_are_views_in_bgr_without_the_padding(hardware):
    source, _ = open_source(width=100)  # 300 bytes of pixels in rows of 320
    frame = source.read(1)
    assert frame.image.shape == (120, 100, 3)
    assert frame.image.reshape(-1, 3).max(axis=0).tolist() == [10, 20, 30]
    assert np.shares_memory(frame.image, source._camera.memory)
    frame.done()
    source.stop()


def test_a_frame_is_as_old_as_its_sensor_time(hardware):
    source, _ = open_source()
    frame = source.read(1)
    assert 30_000_000 <= time.monotonic_ns() - frame.taken_ns < 10_000_000_000
    assert frame.timestamp_ns == frame.taken_ns
    frame.done()
    source.stop()


def test_buffers_go_back_or_no_frame_comes(hardware):
    source, _ = open_source()
    frames = [source.read(1) for _ in range(BUFFERS)]
    with pytest.raises(StalledError):
        source.read(0.001)
    for frame in frames:
        frame.done()
    source.read(1).done()
    source.stop()


def test_a_stalled_camera_can_be_closed(hardware):
    source, _ = open_source()
    hardware.stalled = True
    with pytest.raises(StalledError, match=r"no frame for 0\.001 s"):
        source.read(0.001)
    source.stop()
    source.stop()
    assert hardware.opened == 0


def test_a_missing_or_busy_camera_is_said(hardware):
    hardware.present = False
    with pytest.raises(SourceError, match="rpicam-hello"):
        open_source()


def test_another_format_is_refused(hardware):
    hardware.format = "XBGR8888"
    with pytest.raises(SourceError, match="delivers XBGR8888; expected RGB888"):
        open_source()


def test_without_picamera2_the_message_says_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(DependencyError, match="sudo apt install python3-picamera2"):
        PicameraSource().configure(Wanted())


def test_a_camera_that_stalls_and_one_that_vanishes_come_back(hardware):
    recovery = Recovery(open_s=5, stall_s=0.02, first_wait_s=0.01, most_wait_s=0.02)
    feed = Feed(PicameraSource, Wanted(width=160, height=120), recovery)
    feed.start()
    taken = 0
    deadline = time.monotonic() + 20
    while taken < 60 and time.monotonic() < deadline:
        frame = feed.take(0.05)
        hardware.stalled = taken == 20 and not feed.restarts
        hardware.present = not (taken == 40 and feed.restarts == 1)
        if frame is not None:
            taken += 1
            frame.done()
        elif feed.state == "lost":
            hardware.stalled, hardware.present = False, True
    assert feed.stop(5)
    assert feed.restarts == 2
    assert hardware.opened == 0
