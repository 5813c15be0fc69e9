"""AP on the device against pycocotools: on COCO itself, and on made-up people of every awkward kind."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rpi_runtime.evaluate.average_precision import BOXES, Figures, score_people

# of pycocotools' figures those that are ours: AP, AP50, AP75, of medium and of large people, AR
PLACES = {"keypoints": [0, 1, 2, 3, 4, 5], "bbox": [0, 1, 2, 4, 5, 8]}


def judged(
    detections: list[dict[str, Any]], truth: dict[str, Any], images: list[int], kind: str = "keypoints"
) -> Figures:
    """The same by pycocotools."""
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    with contextlib.redirect_stdout(io.StringIO()):
        known = coco.COCO()
        known.dataset = json.loads(json.dumps(truth))
        known.createIndex()
        if detections:
            found = known.loadRes(json.loads(json.dumps(detections)))
        else:
            found = coco.COCO()
            found.dataset = {**known.dataset, "annotations": []}
            found.createIndex()
        judge = cocoeval.COCOeval(known, found, kind)
        judge.params.imgIds = images
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return Figures(**dict(zip(Figures.__slots__, _percent(judge.stats[PLACES[kind]]), strict=True)))


def _percent(stats: Any) -> list[float]:
    return [100 * float(s) if s >= 0 else -1.0 for s in stats]


def made_up(seed: int, images: int = 12) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """People in crowds, without labels, of area 0 and of every size; detections near, far, doubled and tied."""
    rng = np.random.default_rng(seed)
    people, detections = [], []
    for image in range(1, images + 1):
        for _ in range(rng.integers(0, 7)):
            size = float(rng.choice([12, 40, 80, 200]))
            corner = rng.uniform(0, 300, 2)
            points = np.column_stack([corner + rng.uniform(0, size, (17, 2)), rng.integers(0, 3, 17)])
            if rng.random() < 0.2:
                points[:, 2] = 0
            points[points[:, 2] == 0, :2] = 0
            people.append({
                "id": len(people) + 1, "image_id": image, "category_id": 1, "iscrowd": int(rng.random() < 0.15),
                "bbox": [*map(float, corner), size, size], "area": float(size**2 * rng.choice([0, 0.5, 1.0])),
                "num_keypoints": int((points[:, 2] > 0).sum()), "keypoints": points.reshape(-1).tolist(),
            })  # fmt: skip
            for _ in range(rng.integers(0, 6)):
                moved = points[:, :2] + rng.normal(0, size * rng.choice([0, 0.02, 0.1]), (17, 2))
                found = np.column_stack([moved, np.ones(17)])
                score = float(rng.choice([0.1, 0.5, 0.5, rng.random()]))
                detections.append({"image_id": image, "category_id": 1, "keypoints": found.reshape(-1).tolist(),
                                   "score": score})  # fmt: skip
    rng.shuffle(detections)
    pictures = [
        {"id": image, "width": 640, "height": 480, "file_name": f"{image}.jpg"}
        for image in range(1, images + 1)
    ]
    categories = [{"id": 1, "name": "person"}]
    return detections, {"images": pictures, "annotations": people, "categories": categories}


def assert_same(ours: Figures, theirs: Figures) -> None:
    for name in Figures.__slots__:
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), abs=1e-9), name


def as_boxes(poses: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The boxes of some poses' keypoints, one in five of no size."""
    boxes = []
    for number, pose in enumerate(poses):
        points = np.array(pose["keypoints"]).reshape(17, 3)[:, :2]
        corner, size = points.min(axis=0), np.ptp(points, axis=0) * (number % 5 > 0)
        boxes.append({k: v for k, v in pose.items() if k != "keypoints"} | {"bbox": [*corner, *size]})
    return boxes


@pytest.mark.parametrize("seed", range(25))
def test_made_up_boxes_score_as_in_pycocotools(seed: int) -> None:
    poses, truth = made_up(seed)
    images = [picture["id"] for picture in truth["images"]]
    ours, _ = score_people(as_boxes(poses), truth["annotations"], images, BOXES)
    assert_same(ours, judged(as_boxes(poses), truth, images, "bbox"))


@pytest.mark.parametrize("seed", range(25))
def test_made_up_people_score_as_in_pycocotools(seed: int) -> None:
    detections, truth = made_up(seed)
    images = [picture["id"] for picture in truth["images"]]
    ours, _ = score_people(detections, truth["annotations"], images)
    assert_same(ours, judged(detections, truth, images))


def test_nothing_found_and_nobody_there() -> None:
    detections, truth = made_up(3)
    images = [picture["id"] for picture in truth["images"]]
    assert_same(score_people([], truth["annotations"], images)[0], judged([], truth, images))
    empty = {**truth, "annotations": []}
    assert_same(score_people(detections, [], images)[0], judged(detections, empty, images))


def test_coco_scores_as_in_pycocotools(shared: Path) -> None:
    truth = json.loads((shared / "data/coco/annotations/person_keypoints_val2017.json").read_text())
    rng = np.random.default_rng(0)
    images = [picture["id"] for picture in truth["images"]]
    detections = []
    for person in truth["annotations"]:
        points = np.array(person["keypoints"], float).reshape(17, 3)
        for _ in range(rng.integers(0, 4)):
            moved = np.column_stack(
                [points[:, :2] + rng.normal(0, rng.choice([1e-3, 3, 10]), (17, 2)), np.ones(17)]
            )
            detections.append({"image_id": person["image_id"], "category_id": 1,
                               "keypoints": moved.reshape(-1).tolist(), "score": float(rng.random())})  # fmt: skip
    ours, per_image = score_people(detections, truth["annotations"], images)
    assert_same(ours, judged(detections, truth, images))
    assert ours.ap > 5
    assert len(per_image) == len(images)
