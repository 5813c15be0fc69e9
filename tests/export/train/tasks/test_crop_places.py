"""Training teaches a keypoint at the place where the runtime reads it from the maps, however large the person is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from export.train.data.augment import LightRange
from export.train.data.crops import Crops
from export.train.data.data import SampleSpec
from export.train.data.examples import LabelledSource, read_source
from export.train.tasks.crop_task import CropSamples, Drawing
from export.zoo.person_refiner.entry import DECODER
from rpi_runtime.model.card import InputSpec
from rpi_runtime.preprocess.crop import coco_shift, crop_transform

SIZE = (96, 128)
STILL = Crops(scale=0.0, rotated=0.0, flip=0.0)
ORIGIN, STRIDE = 0.16, 4


def labelled(folder: Path, box: tuple[float, float, float, float], points: np.ndarray) -> LabelledSource:
    Image.new("RGB", (640, 480)).save(folder / "0.png")
    person = {
        "id": 1, "image_id": 0, "category_id": 1, "iscrowd": 0, "bbox": list(box), "area": box[2] * box[3],
        "num_keypoints": 17, "keypoints": np.insert(points, 2, 2, axis=1).reshape(-1).tolist(),
    }  # fmt: skip
    image = {"id": 0, "file_name": "0.png", "width": 640, "height": 480}
    file = folder / "labels.json"
    file.write_text(json.dumps({"images": [image], "annotations": [person], "categories": []}))
    return LabelledSource(pictures=str(folder), labels=str(file))


def vertex(maps: np.ndarray) -> np.ndarray:
    """Column and row of each map's peak, by a parabola through the logarithms."""
    found = []
    for one in np.log(np.maximum(maps.astype(np.float64), 1e-12)):
        row, column = np.unravel_index(one.argmax(), one.shape)
        lines = one[row, column - 1 : column + 2], one[row - 1 : row + 2, column]
        found.append(
            [at + (a - c) / (2 * (a - 2 * b + c)) for at, (a, b, c) in zip((column, row), lines, strict=True)]
        )
    return np.array(found)


@pytest.mark.parametrize("height", [60.0, 400.0])
@pytest.mark.parametrize("middle", ["index", "edge"])
def test_a_keypoint_is_taught_where_the_runtime_reads_it(
    middle: Literal["index", "edge"], height: float, tmp_path: Path
) -> None:
    settings = replace(DECODER, box_middle=middle)
    box = (200.0, 40.0, height * 0.6, height)
    rng = np.random.default_rng(0)
    points = rng.uniform((box[0], box[1]), (box[0] + box[2], box[1] + box[3]), (17, 2))
    samples = CropSamples(
        read_source(labelled(tmp_path, box, points), frozenset()),
        SampleSpec(sizes=(SIZE,), batch=1),
        1,
        STILL,
        light=LightRange(gain=0.0, offset=0.0, grey=0.0, noise=0.0),
        draw=Drawing(stride=STRIDE, sigma=2.0, origin=ORIGIN),
        half=0.5 + coco_shift(settings),
    )
    _, maps, weight = samples[0]
    assert weight.all()
    taught = STRIDE * vertex(maps.numpy()) + ORIGIN
    (_, _, cut), affine = samples.people[0], samples._placed(np.random.default_rng(0), 0, SIZE)[1]
    # the pixels of the crop that show the keypoints, as indices
    seen = points @ affine[:, :2].T + affine[:, 2]
    place = crop_transform(cut, InputSpec(width=SIZE[0], height=SIZE[1], fit="crop"), settings)
    scales, pads = np.array([place.scale_x, place.scale_y]), np.array([place.pad_x, place.pad_y])
    shown = scales * (points + 0.5) + pads - 0.5  # the same in the runtime's crop
    read = scales * (points - coco_shift(settings)) + pads  # where it reads them
    assert np.abs((taught - seen) - (read - shown)).max() < 0.01
