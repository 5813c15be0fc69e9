"""A recording is whole whatever happens to the disk, the clock and the terminal."""

from __future__ import annotations

import errno
import json
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from rpi_runtime.capture.kinds import SourceConfig
from rpi_runtime.capture.replay import ReplaySource
from rpi_runtime.capture.source import Wanted
from rpi_runtime.commands.record import record
from rpi_runtime.commands.recording import Recorder
from rpi_runtime.errors import OutputError
from rpi_runtime.poses import Frame
from rpi_runtime.stop import StopFlag
from tests.rpi_runtime.pictures import gradient


def frame(index):
    return Frame(image=gradient(shift=index), index=index, timestamp_ns=index * 100_000_000, taken_ns=0)


class TinyDisk:
    """`os.write` on a disk of so many bytes; what is cut off a file is free again."""

    def __init__(self, monkeypatch, size, path):
        self.size, self.path = size, path
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd, data):
        if Path(f"/proc/self/fd/{fd}").readlink() != self.path:
            return self._write(fd, data)
        position = os.lseek(fd, 0, os.SEEK_CUR)
        room = self.size - position
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._write(fd, bytes(data)[:room])


@pytest.mark.parametrize("kind", ["jpg", "npy"])
@pytest.mark.parametrize("size", [30_000, 30_100, 31_000, 40_000, 47_777])
def test_a_zip_on_a_full_disk_is_finished_with_what_fits(tmp_path, monkeypatch, size, kind):
    path = tmp_path / "walk.zip"
    TinyDisk(monkeypatch, size, path)
    with pytest.raises(OutputError, match="No space left"), Recorder(path, format=kind) as recorder:
        for index in range(100):
            recorder.add(frame(index))
    monkeypatch.undo()
    assert path.stat().st_size <= size
    assert zipfile.ZipFile(path).testzip() is None
    source = ReplaySource(path)
    source.configure(Wanted())
    source.start()
    count = 0
    while (got := source.read(1)) is not None:
        assert got.timestamp_ns == count * 100_000_000
        count += 1
    assert count == recorder.frames > 0


def test_a_disk_too_small_for_one_frame_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "walk.zip"
    TinyDisk(monkeypatch, 100, path)
    with pytest.raises(OutputError), Recorder(path, format="npy") as recorder:
        recorder.add(frame(0))
    assert not path.exists()


@pytest.mark.parametrize("year", [1970, 2107, 2200])
def test_a_zip_does_not_ask_the_clock(tmp_path, monkeypatch, year):
    seconds = (year - 1970) * 365.25 * 86400
    monkeypatch.setattr(time, "time", lambda: seconds)
    with Recorder(tmp_path / "walk.zip") as recorder:
        recorder.add(frame(0))
    assert len(zipfile.ZipFile(tmp_path / "walk.zip").infolist()) == 2


def test_equal_recordings_are_equal_files(tmp_path):
    for name in ("a.zip", "b.zip"):
        with Recorder(tmp_path / name, format="npy") as recorder:
            recorder.add(frame(0))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_folder_on_a_full_disk_keeps_its_frames(tmp_path, monkeypatch):
    path = tmp_path / "walk"
    with (
        pytest.raises(OutputError, match="3 frames before are whole"),
        Recorder(path, format="npy") as recorder,
    ):
        for index in range(3):
            recorder.add(frame(index))
        write = type(path).write_bytes
        monkeypatch.setattr(type(path), "write_bytes", lambda self, data: (write(self, data[:9]), full())[0])
        recorder.add(frame(3))
    monkeypatch.undo()
    assert sorted(p.name for p in path.iterdir()) == [*(f"{i:06d}.npy" for i in range(3)), "frames.jsonl"]
    source = ReplaySource(path)
    assert source.configure(Wanted()).frames == 3


def full():
    raise OSError(errno.ENOSPC, "No space left on device")


def test_seconds_are_those_of_the_film(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(30):
        np.save(photos / f"{index:06d}.npy", gradient(shift=index))
    lines = [{"replay": 1, "source": "x"}] + [
        {"file": f"{i:06d}.npy", "timestamp_ns": i * 500_000_000} for i in range(30)
    ]
    (photos / "frames.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with Recorder(tmp_path / "walk.zip", format="npy") as recorder:
        source = SourceConfig(kind="replay", target=str(photos), pace="free")
        record(source, recorder, StopFlag(), seconds=4)
    assert recorder.frames == 8
