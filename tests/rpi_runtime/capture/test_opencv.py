"""Cameras and streams through a stand-in for OpenCV's capture."""

from __future__ import annotations

import itertools
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from rpi_runtime.capture.opencv import OpenCvSource
from rpi_runtime.capture.pictures import encode_picture
from rpi_runtime.capture.source import StalledError, UndecodableError, Wanted
from rpi_runtime.errors import SourceError
from tests.rpi_runtime.pictures import gradient

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")


def test_a_camera_that_is_not_there_is_refused():
    with pytest.raises(SourceError, match="cannot be opened as a camera"):
        OpenCvSource("/dev/video97", kind="camera").configure(Wanted())


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
    stand_in = source._capture._capture
    assert stand_in.opened == ("/dev/video2", cv2.CAP_V4L2)
    assert stand_in.values[cv2.CAP_PROP_BUFFERSIZE] == 1


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
    source._capture._capture.slow_s = 0.002
    with pytest.raises(StalledError):
        source.read(0.001)


def test_opencv_5_has_no_set_log_level(monkeypatch):
    levels = []
    monkeypatch.setattr(cv2, "VideoCapture", StandIn)
    monkeypatch.delattr(cv2, "setLogLevel", raising=False)
    monkeypatch.setitem(sys.modules, "cv2.utils.logging", SimpleNamespace(setLogLevel=levels.append))
    OpenCvSource("0", kind="camera").configure(Wanted())
    assert levels == [2]


class Flaky(StandIn):
    """Every third frame is an empty buffer, at which OpenCV raises."""

    def __init__(self, *opened):
        super().__init__(*opened)
        self.frames = 9

    def retrieve(self):
        if self.frames % 3 == 1:
            raise cv2.error("(-215:Assertion failed) !buf.empty() in function 'imdecode_'")
        return super().retrieve()


def test_one_empty_frame_is_no_loss(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Flaky)
    source = OpenCvSource("0", kind="camera")
    source.configure(Wanted())
    assert [source.read(1).undecodable for _ in range(6)] == [0, 1, 0, 1, 0, 1]


class Damaging(StandIn):
    """As OpenCV's V4L2 capture: where it decodes JPEG itself, a damaged frame is the one before once more."""

    def __init__(self, *opened):
        super().__init__(*opened)
        self.frames, self.last = 6, None

    def retrieve(self):
        whole = encode_picture(gradient(shift=self.frames), ".jpg")
        sent = whole[: len(whole) // 2] if self.frames % 2 else whole
        if not self.values.get(cv2.CAP_PROP_CONVERT_RGB, 1):
            return True, np.frombuffer(sent, np.uint8)[None]
        if sent is whole:
            self.last = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR)
        return True, self.last


@pytest.mark.parametrize(("fourcc", "undecodable"), [("MJPG", [1, 1, 1]), ("YUYV", [0, 0, 0])])
def test_a_damaged_jpeg_is_not_the_frame_before_once_more(monkeypatch, fourcc, undecodable):
    monkeypatch.setattr(cv2, "VideoCapture", Damaging)
    source = OpenCvSource("0", kind="camera", fourcc=fourcc)
    source.configure(Wanted())
    if fourcc == "MJPG":
        frames = [source.read(1) for _ in range(3)]
        assert [f.undecodable for f in frames] == undecodable
        assert not any(np.array_equal(a.image, b.image) for a, b in itertools.pairwise(frames))
    else:  # pixels are taken as OpenCV converts them
        source._capture._capture.frames = 5
        assert [source.read(1).undecodable for _ in range(3)] == undecodable


def test_a_camera_of_which_nothing_can_be_decoded_stalls(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", StandIn)
    monkeypatch.setattr(StandIn, "grab", lambda self: True)
    monkeypatch.setattr(StandIn, "retrieve", lambda self: (False, None))
    source = OpenCvSource("0", kind="camera")
    source.configure(Wanted())
    with pytest.raises(StalledError, match=r"none of the frames of 0\.01 s can be decoded"):
        source.read(0.01)


class Mjpeg(StandIn):
    """As FFmpeg's capture of an MJPEG stream: `grab` fails for each damaged picture, and for ever at the end."""

    pictures = (True, False, True, False, False, True)

    def grab(self):
        self.frames += 1
        return self.frames - 3 < len(self.pictures) and self.pictures[self.frames - 3]


def test_a_damaged_picture_does_not_end_a_stream_and_its_end_does(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Mjpeg)
    source = OpenCvSource("http://cam/stream.mjpg", kind="stream")
    source.configure(Wanted())
    assert [source.read(1).undecodable for _ in range(3)] == [0, 1, 2]
    with pytest.raises(SourceError, match="the stream is gone") as caught:
        source.read(1)
    assert not isinstance(caught.value, StalledError)


def test_a_stream_of_damage_alone_is_no_silence(monkeypatch):
    def grab(self):
        time.sleep(0.02)
        return False

    monkeypatch.setattr(cv2, "VideoCapture", StandIn)
    monkeypatch.setattr(StandIn, "grab", grab)
    source = OpenCvSource("http://cam/stream.mjpg", kind="stream")
    source.configure(Wanted())
    with pytest.raises(UndecodableError, match="none of the frames"):
        source.read(0.1)
    monkeypatch.setattr(StandIn, "grab", lambda self: time.sleep(0.06))
    with pytest.raises(StalledError, match="gone or stalls"):
        source.read(0.05)


def test_names_at_which_opencv_would_crash_are_refused():
    for kind in ("camera", "stream"):
        with pytest.raises(SourceError, match="cannot be opened"):
            OpenCvSource("rtsp://cam/bad\udcff", kind=kind).configure(Wanted())


class ByUrl(StandIn):
    """Two frames of a file, a second apart, that come at once."""

    def get(self, key):
        position_ms = 1000.0 * (1 - self.frames)
        return {cv2.CAP_PROP_FRAME_COUNT: 2.0, cv2.CAP_PROP_POS_MSEC: position_ms}.get(key, 0.0)


def test_a_file_by_url_is_paced_and_ends(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", ByUrl)
    source = OpenCvSource("http://host/walk.mp4", kind="stream")
    source.configure(Wanted())
    slept = []
    source._ahead._sleep = slept.append
    assert source.read(5) is not None
    assert source.read(5) is not None
    assert source.read(5) is None
    assert slept == [pytest.approx(1, abs=0.5)]


def test_a_file_by_url_of_which_no_frame_comes_says_what_helps(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", ByUrl)
    monkeypatch.setattr(ByUrl, "grab", lambda self: False)
    source = OpenCvSource("http://host/walk.mp4", kind="stream")
    source.configure(Wanted())
    with pytest.raises(SourceError, match="download it"):
        source.read(5)
