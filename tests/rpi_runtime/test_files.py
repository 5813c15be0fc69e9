"""Files that are whole or not there, with several writers and hostile links."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rpi_runtime.errors import OutputError
from rpi_runtime.files import ensure_writable, write_all, write_bytes

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["nameless", "named"])
def way(request, monkeypatch):
    """With O_TMPFILE and, as on FAT or NFS, without it."""
    if request.param == "named":
        really = os.open

        def refuse(path, flags, *rest, **more):
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(95, "Operation not supported")
            return really(path, flags, *rest, **more)

        monkeypatch.setattr(os, "open", refuse)
    return request.param


def test_a_file_is_written_and_replaced(tmp_path, way):
    path = tmp_path / "new" / ("x" * 250)
    for data in (b"first", b"second"):
        write_bytes(path, data)
        assert path.read_bytes() == data
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_many_writers_never_show_a_torn_file(tmp_path, way):
    path, torn, errors = tmp_path / "state.json", [], []
    bodies = [bytes([65 + n]) * 200_000 for n in range(4)]
    over = threading.Event()

    def write(body):
        for _ in range(25):
            try:
                write_bytes(path, body)
            except OutputError as err:
                errors.append(err)

    def read():
        while not over.is_set():
            data = path.read_bytes()
            if data not in bodies:
                torn.append(len(data))

    write_bytes(path, bodies[0])
    writers = [threading.Thread(target=write, args=(body,)) for body in bodies]
    reader = threading.Thread(target=read)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    over.set()
    reader.join()
    assert (torn, errors) == ([], [])
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]


def test_planted_links_are_not_followed(tmp_path, way):
    dear = tmp_path / "dear"
    dear.write_text("to somebody")
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("report.json", ".report.json.part", ".pipose-write-test"):
        (folder / name).symlink_to(dear)
    write_bytes(folder / "report.json", b"{}")
    ensure_writable(folder)
    assert dear.read_text() == "to somebody"
    assert not (folder / "report.json").is_symlink()


def test_a_secret_is_never_for_all_to_read(tmp_path, way):
    write_bytes(tmp_path / "config.toml", b"password", 0o600)
    assert stat.S_IMODE((tmp_path / "config.toml").stat().st_mode) == 0o600
    write_bytes(tmp_path / "report.json", b"{}")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "report.json").stat().st_mode) == 0o666 & ~mask


def test_a_killed_writer_leaves_no_half_file(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from rpi_runtime import files; "
        "os.fsync = lambda fd: os.kill(os.getpid(), 9); files.write_bytes(Path(sys.argv[1]), b'x' * 100)"
    )
    (tmp_path / "report.json").write_text("good")
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "report.json")], cwd=ROOT, check=False)
    assert (tmp_path / "report.json").read_text() == "good"


def test_a_place_that_cannot_be_written_is_one_error(tmp_path, way):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_bytes(tmp_path / "file" / "x", b"")
    with pytest.raises(OutputError, match="cannot be written"):
        ensure_writable(tmp_path / "file")


def test_several_files_are_written_all_or_none(tmp_path, way):
    (tmp_path / "a").write_bytes(b"earlier")
    write_all({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"1", b"2")
    (tmp_path / "c").mkdir()
    with pytest.raises(OutputError, match="c: cannot be written"):
        write_all({tmp_path / "a": b"3", tmp_path / "d": b"4", tmp_path / "c": b"5"})
    assert (tmp_path / "a").read_bytes() == b"1"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c"]
