"""Object keypoint similarity (OKS) of a detection and an annotated person, from 0 to 1.

Definition: https://cocodataset.org/#keypoints-eval. For each labelled keypoint ``exp(-d**2 / (2 * s**2 * k**2))``, with
the distance d, the square root s of the person's area, and twice the standard deviation k of annotators; the mean of
these. For a person without labelled keypoints, d is the distance of a keypoint from a box around the
person's box and three times its size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.evaluate.people import Annotated, Found

# Standard deviations of annotators relative to the square root of the area, nose to ankles: the same definition.
SIGMAS = np.array(
    [.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089]
)  # fmt: skip
_VARIANCES = (2 * SIGMAS) ** 2


def similarities(found: Sequence[Found], people: Sequence[Annotated]) -> NDArray[np.float64]:
    """Return the OKS of each detection with each person, shape (detections, people)."""
    result = np.zeros((len(found), len(people)))
    if not found:
        return result
    points = np.stack([f.keypoints for f in found])  # (detections, 17, 2)
    for column, person in enumerate(people):
        result[:, column] = _with_person(points, person)
    return result


def _with_person(points: NDArray[np.float64], person: Annotated) -> NDArray[np.float64]:
    labelled = person.keypoints[:, 2] > 0
    if labelled.any():
        away = points - person.keypoints[:, :2]
    else:
        labelled = np.ones(len(labelled), bool)
        away = _outside(points, person.box)
    squared = (away**2).sum(axis=2)  # (detections, 17)
    # the least area above nothing keeps a person of area 0 from a division by 0, as in pycocotools
    error = squared / _VARIANCES / (person.area + np.spacing(1)) / 2
    return np.asarray(np.exp(-error[:, labelled]).mean(axis=1))


def _outside(points: NDArray[np.float64], box: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """Return how far points lie outside a box widened by its own size on each side, per axis."""
    corner, size = np.array(box[:2]), np.array(box[2:])
    least, most = corner - size, corner + 2 * size
    return np.asarray(np.maximum(0, least - points) + np.maximum(0, points - most))
