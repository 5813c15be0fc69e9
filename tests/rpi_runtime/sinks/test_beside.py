"""A film beside its place: what a killed run leaves, and who may write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rpi_runtime.errors import OutputError
from rpi_runtime.sinks.beside import Beside

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")

KILLED = """
import os, sys
from rpi_runtime.sinks.video import VideoOptions, VideoSink
from tests.rpi_runtime.results import ABOUT, make_result
sink = VideoSink(VideoOptions(target=sys.argv[1])).open(ABOUT)
for index in range(1500):
    sink.write(make_result(index, image=True))
os.kill(os.getpid(), 9)
"""


def written(path: Path, count: int) -> None:
    """Write a film of some frames, to its end."""
    from rpi_runtime.sinks.video import VideoOptions, VideoSink
    from tests.rpi_runtime.results import ABOUT, make_result

    film = VideoSink(VideoOptions(target=str(path))).open(ABOUT)
    for index in range(count):
        film.write(make_result(index, image=True))
    film.close()


def killed(path: Path) -> None:
    """Let another process write 1,500 frames, and die without a word."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, timeout=120)
    assert done.returncode == -9


def frames(path: Path) -> int:
    """Return how many frames a film has."""
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    return count


@pytest.mark.parametrize("name", ["out.mp4", "out.avi", "out.mkv"])
def test_a_killed_run_leaves_the_earlier_film(tmp_path: Path, name: str) -> None:
    written(tmp_path / name, 12)
    killed(tmp_path / name)
    assert frames(tmp_path / name) == 12
    written(tmp_path / name, 5)
    assert frames(tmp_path / name) == 5
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["out.avi", "out.mkv"])
def test_what_a_killed_run_wrote_is_kept_where_it_can_be_read(tmp_path: Path, name: str) -> None:
    for _ in range(2):
        killed(tmp_path / name)
    written(tmp_path / name, 5)
    stem, suffix = name.split(".")
    left = [tmp_path / f"{stem}-unfinished{end}.{suffix}" for end in ("", "-2")]
    assert all(frames(path) > 50 for path in left)
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / name, *left])


def test_nothing_of_the_target_changes_before_the_end(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_text("dear")
    beside = Beside(target)
    beside.path.write_text("new")
    assert target.read_text() == "dear"
    beside.close(keep=True)
    beside.close(keep=False)
    assert (target.read_text(), list(tmp_path.iterdir())) == ("new", [target])


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("dear")
    (tmp_path / ".out.unfinished.mp4").symlink_to(tmp_path / "secret")
    with pytest.raises(OutputError, match="cannot be written"):
        Beside(tmp_path / "out.mp4")
    assert (tmp_path / "secret").read_text() == "dear"


def test_a_link_at_the_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "else").write_text("dear")
    (tmp_path / "out.mp4").symlink_to(tmp_path / "else")
    written(tmp_path / "out.mp4", 3)
    assert (tmp_path / "else").read_text() == "dear"
    assert frames(tmp_path / "out.mp4") == 3


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_target_that_is_no_file_is_refused_at_once(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "out.avi")
    with pytest.raises(OutputError, match="cannot be written"):
        Beside(tmp_path / "out.avi")
    assert not list(tmp_path.glob(".*"))
