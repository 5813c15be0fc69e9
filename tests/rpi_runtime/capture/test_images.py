"""Folders of pictures."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from rpi_runtime.capture.images import ImagesSource
from rpi_runtime.capture.pictures import write_picture
from rpi_runtime.capture.source import Wanted
from rpi_runtime.errors import SourceError
from tests.rpi_runtime.capture.reading import read_all
from tests.rpi_runtime.pictures import gradient


@pytest.fixture
def folder(tmp_path):
    for name in ("10.png", "2.png", "1.png"):
        write_picture(gradient(shift=len(name)), tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_pictures_come_in_natural_order_with_names_and_times(folder):
    frames = read_all(ImagesSource(folder, fps=4))
    assert [f.name for f in frames] == ["1.png", "2.png", "10.png"]
    assert [f.timestamp_ns for f in frames] == [0, 250_000_000, 500_000_000]
    assert [f.index for f in frames] == [0, 1, 2]
    assert np.array_equal(frames[2].image, gradient(shift=6))


def test_jpeg_under_each_of_its_endings_is_a_picture(tmp_path):
    for name in ("a.JPG", "b.jpeg", "c.jfif"):
        write_picture(gradient(), tmp_path / name)
    assert [f.name for f in read_all(ImagesSource(tmp_path))] == ["a.JPG", "b.jpeg", "c.jfif"]


def test_one_picture_is_a_source_too(folder):
    assert [f.name for f in read_all(ImagesSource(folder / "2.png"))] == ["2.png"]


def test_an_unreadable_picture_is_passed_over_and_said(folder, caplog):
    caplog.set_level(logging.WARNING)
    (folder / "2.png").write_bytes(b"\x89PNG")
    source = ImagesSource(folder)
    source.configure(Wanted())
    assert [source.read(1).name, source.read(1).name] == ["1.png", "10.png"]
    with pytest.raises(SourceError, match=r"1 of 3 pictures could not be read, first 2\.png"):
        source.read(1)
    assert "2.png" in caplog.text


def test_a_loop_names_an_unreadable_picture_once_and_counts_it(folder, caplog):
    (folder / "2.png").write_bytes(b"")
    frames = read_all(ImagesSource(folder, loop=True), most=20)
    assert sum(f.undecodable for f in frames) == 10
    assert caplog.text.count("passed over") == 1


def test_a_folder_full_of_unreadable_pictures_is_no_flood(folder, caplog):
    for number in range(100, 160):
        (folder / f"{number}.jpg").write_bytes(b"")
    with pytest.raises(SourceError, match="60 of 63 pictures"):
        read_all(ImagesSource(folder))
    assert len(caplog.records) == 6


def test_loops_go_on_in_time(folder):
    frames = read_all(ImagesSource(folder, fps=1, loop=True), most=7)
    assert [f.index for f in frames] == list(range(7))
    assert frames[3].name == "1.png"
    assert frames[3].timestamp_ns == 3_000_000_000


def test_a_loop_over_nothing_readable_ends(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    source = ImagesSource(tmp_path, loop=True)
    source.configure(Wanted())
    with pytest.raises(SourceError, match="1 of 1"):
        source.read(1)


@pytest.mark.parametrize("name", ["", "missing"])
def test_empty_and_missing_folders_are_refused(tmp_path, name):
    with pytest.raises(SourceError):
        ImagesSource(tmp_path / name).configure(Wanted())
