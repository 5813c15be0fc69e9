"""People made of coloured dots, one below the other, and networks in Python that find them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec, Skeleton
from rpi_runtime.model.decoders import Limb, PafSettings, TopdownSettings
from rpi_runtime.model.inference import Quantization

COLOURS = np.array(
    [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255), (0, 255, 255)], np.uint8
)
NAMES = tuple("abcdef")
SKELETON = Skeleton(keypoints=NAMES, sigmas=(0.08,) * 6)
CROPS = ModelCard(
    name="dots-crops",
    input=InputSpec(width=96, height=128, fit="crop", scale=(1.0, 1.0, 1.0), mean=(0.0, 0.0, 0.0)),
    skeleton=SKELETON,
    outputs=(OutputSpec(name="maps", role="heatmaps", channels=6, stride=4),),
    decoder=TopdownSettings(),
)
PICTURES = ModelCard(
    name="dots-pictures",
    input=InputSpec(width=160, height=120, scale=(1.0, 1.0, 1.0), mean=(0.0, 0.0, 0.0)),
    skeleton=SKELETON,
    outputs=(
        OutputSpec(name="maps", role="heatmaps", channels=6, stride=4),
        OutputSpec(name="fields", role="pafs", channels=2, stride=4),
    ),
    decoder=PafSettings(limbs=tuple(Limb(a=i, b=i + 1, paf_x=0, paf_y=1) for i in range(5))),
)


class DotsNetwork:
    """What the runtime asks of a model: heatmaps are how much of a cell has the keypoint's colour."""

    own_kernels_are_faster = False

    def __init__(self, card: ModelCard) -> None:
        self.card, self.path = card, Path(f"{card.name}.tflite")
        self.input = np.zeros((1, card.input.height, card.input.width, 3), np.float32)
        self.runs = 0
        self._maps: dict[str, np.ndarray] = {}

    def invoke(self) -> None:
        self.runs += 1
        height, width = self.input.shape[1:3]
        match = np.exp(-((self.input[0, :, :, None] - COLOURS.astype(np.float32)) ** 2).sum(-1) / 4e3)
        # blurred, so that a dot of any size has one top
        wide = np.pad(match, ((6, 6), (6, 6), (0, 0)))
        steps = [(d, e, np.exp(-(d * d + e * e) / 18)) for d in range(-6, 7, 2) for e in range(-6, 7, 2)]
        blurred = sum(w * wide[6 + d : 6 + d + height, 6 + e : 6 + e + width] for d, e, w in steps)
        # a cell i stands for pixel 4 i in networks of crops, for pixels 4 i to 4 i + 3 in others
        cells = blurred.reshape(height // 4, 4, width // 4, 4, 6).mean(axis=(1, 3))
        if self.card.input.fit == "crop":
            cells = blurred[::4, ::4]
        cells = np.where(cells > 1, cells, 0)
        self._maps["heatmaps"] = (cells / max(float(cells.max()), 1e-6))[None]
        down = np.zeros((1, height // 4, width // 4, 2), np.float32)
        down[..., 1] = 1
        self._maps["pafs"] = down

    def output(self, role: str, stride: int | None = None) -> np.ndarray:
        return np.ascontiguousarray(self._maps[role], np.float32)

    def quantization(self, role: str, stride: int | None = None) -> Quantization:
        return Quantization(scale=0.0, zero_point=0)


def person(x: float, y: float, step: float = 20.0) -> np.ndarray:
    """The places of a person's six keypoints, (6, 2)."""
    return np.stack([np.full(6, x), y + step * np.arange(6)], axis=1)


def draw(people: list[np.ndarray], size: tuple[int, int] = (240, 320), radius: float = 4.0) -> np.ndarray:
    """A grey picture (H, W) of people."""
    picture = np.full((*size, 3), 128, np.uint8)
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    for points in people:
        for (x, y), colour in zip(points, COLOURS, strict=True):
            picture[(columns - x) ** 2 + (rows - y) ** 2 <= radius**2] = colour
    return picture
