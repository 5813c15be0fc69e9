"""JSON lines to files."""

from __future__ import annotations

import errno
import json
import os

import pytest

from rpi_runtime.errors import OutputError, UsageError
from rpi_runtime.sinks.jsonl import JsonlOptions, JsonlSink
from tests.rpi_runtime.results import ABOUT, make_result


def write(path, indices, **options):
    sink = JsonlSink(JsonlOptions(target=str(path), **options)).open(ABOUT)
    for index in indices:
        sink.write(make_result(index))
    sink.close()


def frames(path):
    return [json.loads(line)["frame"] for line in path.read_text().splitlines()]


def test_a_file_is_continued(tmp_path):
    write(tmp_path / "poses.jsonl", range(3))
    write(tmp_path / "poses.jsonl", range(3, 5))
    assert frames(tmp_path / "poses.jsonl") == [0, 1, 2, 3, 4]


def test_files_rotate_and_the_oldest_goes(tmp_path):
    path = tmp_path / "poses.jsonl"
    write(path, range(40), max_mb=0.001, keep=2)
    kept = [path.with_name("poses.jsonl.2"), path.with_name("poses.jsonl.1"), path]
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert all(file.stat().st_size <= 1000 for file in kept)
    together = [frame for file in kept for frame in frames(file)]
    assert together == list(range(together[0], 40))


def test_lines_are_there_at_once(tmp_path):
    sink = JsonlSink(JsonlOptions(target=str(tmp_path / "poses.jsonl"))).open(ABOUT)
    sink.write(make_result(3))
    assert frames(tmp_path / "poses.jsonl") == [3]
    sink.close()


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    path = tmp_path / "poses.jsonl"
    sink = JsonlSink(JsonlOptions(target=str(path))).open(ABOUT)
    sink.write(make_result(0))
    write_really = os.write
    room = [100, 0]

    def write_while_there_is_room(fd, data):
        part = room.pop(0)
        if part == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_really(fd, data[:part])

    monkeypatch.setattr(os, "write", write_while_there_is_room)
    with pytest.raises(OSError, match="No space left"):
        sink.write(make_result(1))
    sink.close()
    assert frames(path) == [0]


def test_places_that_cannot_be_written_are_refused(tmp_path):
    sink = JsonlSink(JsonlOptions(target=str(tmp_path / "none" / "poses.jsonl")))
    with pytest.raises(OutputError, match=r"poses\.jsonl: cannot be written"):
        sink.open(ABOUT)
    with pytest.raises(UsageError, match="keep: got 0, expected 1 to 1000"):
        JsonlOptions(keep=0)
