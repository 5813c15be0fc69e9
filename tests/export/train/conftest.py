"""A training run small enough for a test: a few noise pictures with drawn people, a toy-sized network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from export.zoo.crops import describe_crops
from export.zoo.efficienthrnet.entry import describe as describe_tags
from export.zoo.entry import Trainable
from export.zoo.lw_openpose.entry import trainable
from export.zoo.lw_openpose.widths import BACKBONE, Widths
from export.zoo.registry import TRAINABLE
from rpi_runtime.capture.pictures import write_picture

TINY = Widths(
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


class TinyTags(nn.Module):
    """Outputs as of EfficientHRNet, with batch norm as there."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.coarse, self.fine = nn.Conv2d(8, 34, 2, 2), nn.Conv2d(8, 17, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        return self.coarse(x), self.fine(x)


def tiny_crops() -> nn.Module:
    """Outputs as of LPN and HWL."""
    stem = (nn.Conv2d(3, 8, 4, 4, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    return nn.Sequential(*stem, nn.Conv2d(8, 17, 1))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a network of each family with a few thousand weights known as "tiny", "tiny-tags", "tiny-crops"."""
    crops = describe_crops("bgr", 16)
    monkeypatch.setitem(TRAINABLE, "tiny", trainable(TINY))
    monkeypatch.setitem(TRAINABLE, "tiny-tags", Trainable(description=describe_tags(64), bare=TinyTags))
    monkeypatch.setitem(TRAINABLE, "tiny-crops", Trainable(description=crops, bare=tiny_crops))


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
