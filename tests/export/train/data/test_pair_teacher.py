"""Which of a detector's boxes become people, and which become regions where nothing is taught."""

from __future__ import annotations

from typing import Any, Literal, cast

import numpy as np
import pytest

from export.train.data.pair_teacher import PairTeacher, annotation, without_repeats
from rpi_runtime.model.crop_settings import CropSettings
from rpi_runtime.poses import Pose
from rpi_runtime.preprocess.crop import coco_shift


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
    points = teacher._points(None, None, None, None)
    assert points[:, :2] == pytest.approx(wanted)
    assert points[:, 2] == pytest.approx(40.0)
