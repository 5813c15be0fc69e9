"""The average precision of INT8's people where the float network's are the truth: what the loss of AP will be like.

Positions alone do not tell it. A file that finds everyone in the right place loses AP, too, where its scores sort
people and background otherwise than the float network's did. And where everyone is found, COCO's thresholds, which end
at a similarity of 0.95, do not tell keypoints that have hardly moved from those that have moved as much as AP notices
where an annotator's are the truth: stricter thresholds do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from quant.judge.people import least_score, least_visibility
from rpi_runtime.evaluate.average_precision import BOXES, KEYPOINTS, CocoTask, score_people
from rpi_runtime.evaluate.coco_pose import box_detection, coco_points, detection
from rpi_runtime.model.card import ModelCard
from rpi_runtime.poses import Box, Pose

LIKELY = 0.3  # some cards have thresholds at which most detections are no people
STRICT = tuple(np.linspace(0.8, 0.98, 10).tolist())  # similarities
BODY = 0.53  # part of its box that a person covers on the mean, in COCO's areas


class Likeness:
    """Accumulates people image by image.

    Parameters
    ----------
    card : ModelCard
        The float network's people above its threshold, and at least above `LIKELY`, are the truth; those below count
        neither for nor against.
    """

    def __init__(self, card: ModelCard) -> None:
        self._visible = least_visibility(card)
        self._skeleton, self._sure = card.skeleton, max(least_score(card), 0.0 if card.sees_crops else LIKELY)
        self._task = KEYPOINTS if card.skeleton.coco else BOXES
        self._boxed, self._crops = not card.skeleton.keypoints, card.sees_crops
        self._comparable = self._boxed or bool(card.skeleton.coco)
        self._images = 0
        self._truth: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []

    def add(self, real: Sequence[Pose], other: Sequence[Pose]) -> None:
        """Take the people of one image, doubtful ones included."""
        if not self._comparable:
            return
        self._truth += [self._person(pose) for pose in real]
        for pose in other:
            found = box_detection(self._images, pose) if self._boxed else self._pose(pose)
            self._found.append(found)
        self._images += 1

    def percent(self) -> float | None:
        """Return the AP in percent; None without a person, or where COCO has no measure for these."""
        if not self._comparable:
            return None
        return self._score(self._task)

    def strict_percent(self) -> float | None:
        """Return the same at the similarities `STRICT`; None where there are no poses in whole pictures."""
        if not self._comparable or self._boxed or self._crops:
            return None
        return self._score(replace(self._task, thresholds=STRICT))

    def _score(self, task: CocoTask) -> float | None:
        figures, _ = score_people(self._found, self._truth, range(self._images), task)
        return figures.ap if figures.ap >= 0 else None

    def _pose(self, pose: Pose) -> dict[str, Any]:
        return detection(self._images, pose, self._skeleton, pose.score)

    def _found_of(self, pose: Pose) -> Pose:
        """The keypoints that count as found; where the others lie is chance."""
        there = pose.keypoints[:, 2:] > self._visible
        return replace(pose, keypoints=np.where(there, pose.keypoints, np.float32(0)))

    def _person(self, pose: Pose) -> dict[str, Any]:
        points = (
            np.zeros((17, 3)) if self._boxed else coco_points(self._found_of(pose), self._skeleton, flag=2)
        )
        box = pose.box if pose.box is not None else _around(points)
        doubtful = pose.score < self._sure
        return {
            "image_id": self._images,
            "bbox": list(box),
            "area": max(BODY * box[2] * box[3], 1.0),
            "keypoints": points.reshape(-1).tolist(),
            "num_keypoints": 0 if doubtful else int((points[:, 2] > 0).sum()),
            "iscrowd": int(doubtful),
        }


def _around(points: Any) -> Box:
    there = points[points[:, 2] > 0, :2]
    if not len(there):
        return (0.0, 0.0, 0.0, 0.0)
    corner, size = there.min(axis=0), np.ptp(there, axis=0)
    return float(corner[0]), float(corner[1]), float(size[0]), float(size[1])
