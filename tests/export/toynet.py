"""A tiny pose network of a user's own, unlike any in the zoo: stride 4, four keypoints, RGB, ImageNet normalisation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from export.graph.from_torch import to_onnx
from rpi_runtime.capture.pictures import write_picture

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
WIDTH, HEIGHT = 64, 48
HEATMAPS, PAFS = 5, 6

CARD = f"""\
name = "toy"

[input]
width = {WIDTH}
height = {HEIGHT}
channels = "rgb"
mean = {list(MEAN)}
scale = {[1 / s for s in STD]}

[skeleton]
keypoints = ["head", "hand", "hip", "foot"]
edges = [[0, 1], [0, 2], [2, 3]]

[[outputs]]
name = "maps"
role = "heatmaps"
channels = {HEATMAPS}
stride = 4

[[outputs]]
name = "fields"
role = "pafs"
channels = {PAFS}
stride = 4

[decoder]
peak_threshold = 0.35
limbs = [
  {{ a = 0, b = 1, paf_x = 0, paf_y = 1 }},
  {{ a = 0, b = 2, paf_x = 2, paf_y = 3 }},
  {{ a = 2, b = 3, paf_x = 4, paf_y = 5 }},
]
"""


class ToyNet(nn.Module):
    """Stem, a depthwise pair with an outlier channel, ELU, two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.unit = nn.Sequential(
            nn.Conv2d(16, 24, 1),
            nn.ReLU(),
            nn.Conv2d(24, 24, 3, 2, 1, groups=24),
            nn.ReLU(),
            nn.Conv2d(24, 16, 1),
        )
        self.elu = nn.ELU()
        self.maps, self.fields = nn.Conv2d(16, HEATMAPS, 1), nn.Conv2d(16, PAFS, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W), RGB, normalised -> (N, 5, H/4, W/4) and (N, 6, H/4, W/4)."""
        x = self.elu(self.unit(self.stem(x)))
        return self.fields(x), self.maps(x)  # not in the card's order, on purpose


def toy_net() -> ToyNet:
    """Seeded, in evaluation mode, one channel of the depthwise pair 60 times larger than the others."""
    torch.manual_seed(3)
    net = ToyNet().eval()
    with torch.no_grad():
        net.unit[0].weight[5] *= 60
        net.unit[2].weight[5] /= 60
        net.fields.weight *= 0.2
        net.maps.weight *= 3  # peaks far above the noise, as of a trained network: the gate compares them
        net.maps.bias.zero_()
    return net


def write_toy_network(folder: Path) -> tuple[Path, Path]:
    """Write ``toy.onnx`` and ``toy.toml``; return their paths."""
    import onnx

    onnx_file, card = folder / "toy.onnx", folder / "toy.toml"
    model = to_onnx(toy_net(), WIDTH, HEIGHT, ("fields", "maps"))
    onnx_file.write_bytes(onnx.ModelProto.SerializeToString(model))
    card.write_text(CARD)
    return onnx_file, card


def write_pictures(folder: Path, count: int, size: tuple[int, int] = (60, 80)) -> Path:
    """Write seeded smooth pictures of (H, W) `size`; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(11)
    for index in range(count):
        coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
        picture = coarse.repeat(-(-size[0] // 6), axis=0).repeat(-(-size[1] // 8), axis=1)
        write_picture(picture[: size[0], : size[1]], folder / f"picture{index:02}.png")
    return folder
