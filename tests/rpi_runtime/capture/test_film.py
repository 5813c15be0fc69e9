"""Video files: their own times, upright, to their end, under whatever name."""

from __future__ import annotations

import os
import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from rpi_runtime.capture.film import FilmSource
from rpi_runtime.capture.source import Wanted
from rpi_runtime.errors import SourceError
from tests.rpi_runtime.pictures import gradient

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
FILMS = Path(__file__).parents[1] / "golden/films"


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """40 frames of 64x48 at 20 frames per second, Motion JPEG."""
    path = tmp_path_factory.mktemp("video") / "walk.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for index in range(40):
        writer.write(gradient(shift=index))
    writer.release()
    return path


def open_film(path, **options):
    source = FilmSource(Path(path), **options)
    return source, source.configure(Wanted(width=320, height=240))


def read_all(source):
    frames = []
    while (frame := source.read(1)) is not None:
        frames.append(frame)
    source.stop()
    return frames


def test_every_frame_of_a_file_with_its_time(video):
    source, delivered = open_film(video)
    assert (delivered.width, delivered.height, delivered.fps, delivered.frames) == (64, 48, 20, 40)
    frames = read_all(source)
    assert [f.timestamp_ns for f in frames] == [50_000_000 * i for i in range(40)]
    assert np.abs(frames[5].image.astype(int) - gradient(shift=5)).mean() < 10


@pytest.mark.parametrize(("name", "count"), [("trimmed.mp4", 18), ("variable.mkv", 24), ("variable.mp4", 24)])
def test_a_container_that_announces_more_frames_is_read_to_its_end(name, count):
    source, delivered = open_film(FILMS / name)
    assert len(read_all(source)) == count <= delivered.frames


@pytest.mark.parametrize("name", ["variable.mkv", "variable.mp4"])
def test_times_are_those_of_the_stream(name):
    source, _ = open_film(FILMS / name)
    expected = [i / 30 for i in range(12)] + [0.4 + i / 5 for i in range(12)]
    times = [f.timestamp_ns / 1e9 for f in read_all(source)]
    assert times == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("name", ["trimmed.mp4", "variable.mp4", "turned90.mp4"])
def test_a_loop_goes_on_in_time(name):
    count = len(read_all(open_film(FILMS / name)[0]))
    source, delivered = open_film(FILMS / name, loop=True)
    frames = [source.read(1) for _ in range(3 * count)]
    source.stop()
    assert delivered.frames == 0
    assert [f.index for f in frames] == list(range(3 * count))
    assert all(a.timestamp_ns < b.timestamp_ns for a, b in pairwise(frames))


@pytest.mark.parametrize(("turn", "quarters"), [(90, 1), (180, 2), (270, 3)])
def test_a_phone_s_film_is_upright(turn, quarters):
    lying = read_all(open_film(FILMS / "upright.mp4")[0])[0].image
    source, delivered = open_film(FILMS / f"turned{turn}.mp4")
    image = read_all(source)[0].image
    assert image.shape == (delivered.height, delivered.width, 3)
    # as ffplay and a phone show it: ffmpeg 5 writes rotate=90 as 90 degrees counter-clockwise
    assert np.array_equal(image, np.rot90(lying, quarters))
    assert image.flags.c_contiguous


def test_a_file_cut_short_gives_its_frames_and_then_an_error(video, tmp_path):
    cut = tmp_path / "cut.avi"
    data = video.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    source, _ = open_film(cut)
    count = 0
    with pytest.raises(SourceError, match=r"ended after \d+ frames; the file is cut short: \d+ bytes"):
        while source.read(1) is not None:
            count += 1
    assert 10 < count < 30
    source.stop()


class OnePictureOfThree:
    """What `cv2.VideoCapture` does with a film of six frames of which some are damaged."""

    def __init__(self, *opened):
        self.index = -1

    def isOpened(self):  # noqa: N802  OpenCV's name
        return True

    def set(self, key, value):
        return True

    def get(self, key):
        return {cv2.CAP_PROP_FPS: 10.0, cv2.CAP_PROP_POS_MSEC: 100.0 * self.index}.get(key, 0.0)

    def grab(self):
        self.index += 1
        return self.index < 6

    def retrieve(self):
        if self.index == 2:
            raise cv2.error("(-215:Assertion failed) !buf.empty()")
        return self.index in (0, 3, 5), gradient()

    def release(self):
        pass


def test_a_frame_that_cannot_be_decoded_is_passed_over(video, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", OnePictureOfThree)
    frames = read_all(open_film(video)[0])
    assert [f.timestamp_ns // 1_000_000 for f in frames] == [0, 300, 500]
    assert [f.undecodable for f in frames] == [0, 2, 1]


@pytest.mark.parametrize("damaged", [1, 20])
def test_frames_without_a_picture_do_not_end_a_film(video, tmp_path, damaged):
    """FFmpeg's capture fails for them as at the end, and the film was over there without a word."""
    data = bytearray(video.read_bytes())
    begins = [found.end() for found in re.finditer(b"00dc", data)][:40]
    for begin in begins[5 : 5 + damaged]:
        size = int.from_bytes(data[begin : begin + 4], "little")
        data[begin + 4 : begin + 4 + size] = bytes(size)
    (tmp_path / "damaged.avi").write_bytes(data)
    source, _ = open_film(tmp_path / "damaged.avi")
    frames = read_all(source)
    assert len(frames) == 40 - damaged
    assert sum(f.undecodable for f in frames) == damaged
    assert frames[-1].timestamp_ns == 39 * 50_000_000


def test_a_film_of_which_no_frame_can_be_decoded_is_an_error(video, monkeypatch):
    monkeypatch.setattr(OnePictureOfThree, "retrieve", lambda self: (False, None))
    monkeypatch.setattr(cv2, "VideoCapture", OnePictureOfThree)
    source, _ = open_film(video)
    with pytest.raises(SourceError, match="none of its frames can be decoded"):
        source.read(1)


@pytest.mark.parametrize("name", [b"bad\xff.mp4", b"12:30.mp4", b"http:x.mp4", b"a%03d.mp4", b"-x.mp4"])
def test_every_name_that_a_file_can_have(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    shutil.copy(FILMS / "upright.mp4", path)
    assert len(read_all(open_film(path)[0])) == 12


def test_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    for name in ("text.mp4", "missing.mp4"):
        with pytest.raises(SourceError, match=name):
            open_film(tmp_path / name)


def test_the_cases(shared):
    if not (shared / "cases/pi").is_dir():
        pytest.skip(f"no {shared}/cases/pi")
    counts = {}
    for folder in ("01-good-file-called-damaged", "02-variable-frame-rate"):
        for path in sorted((shared / "cases/pi" / folder).glob("*.[mtw]*")):
            if path.suffix != ".md":
                frames = read_all(open_film(path)[0])
                counts[path.name] = (len(frames), round(frames[-1].timestamp_ns / 1e9, 1))
    assert counts == {
        "trimmed.mp4": (39, 1.3),
        "vfr.mkv": (120, 13.8),
        "vfr.ts": (120, 13.8),
        "vfr.webm": (120, 13.8),
        "vfr.mp4": (120, 13.8),
    }
