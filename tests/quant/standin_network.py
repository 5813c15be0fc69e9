"""Stand-ins for perfect networks: they find out what part of a picture they see, and draw the truth of it.

A picture of `coordinates` says of each pixel where it lies. A stand-in reads its input tensor, fits where the
picture lies on it, mirrored or not, and draws the heatmaps and tags that training would have aimed at. Nothing of
the preprocessing's own transform takes part, so that a mistake in it shows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.decode.maps import partners
from rpi_runtime.evaluate.coco import CocoImage, CocoSplit
from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec, Skeleton
from rpi_runtime.model.decoders import TagSettings, TopdownSettings
from rpi_runtime.model.inference import Quantization
from tests.cython_ext.test_topdown import SIGMAS

PAIRS = tuple((k, k + 1) for k in range(1, 17, 2))
SKELETON = Skeleton(
    keypoints=tuple(f"k{i}" for i in range(17)), coco=tuple(range(17)), sigmas=tuple(SIGMAS.tolist())
)
CROPS = ModelCard(
    name="crops",
    input=InputSpec(width=192, height=256, fit="crop", pad_value=0),
    skeleton=SKELETON,
    outputs=(OutputSpec(name="maps", role="heatmaps", channels=17, stride=4),),
    decoder=TopdownSettings(flip_pairs=PAIRS),
)
TAGS = ModelCard(
    name="tags",
    input=InputSpec(width=512, height=512, pad_value=0, channels="rgb"),
    skeleton=SKELETON,
    outputs=(
        OutputSpec(name="h4", role="heatmaps", channels=17, stride=4),
        OutputSpec(name="t4", role="tags", channels=17, stride=4),
        OutputSpec(name="h2", role="heatmaps", channels=17, stride=2),
    ),
    decoder=TagSettings(
        flip_pairs=PAIRS, joint_order=(0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)
    ),
)


def coordinates(image: CocoImage) -> NDArray[np.uint8]:
    """A picture whose channels say x, "inside" and y, as parts of its size."""
    frame = np.full((image.height, image.width, 3), 255, np.uint8)
    frame[..., 0] = np.rint((np.arange(image.width) + 0.5) / image.width * 250)
    frame[..., 2] = np.rint((np.arange(image.height) + 0.5) / image.height * 250)[:, None]
    return frame


def people(split: CocoSplit) -> dict[int, list[dict[str, Any]]]:
    """Annotated people with keypoints by image id."""
    found: dict[int, list[dict[str, Any]]] = {}
    for person in json.loads(split.annotations.read_text())["annotations"]:
        if person["num_keypoints"] and not person["iscrowd"]:
            found.setdefault(person["image_id"], []).append(person)
    return found


class PerfectNetwork:
    """What `quant.accuracy.predict` asks of a model; `image` and `persons` are set before each picture."""

    def __init__(self, card: ModelCard) -> None:
        self.card, self.path = card, Path(f"{card.name}.tflite")
        self.input = np.zeros((1, card.input.height, card.input.width, 3), np.float32)
        self.image: CocoImage
        self.persons: list[dict[str, Any]] = []
        self._maps: dict[tuple[str, int], NDArray[np.float32]] = {}

    def output(self, role: str, stride: int | None = None) -> NDArray[np.float32]:
        return self._maps[role, stride if stride is not None else self.card.output(role).stride][None]

    def quantization(self, role: str, stride: int | None = None) -> Quantization:
        return Quantization(scale=0.0, zero_point=0)

    def invoke(self) -> None:
        (left, across), (top, down) = self._place()
        persons = self.persons
        if self.card.input.fit == "crop":
            middle = (self._middle(0) * across + left, self._middle(1) * down + top)
            persons = [min(persons, key=lambda p: _apart(p["bbox"], middle))]
        swap = partners(PAIRS, 17) if across < 0 else tuple(range(17))
        points = np.array([p["keypoints"] for p in persons], float).reshape(-1, 17, 3)[:, swap]
        # network pixel, as an index, of every keypoint
        points[..., 0] = (points[..., 0] - left) / across
        points[..., 1] = (points[..., 1] - top) / down
        for output in self.card.outputs:
            self._maps[output.role, output.stride] = self._draw(output, points)

    def _middle(self, axis: int) -> float:
        return (self.input.shape[2 - axis] - 1) / 2

    def _place(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Index of the picture at network index 0, and its change from pixel to pixel, along x and y."""
        spec = self.card.input
        values = self.input[0] / np.array(spec.scale) + np.array(spec.mean)
        if spec.channels == "rgb":
            values = values[..., ::-1]
        inside = values[..., 1] > 254.5
        found = []
        for channel, axis, size in ((0, 1, self.image.width), (2, 0, self.image.height)):
            at = np.nonzero(inside)[axis]
            slope, start = np.polyfit(at, values[..., channel][inside] / 250 * size - 0.5, 1)
            found.append((float(start), float(slope)))
        return found[0], found[1]

    def _draw(self, output: OutputSpec, points: NDArray[np.float64]) -> NDArray[np.float32]:
        """Gaussians and tags in the cells, where training puts them."""
        height, width = (n // output.stride for n in self.input.shape[1:3])
        maps = np.zeros((height, width, 17), np.float32)
        # tops of crops lie at round(x / stride), those of whole pictures at floor(x / stride)
        offset = 0.0 if self.card.input.fit == "crop" else 0.5 / output.stride - 0.5
        for p, person in enumerate(points):
            for k, (x, y, visible) in enumerate(person):
                x, y = x / output.stride + offset, y / output.stride + offset
                rows = slice(max(int(y) - 7, 0), max(int(y) + 8, 0))
                columns = slice(max(int(x) - 7, 0), max(int(x) + 8, 0))
                patch = maps[rows, columns, k]
                if not visible or patch.size == 0:
                    continue
                v, u = np.mgrid[rows, columns][:, : patch.shape[0], : patch.shape[1]]
                bump = np.exp(-((u - x) ** 2 + (v - y) ** 2) / (8 if output.role == "heatmaps" else 2))
                np.copyto(
                    patch,
                    np.maximum(patch, bump) if output.role == "heatmaps" else 3 * p + 1,
                    where=bump > 0.01,
                )
        return maps


def _apart(box: list[float], middle: tuple[float, float]) -> float:
    return abs(box[0] + box[2] / 2 - middle[0]) + abs(box[1] + box[3] / 2 - middle[1])
