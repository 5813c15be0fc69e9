"""JSON lines to files."""

from __future__ import annotations

import contextlib
import errno
import json
import os

import pytest

from rpi_runtime.errors import OutputError, UsageError
from rpi_runtime.sinks.jsonl import JsonlOptions, JsonlSink
from rpi_runtime.sinks.sink import SinkNotReadyError
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


def full_after(monkeypatch, fd_of, *room):
    """The disk takes so many bytes of each write of one sink, and then is full."""
    write_really, parts = os.write, list(room)

    def write(fd, data):
        if fd != fd_of._fd or not parts:
            return write_really(fd, data)
        if (part := parts.pop(0)) == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_really(fd, data[:part])

    monkeypatch.setattr(os, "write", write)


def test_a_full_disk_takes_back_no_line_of_another_writer(tmp_path, monkeypatch):
    path = tmp_path / "poses.jsonl"
    ours, theirs = (JsonlSink(JsonlOptions(target=str(path))).open(ABOUT) for _ in range(2))
    for index in range(6):
        (ours, theirs)[index % 2].write(make_result(index))
    full_after(monkeypatch, ours, 50, 0)
    with pytest.raises(OSError, match="No space left"):
        ours.write(make_result(6))
    assert frames(path) == [0, 1, 2, 3, 4, 5]
    theirs.write(make_result(7))
    ours.write(make_result(8))
    assert frames(path) == [0, 1, 2, 3, 4, 5, 7, 8]


def test_a_line_that_cannot_be_taken_back_spoils_no_other(tmp_path, monkeypatch):
    path = tmp_path / "poses.jsonl"
    ours, theirs = (JsonlSink(JsonlOptions(target=str(path))).open(ABOUT) for _ in range(2))
    ours.write(make_result(0))
    position = os.lseek
    monkeypatch.setattr(os, "lseek", lambda *a: (theirs.write(make_result(1)), position(*a))[1])
    full_after(monkeypatch, ours, 50, 0)
    with pytest.raises(OSError, match="No space left"):
        ours.write(make_result(2))
    monkeypatch.setattr(os, "lseek", position)
    ours.write(make_result(3))
    whole = []
    for line in path.read_text().splitlines():
        with contextlib.suppress(ValueError):
            whole.append(json.loads(line)["frame"])
    assert whole == [0, 3]
    assert '"frame":1' in path.read_text(), "behind what is left of ours, on one line"


def test_a_file_that_is_cut_by_logrotate_gets_no_hole(tmp_path, monkeypatch):
    path = tmp_path / "poses.jsonl"
    sink = JsonlSink(JsonlOptions(target=str(path))).open(ABOUT)
    for index in range(5):
        sink.write(make_result(index))
    os.truncate(path, 0)  # copytruncate
    sink.write(make_result(5))
    full_after(monkeypatch, sink, 50, 0)
    with pytest.raises(OSError, match="No space left"):
        sink.write(make_result(6))
    sink.write(make_result(7))
    assert b"\0" not in path.read_bytes()
    assert frames(path) == [5, 7]


def test_rotation_goes_by_the_size_that_the_file_has(tmp_path):
    path = tmp_path / "poses.jsonl"
    sink = JsonlSink(JsonlOptions(target=str(path), max_mb=0.01)).open(ABOUT)
    for index in range(20):
        sink.write(make_result(index))
        os.truncate(path, 0)
    sink.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["poses.jsonl"]


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path):
    path = tmp_path / "poses.jsonl"
    sink = JsonlSink(JsonlOptions(target=str(path))).open(ABOUT)
    sink.write(make_result(0))
    path.rename(tmp_path / "old.jsonl")  # logrotate without copytruncate
    sink.write(make_result(1))
    path.unlink()
    sink.write(make_result(2))
    sink.close()
    assert (frames(tmp_path / "old.jsonl"), frames(path)) == ([0], [2])


def test_a_pipe_that_nothing_reads_holds_nothing_up(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    sink = JsonlSink(JsonlOptions(target=str(path)))
    with pytest.raises(SinkNotReadyError, match="nothing reads this pipe yet"):
        sink.open(ABOUT)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    opened = sink.open(ABOUT)
    opened.write(make_result(3))
    assert json.loads(os.read(reader, 9999))["frame"] == 3
    os.close(reader)
    with pytest.raises(SinkNotReadyError, match="has gone"):
        opened.write(make_result(4))
    opened.close()


@pytest.mark.parametrize("content", [b'model = "m.tflite"\n', b"\x89PNG\r\n", b"#!/bin/sh\n", b"[[sink]]\n"])
def test_a_file_that_holds_something_else_is_left_alone(tmp_path, content):
    """A sink named after the configuration or a picture of the source was written into it."""
    path = tmp_path / "dear"
    path.write_bytes(content)
    with pytest.raises(OutputError, match="holds something else than messages"):
        JsonlSink(JsonlOptions(target=str(path))).open(ABOUT)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b'{"version": 2}\n', b"\0\0\n", b'\0\0{"version": 2}\n'])
def test_a_file_of_messages_is_continued_however_it_was_cut(tmp_path, content):
    path = tmp_path / "poses.jsonl"
    path.write_bytes(content)
    JsonlSink(JsonlOptions(target=str(path))).open(ABOUT).close()
    assert path.read_bytes() == content
