"""A COCO folder of seeded pictures with one annotated person each, and a toy model that COCO can score."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rpi_runtime.capture.pictures import write_picture
from tests.rpi_runtime.toys import CARD, write_toy

SIZE = (48, 64)  # H, W
SKELETON = replace(CARD.skeleton, coco=tuple(range(17)))


def write_toy_model(path: Path, kind: str = "int8") -> Path:
    """Write the runtime tests' toy with a skeleton of COCO's keypoints."""
    return write_toy(path, kind, skeleton=SKELETON)


def person(image: int, number: int) -> dict[str, Any]:
    """One annotated person with 17 visible keypoints; an area of COCO's "medium"."""
    rng = np.random.default_rng([image, number])
    points = np.stack([rng.uniform(4, 60, 17), rng.uniform(4, 44, 17), np.full(17, 2)], axis=1)
    return {
        "id": 10 * image + number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "num_keypoints": 17,
        "area": 2000.0,
        "bbox": [2.0, 2.0, 60.0, 44.0],
        "keypoints": points.round(2).reshape(-1).tolist(),
    }


def people_of(ids: range) -> dict[str, Any]:
    """COCO person keypoint annotations of one person in each image."""
    height, width = SIZE
    return {
        "images": [{"id": i, "file_name": f"{i:012}.png", "width": width, "height": height} for i in ids],
        "annotations": [person(i, 0) for i in ids],
        "categories": [{"id": 1, "name": "person", "keypoints": [str(k) for k in range(17)], "skeleton": []}],
    }


def write_toy_coco(folder: Path, train: int = 6, val: int = 4) -> Path:
    """Write ``train2017`` with ids from 1 and ``val2017`` with ids from 101; return the folder."""
    (folder / "annotations").mkdir(parents=True)
    for split, ids in (("train2017", range(1, 1 + train)), ("val2017", range(101, 101 + val))):
        data = people_of(ids)
        (folder / "annotations" / f"person_keypoints_{split}.json").write_text(json.dumps(data))
        (folder / split).mkdir()
        for i in ids:
            rng = np.random.default_rng(i)
            picture = rng.integers(0, 256, (*SIZE, 3), np.uint8)
            write_picture(picture, folder / split / f"{i:012}.png")
    return folder
