"""Describe where people are by points: their keypoints, and three points of the box where a network gives one.

A person seen only by a detector, without a single keypoint, is thus compared by the same object keypoint similarity as
all others, and a person with both keypoints and a box can be recognised by either.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.model.card import Skeleton
from rpi_runtime.poses import Box, Pose

BOX_POINTS = 3  # two corners and the middle
# a detector's edges are a little less steady than shoulders (0.079), about as hips (0.107)
BOX_SIGMA = 0.1
DEFAULT_SIGMA = 0.072  # mean of COCO's 17
# COCO takes 0.53 of the box for a person's area: sqrt(0.53 * 0.4) of the height for a box 0.4 times as wide as high.
SCALE_OF_LONG_SIDE = 0.46


def place_sigmas(skeleton: Skeleton) -> NDArray[np.float64]:
    """Return the fall-off of object keypoint similarity of each point, (K + 3,)."""
    sigmas = skeleton.sigmas or (DEFAULT_SIGMA,) * len(skeleton.keypoints)
    return np.array([*sigmas, *(BOX_SIGMA,) * BOX_POINTS])


def places_of(poses: Sequence[Pose], count: int) -> NDArray[np.float32]:
    """Return the points of people with `count` keypoints each, (N, K + 3, 3); those of a missing box are 0.

    A pose without keypoints, of a detector, has none found.
    """
    points = np.zeros((len(poses), count + BOX_POINTS, 3), np.float32)
    for row, pose in zip(points, poses, strict=True):
        if len(pose.keypoints):
            row[:count] = pose.keypoints
        if pose.box is not None:
            row[count:] = box_points(pose.box)
    return points


def box_points(box: Box) -> NDArray[np.float32]:
    """Return the corner above on the left, the one below on the right, and the middle; (3, 3)."""
    x, y, width, height = box
    corners = ((x, y, 1), (x + width, y + height, 1), (x + width / 2, y + height / 2, 1))
    return np.array(corners, np.float32)


def box_of(points: NDArray[np.float32]) -> Box:
    """Return the box whose points these are."""
    (left, top, _), (right, bottom, _) = points[:2].tolist()
    return left, top, right - left, bottom - top


def person_scales(keypoints: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the sizes of people in pixels (square root of OKS's area), from the longer side of their keypoints.

    Parameters
    ----------
    keypoints : ndarray, shape (N, K, 3)

    Returns
    -------
    ndarray, shape (N,)
        At least 1.
    """
    points, found = keypoints[..., :2], keypoints[..., 2:] > 0
    low = np.where(found, points, np.inf).min(axis=1)
    high = np.where(found, points, -np.inf).max(axis=1)
    longer: NDArray[np.float64] = (high - low).max(axis=1).astype(np.float64)
    return np.maximum(longer * SCALE_OF_LONG_SIDE, 1.0)
