"""Picture files by Pillow."""

from __future__ import annotations

import numpy as np
import pytest

from rpi_runtime.capture.pictures import encode_picture, read_picture, write_picture
from rpi_runtime.errors import InputError, OutputError, UsageError
from tests.rpi_runtime.pictures import gradient


def test_png_brings_back_every_value(tmp_path):
    write_picture(gradient(), tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png"), gradient())


def test_blue_is_the_first_channel(tmp_path):
    blue = np.zeros((8, 8, 3), np.uint8)
    blue[..., 0] = 255
    write_picture(blue, tmp_path / "a.jpg")
    red_green_blue = read_picture(tmp_path / "a.jpg")[4, 4, ::-1]
    assert red_green_blue.tolist() == pytest.approx([0, 0, 255], abs=3)


def test_jpeg_keeps_a_smooth_picture_nearly(tmp_path):
    write_picture(gradient(32, 24), tmp_path / "a.jpg")
    assert np.abs(read_picture(tmp_path / "a.jpg").astype(int) - gradient(32, 24)).mean() < 8


def test_grey_pictures_and_those_with_a_palette_become_bgr(tmp_path):
    image = pytest.importorskip("PIL.Image")
    image.new("L", (4, 2), 7).save(tmp_path / "grey.png")
    image.new("P", (4, 2)).save(tmp_path / "palette.png")
    assert read_picture(tmp_path / "grey.png").tolist() == [[[7, 7, 7]] * 4] * 2
    assert read_picture(tmp_path / "palette.png").shape == (2, 4, 3)


def test_a_camera_held_upright_is_turned_as_exif_says(tmp_path):
    image = pytest.importorskip("PIL.Image")
    picture = image.new("RGB", (20, 10))
    exif = picture.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").shape == (20, 10, 3)


@pytest.mark.parametrize("part", [0, 10, 200])
def test_truncated_files_are_refused_by_name(tmp_path, part):
    (tmp_path / "cut.jpg").write_bytes(encode_picture(gradient(), ".jpg")[:part])
    with pytest.raises(InputError, match=r"cut\.jpg: cannot be read as a picture"):
        read_picture(tmp_path / "cut.jpg")


def test_missing_files_and_bombs_are_refused(tmp_path, monkeypatch):
    image = pytest.importorskip("PIL.Image")
    with pytest.raises(InputError, match="no such file"):
        read_picture(tmp_path / "none.jpg")
    write_picture(gradient(), tmp_path / "large.png")
    monkeypatch.setattr(image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match=r"large\.png"):
        read_picture(tmp_path / "large.png")


def test_unknown_formats_and_unwritable_places_are_said(tmp_path):
    with pytest.raises(UsageError, match=r"'\.xyz'"):
        encode_picture(gradient(), ".xyz")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_picture(gradient(), tmp_path / "file" / "a.png")
