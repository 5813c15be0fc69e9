"""A COCO folder of annotated figures of many sizes, for tests that need the annotations of people and no pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from rpi_runtime.capture.pictures import write_picture
from tests.cython_ext.openpose import FIGURE

WIDTH, HEIGHT = 640, 480
COCO_OF_OPENPOSE = [0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10]


def figure(image: int, number: int, column: tuple[float, float], rng: np.random.Generator) -> dict[str, Any]:
    """Return one standing person within a column (left, right) of an image; an eighth of the keypoints is missing."""
    torso = rng.uniform(45, 150)
    points = FIGURE[COCO_OF_OPENPOSE] * torso + rng.normal(0, 0.06 * torso, (17, 2))
    size = np.ptp(points, axis=0)
    free = np.maximum([column[1] - column[0] - size[0], HEIGHT - size[1]], 0)
    points += [column[0], 0] + rng.uniform(0, 1, 2) * free - points.min(axis=0)
    seen = (
        (rng.random(17) > 0.125) & (points > 1).all(axis=1) & (points < [WIDTH - 1, HEIGHT - 1]).all(axis=1)
    )
    left, top = np.maximum(points.min(axis=0) - 0.15 * torso, 0)
    right, bottom = np.minimum(points.max(axis=0) + 0.15 * torso, [WIDTH, HEIGHT])
    keypoints = np.column_stack([points, np.full(17, 2)]) * seen[:, None]
    return {
        "id": 10 * image + number, "image_id": image, "category_id": 1, "iscrowd": 0,
        "num_keypoints": int(seen.sum()), "keypoints": keypoints.round(2).reshape(-1).tolist(),
        "bbox": np.round([left, top, right - left, bottom - top], 2).tolist(),
        "area": round(0.5 * (right - left) * (bottom - top), 2),
    }  # fmt: skip


def write_figures(folder: Path, count: int) -> Path:
    """Write ``val2017`` with `count` images of one to three figures; their pictures are black."""
    rng = np.random.default_rng(8)
    people = []
    for image in range(1, count + 1):
        edges = np.linspace(0, WIDTH, rng.integers(1, 4) + 1)
        people += [figure(image, n, (edges[n], edges[n + 1]), rng) for n in range(len(edges) - 1)]
    images = [
        {"id": i, "file_name": f"{i:012}.png", "width": WIDTH, "height": HEIGHT} for i in range(1, count + 1)
    ]
    categories = [{"id": 1, "name": "person", "keypoints": [str(k) for k in range(17)], "skeleton": []}]
    (folder / "annotations").mkdir(parents=True)
    data = {"images": images, "annotations": people, "categories": categories}
    (folder / "annotations" / "person_keypoints_val2017.json").write_text(json.dumps(data))
    (folder / "val2017").mkdir()
    for image in images:
        write_picture(np.zeros((HEIGHT, WIDTH, 3), np.uint8), folder / "val2017" / str(image["file_name"]))
    return folder
