"""The finder's network: RTMDet's smallest form for one class, people; a picture in, scores and distances out.

Lyu et al. 2022, "RTMDet: An Empirical Study of Designing Real-Time Object Detectors" (arXiv:2212.07784): CSPNeXt with
5x5 depthwise convolutions, a path aggregation neck, and heads of their own at each stride. Batch norm is folded: the
weights of its start are published so.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as f

from export.zoo.joints import Join, Sum
from export.zoo.person_finder.entry import SIDES, STRIDES

STEM = 16  # channels
STAGES = ((32, 1), (64, 2), (128, 2), (256, 1))  # channels, blocks
HEAD = 64  # channels

Activation = Literal["silu", "relu"]


class Layers:
    """Makes the layers of one kind of activation: SiLU as published, or ReLU, which an INT8 file has for nothing."""

    def __init__(self, activation: Activation) -> None:
        self.activation = activation

    def conv(self, inp: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
        """Return a convolution that keeps the size (before its stride), and the activation."""
        conv = nn.Conv2d(inp, out, kernel, stride, kernel // 2, groups=groups)
        return nn.Sequential(conv, nn.ReLU() if self.activation == "relu" else nn.SiLU())

    def separable(self, inp: int, out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
        """Return a depthwise and a 1x1 convolution, each with its activation."""
        return nn.Sequential(self.conv(inp, inp, kernel, stride, inp), self.conv(inp, out))


class Block(nn.Module):
    """A 3x3 and a 5x5 separable convolution, added to the input in the backbone."""

    def __init__(self, layers: Layers, channels: int, *, add: bool) -> None:
        super().__init__()
        self.first = layers.separable(channels, channels)
        self.second = layers.separable(channels, channels, 5)
        self.sum = Sum() if add else None

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; the same."""
        y: Tensor = self.second(self.first(x))
        return self.sum(y, x) if self.sum else y


class Attention(nn.Module):
    """Each channel times a weight in 0..1 that depends on the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Conv2d(channels, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; the same."""
        weighted: Tensor = x * self.gate(self.fc(self.pool(x)))
        return weighted


class Partial(nn.Module):
    """Half of the channels past the blocks, half through them (a cross-stage partial layer)."""

    def __init__(
        self, layers: Layers, inp: int, out: int, blocks: int = 1, *, add: bool = False, gate: bool = False
    ) -> None:
        super().__init__()
        half = out // 2
        self.short = layers.conv(inp, half)
        self.main = layers.conv(inp, half)
        self.blocks = nn.Sequential(*(Block(layers, half, add=add) for _ in range(blocks)))
        self.join = Join()
        self.attention = Attention(out) if gate else nn.Identity()
        self.final = layers.conv(out, out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        short = self.short(x)
        y: Tensor = self.final(self.attention(self.join(self.blocks(self.main(x)), short)))
        return y


class Pyramid(nn.Module):
    """Maxima over 5x5, 9x9 and 13x13 cells beside the map itself: of one, two and three pools in a row."""

    def __init__(self, layers: Layers, inp: int, out: int) -> None:
        super().__init__()
        self.first = layers.conv(inp, inp // 2)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.join = Join()
        self.last = layers.conv(2 * inp, out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        x = self.first(x)
        five = self.pool(x)
        nine = self.pool(five)
        y: Tensor = self.last(self.join(x, five, nine, self.pool(nine)))
        return y


class Backbone(nn.Module):
    """CSPNeXt: maps at strides 8, 16 and 32."""

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        half = STEM // 2
        self.stem = nn.Sequential(
            layers.conv(3, half, 3, 2), layers.conv(half, half, 3), layers.conv(half, STEM, 3)
        )
        stages, inp = [], STEM
        for number, (out, blocks) in enumerate(STAGES):
            last = number == len(STAGES) - 1
            parts = [layers.separable(inp, out, stride=2)]
            parts += [Pyramid(layers, out, out)] if last else []
            parts += [Partial(layers, out, out, blocks, add=not last, gate=True)]
            stages.append(nn.Sequential(*parts))
            inp = out
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> the maps of the last three stages."""
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps[1:]


class Neck(nn.Module):
    """Coarse maps to the fine ones, and back; every stride ends with `HEAD` channels."""

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        fine, middle, coarse = (channels for channels, _ in STAGES[1:])
        self.reduce = nn.ModuleList((layers.conv(coarse, middle), layers.conv(middle, fine)))
        self.joins = nn.ModuleList(Join() for _ in range(4))
        self.down = nn.ModuleList((Partial(layers, coarse, middle), Partial(layers, middle, fine)))
        self.shrink = nn.ModuleList(
            (layers.separable(fine, fine, stride=2), layers.separable(middle, middle, stride=2))
        )
        self.up = nn.ModuleList((Partial(layers, middle, middle), Partial(layers, coarse, coarse)))
        self.outs = nn.ModuleList(layers.separable(c, HEAD) for c in (fine, middle, coarse))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps at strides 8, 16 and 32 -> as many with `HEAD` channels."""
        fine, middle, coarse = maps
        top = self.reduce[0](coarse)
        middle = self.down[0](self.joins[0](_twice(top), middle))
        between = self.reduce[1](middle)
        fine = self.down[1](self.joins[1](_twice(between), fine))
        middle = self.up[0](self.joins[2](self.shrink[0](fine), between))
        coarse = self.up[1](self.joins[3](self.shrink[1](middle), top))
        return [out(x) for out, x in zip(self.outs, (fine, middle, coarse), strict=True)]


def _twice(x: Tensor) -> Tensor:
    return f.interpolate(x, scale_factor=2.0, mode="nearest")


class Finder(nn.Module):
    """Normalised picture to people at three strides: scores as logits, and distances to the sides of a box.

    Parameters
    ----------
    activation : {"silu", "relu"}
        As the start was published, or what an INT8 file has for nothing.
    """

    def __init__(self, activation: Activation = "silu") -> None:
        super().__init__()
        layers = Layers(activation)
        self.backbone = Backbone(layers)
        self.neck = Neck(layers)
        self.score_towers, self.side_towers = (
            nn.ModuleList(
                nn.Sequential(layers.separable(HEAD, HEAD), layers.separable(HEAD, HEAD)) for _ in STRIDES
            )
            for _ in range(2)
        )
        self.scores = nn.ModuleList(nn.Conv2d(HEAD, 1, 1) for _ in STRIDES)
        self.sides = nn.ModuleList(nn.Conv2d(HEAD, SIDES, 1) for _ in STRIDES)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> at each stride scores (B, 1, h, w) and sides (B, 4, h, w), the latter in cells."""
        outputs = self.with_features(x)
        return tuple(o for level in range(len(STRIDES)) for o in outputs[3 * level : 3 * level + 2])

    def with_features(self, x: Tensor) -> tuple[Tensor, ...]:
        """As `forward`, and at each stride what the heads read, (B, `HEAD`, h, w), behind its scores and sides."""
        outputs: list[Tensor] = []
        for level, features in enumerate(self.neck(self.backbone(x))):
            outputs.append(self.scores[level](self.score_towers[level](features)))
            outputs.append(self.sides[level](self.side_towers[level](features)))
            outputs.append(features)
        return tuple(outputs)
