"""Picture files by Pillow."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rpi_runtime.capture.pictures import encode_picture, picture_size, read_picture, write_picture
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
    pytest.importorskip("PIL.Image")
    with pytest.raises(InputError, match="no such file"):
        read_picture(tmp_path / "none.jpg")
    write_picture(gradient(), tmp_path / "large.png")
    monkeypatch.setattr("rpi_runtime.capture.pictures.MOST_PIXELS", 100)
    with pytest.raises(InputError, match=r"large\.png"):
        read_picture(tmp_path / "large.png")


def test_unknown_formats_and_unwritable_places_are_said(tmp_path):
    with pytest.raises(UsageError, match=r"'\.xyz'"):
        encode_picture(gradient(), ".xyz")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_picture(gradient(), tmp_path / "file" / "a.png")


def test_postscript_under_a_pictures_name_is_not_opened(tmp_path, monkeypatch):
    """Pillow would start Ghostscript for it."""
    pytest.importorskip("PIL.EpsImagePlugin")

    def started(*_, **__):
        raise AssertionError("another program was started")

    monkeypatch.setattr("subprocess.Popen", started)
    text = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    (tmp_path / "holiday.jpg").write_bytes(text)
    with pytest.raises(InputError, match=r"holiday\.jpg: cannot be read as a picture \(none of \.jpg"):
        read_picture(tmp_path / "holiday.jpg")


@pytest.mark.parametrize("suffix", [".gif", ".pdf", ".ico", ".tga", ".icns"])
def test_formats_that_are_not_documented_are_refused(tmp_path, suffix):
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (64, 64)).save(tmp_path / f"a{suffix}")
    (tmp_path / f"a{suffix}").rename(tmp_path / "a.png")
    with pytest.raises(InputError, match="cannot be read as a picture"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("link", [False, True])
def test_a_pipe_is_refused_without_waiting(tmp_path, link):
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / "a.jpg"
    path.symlink_to("pipe") if link else (tmp_path / "pipe").rename(path)
    with pytest.raises(InputError, match="is a named pipe; expected a file"):
        read_picture(path)


def test_a_device_is_refused():
    with pytest.raises(InputError, match="is a device"):
        read_picture(Path("/dev/zero"))


RAMP = np.linspace(0, 1, 256, dtype=np.float64).reshape(16, 16)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("16.png", (RAMP * 65535).round().astype(np.uint16)),
        ("16.tif", (RAMP * 65535).round().astype(np.uint16)),
        ("32.tif", (RAMP * 65535).round().astype(np.int32)),
        ("31.tif", (RAMP * (2**31 - 1)).round().astype(np.int32)),
        ("unit.tiff", RAMP.astype(np.float32)),
        ("bytes.tiff", (RAMP * 255).astype(np.float32)),
    ],
)
def test_more_than_eight_bits_are_scaled_by_depth(tmp_path, name, values):
    """They were cut off at 255, which made whole pictures white, and floats black."""
    image = pytest.importorskip("PIL.Image")
    image.fromarray(values).save(tmp_path / name)
    found = read_picture(tmp_path / name)
    expected = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    assert np.array_equal(found, expected)


def test_twelve_bits_are_scaled_where_the_file_says_so(tmp_path):
    image = pytest.importorskip("PIL.Image")
    values = (RAMP * 4095).round().astype(np.uint16)
    image.fromarray(values).save(tmp_path / "12.tif", tiffinfo={281: 4095})
    assert read_picture(tmp_path / "12.tif").max() == 255


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_floats_without_a_scale_are_refused(tmp_path, value):
    image = pytest.importorskip("PIL.Image")
    values = RAMP.astype(np.float32)
    values[3, 3] = value
    image.fromarray(values).save(tmp_path / "a.tiff")
    with pytest.raises(InputError, match="cannot be read as a picture"):
        read_picture(tmp_path / "a.tiff")


@pytest.mark.parametrize("values", [RAMP * 2 - 1, RAMP * 80 - 40, (RAMP * 510 - 255).astype(np.int32)])
def test_values_below_zero_are_refused(tmp_path, values):
    """Normalised pictures and temperatures became black without a word."""
    image = pytest.importorskip("PIL.Image")
    image.fromarray(values if values.dtype == np.int32 else values.astype(np.float32)).save(
        tmp_path / "a.tif"
    )
    with pytest.raises(InputError, match=r"a\.tif: .*values down to -"):
        read_picture(tmp_path / "a.tif")


def test_what_resampling_leaves_below_black_is_black(tmp_path):
    image = pytest.importorskip("PIL.Image")
    image.fromarray((RAMP - 5e-4).astype(np.float32)).save(tmp_path / "a.tif")
    assert read_picture(tmp_path / "a.tif").max() == 255


def grey_tiff(path, data, *, bits, photometric):
    """Write a TIFF of 16x2 grey pixels by hand (TIFF 6.0, section 3): Pillow writes neither of these."""
    tags = {
        256: (3, 16), 257: (3, 2), 258: (3, bits), 259: (3, 1), 262: (3, photometric), 273: (4, 8),
        277: (3, 1), 278: (3, 2), 279: (4, len(data)),
    }  # fmt: skip
    entries = b"".join(
        struct.pack("<HHIHxx" if k == 3 else "<HHII", t, k, 1, v) for t, (k, v) in tags.items()
    )
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory)


def test_a_tiff_of_twelve_bits_is_scaled_by_them(tmp_path):
    """It was read as 16 bits, so that white became 16 of 255."""
    grey_tiff(tmp_path / "a.tif", b"\xff\xff\xff" * 16, bits=12, photometric=1)
    assert read_picture(tmp_path / "a.tif").min() == 255


@pytest.mark.parametrize(("bits", "byte"), [(16, b"\0\0"), (8, b"\0")])
def test_a_tiff_whose_zero_is_white_is_no_negative(tmp_path, bits, byte):
    grey_tiff(tmp_path / "a.tif", byte * 32, bits=bits, photometric=0)
    assert read_picture(tmp_path / "a.tif").min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_that_of_pillow(tmp_path, orientation):
    image = pytest.importorskip("PIL.Image")
    ops = pytest.importorskip("PIL.ImageOps")
    picture = image.fromarray(gradient(13, 7))
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "a.png", exif=exif)
    with image.open(tmp_path / "a.png") as opened:
        expected = np.asarray(ops.exif_transpose(opened))[..., ::-1]
    assert np.array_equal(read_picture(tmp_path / "a.png"), expected)


def test_odd_exif_does_not_cost_the_picture(tmp_path):
    data = encode_picture(gradient(), ".jpg")
    damaged = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x05\0\0\0\x01\xff\xff\xff\xf0\0\0\0\0"
    block = b"\xff\xe1" + (len(damaged) + 2).to_bytes(2, "big") + damaged
    (tmp_path / "a.jpg").write_bytes(data[:2] + block + data[2:])
    assert read_picture(tmp_path / "a.jpg").shape == gradient().shape


def test_a_picture_is_converted_within_bounds_of_memory(tmp_path):
    """12 million pixels: the array of 36 MB and Pillow's own of 48 MB, no third copy."""
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (4000, 3000)).save(tmp_path / "a.png")
    code = (
        "import resource, sys; from pathlib import Path; from rpi_runtime.capture.pictures import read_picture\n"
        "read_picture(Path(sys.argv[2])); peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10\n"
        "before = peak(); read_picture(Path(sys.argv[1])); print(peak() - before)"
    )
    image.new("RGB", (40, 30)).save(tmp_path / "small.png")
    argv = [sys.executable, "-c", code, str(tmp_path / "a.png"), str(tmp_path / "small.png")]
    grown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert int(grown) < 100


@pytest.mark.parametrize(
    ("name", "mode", "size", "options"),
    [
        ("a.webp", "RGB", (6000, 5500), {"quality": 1, "method": 0}),  # took 765 MB at 50 million pixels
        ("a.jpg", "CMYK", (8000, 5500), {"progressive": True}),
        ("a.png", "L", (1, 70_000), {}),  # a column of 50 million pixels took 580 MB
    ],
)
def test_what_takes_much_memory_to_decode_may_be_less_large(tmp_path, name, mode, size, options):
    image = pytest.importorskip("PIL.Image")
    image.new(mode, size).save(tmp_path / name, **options)
    for read in (read_picture, picture_size):
        with pytest.raises(InputError, match="scale it down"):
            read(tmp_path / name)


def test_the_size_is_read_without_the_pixels(tmp_path):
    write_picture(gradient(13, 7), tmp_path / "a.png")
    assert picture_size(tmp_path / "a.png") == (13, 7)
