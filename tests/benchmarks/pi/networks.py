"""The operations of published networks, from the definitions in their papers: enough to count work, nothing to run.

Sizes are those of TensorFlow's padding "same". Sources: MobileNet v1 (Howard et al. 2017, table 1), v2 (Sandler et al.
2018, table 2), v3 (Howard et al. 2019, tables 1 and 2), ResNet-50 (He et al. 2016, table 1), SqueezeNet 1.0 (Iandola et
al. 2016, table 1), GoogLeNet (Szegedy et al. 2015, table 1), EfficientNet-Lite and EfficientDet-Lite (google/automl).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from quant.speed.work import Kernel, Work


@dataclass
class Net:
    """Counts operations while a network is written down; a map is (side, channels)."""

    width: int  # bytes a value
    side: int = 224
    channels: int = 3
    work: list[Work] = field(default_factory=list)
    parameters: int = 0

    def add(self, kernel: Kernel, macs: int, values: int) -> None:
        """Append one operation."""
        self.work.append(Work(kernel=kernel, macs=macs, traffic=values * self.width))

    def conv(self, channels: int, kernel: int = 1, stride: int = 1, *, valid: bool = False) -> Net:
        """A dense convolution."""
        side = (self.side - kernel) // stride + 1 if valid else -(-self.side // stride)
        weights = channels * self.channels * kernel**2
        values = self.side**2 * self.channels + side**2 * channels + weights
        self.add("convolution", side**2 * weights, values)
        self.side, self.channels, self.parameters = side, channels, self.parameters + weights + channels
        return self

    def depthwise(self, kernel: int, stride: int = 1) -> Net:
        """A depthwise convolution."""
        side = -(-self.side // stride)
        weights = self.channels * kernel**2
        self.add("depthwise", side**2 * weights, (self.side**2 + side**2) * self.channels + weights)
        self.side, self.parameters = side, self.parameters + weights + self.channels
        return self

    def sum(self) -> Net:
        """The sum of two maps."""
        self.add("other", 0, 3 * self.side**2 * self.channels)
        return self

    def through(self) -> Net:
        """An operation that reads and writes the map once."""
        self.add("other", 0, 2 * self.side**2 * self.channels)
        return self

    def pool(self, stride: int, *, valid: bool = False) -> Net:
        """A pooling."""
        side = (self.side - 3) // stride + 1 if valid else -(-self.side // stride)
        self.add("other", 0, (self.side**2 + side**2) * self.channels)
        self.side = side
        return self

    def mean(self) -> Net:
        """A global pooling."""
        self.add("other", 0, self.side**2 * self.channels)
        self.side = 1
        return self

    def at(self, side: int, channels: int) -> Net:
        """Go on from another map."""
        self.side, self.channels = side, channels
        return self


def mobilenet_v1(width: int) -> Net:
    """1.0, 224x224."""
    net = Net(width).conv(32, 3, 2)
    rows = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for channels, stride in rows:
        net.depthwise(3, stride).conv(channels)
    return net.mean().conv(1001)


def _inverted(
    net: Net, hidden: int, channels: int, kernel: int, stride: int, *, gate: bool = False, hard: bool = False
) -> None:
    """An inverted residual, with squeeze and excitation and hard-swish where said."""
    inputs = net.channels
    if hidden != inputs:
        net.conv(hidden)
        if hard:
            net.through()
    net.depthwise(kernel, stride)
    if hard:
        net.through()
    if gate:
        side = net.side
        net.mean().conv(_eights(hidden / 4)).conv(hidden).at(side, hidden).through()
    net.conv(channels)
    if stride == 1 and inputs == channels:
        net.sum()


def _eights(value: float) -> int:
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


def mobilenet_v2(width: int) -> Net:
    """1.0, 224x224."""
    net = Net(width).conv(32, 3, 2)
    for expand, channels, repeats, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
    ):  # fmt: skip
        for index in range(repeats):
            _inverted(net, net.channels * expand, channels, 3, stride if index == 0 else 1)
    return net.conv(1280).mean().conv(1001)


V3_LARGE = (  # kernel, hidden, channels, gate, hard-swish, stride
    (3, 16, 16, 0, 0, 1), (3, 64, 24, 0, 0, 2), (3, 72, 24, 0, 0, 1), (5, 72, 40, 1, 0, 2), (5, 120, 40, 1, 0, 1),
    (5, 120, 40, 1, 0, 1), (3, 240, 80, 0, 1, 2), (3, 200, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1),
    (3, 480, 112, 1, 1, 1), (3, 672, 112, 1, 1, 1), (5, 672, 160, 1, 1, 2), (5, 960, 160, 1, 1, 1),
    (5, 960, 160, 1, 1, 1),
)  # fmt: skip
V3_SMALL = (
    (3, 16, 16, 1, 0, 2), (3, 72, 24, 0, 0, 2), (3, 88, 24, 0, 0, 1), (5, 96, 40, 1, 1, 2), (5, 240, 40, 1, 1, 1),
    (5, 240, 40, 1, 1, 1), (5, 120, 48, 1, 1, 1), (5, 144, 48, 1, 1, 1), (5, 288, 96, 1, 1, 2), (5, 576, 96, 1, 1, 1),
    (5, 576, 96, 1, 1, 1),
)  # fmt: skip


def _mobilenet_v3(width: int, rows: tuple[tuple[int, ...], ...], last: int, head: int) -> Net:
    net = Net(width).conv(16, 3, 2).through()
    for kernel, hidden, channels, gate, hard, stride in rows:
        _inverted(net, hidden, channels, kernel, stride, gate=bool(gate), hard=bool(hard))
    return net.conv(last).through().mean().conv(head).through().conv(1001)


def mobilenet_v3_large(width: int) -> Net:
    """1.0, 224x224."""
    return _mobilenet_v3(width, V3_LARGE, 960, 1280)


def mobilenet_v3_small(width: int) -> Net:
    """1.0, 224x224."""
    return _mobilenet_v3(width, V3_SMALL, 576, 1024)


def resnet_50(width: int) -> Net:
    """224x224; the stride in the 3x3 convolution."""
    net = Net(width).conv(64, 7, 2).pool(2)
    for channels, repeats, first in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for index in range(repeats):
            stride, side, inputs = first if index == 0 else 1, net.side, net.channels
            if index == 0:
                net.conv(4 * channels, 1, stride).at(side, inputs)
            net.conv(channels).conv(channels, 3, stride).conv(4 * channels).sum()
    return net.mean().conv(1000)


def squeezenet(width: int) -> Net:
    """1.0, 224x224."""
    net = Net(width).conv(96, 7, 2, valid=True).pool(2, valid=True)
    for squeeze, expand, pool in (
        (16, 64, 0), (16, 64, 0), (32, 128, 1), (32, 128, 0), (48, 192, 0), (48, 192, 0), (64, 256, 1), (64, 256, 0)
    ):  # fmt: skip
        net.conv(squeeze).conv(expand).at(net.side, squeeze).conv(expand, 3).at(
            net.side, 2 * expand
        ).through()
        if pool:
            net.pool(2, valid=True)
    return net.conv(1000).mean()


INCEPTION = (  # 1x1, 3x3 reduced, 3x3, 5x5 reduced, 5x5, pool's 1x1; 0: a pooling
    (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), 0,
    (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128), 0,
    (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
)  # fmt: skip


def googlenet(width: int) -> Net:
    """224x224; 3x3 in the place of 5x5, as torchvision's file has it."""
    net = Net(width).conv(64, 7, 2).pool(2).conv(64).conv(192, 3).pool(2)
    for row in INCEPTION:
        if isinstance(row, int):
            net.pool(2)
            continue
        side, inputs = net.side, net.channels
        one, reduced, three, less, five, pooled = row
        net.conv(one).at(side, inputs).conv(reduced).conv(three, 3).at(side, inputs).conv(less).conv(five, 3)
        net.at(side, inputs).pool(1).conv(pooled).at(side, one + three + five + pooled).through()
    return net.mean().conv(1000)


def efficientdet_lite(width: int, side: int, wide: float, deep: float, channels: int, cells: int) -> Net:
    """EfficientNet-Lite, BiFPN with plain sums, two heads of three separable convolutions; 90 classes, 9 anchors."""
    net = Net(width, side).conv(32, 3, 2)
    levels = []
    rows = (
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4),
        (6, 3, 1, 320, 1),
    )
    for index, (expand, kernel, stride, out, repeats) in enumerate(rows):
        times = repeats if index in (0, len(rows) - 1) else math.ceil(repeats * deep)
        for block in range(times):
            _inverted(net, net.channels * expand, _eights(out * wide), kernel, stride if block == 0 else 1)
        if index in (2, 4, 6):
            levels.append((net.side, net.channels))
    net.conv(channels).pool(2)
    levels.append((net.side, channels))
    net.pool(2)
    levels.append((net.side, channels))
    for cell in range(cells):
        _fpn_cell(net, levels if cell == 0 else [(s, channels) for s, _ in levels], channels)
    for outputs in (9 * 90, 9 * 4):
        for level, _ in levels:
            net.at(level, channels)
            for _ in range(3):
                net.depthwise(3).conv(channels)
            net.depthwise(3).conv(outputs).through()
            if level != levels[0][0]:  # a head's layers share their weights between levels
                net.parameters -= 4 * 9 * channels + 3 * channels**2 + channels * outputs
    return net


def _fpn_cell(net: Net, levels: list[tuple[int, int]], channels: int) -> None:
    """Top down to the finest level, and back up."""

    def node(side: int, inputs: int) -> None:
        if inputs != channels:
            net.at(side, inputs).conv(channels)
        net.at(side, channels).sum().depthwise(3).conv(channels)

    for side, inputs in levels[-2::-1]:
        net.at(side, channels).through()  # the coarser level, enlarged
        node(side, inputs)
    for index, (side, inputs) in enumerate(levels[1:]):
        net.at(side, channels).through().sum()  # the finer level, pooled
        node(side, inputs if index < len(levels) - 2 else channels)


def lite(number: int) -> Callable[[int], Net]:
    """EfficientDet-lite0 to lite2."""
    side, wide, deep, channels, cells = (
        (320, 1.0, 1.0, 64, 3),
        (384, 1.0, 1.1, 88, 4),
        (448, 1.1, 1.2, 112, 5),
    )[number]
    return lambda width: efficientdet_lite(width, side, wide, deep, channels, cells)


NETWORKS: dict[str, Callable[[int], Net]] = {
    "MobileNet v1": mobilenet_v1,
    "MobileNet v2": mobilenet_v2,
    "MobileNet v3 Large": mobilenet_v3_large,
    "MobileNet v3 Small": mobilenet_v3_small,
    "ResNet-50": resnet_50,
    "SqueezeNet 1.0": squeezenet,
    "GoogLeNet": googlenet,
    "EfficientDet-lite0": lite(0),
    "EfficientDet-lite1": lite(1),
    "EfficientDet-lite2": lite(2),
}


def published_size() -> Iterator[tuple[str, float, float]]:
    """Name, multiply-adds in millions, parameters in millions, as counted here."""
    for name, make in NETWORKS.items():
        net = make(1)
        yield name, sum(w.macs for w in net.work) / 1e6, net.parameters / 1e6
