"""Video files through OpenCV, and cameras through a stand-in."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from rpi_runtime.capture.opencv import OpenCvSource, redact
from rpi_runtime.capture.source import StalledError, Wanted
from rpi_runtime.errors import SourceError
from tests.rpi_runtime.pictures import gradient

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """40 frames of 64x48 at 20 frames per second, Motion JPEG."""
    path = tmp_path_factory.mktemp("video") / "walk.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for index in range(40):
        writer.write(gradient(shift=index))
    writer.release()
    return path


def test_every_frame_of_a_file_with_its_time(video):
    source = OpenCvSource(str(video), kind="video")
    delivered = source.configure(Wanted(width=320, height=240))
    assert (delivered.width, delivered.height, delivered.fps, delivered.frames) == (64, 48, 20, 40)
    frames = [source.read(1) for _ in range(40)]
    assert source.read(1) is None
    assert [f.timestamp_ns for f in frames] == [50_000_000 * i for i in range(40)]
    assert np.abs(frames[5].image.astype(int) - gradient(shift=5)).mean() < 10
    source.stop()


def test_opencv_5_has_no_set_log_level(video, monkeypatch):
    levels = []
    monkeypatch.delattr(cv2, "setLogLevel", raising=False)
    monkeypatch.setitem(sys.modules, "cv2.utils.logging", SimpleNamespace(setLogLevel=levels.append))
    source = OpenCvSource(str(video), kind="video")
    assert source.configure(Wanted()).frames == 40
    assert levels == [2]
    source.stop()


def test_a_loop_goes_on_in_time(video):
    source = OpenCvSource(str(video), kind="video", loop=True)
    assert source.configure(Wanted()).frames == 0
    frames = [source.read(1) for _ in range(90)]
    assert [f.index for f in frames] == list(range(90))
    assert frames[80].timestamp_ns == 4_000_000_000
    source.stop()


def test_a_file_cut_short_gives_its_frames_and_then_an_error(video, tmp_path):
    cut = tmp_path / "cut.avi"
    data = video.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    source = OpenCvSource(str(cut), kind="video")
    source.configure(Wanted())
    count = 0
    with pytest.raises(SourceError, match=r"ended after \d+ of 40 frames; the file is damaged"):
        while source.read(1) is not None:
            count += 1
    assert 10 < count < 30
    source.stop()


def test_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    for name in ("text.mp4", "missing.mp4"):
        with pytest.raises(SourceError, match=name):
            OpenCvSource(str(tmp_path / name), kind="video").configure(Wanted())


def test_a_camera_that_is_not_there_is_refused():
    with pytest.raises(SourceError, match="cannot be opened as a camera"):
        OpenCvSource("/dev/video97", kind="camera").configure(Wanted())


def test_passwords_stay_out_of_messages():
    assert redact("rtsp://joe:secret@host:554/a@b") == "rtsp://host:554/a@b"


class StandIn:
    """What `cv2.VideoCapture` does for a V4L2 camera: it takes some wishes and adjusts others."""

    def __init__(self, target, backend, options):
        self.opened = (target, backend)
        self.values = {cv2.CAP_PROP_FRAME_WIDTH: 640.0, cv2.CAP_PROP_FRAME_HEIGHT: 480.0}
        self.frames = 2
        self.slow_s = 0.0

    def isOpened(self):  # noqa: N802  OpenCV's name
        return True

    def set(self, key, value):
        if key == cv2.CAP_PROP_FRAME_WIDTH:
            value = 320  # the nearest that the camera has
        self.values[key] = value
        return True

    def get(self, key):
        if key == cv2.CAP_PROP_POS_MSEC:
            return time.monotonic() * 1e3 - 25
        return float(self.values.get(key, 0))

    def grab(self):
        self.frames -= 1
        time.sleep(self.slow_s)
        return self.frames >= 0

    def retrieve(self):
        return True, gradient()

    def release(self):
        self.released = True


def test_a_camera_is_asked_and_read_back(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", StandIn)
    source = OpenCvSource("2", kind="camera")
    delivered = source.configure(Wanted(width=333, height=240, fps=15))
    assert (delivered.width, delivered.height, delivered.fps) == (320, 240, 15)
    assert delivered.what == "camera 2, MJPG"
    assert source._capture.opened == (2, cv2.CAP_V4L2)
    assert source._capture.values[cv2.CAP_PROP_BUFFERSIZE] == 1


def test_the_driver_says_when_a_frame_was_taken(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", StandIn)
    source = OpenCvSource("/dev/video0", kind="camera")
    source.configure(Wanted())
    before = time.monotonic_ns()
    frame = source.read(1)
    assert frame.taken_ns == frame.timestamp_ns
    assert before - 26_000_000 < frame.taken_ns < time.monotonic_ns() - 24_000_000


def test_a_camera_that_refuses_frames_is_lost_or_stalled(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", StandIn)
    source = OpenCvSource("0", kind="camera")
    source.configure(Wanted())
    source.read(1), source.read(1)
    with pytest.raises(SourceError, match="the camera is gone or stalls"):
        source.read(1)
    source._capture.slow_s = 0.002
    with pytest.raises(StalledError):
        source.read(0.001)
