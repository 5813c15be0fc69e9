"""Annotated and found people, in the form that COCO's keypoint task compares.

Coordinates are those of COCO's files: a keypoint is the index of a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEYPOINTS = 17
CROWDED = "iscrowd"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Annotated:
    """One annotated person.

    Attributes
    ----------
    keypoints : ndarray, shape (17, 3), float64
        x, y and visibility; a visibility of 0 means that the keypoint is not labelled.
    box : tuple of float
        x, y, width, height.
    area : float
        Area of the person's outline, in square pixels.
    ignored : bool
        A detection that fits this person counts neither for nor against the network.
    crowd : bool
        The annotation covers a group, so that several detections may fit it.
    """

    keypoints: NDArray[np.float64]
    box: tuple[float, float, float, float]
    area: float
    ignored: bool
    crowd: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """One detection.

    Attributes
    ----------
    keypoints : ndarray, shape (17, 2), float64
        x and y; zeros for a detection that is only a box.
    score : float
    area : float
        Area of the keypoints' bounding box, or of the box if the detection is only a box.
    box : tuple of float
        x, y, width, height; for a pose, those of the keypoints' bounding box.
    """

    keypoints: NDArray[np.float64]
    score: float
    area: float
    box: tuple[float, float, float, float]


def annotated(entry: Mapping[str, Any]) -> Annotated:
    """Return a person of an annotation file; `KeyError`, `TypeError` or `ValueError` when the entry is malformed."""
    x, y, width, height = map(float, entry["bbox"])
    crowd = bool(entry.get(CROWDED, 0))
    return Annotated(
        keypoints=np.array(entry["keypoints"], np.float64).reshape(KEYPOINTS, 3),
        box=(x, y, width, height),
        area=float(entry["area"]),
        ignored=crowd or not entry["num_keypoints"],
        crowd=crowd,
    )


def found(detection: Mapping[str, Any]) -> Found:
    """Return a detection of COCO's result format.

    Its area is that of the rectangle around all keypoints, including those at (0, 0) that were not found, as in
    pycocotools.
    """
    points = np.array(detection["keypoints"], np.float64).reshape(KEYPOINTS, 3)[:, :2]
    corner = points.min(axis=0)
    width, height = points.max(axis=0) - corner
    return Found(
        keypoints=points,
        score=float(detection["score"]),
        area=float(width * height),
        box=(float(corner[0]), float(corner[1]), float(width), float(height)),
    )


def annotated_box(entry: Mapping[str, Any]) -> Annotated:
    """Return a person of an annotation file for the task of boxes, where people without keypoints count, too."""
    return replace(annotated(entry), ignored=bool(entry.get(CROWDED, 0)))


def found_box(detection: Mapping[str, Any]) -> Found:
    """Return a box of COCO's result format."""
    x, y, width, height = map(float, detection["bbox"])
    return Found(
        keypoints=np.zeros((KEYPOINTS, 2)),
        score=float(detection["score"]),
        area=width * height,
        box=(x, y, width, height),
    )


def by_image(
    entries: Sequence[Mapping[str, Any]], images: Sequence[int]
) -> dict[int, list[Mapping[str, Any]]]:
    """Return annotations or detections by image, in their order; other images are left out."""
    result: dict[int, list[Mapping[str, Any]]] = {image: [] for image in images}
    for entry in entries:
        if entry["image_id"] in result:
            result[entry["image_id"]].append(entry)
    return result
