"""A pose in COCO's order of keypoints, and people in COCO's result format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.evaluate.coco_people import PERSON
from rpi_runtime.model.card import Skeleton
from rpi_runtime.poses import Pose

KEYPOINTS = 17


def coco_points(pose: Pose, skeleton: Skeleton, *, flag: int, shift: float = 0.0) -> NDArray[np.float64]:
    """Return a pose's keypoints in COCO's order.

    Parameters
    ----------
    pose : Pose
    skeleton : Skeleton
        Its `coco` names the keypoint that stands for each of COCO's, or -1 where the skeleton has none.
    flag : int
        COCO's visibility of every keypoint that was found; 2 in labels, 1 in results.
    shift : float
        Pixels to add to both coordinates.

    Returns
    -------
    ndarray, (17, 3)
        x, y and `flag`; zeros where the keypoint was not found or the skeleton does not have it.
    """
    points = np.zeros((KEYPOINTS, 3))
    for target, source in enumerate(skeleton.coco):
        if source >= 0 and pose.keypoints[source, 2] > 0:
            points[target] = (*(pose.keypoints[source, :2] + shift), flag)
    return points


def counted_keypoints(skeleton: Skeleton) -> str:
    """Return how many of COCO's keypoints an AP counts, for tables; empty for all 17, and for boxes."""
    count = sum(source >= 0 for source in skeleton.coco)
    return f"{count} keypoints" if 0 < count < KEYPOINTS else ""


def labelled_as(skeleton: Skeleton, people: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Return annotated people with labels of those keypoints only that a skeleton has.

    A network of MPII's keypoints knows neither nose nor eyes nor ears. With them among the labels, its AP would tell of
    its skeleton instead of its quality: the similarity of a person divides by the number of labels. A person without
    a label left counts neither for nor against the network, as in COCO's own rules.
    """
    unknown = [target for target, source in enumerate(skeleton.coco) if source < 0]
    if not unknown:
        return tuple(people)
    return tuple(_without(unknown, person) for person in people)


def _without(unknown: Sequence[int], person: dict[str, Any]) -> dict[str, Any]:
    points = np.array(person["keypoints"]).reshape(KEYPOINTS, 3)
    points[unknown] = 0
    labelled = int((points[:, 2] > 0).sum())
    return {**person, "keypoints": points.reshape(-1).tolist(), "num_keypoints": labelled}


def detection(
    image_id: int, pose: Pose, skeleton: Skeleton, score: float, *, shift: float = 0.0
) -> dict[str, Any]:
    """Return a pose in COCO's result format, its keypoints moved by `shift` pixels."""
    points = coco_points(pose, skeleton, flag=1, shift=shift)
    return {
        "image_id": image_id,
        "category_id": PERSON,
        "keypoints": [round(float(v), 3) for v in points.reshape(-1)],
        "score": float(score),
    }


def box_detection(image_id: int, pose: Pose) -> dict[str, Any]:
    """Return a detector's result in COCO's format: the box and its score."""
    assert pose.box is not None
    return {
        "image_id": image_id,
        "category_id": PERSON,
        "bbox": [round(float(v), 3) for v in pose.box],
        "score": float(pose.score),
    }
