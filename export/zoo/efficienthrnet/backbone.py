"""The EfficientNet in front of EfficientHRNet: B0 (Tan and Le 2019) and four that are scaled down from it."""

from __future__ import annotations

from math import ceil

from torch import Tensor, nn

# expansion, channels, repeats, stride, kernel: EfficientNet-B0
B0 = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
STEM = 32


def scaled(channels: int, width: float) -> int:
    """Round to a multiple of 8, never more than a tenth down."""
    if width == 1:
        return channels
    value = channels * width
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


def unit(inp: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Padding that leaves ``ceil(n / stride)`` cells, the odd one on the right and below; convolution, swish."""
    total = max(kernel - stride, 0)
    near, far = total // 2, total - total // 2
    even = near == far  # then the convolution's own padding does the same without a copy of the map
    pad = nn.Identity() if even else nn.ZeroPad2d((near, far, near, far))
    conv = nn.Conv2d(inp, out, kernel, stride, near if even else 0, groups=groups, bias=False)
    return nn.Sequential(pad, conv, nn.BatchNorm2d(out), nn.SiLU())


class SqueezeExcite(nn.Module):
    """Each channel times a weight in 0..1 that depends on the means of all channels."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.se = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.SiLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w), kept."""
        excited: Tensor = x * self.se(x)
        return excited


class MBConv(nn.Module):
    """1x1 to the hidden channels, depthwise, squeeze-excite, 1x1; a shortcut where shapes allow it."""

    def __init__(self, inp: int, out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.shortcut = stride == 1 and inp == out
        hidden = inp * expansion
        self.conv = nn.Sequential(
            *([unit(inp, hidden, 1)] if hidden != inp else []),
            unit(hidden, hidden, kernel, stride, groups=hidden),
            SqueezeExcite(hidden, max(1, inp // 4)),
            nn.Conv2d(hidden, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inp, h, w) -> (N, out, ceil(h / stride), ceil(w / stride))."""
        y: Tensor = self.conv(x)
        return x + y if self.shortcut else y


def backbone(width: float, depth: float) -> tuple[nn.Sequential, tuple[int, ...], tuple[int, ...]]:
    """Build the network without its classifier.

    Parameters
    ----------
    width, depth : float
        Multipliers of channels and repeats.

    Returns
    -------
    features : nn.Sequential
        (N, 3, H, W) -> (N, c, H/32, W/32), stem and blocks.
    taps, channels : tuple of int
        Index of the last block at strides 4, 8, 16 and 32, and its channels.
    """
    out = scaled(STEM, width)
    layers: list[nn.Module] = [unit(3, out, 3, 2)]
    taps: list[int] = []
    channels: list[int] = []
    for expansion, base, repeats, stride, kernel in B0:
        for repeat in range(ceil(repeats * depth)):
            first = stride if repeat == 0 else 1
            if first == 2 and len(layers) > 2:
                taps.append(len(layers) - 1)
                channels.append(out)
            inp, out = out, scaled(base, width)
            layers.append(MBConv(inp, out, expansion, kernel, first))
    return nn.Sequential(*layers), (*taps, len(layers) - 1), (*channels, out)
