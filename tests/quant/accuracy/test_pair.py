"""A perfect detector and a perfect network of crops, together through the runtime's own cascade, give a high AP."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant.accuracy.evaluation import score
from rpi_runtime.capture.pictures import write_picture
from rpi_runtime.cascade.cascade import Cascade
from rpi_runtime.cascade.refine import refiner_for
from rpi_runtime.cascade.spec import RefineConfig
from rpi_runtime.errors import UsageError
from rpi_runtime.estimate import Estimator
from rpi_runtime.evaluate.coco import CocoSplit, read_split
from rpi_runtime.evaluate.coco_pose import detection
from rpi_runtime.evaluate.run import confidence
from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec
from rpi_runtime.model.decoders import BoxSettings
from tests.quant.standin_network import CROPS, PerfectNetwork, coordinates, people

ROWS = 64
BOXES = ModelCard(
    name="boxes",
    input=InputSpec(width=320, height=320, pad_value=0),
    outputs=(
        OutputSpec(name="out", role="boxes", channels=4, axes="rows", rows=ROWS),
        OutputSpec(name="out", role="scores", channels=1, axes="rows", rows=ROWS, first=4),
    ),
    decoder=BoxSettings(form="corners", unit="pixel", logits=False, nms_overlap=1.0),
)


class PerfectCrops(PerfectNetwork):
    """As it is, and silent on the pictures with which a cascade learns what a crop takes."""

    def invoke(self) -> None:
        if hasattr(self, "image") and self.persons:
            super().invoke()
        else:
            self._maps["heatmaps", 4] = np.zeros((64, 48, 17), np.float32)


class PerfectDetector(PerfectNetwork):
    """Gives the annotated boxes."""

    def invoke(self) -> None:
        (left, across), (top, down) = self._place()
        rows = np.zeros((1, ROWS, 5), np.float32)
        for row, person in zip(rows[0], self.persons, strict=False):
            x, y, width, height = person["bbox"]
            # index p of the picture lies at (p - start) / slope of the input; edges are half a pixel before indices
            edges = [(x - 0.5 - left) / across, (y - 0.5 - top) / down]
            edges += [(x + width - 0.5 - left) / across, (y + height - 0.5 - top) / down]
            row[:] = [*(e + 0.5 for e in edges), 0.9]
        self._maps["boxes", 1], self._maps["scores", 1] = rows[:, :, :4], rows[:, :, 4:]


def drawn_people(folder: Path) -> Path:
    """COCO's layout with pictures of one to three people side by side, their boxes round their keypoints."""
    rng = np.random.default_rng(0)
    images, people = [], []
    (folder / "val2017").mkdir(parents=True)
    for number in range(1, 13):
        name = f"{number:012d}.png"
        write_picture(np.zeros((240, 320, 3), np.uint8), folder / "val2017" / name)
        images.append({"id": number, "file_name": name, "width": 320, "height": 240})
        for place in range(1 + number % 3):
            left, top = 100 * place + rng.uniform(2, 10), rng.uniform(5, 40)
            points = rng.uniform((left, top), (left + 80, top + 180), (17, 2)).round(2)
            (x, y), (right, bottom) = points.min(axis=0), points.max(axis=0)
            person: dict[str, Any] = {
                "id": len(people) + 1,
                "image_id": number,
                "category_id": 1,
                "iscrowd": 0,
            }
            person |= {"num_keypoints": 17, "area": 7000.0, "bbox": [x, y, right - x, bottom - y]}
            people.append(person | {"keypoints": np.insert(points, 2, 2, axis=1).reshape(-1).tolist()})
    names = [{"id": 1, "name": "person", "keypoints": [str(k) for k in range(17)], "skeleton": []}]
    (folder / "annotations").mkdir()
    data = {"images": images, "annotations": people, "categories": names}
    (folder / "annotations/person_keypoints_val2017.json").write_text(json.dumps(data))
    return folder


@pytest.fixture(scope="module", params=["drawn", "coco"])
def split(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CocoSplit:
    if request.param == "drawn":
        return read_split(drawn_people(tmp_path_factory.mktemp("people") / "coco"), "val2017")
    return read_split(request.getfixturevalue("shared") / "data" / "coco", "val2017")


def test_a_perfect_pair_gives_a_high_ap(split: CocoSplit) -> None:
    """Not 100 on COCO: crowds have more people than a detector gives, and boxes end where annotators drew them."""
    detector, crops = PerfectDetector(BOXES), PerfectCrops(CROPS)
    config = RefineConfig(model="crops.tflite", budget_ms=0, look_every=1)
    cascade = Cascade(refiner_for(crops, "exact"), CROPS, BOXES.skeleton, config)  # type: ignore[arg-type]
    estimator = Estimator([detector], track=False, cascade=cascade)  # type: ignore[list-item]
    truth, detections = people(split), list[dict[str, Any]]()
    for number, image in enumerate(split.images[:30]):
        detector.image = crops.image = image
        detector.persons = crops.persons = truth.get(image.id, [])
        if not crops.persons:
            continue
        tracks = estimator(coordinates(image), number).tracks
        assert all(track.pose.box is not None for track in tracks)
        detections += [
            detection(image.id, t.pose, estimator.skeleton, confidence(t.pose, BOXES), shift=-0.5)
            for t in tracks
        ]
    stats, _ = score(detections, replace(split, images=split.images[:30]))
    assert stats[0] > 88


def test_a_pair_is_measured_from_its_files() -> None:
    from quant.accuracy.predict import Procedure, predictor

    with pytest.raises(UsageError, match=r"a pair needs two \.tflite files"):
        predictor(PerfectDetector(BOXES), Procedure(refine="crops.tflite"))  # type: ignore[arg-type]
