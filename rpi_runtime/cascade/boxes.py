"""Compute the box of a person on a picture: round the keypoints, and steady from frame to frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.poses import Box

# Keypoints end at eyes, wrists and ankles; the rest of head, hands and feet lies beyond.
MARGIN = 0.15  # of the longer side, on each side
DETECTED_MARGIN = (
    0.07  # the same where a detector gives boxes, so that a box from keypoints is as large as its own
)
LEAST_SIDE = 4.0  # pixels; the crop of a smaller person shows no detail
STILL = 0.1  # part of the longer side; the box stays where it is while no edge has moved farther
INWARD = 0.3  # part of the way that an edge moves inward per frame; outward it moves at once


def person_box(keypoints: NDArray[np.float32], margin: float = MARGIN) -> Box | None:
    """Return x, y, width, height round a person's keypoints with a margin; None where they have no extent.

    Parameters
    ----------
    keypoints : ndarray, shape (K, 3), float32
    margin : float
        Added on each side, as a part of the longer side.
    """
    points = keypoints[keypoints[:, 2] > 0, :2]
    if len(points) == 0:
        return None
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    longer = max(right - left, bottom - top)
    if not longer >= LEAST_SIDE:
        return None
    rim = margin * longer
    return left - rim, top - rim, right - left + 2 * rim, bottom - top + 2 * rim


def clip_box(box: Box, width: int, height: int) -> Box | None:
    """Return the part of a box that lies on a picture; None if that is almost empty."""
    left, top = max(box[0], 0.0), max(box[1], 0.0)
    right, bottom = min(box[0] + box[2], float(width)), min(box[1] + box[3], float(height))
    if min(right - left, bottom - top) < 1 or max(right - left, bottom - top) < LEAST_SIDE:
        return None
    return left, top, right - left, bottom - top


def move_box(box: Box | None, moved: NDArray[np.float64]) -> Box | None:
    """Return the box at another place."""
    return None if box is None else (box[0] + float(moved[0]), box[1] + float(moved[1]), box[2], box[3])


def ease_box(old: Box | None, new: Box | None) -> Box | None:
    """Return `old` while `new` is nearly the same, otherwise `new`, each edge that goes inward held back.

    A network's answer changes slightly when its crop moves, so the crop of a person who stands still stays still, too.
    And a limb that is missed on one frame does not cut itself out of the next crop.
    """
    if old is None or new is None:
        return new
    corners = (
        (old[0], old[1], old[0] + old[2], old[1] + old[3]),
        (new[0], new[1], new[0] + new[2], new[1] + new[3]),
    )
    if max(abs(a - b) for a, b in zip(*corners, strict=True)) <= STILL * max(old[2], old[3]):
        return old
    left, top = _ease(old[0], new[0], 1), _ease(old[1], new[1], 1)
    right, bottom = _ease(old[0] + old[2], new[0] + new[2], -1), _ease(old[1] + old[3], new[1] + new[3], -1)
    return left, top, right - left, bottom - top


def _ease(old: float, new: float, inward: int) -> float:
    return old + INWARD * (new - old) if (new - old) * inward > 0 else new
