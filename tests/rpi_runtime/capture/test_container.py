"""Whether a file is shorter than its container says."""

from __future__ import annotations

from pathlib import Path

import pytest

from rpi_runtime.capture.container import missing_bytes

FILMS = Path(__file__).parents[1] / "golden/films"


def box(kind, size, extra=b""):
    return size.to_bytes(4, "big") + kind + extra


def write(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("path", sorted(FILMS.glob("*.m??")), ids=lambda p: p.name)
def test_a_whole_file_lacks_nothing(path):
    assert missing_bytes(path) == 0


@pytest.mark.parametrize("name", ["variable.mp4", "variable.mkv"])
@pytest.mark.parametrize("left", [0.5, 0.9])
def test_a_cut_file_lacks_what_was_cut(tmp_path, name, left):
    data = (FILMS / name).read_bytes()
    kept = int(len(data) * left)
    missing = missing_bytes(write(tmp_path / name, data[:kept]))
    assert 0 < missing <= len(data) - kept, "what follows the box that was cut is not known"


def test_a_riff_of_two_parts(tmp_path):
    part = b"RIFF" + (20).to_bytes(4, "little") + b"AVI " + bytes(16)
    assert missing_bytes(write(tmp_path / "a.avi", part + part)) == 0
    assert missing_bytes(write(tmp_path / "a.avi", part + part[:-5])) == 5


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"RIFF\0\0\0\0AVI rest",
        b"G@\x11\x10no length in a transport stream",
        box(b"ftyp", 16, bytes(8)) + box(b"mdat", 0) + b"up to the end",
        box(b"ftyp", 16, bytes(8)) + box(b"\xff\xfe\0\0", 5),
        b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xffunknown length",
        b"\x1a\x45\xdf\xa3",
    ],
)
def test_what_does_not_say_is_not_called_cut(tmp_path, data):
    assert missing_bytes(write(tmp_path / "film", data)) == 0


def test_a_file_that_is_not_there(tmp_path):
    assert missing_bytes(tmp_path / "none.mp4") == 0
