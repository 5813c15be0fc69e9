"""HWL (Li et al., ICPR 2022): MobileNetV3, three depthwise deconvolutions, an attention block; top-down.

"Lightweight Human Pose Estimation Using Heatmap-Weighting Loss". The released code is a set of files for mmpose 0.x,
and its names give the state_dict keys. No weights were published.

The hard sigmoid has two readings, since the code leaves its constants to the installed mmcv: ``clip((x + 3) / 6)``
(mmcv from 1.4.4, PyTorch's) and ``clip((x + 1) / 2)`` (before). Weights trained with one need that one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn

from export.zoo.hwl.entry import HardSigmoid

Gate = Callable[[], nn.Module]

STRIDE = 4  # of the heatmaps
HEAD = 256  # channels
# kernel, hidden channels, output channels, squeeze-excite, hard-swish instead of ReLU, stride; layer1 to layer15
LAYERS = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 1),  # torchvision's MobileNetV3 has its stride here instead of one later
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
)


class HalfSigmoid(nn.Module):
    """``clip((x + 1) / 2, 0, 1)``, written as PyTorch's hard sigmoid of three times the value."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; the same shape in 0..1."""
        gated: Tensor = self.gate(3 * x)
        return gated


class Unit(nn.Sequential):
    """Convolution that keeps the size (before its stride), batch norm in place of a bias where asked, activation."""

    def __init__(
        self, inp: int, out: int, kernel: int, act: nn.Module | None, *,
        stride: int = 1, groups: int = 1, norm: bool = True,
    ) -> None:  # fmt: skip
        conv = nn.Conv2d(inp, out, kernel, stride, kernel // 2, groups=groups, bias=not norm)
        layers: OrderedDict[str, nn.Module] = OrderedDict(conv=conv)
        if norm:
            layers["bn"] = nn.BatchNorm2d(out)
        if act is not None:
            layers["act"] = act
        super().__init__(layers)


class SqueezeExcite(nn.Module):
    """Each channel times a weight in 0..1 that depends on the means of all channels."""

    def __init__(self, channels: int, gate: Gate) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv1 = Unit(channels, channels // 4, 1, nn.ReLU(), norm=False)
        self.conv2 = Unit(channels // 4, channels, 1, gate(), norm=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w), kept."""
        return x * self.conv2(self.conv1(self.pool(x)))


class SpatialExcite(nn.Module):
    """Each position times a weight in 0..1 that depends on the channels round it."""

    def __init__(self, channels: int, gate: Gate) -> None:
        super().__init__()
        self.conv1 = Unit(channels, 1, 1, nn.ReLU(), norm=False)
        self.conv2 = Unit(1, 1, 3, gate(), norm=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w), kept."""
        return x * self.conv2(self.conv1(x))


class Attention(nn.Module):
    """Channels and positions excited side by side, and the input itself, added."""

    def __init__(self, channels: int, gate: Gate) -> None:
        super().__init__()
        self.se = SqueezeExcite(channels, gate)
        self.sse = SpatialExcite(channels, gate)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w), kept."""
        excited: Tensor = x + self.se(x) + self.sse(x)
        return excited


class InvertedResidual(nn.Module):
    """1x1 to the hidden channels, depthwise, squeeze-excite where asked, 1x1; a shortcut where shapes allow it."""

    def __init__(
        self, inp: int, kernel: int, hidden: int, out: int, stride: int, act: Gate, gate: Gate | None
    ) -> None:
        super().__init__()
        self.shortcut = stride == 1 and inp == out
        self.expand_conv = Unit(inp, hidden, 1, act())
        self.depthwise_conv = Unit(hidden, hidden, kernel, act(), stride=stride, groups=hidden)
        self.se = SqueezeExcite(hidden, gate) if gate else nn.Identity()
        self.linear_conv = Unit(hidden, out, 1, None)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inp, h, w) -> (N, out, h / stride, w / stride)."""
        y: Tensor = self.linear_conv(self.se(self.depthwise_conv(self.expand_conv(x))))
        return x + y if self.shortcut else y


def backbone(gate: Gate) -> nn.Sequential:
    """(N, 3, H, W) -> (N, 960, H/32, W/32)."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv1=Unit(3, 16, 3, nn.Hardswish(), stride=2))
    inp = 16
    for index, (kernel, hidden, out, excite, swish, stride) in enumerate(LAYERS, 1):
        act = nn.Hardswish if swish else nn.ReLU
        layers[f"layer{index}"] = InvertedResidual(
            inp, kernel, hidden, out, stride, act, gate if excite else None
        )
        inp = out
    layers["conv2"] = Unit(inp, 960, 1, nn.Hardswish())
    return nn.Sequential(layers)


def keypoint_head(inp: int, joints: int, gate: Gate) -> nn.Sequential:
    """(N, inp, h, w) -> (N, joints, 8h, 8w)."""
    layers: list[nn.Module] = []
    for channels in (inp, HEAD, HEAD):
        # the paper has 256 channels in the first one too; the code works on the backbone's 960
        up = nn.ConvTranspose2d(channels, channels, 4, 2, 1, groups=channels, bias=False)
        layers += [up, nn.BatchNorm2d(channels), nn.ReLU()]
        layers += [nn.Conv2d(channels, HEAD, 1), nn.BatchNorm2d(HEAD), nn.ReLU()]
    layers.append(Attention(HEAD, gate))
    deconv = nn.Sequential(*layers)
    return nn.Sequential(OrderedDict(deconv_layers=deconv, final_layer=nn.Conv2d(HEAD, joints, 1)))


class Hwl(nn.Module):
    """The whole network.

    Parameters
    ----------
    joints : int
        17 of COCO, 16 of MPII.
    hard_sigmoid : {"sixth", "half"}
        ``clip((x + 3) / 6)`` or ``clip((x + 1) / 2)``.
    """

    def __init__(self, joints: int = 17, hard_sigmoid: HardSigmoid = "sixth") -> None:
        super().__init__()
        gate: Gate = nn.Hardsigmoid if hard_sigmoid == "sixth" else HalfSigmoid
        self.backbone = backbone(gate)
        self.keypoint_head = keypoint_head(960, joints, gate)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), RGB, normalised -> heatmaps (N, joints, H/4, W/4)."""
        heatmaps: Tensor = self.keypoint_head(self.backbone(x))
        return heatmaps
