"""Which of a detector's boxes become people, and which become regions where nothing is taught."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, cast

import numpy as np
import pytest

from export.train.data.agreement import MIRRORED
from export.train.data.pair_teacher import PairTeacher, annotation, flip_aside, without_repeats
from export.zoo.registry import find_trainable
from rpi_runtime.decode.maps import FLOAT
from rpi_runtime.decode.topdown import TopdownDecoder
from rpi_runtime.model.crop_settings import CropSettings
from rpi_runtime.poses import Pose
from rpi_runtime.preprocess.crop import coco_shift, crop_transform


def test_a_doubtful_box_round_a_labelled_person_is_no_region_of_its_own() -> None:
    """It would hide the labels; one beside every person stays."""
    taught = annotation((100, 50, 60, 120), None, 0.9) | {"num_keypoints": 12}
    part = annotation((105, 60, 40, 50), None, 0.2)
    several = annotation((90, 40, 200, 140), None, 0.15)
    beside = annotation((150, 50, 80, 120), None, 0.12)
    assert without_repeats([taught, part, several, beside]) == [taught, beside]


def test_doubtful_boxes_stay_where_nobody_is_labelled() -> None:
    """Two on one another too: neither is known to be a person."""
    boxes = [annotation((0, 0, 50, 80), None, 0.2), annotation((2, 2, 50, 80), None, 0.15)]
    assert without_repeats(boxes) == boxes


class _Fixed:
    """A refiner's decoder that always finds the same positions."""

    def decode(self, *_: object, **__: object) -> Pose:
        return Pose(keypoints=np.full((17, 3), 40.0, np.float32), score=1.0)


@pytest.mark.parametrize(("middle", "wanted"), [("index", 39.5), ("edge", 40.0)])
def test_labels_are_positions_of_cocos_files(middle: Literal["index", "edge"], wanted: float) -> None:
    """Half a pixel is an eighth of a cell of a network that sees 96x128; it was taught to everyone."""
    teacher = object.__new__(PairTeacher)
    teacher._decode = cast(Any, _Fixed())
    teacher._shift = coco_shift(CropSettings(box_middle=middle))
    points = teacher._points(None, None, None, None, 0.0)
    assert points[:, :2] == pytest.approx(wanted)
    assert points[:, 2] == pytest.approx(40.0)


@pytest.mark.parametrize("height", [60.0, 400.0])
@pytest.mark.parametrize(("middle", "shift"), [("edge", True), ("edge", False), ("index", True)])
def test_two_looks_agree_where_one_look_does(
    middle: Literal["index", "edge"], shift: bool, height: float
) -> None:
    """Maps mirrored back by whole cells lie beside those of the crop; a fifth of a cell costs the student AP."""
    card = find_trainable("person-refiner").description.trained_card("person-refiner", 96, 128)
    settings = replace(card.decoder, box_middle=middle, flip_shift=shift)
    teacher = object.__new__(PairTeacher)
    teacher._decode = TopdownDecoder(card, "exact", settings=settings)
    teacher._shift = coco_shift(settings)
    place = crop_transform((200.0, 40.0, height * 0.6, height), card.input, settings)
    rng = np.random.default_rng(1)
    crop = rng.uniform(30.0, 66.0, (17, 2))  # where one look's keypoints are read
    # the same pixels in the mirrored crop, read with the same half a pixel beside them
    half = (0.5 + coco_shift(settings)) * place.scale_x
    other = np.column_stack((96 - (crop[:, 0] + half) - half, crop[:, 1]))[MIRRORED]
    straight, mirrored = (bells((p - settings.cell_origin) / 4) for p in (crop, other))
    zeros = np.zeros_like(straight)
    aside = flip_aside(settings, 4, place.scale_x)
    wanted = teacher._points(straight, zeros, place, FLOAT, 0.0)
    second = teacher._points(zeros, mirrored, place, FLOAT, 2 * aside)
    both = teacher._points(straight, mirrored, place, FLOAT, aside)
    assert np.abs(second - wanted)[:, :2].max() * place.scale_x < 0.02
    if shift:  # otherwise the looks are so far apart that their mean is no bell
        assert np.abs(both - wanted)[:, :2].max() * place.scale_x < 0.1


def bells(cells: np.ndarray) -> np.ndarray:
    """Draw maps of 32x24 cells, (32, 24, 17), with their peaks at columns and rows."""
    columns, rows = np.arange(24)[None, :, None], np.arange(32)[:, None, None]
    square = (columns - cells[:, 0]) ** 2 + (rows - cells[:, 1]) ** 2
    return np.exp(-square / (2 * 1.1**2)).astype(np.float32)
