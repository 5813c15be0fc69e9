"""A training run small enough for a test: a few noise pictures with drawn people, a toy-sized network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from export.nets.lw_openpose import BACKBONE, Layout
from export.train import networks
from rpi_runtime.pictures import write_picture

TINY = Layout(
    backbone=tuple((8, 8, stride, dilation) for _, _, stride, dilation in BACKBONE),
    features=8, hidden=8, refinement=8,
)  # fmt: skip
RECIPE = """
summary = "a test"
network = "tiny"
sizes = ["64x64", "96x64"]
batch = 2
pictures = 16
average = 0.5

[[data]]
pictures = "{pictures}/train2017"
labels = "{pictures}/annotations/person_keypoints_train2017.json"

[holdout]
coco = "{pictures}"
train_every = 3

[schedule]
rate = 1e-3
warmup = 2
"""


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a network of a few thousand weights known as "tiny"."""
    monkeypatch.setitem(networks.LAYOUTS, "tiny", TINY)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Six pictures in COCO's layout, with a person in each, a crowd in the second, and a recipe.toml."""
    rng = np.random.default_rng(0)
    images, people = [], []
    for number in range(1, 7):
        name = f"{number:012d}.jpg"
        path = tmp_path / "train2017" / name
        write_picture(rng.integers(0, 255, (60, 80, 3), np.uint8), path)
        images.append({"id": number, "file_name": name, "width": 80, "height": 60})
        points = [float(v) for _ in range(17) for v in (*rng.uniform(10, 50, 2), 2)]
        crowd = {"num_keypoints": 0, "iscrowd": 1, "keypoints": [0] * 51}
        person = {"num_keypoints": 17, "iscrowd": 0, "keypoints": points}
        for entry in (person, crowd) if number == 2 else (person,):
            box = {"bbox": [5, 5, 50, 50], "area": 1500.0, "category_id": 1}
            people.append({"id": len(people) + 1, "image_id": number, **box, **entry})
    labels = {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/person_keypoints_train2017.json").write_text(json.dumps(labels))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path
