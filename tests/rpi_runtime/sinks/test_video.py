"""Annotated video."""

from __future__ import annotations

import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from rpi_runtime.errors import OutputError, UsageError
from rpi_runtime.sinks.video import VideoOptions, VideoSink
from tests.rpi_runtime.results import ABOUT, make_result

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")


def write(path, indices, **options):
    sink = VideoSink(VideoOptions(target=str(path), **options)).open(ABOUT)
    for index in indices:
        sink.write(make_result(index, image=True))
    sink.close()


def read(path):
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (got := capture.read())[0]:
        frames.append(got[1])
    return frames, capture.get(cv2.CAP_PROP_FPS)


@pytest.mark.parametrize("name", ["out.mp4", "out.avi"])
def test_every_frame_with_the_people_on_it(tmp_path, name):
    write(tmp_path / name, range(12))
    frames, fps = read(tmp_path / name)
    assert (len(frames), fps) == (12, 10)
    limb = frames[0][20, 12:29].astype(int)
    assert np.abs(limb - (233, 180, 86)).mean() < 60, "the limb has the colour of id 1"


def test_dropped_frames_leave_no_hole(tmp_path):
    write(tmp_path / "out.avi", [0, 1, 5, 6])
    assert len(read(tmp_path / "out.avi")[0]) == 7


def test_a_long_gap_is_cut_short(tmp_path):
    write(tmp_path / "out.avi", [0, 1, 500, 501])
    assert len(read(tmp_path / "out.avi")[0]) == 4


def test_a_lower_rate_leaves_frames_out(tmp_path):
    write(tmp_path / "out.avi", range(20), fps=5)
    frames, fps = read(tmp_path / "out.avi")
    assert (len(frames), fps) == (10, 5)


def test_without_frames_there_is_no_file(tmp_path):
    write(tmp_path / "out.mp4", [])
    assert list(tmp_path.iterdir()) == []


def test_a_former_file_stays_until_there_is_a_picture(tmp_path):
    (tmp_path / "out.mp4").write_text("dear to somebody")
    write(tmp_path / "out.mp4", [])
    assert (tmp_path / "out.mp4").read_text() == "dear to somebody"


def test_a_full_disk_is_noticed_while_the_file_can_be_finished(tmp_path, monkeypatch):
    sink = VideoSink(VideoOptions(target=str(tmp_path / "out.avi"))).open(ABOUT)
    sink.write(make_result(0, image=True))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OutputError, match="the disk is full"):
        for index in range(1, 40):
            sink.write(make_result(index, image=True))
    sink.close()
    assert len(read(tmp_path / "out.avi")[0]) == 30


def test_targets_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"\.mp4"):
        VideoOptions(target="out.txt")
    with pytest.raises(OutputError, match="cannot be written"):
        VideoSink(VideoOptions(target=str(tmp_path / "none" / "out.mp4"))).open(ABOUT)


def test_a_film_is_written_by_one_process_alone(tmp_path):
    path = tmp_path / "out.avi"
    first = VideoSink(VideoOptions(target=str(path))).open(ABOUT)
    with pytest.raises(OutputError, match="another process writes a film there"):
        VideoSink(VideoOptions(target=str(path))).open(ABOUT)
    for index in range(12):
        first.write(make_result(index, image=True))
    first.close()
    assert len(read(path)[0]) == 12
    write(path, range(5))  # nothing stays locked
    assert len(read(path)[0]) == 5


def test_a_pipe_that_nothing_reads_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "out.avi")
    with pytest.raises(OutputError, match="cannot be written"):
        VideoSink(VideoOptions(target=str(tmp_path / "out.avi"))).open(ABOUT)
