"""The refiner's network: Lite-HRNet without its gates, widened, with channel shuffle; the crop of one person in.

Yu et al. 2021, "Lite-HRNet: A Lightweight High-Resolution Network" (arXiv:2104.06403), in the form that PP-TinyPose
gives it: shuffle units (Ma et al. 2018, arXiv:1807.11164) of 1x1, depthwise and 1x1 convolutions without gates, and a
head that adds the coarse branches to the fine ones. Batch norm is folded: its weights are published so.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as f

from export.zoo.joints import Join, Sum
from export.zoo.person_refiner.entry import JOINTS

STEM = 32  # channels
WIDTHS = (40, 80, 160, 320)  # of the branches, the finest first
MODULES = (2, 4, 2)  # with two, three and four branches
UNITS = 2  # a branch of a module

Upsampling = Literal["nearest", "corners"]


def convolution(inp: int, out: int, kernel: int = 1, stride: int = 1, *, relu: bool = True) -> nn.Sequential:
    """Return a convolution that keeps the size (before its stride), and a ReLU where asked."""
    layers: list[nn.Module] = [nn.Conv2d(inp, out, kernel, stride, kernel // 2)]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


def depthwise(channels: int, stride: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution of each channel for itself, linear."""
    return nn.Sequential(nn.Conv2d(channels, channels, 3, stride, 1, groups=channels))


def separable(inp: int, out: int, stride: int = 1, *, relu: bool = True) -> nn.Sequential:
    """Return a depthwise convolution and a 1x1 convolution."""
    return nn.Sequential(depthwise(inp, stride), convolution(inp, out, relu=relu))


class Shuffle(Join):
    """Puts two halves side by side, their channels taking turns."""

    def forward(self, *maps: Tensor) -> Tensor:
        """Two of (B, C, H, W) -> (B, 2 C, H, W)."""
        joined = super().forward(*maps)
        batch, channels, height, width = joined.shape
        halves = joined.view(batch, 2, channels // 2, height * width)
        return halves.transpose(1, 2).reshape(batch, channels, height, width)


class Enlarge(nn.Module):
    """Repeats cells, or interpolates between the cells with the corners on one another."""

    def __init__(self, kind: Upsampling, factor: int) -> None:
        super().__init__()
        self.kind, self.factor = kind, factor

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, factor h, factor w)."""
        if self.kind == "nearest":
            return f.interpolate(x, scale_factor=float(self.factor), mode="nearest")
        size = (self.factor * x.shape[2], self.factor * x.shape[3])
        return f.interpolate(x, size, mode="bilinear", align_corners=True)


class Unit(nn.Module):
    """Half the channels stay, the other half goes through three convolutions; then they are shuffled."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(convolution(half, half), depthwise(half), convolution(half, half))
        self.shuffle = Shuffle()

    def forward(self, x: Tensor) -> Tensor:
        """Any (B, C, H, W); the same shape."""
        stays, goes = x.chunk(2, 1)
        shuffled: Tensor = self.shuffle(stays, self.branch(goes))
        return shuffled


class Stem(nn.Module):
    """A quarter of the input's size."""

    def __init__(self) -> None:
        super().__init__()
        half = STEM // 2
        self.conv = convolution(3, STEM, 3, 2)
        self.first = separable(half, half, 2)
        self.second = nn.Sequential(convolution(half, STEM), separable(STEM, half, 2))
        self.shuffle = Shuffle()

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 32, H / 4, W / 4)."""
        first, second = self.conv(x).chunk(2, 1)
        shuffled: Tensor = self.shuffle(self.first(first), self.second(second))
        return shuffled


def _exchange(source: int, target: int) -> nn.Module:
    """Passes one branch's maps to another: coarser in steps of two, or finer by one enlargement."""
    inp, out = WIDTHS[source], WIDTHS[target]
    if source > target:
        return nn.Sequential(convolution(inp, out, relu=False), Enlarge("nearest", 2 ** (source - target)))
    steps = [separable(inp, inp, 2) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, separable(inp, out, 2, relu=False))


class Exchange(nn.Module):
    """Branches side by side, then every branch gets what the others have.

    As published, a branch counts the finest one twice, and what coarser branches get from the finest one is its sum
    before the ReLU.
    """

    def __init__(self, branches: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(Unit(w) for _ in range(UNITS))) for w in WIDTHS[:branches]
        )
        self.fuse = nn.ModuleList(
            nn.ModuleDict({str(j): _exchange(j, i) for j in range(branches) if j != i})
            for i in range(branches)
        )
        self.sums = nn.ModuleList(nn.ModuleList(Sum() for _ in range(branches)) for _ in range(branches))
        self.relu = nn.ReLU()

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """One map a branch; the same shapes."""
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        fused = []
        for i, (ways, sums) in enumerate(zip(self.fuse, self.sums, strict=True)):
            total = maps[0] if i == 0 else ways["0"](maps[0])
            total = sums[0](total, total)
            for j in range(1, len(maps)):
                total = sums[j](total, maps[j] if i == j else ways[str(j)](maps[j]))
            if i == 0:
                maps[0] = total
            fused.append(total)
        return [self.relu(x) for x in fused]


class Head(nn.Module):
    """From the coarsest branch to the finest one: each is enlarged and added to the next."""

    def __init__(self) -> None:
        super().__init__()
        outs = (WIDTHS[0], *WIDTHS[:-1])
        self.projects = nn.ModuleList(separable(w, o) for w, o in zip(WIDTHS, outs, strict=True))
        self.enlarge = Enlarge("corners", 2)
        self.sums = nn.ModuleList(Sum() for _ in WIDTHS[1:])

    def forward(self, maps: list[Tensor]) -> Tensor:
        """One map a branch -> (B, 40, H, W) of the finest."""
        x: Tensor = self.projects[-1](maps[-1])
        for project, add, finer in zip(self.projects[-2::-1], self.sums, maps[-2::-1], strict=True):
            x = project(add(finer, self.enlarge(x)))
        return x


class PersonRefiner(nn.Module):
    """Normalised crop of one person to heatmaps of COCO's 17 keypoints, a quarter of its size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Stem()
        self.starts = nn.ModuleList(
            (separable(STEM, WIDTHS[0]), *(separable(i, o, 2) for i, o in pairwise((STEM, *WIDTHS[1:]))))
        )
        self.stages = nn.ModuleList(
            nn.ModuleList(Exchange(branches) for _ in range(modules))
            for branches, modules in enumerate(MODULES, 2)
        )
        self.head = Head()
        self.final = nn.Conv2d(WIDTHS[0], JOINTS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 17, H / 4, W / 4)."""
        x = self.stem(x)
        maps = [self.starts[0](x)]
        last = x
        for start, stage in zip(self.starts[1:], self.stages, strict=True):
            maps.append(start(last))
            for module in stage:
                maps = module(maps)
            last = maps[-1]
        heatmaps: Tensor = self.final(self.head(maps))
        return heatmaps
