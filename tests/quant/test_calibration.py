"""Which images calibrate, in which order; evaluation images never; broken ones skipped and named."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from quant.calibration import Manifest, choose_images, read_calibration
from rpi_runtime.capture.pictures import write_picture
from rpi_runtime.errors import InputError
from rpi_runtime.evaluate.coco import read_split
from rpi_runtime.model.card import InputSpec
from rpi_runtime.preprocess.letterbox import Preprocessor
from tests.export.toynet import write_pictures


def test_a_coco_folder_gives_its_training_split_only(toy_coco: tuple[Path, Path]) -> None:
    paths, source = choose_images(toy_coco[1], 100)
    assert source == "coco/train2017"
    assert [p.name for p in paths] == [f"{i:012}.png" for i in range(1, 7)]
    assert {p.parent.name for p in paths} == {"train2017"}


def test_a_coco_folder_without_training_split_is_refused(toy_coco: tuple[Path, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(toy_coco[1], tmp_path / "coco")
    (folder / "annotations/person_keypoints_train2017.json").unlink()
    with pytest.raises(InputError, match="val2017 only"):
        choose_images(folder, 4)


def test_images_are_spread_over_the_sorted_names(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures", 10)
    names = [p.name for p in choose_images(folder, 4)[0]]
    assert names == ["picture00.png", "picture02.png", "picture05.png", "picture07.png"]
    assert len(choose_images(folder, 10)[0]) == len(choose_images(folder, 99)[0]) == 10


def test_a_folder_without_pictures_or_none_at_all(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(InputError, match="no pictures in it"):
        choose_images(tmp_path, 4)
    with pytest.raises(InputError, match="no such folder"):
        choose_images(tmp_path / "missing", 4)


def test_broken_images_are_skipped_and_named(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures", 4)
    (folder / "picture01.png").write_bytes((folder / "picture01.png").read_bytes()[:40])
    (folder / "picture02.png").write_text("no picture")
    (folder / "picture03.png").write_bytes(b"")
    found = read_calibration(*choose_images(folder, 9))
    assert found.skipped == ("picture01.png", "picture02.png", "picture03.png")
    assert [name for name, _ in found.manifest.images] == ["picture00.png"]
    assert len(found.frames) == 1
    (folder / "picture00.png").unlink()
    with pytest.raises(
        InputError,
        match=r"none of its 3 pictures can be read; .*picture01\.png: cannot be read as a picture \(",
    ):
        read_calibration(*choose_images(folder, 9))


def test_a_picture_that_went_away_is_skipped(tmp_path: Path) -> None:
    paths, source = choose_images(write_pictures(tmp_path / "pictures", 2), 2)
    paths[0].unlink()
    assert read_calibration(paths, source).skipped == ("picture00.png",)


def refuse(path: Path, *args: object, **kwargs: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


@pytest.mark.parametrize("call", ["is_dir", "iterdir", "glob"])
def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    folder = write_pictures(tmp_path / "pictures", 2)
    monkeypatch.setattr(Path, call, refuse)
    with pytest.raises(
        InputError, match=r"pictures.*: cannot be read \(Permission denied\); make the folder"
    ):
        choose_images(folder, 4)


def test_an_evaluation_image_that_may_not_be_read(
    toy_coco: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = read_split(toy_coco[1], "val2017").images[0].path
    paths = [shutil.copy(image, tmp_path / "other.png")]
    true = os.open
    monkeypatch.setattr(os, "open", lambda path, *args: refuse(path) if path == image else true(path, *args))
    with pytest.raises(InputError, match=rf"{image.name}: cannot be read \(Permission denied\)"):
        read_calibration(paths, "pictures", [image])


@pytest.mark.parametrize("how", ["name", "content"])
def test_evaluation_images_are_refused(toy_coco: tuple[Path, Path], tmp_path: Path, how: str) -> None:
    refused = [i.path for i in read_split(toy_coco[1], "val2017").images]
    folder = write_pictures(tmp_path / "pictures", 3)
    if how == "name":
        shutil.copy(folder / "picture00.png", folder / refused[1].name)
    else:
        shutil.copy(refused[1], folder / "innocent.png")
    with pytest.raises(InputError, match="1 of the calibration images are evaluation images"):
        read_calibration(*choose_images(folder, 9), refused)


def test_the_manifest_names_and_hashes_in_order(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures", 3)
    found = read_calibration(*choose_images(folder, 3)).manifest
    hashes = [hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())]
    assert found.images == tuple(zip((f"picture0{i}.png" for i in range(3)), hashes, strict=True))
    assert Manifest.from_json(found.to_json()) == found
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / "pictures")
    assert read_calibration(*choose_images(moved, 3)).manifest.sha256 == found.sha256
    (moved / "picture00.png").rename(moved / "picture09.png")
    assert read_calibration(*choose_images(moved, 3)).manifest.sha256 != found.sha256


def test_the_manifests_hash_does_not_change_between_versions() -> None:
    known = Manifest(source="coco/train2017", images=(("000000000009.jpg", "0" * 64),))
    assert (
        known.sha256
        == hashlib.sha256(
            b'{\n"format": 1,\n"images": [\n[\n"000000000009.jpg",\n"' + b"0" * 64 + b'"\n]\n],\n'
            b'"source": "coco/train2017"\n}\n'
        ).hexdigest()
    )


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 2, "images": []}', '{"format": 1}', '{"format": 1, "images": [1]}']
)
def test_a_manifest_that_is_none(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        Manifest.from_json(text)


def test_inputs_are_the_runtimes_own_and_span_the_range(tmp_path: Path) -> None:
    found = read_calibration(*choose_images(write_pictures(tmp_path / "pictures", 2), 2))
    spec = InputSpec(width=64, height=48)
    inputs = list(found.inputs(spec))
    prepare, expected = Preprocessor(spec), np.empty((1, 48, 64, 3), np.float32)
    prepare(found.frames[1], expected)
    np.testing.assert_array_equal(inputs[1], expected)
    prepare(found.frames[0], expected)
    np.testing.assert_array_equal(inputs[0][0, 1:], expected[0, 1:])
    assert (inputs[0].min(), inputs[0].max()) == (-0.5, 127 / 256)
    np.testing.assert_array_equal(next(found.inputs(spec, span=False)), expected)


def test_names_that_are_not_utf8_are_written_with_their_bytes(tmp_path: Path) -> None:
    """The report of such a folder was a UnicodeEncodeError, after .tflite and .report.json had been written."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    write_picture(np.zeros((8, 8, 3), np.uint8), path)
    found = read_calibration([path], "folder")
    assert found.manifest.images[0][0] == r"caf\udce9.png"
    found.manifest.to_json().encode()
    assert Manifest.from_json(found.manifest.to_json()) == found.manifest


def test_frames_are_decoded_when_they_are_taken(tmp_path: Path) -> None:
    """32 pictures of 12 million pixels took 1.1 GB."""
    paths = []
    for index in range(8):
        paths.append(tmp_path / f"{index}.png")
        write_picture(np.full((1000, 2000, 3), index, np.uint8), paths[-1])
    tracemalloc.start()
    found = read_calibration(paths, "folder")
    assert [int(f[0, 0, 0]) for f in found.frames] == list(range(8))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 6_000_000  # of 48 million bytes
    assert len(found.frames[2:4]) == 2


def test_a_picture_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    write_picture(np.zeros((8, 8, 3), np.uint8), tmp_path / "a.png")
    found = read_calibration([tmp_path / "a.png"], "folder")
    write_picture(np.ones((8, 8, 3), np.uint8), tmp_path / "a.png")
    with pytest.raises(InputError, match="changed while it was in use"):
        list(found.frames)


def test_nearly_black_pictures_are_named(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.full((8, 8), 4095, np.uint16)).save(tmp_path / "12bit.png")
    write_picture(np.full((8, 8, 3), 90, np.uint8), tmp_path / "night.png")
    found = read_calibration([tmp_path / "12bit.png", tmp_path / "night.png"], "folder")
    assert found.dark == ("12bit.png",)
