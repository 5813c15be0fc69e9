"""Networks of crops are calibrated on crops."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from quant.calibration import read_calibration
from quant.calibration_people import cut_people, largest_people
from rpi_runtime.capture.pictures import write_picture
from rpi_runtime.model.card import InputSpec
from rpi_runtime.model.crop_settings import CropSettings

SPEC = InputSpec(width=48, height=64, fit="crop", pad_value=0)


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Two pictures of 100x80: a white person on black beside a smaller one, and nobody."""
    picture = np.zeros((80, 100, 3), np.uint8)
    picture[20:60, 30:60] = 255
    people = [[30, 20, 30, 40], [80, 10, 10, 10]]
    (tmp_path / "train2017").mkdir()
    (tmp_path / "annotations").mkdir()
    for name, pixels in (("a.png", picture), ("b.png", picture // 2)):
        write_picture(pixels, tmp_path / "train2017" / name)
    images = [{"id": i, "file_name": n, "width": 100, "height": 80} for i, n in ((1, "a.png"), (2, "b.png"))]
    annotations = [
        {
            "id": i,
            "image_id": 1,
            "category_id": 1,
            "iscrowd": 0,
            "area": 9,
            "bbox": box,
            "keypoints": [5, 5, 2] * 17,
        }
        for i, box in enumerate(reversed(people))
    ]
    file = tmp_path / "annotations" / "person_keypoints_train2017.json"
    file.write_text(
        json.dumps(
            {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
        )
    )
    return tmp_path


def test_the_largest_person_is_cut_out_and_a_picture_of_nobody_stays(coco: Path) -> None:
    people = largest_people(coco)
    assert list(people) == ["a.png"]
    assert people["a.png"] == pytest.approx((30, 20, 29, 39))
    paths = sorted((coco / "train2017").iterdir())
    images = read_calibration(paths, "test")
    crops = cut_people(images, people, SPEC, CropSettings())
    assert crops.manifest is images.manifest
    assert crops.frames[0].shape == (64, 48, 3)
    assert np.array_equal(crops.frames[1], images.frames[1])
    white = np.argwhere(crops.frames[0][..., 0] > 128)
    height = 64 * 39 / (39 * 1.25)  # of the person on a crop of 1.25 times the person
    assert np.ptp(white[:, 0]) == pytest.approx(height, abs=2.5)
    np.testing.assert_allclose(white.mean(axis=0), (32, 24), atol=1.5)
    inputs = list(crops.inputs(SPEC, span=False))
    assert inputs[0].max() == pytest.approx(127 / 256)


def test_a_folder_of_pictures_says_of_nobody(coco: Path) -> None:
    assert largest_people(coco / "train2017") == {}
