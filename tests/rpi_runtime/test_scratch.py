"""Temporary folders: gone after use, and after a kill with the next command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rpi_runtime.files import ensure_writable
from rpi_runtime.scratch import PREFIX, scratch_folder, sweep

ROOT = Path(__file__).parents[2]
HOLD = "import time; from rpi_runtime.scratch import Scratch; s = Scratch(); print(s.path, flush=True); time.sleep(60)"


def holder(tmp_path):
    env = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def make_old(path):
    os.utime(path, (1, 1), follow_symlinks=False)


def test_a_folder_lasts_as_long_as_its_use(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folder() as folder:
        (folder / "a").write_text("a")
        make_old(folder)
        assert sweep(tmp_path) == 0
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(tmp_path):
    process, folder = holder(tmp_path)
    try:
        (folder / "large").write_bytes(bytes(1000))
        make_old(folder)
        assert sweep(tmp_path) == 0
        process.kill()
        process.wait()
        assert folder.is_dir()
        assert sweep(tmp_path) == 1
        assert list(tmp_path.iterdir()) == []
    finally:
        process.kill()
        process.communicate()


def test_links_files_and_new_folders_stay(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "mine").write_text("mine")
    place = tmp_path / "place"
    place.mkdir()
    (place / f"{PREFIX}link").symlink_to(kept)
    (place / f"{PREFIX}file").write_text("")
    (place / f"{PREFIX}new").mkdir()
    for name in ("link", "file"):
        make_old(place / f"{PREFIX}{name}")
    assert sweep(place) == 0
    assert (kept / "mine").exists()
    assert len(list(place.iterdir())) == 3


def test_a_folder_that_somebody_named_after_the_project_stays(tmp_path):
    for name in ("pipose-models", "pipose-service-1", "pipose"):
        (tmp_path / name).mkdir()
        make_old(tmp_path / name)
    assert sweep(tmp_path) == 0
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(("age_s", "left"), [(0, 1), (7200, 0)])
def test_parts_of_a_killed_writer_go_when_a_job_begins(tmp_path, age_s, left):
    part = tmp_path / ".pipose-0123456789abcdef.part"
    part.write_text("half")
    then = part.stat().st_mtime - age_s
    os.utime(part, (then, then))
    ensure_writable(tmp_path)
    assert len(list(tmp_path.iterdir())) == left
