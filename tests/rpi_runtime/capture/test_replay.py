"""Recordings: what is recorded comes back, and damage is named."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from rpi_runtime.__main__ import main
from rpi_runtime.capture.recording import Recording
from rpi_runtime.capture.replay import ReplaySource
from rpi_runtime.capture.source import Wanted
from rpi_runtime.commands.recording import Recorder
from rpi_runtime.errors import InputError, OutputError, SourceError, UsageError
from rpi_runtime.poses import Frame
from tests.rpi_runtime.capture.reading import read_all
from tests.rpi_runtime.pictures import gradient

STAMPS = [5_000_000_000, 5_033_000_000, 5_100_000_000]


def write_recording(path, kind="png"):
    with Recorder(path, source="camera", format=kind) as recorder:
        for index, stamp in enumerate(STAMPS):
            recorder.add(Frame(image=gradient(shift=index), index=index, timestamp_ns=stamp, taken_ns=0))
    return path


@pytest.mark.parametrize("name", ["walk.zip", "walk"])
@pytest.mark.parametrize("kind", ["png", "npy"])
def test_exact_formats_bring_back_every_value_and_time(tmp_path, name, kind):
    frames = read_all(ReplaySource(write_recording(tmp_path / name, kind)))
    assert [f.timestamp_ns for f in frames] == STAMPS
    for index, frame in enumerate(frames):
        assert np.array_equal(frame.image, gradient(shift=index))


def test_jpeg_recordings_keep_size_and_count(tmp_path):
    source = ReplaySource(write_recording(tmp_path / "walk.zip", "jpg"))
    delivered = source.configure(Wanted())
    assert (delivered.width, delivered.height, delivered.frames) == (64, 48, 3)
    assert delivered.fps == pytest.approx(20)
    assert len(read_all(source)) == 3


def test_a_loop_goes_on_in_time(tmp_path):
    frames = read_all(ReplaySource(write_recording(tmp_path / "walk"), loop=True), most=7)
    stamps = [f.timestamp_ns for f in frames]
    assert stamps == sorted(set(stamps))
    assert stamps[3] - stamps[0] == 150_000_000
    assert [f.index for f in frames] == list(range(7))


def test_a_recorder_that_was_killed_leaves_a_folder_that_plays(tmp_path):
    index = write_recording(tmp_path / "walk") / "frames.jsonl"
    index.write_bytes(index.read_bytes()[:-9])
    assert len(read_all(ReplaySource(tmp_path / "walk"))) == 2


def change_index(folder, line, text):
    index = folder / "frames.jsonl"
    lines = index.read_text().splitlines()
    lines[line] = text
    index.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (0, json.dumps({"replay": 2}), "not of replay format 1"),
        (0, "[]", r"frames\.jsonl:1: not a JSON object"),
        (1, "{", r"frames\.jsonl:2: not valid JSON"),
        (1, json.dumps({"file": "../../etc/passwd", "timestamp_ns": 0}), "plain file name"),
        (1, json.dumps({"file": "000000.png", "timestamp_ns": "0"}), "timestamp_ns"),
        (2, json.dumps({"file": "000001.png", "timestamp_ns": 1}), "go back"),
    ],
)
def test_a_damaged_index_is_refused(tmp_path, line, text, message):
    change_index(write_recording(tmp_path / "walk"), line, text)
    with pytest.raises(SourceError, match=message):
        ReplaySource(tmp_path / "walk").configure(Wanted())


def play_to_the_error(source):
    """The frames, and the error at the end."""
    frames = []
    with pytest.raises(SourceError) as caught:
        source.configure(Wanted())
        source.start()
        while (frame := source.read(1)) is not None:
            frames.append(frame)
    source.stop()
    return frames, str(caught.value)


def test_a_damaged_picture_is_passed_over_counted_and_said_at_the_end(tmp_path, caplog):
    folder = write_recording(tmp_path / "walk", "npy")
    np.save(folder / "000000.npy", np.zeros((4, 4), np.uint8))
    (folder / "000001.npy").write_bytes(b"\x93NUMPY")
    frames, error = play_to_the_error(ReplaySource(folder))
    assert [(f.timestamp_ns, f.index, f.undecodable) for f in frames] == [(STAMPS[2], 0, 2)]
    assert "2 of 3 frames could not be decoded" in error
    assert "000000.npy is no NumPy array (it is (4, 4)" in error
    assert len(caplog.records) == 1


def test_a_missing_and_an_empty_picture_are_passed_over(tmp_path):
    folder = write_recording(tmp_path / "walk")
    (folder / "000000.png").unlink()
    (folder / "000002.png").write_bytes(b"")
    frames, error = play_to_the_error(ReplaySource(folder))
    assert [f.timestamp_ns for f in frames] == [STAMPS[1]]
    assert "000000.png is missing" in error


def test_a_loop_passes_over_a_damaged_picture_and_says_so_once(tmp_path, caplog):
    (write_recording(tmp_path / "walk") / "000001.png").write_bytes(b"\x89PNG")
    frames = read_all(ReplaySource(tmp_path / "walk", loop=True), most=9)
    assert [f.undecodable for f in frames] == [0, 1] * 4 + [0]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("loop", [False, True])
def test_a_recording_of_damaged_pictures_alone_is_refused(tmp_path, loop):
    folder = write_recording(tmp_path / "walk")
    for name in ("000000.png", "000001.png", "000002.png"):
        (folder / name).write_bytes(b"")
    with pytest.raises(SourceError, match=r"000000\.png"):
        ReplaySource(folder, loop=loop).configure(Wanted())


@pytest.mark.parametrize("kind", ["jpg", "npy"])
def test_a_zip_whose_recorder_was_killed_plays_up_to_the_last_whole_frame(tmp_path, kind, caplog):
    path, cut = tmp_path / "walk.zip", tmp_path / "cut.zip"
    write_recording(path, kind)
    with zipfile.ZipFile(path) as archive:
        begins = [m.header_offset for m in archive.infolist()]
    data = path.read_bytes()
    for length in {*range(begins[0] + 40, len(data) - 1, 997), *begins[1:], *(b - 1 for b in begins[1:])}:
        cut.write_bytes(data[:length])
        whole = sum(end <= length for end in begins[1:])
        if not whole:
            with pytest.raises(SourceError, match="not a complete"):
                ReplaySource(cut).configure(Wanted())
            continue
        caplog.clear()
        frames = read_all(ReplaySource(cut))
        assert [f.timestamp_ns for f in frames] == STAMPS[:whole]
        assert f"first {whole} frames are whole" in caplog.text
    assert [f.timestamp_ns for f in read_all(ReplaySource(path))] == STAMPS


def test_a_damaged_frame_of_a_cut_zip_is_passed_over(tmp_path):
    data = bytearray(write_recording(tmp_path / "walk.zip", "npy").read_bytes()[:-100])
    data[1000] ^= 1
    (tmp_path / "cut.zip").write_bytes(data)
    frames, error = play_to_the_error(ReplaySource(tmp_path / "cut.zip"))
    assert [f.timestamp_ns for f in frames] == STAMPS[1:]
    assert "1 of 3 frames" in error


def test_zips_that_are_none_or_hold_none_are_refused(tmp_path):
    (tmp_path / "cut.zip").write_bytes(write_recording(tmp_path / "walk.zip").read_bytes()[:99])
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    for name in ("cut.zip", "empty.zip", "none.zip"):
        with pytest.raises(SourceError, match=name):
            ReplaySource(tmp_path / name).configure(Wanted())


@pytest.mark.parametrize("name", ["walk.zip", "walk"])
@pytest.mark.parametrize("kind", ["png", "npy"])
def test_a_recording_without_a_frame_leaves_nothing_in_the_way(tmp_path, name, kind):
    with pytest.raises(SourceError, match="no camera"), Recorder(tmp_path / name, format=kind):
        raise SourceError("no camera")
    assert list(tmp_path.iterdir()) == []
    assert len(read_all(ReplaySource(write_recording(tmp_path / name, kind)))) == 3


def test_a_folder_that_was_there_stays(tmp_path):
    (tmp_path / "walk").mkdir()
    with Recorder(tmp_path / "walk"):
        pass
    assert list(tmp_path.rglob("*")) == [tmp_path / "walk"]


def test_a_first_picture_that_was_cut_is_removed_too(tmp_path, monkeypatch):
    def full(self, data):
        self.touch()
        raise OSError(28, "No space left on device")

    frame = Frame(image=gradient(), index=0, timestamp_ns=0, taken_ns=0)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"), Recorder(tmp_path / "walk") as recorder:
        recorder.add(frame)
    assert list(tmp_path.iterdir()) == []


def test_the_command_can_be_repeated_after_it_failed(tmp_path, capsys):
    words = ["record", "--source", f"images:{tmp_path / 'photos'}", "--output", str(tmp_path / "walk.zip")]
    assert main(words) == 3
    assert "photos" in capsys.readouterr().err
    write_recording(tmp_path / "photos")
    assert main(words) == 0
    assert "3 frames in" in capsys.readouterr().err


def test_nothing_is_overwritten(tmp_path):
    for name in ("walk.zip", "walk"):
        write_recording(tmp_path / name)
        with pytest.raises(OutputError, match="exists already"):
            write_recording(tmp_path / name)
    with pytest.raises(UsageError, match="jpg, png, npy"):
        Recorder(tmp_path / "a", format="gif")


@pytest.mark.parametrize(
    "line",
    [
        '{"file": "a.png", "timestamp_ns": 1' + "0" * 40 + "}",
        '{"file": "a.png", "timestamp_ns": true}',
        '{"file": "a.png", "timestamp_ns": NaN}',
        '{"file": "a\\u0000b.png", "timestamp_ns": 0}',
        "[" * 100_000,
    ],
)
def test_a_hostile_index_is_one_line(tmp_path, line):
    (tmp_path / "frames.jsonl").write_text(
        f'{{"replay": 1}}\n{line}\n{{"file": "b.png", "timestamp_ns": 0}}\n'
    )
    with pytest.raises(SourceError) as caught:
        ReplaySource(tmp_path).configure(Wanted())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(100_000, 100_000, 3), (-1, -48, 3), (48, 64, 4), (2, 2, 3)])
def test_an_array_is_not_believed_its_size(tmp_path, shape):
    write_recording(tmp_path / "walk", "npy")
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    (tmp_path / "walk/000000.npy").write_bytes(file.getvalue() + bytes(144))
    _, error = play_to_the_error(ReplaySource(tmp_path / "walk"))
    assert "no NumPy array" in error


def test_pipes_and_members_that_inflate_are_refused_at_once(tmp_path):
    write_recording(tmp_path / "walk")
    (tmp_path / "walk/000000.png").unlink()
    os.mkfifo(tmp_path / "walk/000000.png")
    os.mkfifo(tmp_path / "pipe.zip")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("frames.jsonl", bytes(300 << 20))
    for name in ("pipe.zip", "bomb.zip"):
        with pytest.raises(InputError):
            ReplaySource(tmp_path / name).configure(Wanted())
    frames, error = play_to_the_error(ReplaySource(tmp_path / "walk"))
    assert len(frames) == 2
    assert "000000.png" in error


HEADER = b"{'descr': '|u1', 'fortran_order': False, 'shape': (4, 4, 3), }"


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(HEADER[:-10], id="a bracket that stays open"),  # the tokenizer's own error in NumPy
        pytest.param(b"  " + HEADER + b"\n x", id="indented"),
        pytest.param(HEADER.replace(b"4,", b"(" * 300 + b"4,"), id="nested"),
        pytest.param(HEADER.replace(b"False", b"1 < 2"), id="an expression"),
        pytest.param(HEADER.replace(b"'|u1'", b"[('a', '|u1')]"), id="another type"),
        pytest.param(HEADER.replace(b"4, 4", b"4 4, 4"), id="two numbers side by side"),
        pytest.param(HEADER.replace(b"4, 4, 3", b""), id="no shape"),
        pytest.param(b"\xff" * 40, id="noise"),
    ],
)
def test_a_header_of_an_array_is_never_evaluated(header: bytes, tmp_path: Path) -> None:
    folder = write_recording(tmp_path / "walk", "npy")
    data = b"\x93NUMPY\x01\x00" + len(header + b"\n").to_bytes(2, "little") + header + b"\n" + bytes(48)
    (folder / "000000.npy").write_bytes(data)
    with pytest.raises(SourceError, match=r"000000\.npy is no NumPy array"):
        Recording(folder).picture("000000.npy")


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_read_as_numpy_writes_them(order: Literal["C", "F"], tmp_path: Path) -> None:
    folder = write_recording(tmp_path / "walk", "npy")
    picture = np.asarray(np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8), order=order)
    np.save(folder / "000000.npy", picture)
    assert (Recording(folder).picture("000000.npy") == picture).all()
