"""One function for labels and results, which leaves out what a skeleton does not have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from export.train.data.paf_teacher import _person
from export.zoo.skeletons import COCO_17
from rpi_runtime.evaluate.coco_pose import coco_points, detection
from rpi_runtime.poses import Pose

WITHOUT_NOSE = replace(COCO_17, coco=(-1, *range(1, 17)))


def pose() -> Pose:
    points = np.tile(np.array([10.0, 20.0, 0.9], np.float32), (17, 1))
    points[-1] = (150, 75, 0.9)
    points[3, 2] = 0
    return Pose(keypoints=points, score=1.0)


@pytest.mark.parametrize("flag", [1, 2])
def test_what_a_skeleton_lacks_and_what_was_not_seen_is_zero(flag: int) -> None:
    points = coco_points(pose(), WITHOUT_NOSE, flag=flag, shift=0.5)
    assert not points[[0, 3]].any()
    assert (points[1] == (10.5, 20.5, flag)).all()


def test_labels_and_results_agree_on_a_keypoint_that_the_teacher_lacks() -> None:
    label = np.reshape(_person(pose(), WITHOUT_NOSE)["keypoints"], (17, 3))
    result = np.reshape(detection(1, pose(), WITHOUT_NOSE, 1.0)["keypoints"], (17, 3))
    assert not label[0].any()  # it was the last keypoint, of index -1
    assert (label[:, :2] == result[:, :2]).all()
