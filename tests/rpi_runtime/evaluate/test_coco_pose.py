"""One function for labels and results, which leaves out what a skeleton does not have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from export.train.data.paf_teacher import _person
from export.zoo.skeletons import COCO_17
from rpi_runtime.evaluate.average_precision import score_people
from rpi_runtime.evaluate.coco_pose import coco_points, counted_keypoints, detection, labelled_as
from rpi_runtime.model.card import Skeleton
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


def person(points: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> dict[str, Any]:
    return {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [0.0, 0.0, 200.0, 100.0],
        "area": 20000.0,
        "iscrowd": 0,
        "keypoints": points.reshape(-1).tolist(),
        "num_keypoints": int((points[:, 2] > 0).sum()),
    }


def test_keypoints_that_a_skeleton_lacks_cost_no_ap() -> None:
    truth = person(coco_points(pose(), COCO_17, flag=2))
    result = detection(1, pose(), WITHOUT_NOSE, 1.0)
    # 15 of 16 keypoints: not within .95
    assert score_people([result], [truth], [1])[0].ap == pytest.approx(90)
    labels = labelled_as(WITHOUT_NOSE, [truth])
    assert score_people([result], labels, [1])[0].ap == pytest.approx(100)
    assert labels[0]["num_keypoints"] == 15
    assert truth["num_keypoints"] == 16  # the annotations themselves stay


def test_a_person_without_a_label_left_counts_neither_for_nor_against() -> None:
    points = np.zeros((17, 3))
    points[0] = (10, 20, 2)
    nose_only, labelled = person(points), person(coco_points(pose(), COCO_17, flag=2))
    labels = labelled_as(WITHOUT_NOSE, [nose_only, {**labelled, "id": 2, "image_id": 2}])
    assert score_people([detection(2, pose(), WITHOUT_NOSE, 1.0)], labels, [1, 2])[0].ap == pytest.approx(100)


@pytest.mark.parametrize(
    ("skeleton", "said"),
    [(COCO_17, ""), (WITHOUT_NOSE, "16 keypoints"), (Skeleton(keypoints=(), coco=()), "")],
)
def test_an_ap_of_fewer_keypoints_says_so(skeleton: Skeleton, said: str) -> None:
    assert counted_keypoints(skeleton) == said
