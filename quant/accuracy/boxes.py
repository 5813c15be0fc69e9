"""Boxes of the people on the images of a COCO split: annotated, or found by a detector."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rpi_runtime.errors import InputError
from rpi_runtime.evaluate.coco import CocoSplit
from rpi_runtime.evaluate.coco_people import PERSON
from rpi_runtime.inputs import parse_json, read_input

XYWH = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """x, y, width, height in pixels of the image, and the confidence."""

    xywh: XYWH
    score: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes:
    """Boxes by image id; `source` names their origin in one word."""

    source: str
    by_image: Mapping[int, tuple[Box, ...]]

    def of(self, image_id: int) -> tuple[Box, ...]:
        """Return the boxes of an image; empty if there are no people."""
        return self.by_image.get(image_id, ())


def annotated_boxes(split: CocoSplit) -> Boxes:
    """Return the boxes of annotated people with keypoints, clipped to the image as in HRNet's test code."""
    sizes = {i.id: (i.width, i.height) for i in split.images}
    found: dict[int, list[Box]] = {}
    for person in split.people:
        size = sizes.get(person["image_id"])
        if size is None or person["iscrowd"] or max(person["keypoints"]) == 0:
            continue
        clipped = clip(person["bbox"], size)
        if clipped is not None:
            found.setdefault(person["image_id"], []).append(Box(xywh=clipped))
    return Boxes(source="gt", by_image={i: tuple(b) for i, b in found.items()})


def clip(box: Iterable[float], size: tuple[int, int]) -> XYWH | None:
    """Clip a box to an image of (width, height), including its last pixel; return None if nothing is left."""
    x, y, width, height = (float(v) for v in box)
    left, top = max(0.0, x), max(0.0, y)
    right = min(size[0] - 1.0, left + max(0.0, width - 1))
    bottom = min(size[1] - 1.0, top + max(0.0, height - 1))
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def detected_boxes(path: Path) -> Boxes:
    """Read the people of a detector's results in COCO's format: image_id, category_id, bbox, score.

    Raises
    ------
    InputError
        The file is missing or has another format.
    """
    try:
        text = read_input(path)
    except OSError as err:
        raise InputError(
            f"{path}: cannot be read ({err.strerror}); give a detector's results in COCO's format, or gt"
        ) from err
    entries = parse_json(text, path, "give a detector's results in COCO's format, or gt")
    if not isinstance(entries, list):
        raise InputError(
            f"{path}: not COCO detections; expected a list of image_id, category_id, bbox, score"
        )
    found: dict[int, list[Box]] = {}
    for number, entry in enumerate(entries):
        try:
            if entry["category_id"] == PERSON:
                found.setdefault(int(entry["image_id"]), []).append(_detected(entry))
        except (KeyError, TypeError, ValueError, OverflowError) as err:
            raise InputError(
                f"{path}: entry {number} is no detection ({type(err).__name__}: {err}); "
                "expected image_id, category_id, bbox [x, y, width, height], score"
            ) from err
    if not found:
        raise InputError(f"{path}: no person (category_id {PERSON}) among {len(entries)} detections")
    return Boxes(source=path.name, by_image={i: tuple(b) for i, b in found.items()})


def _detected(entry: Mapping[str, Any]) -> Box:
    x, y, width, height = (float(v) for v in entry["bbox"])
    score = float(entry["score"])
    if not (width > 0 and height > 0 and all(map(math.isfinite, (x, y, width, height, score)))):
        raise ValueError(f"bbox {entry['bbox']}, score {score}")
    return Box(xywh=(x, y, width, height), score=score)
