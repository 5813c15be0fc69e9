"""LPN (Zhang et al. 2019, arXiv:1911.10346): a ResNet of lightweight bottlenecks with global context; top-down.

"Simple and Lightweight Human Pose Estimation". The attribute names give the state_dict keys of the official
repository, zhang943/lpn-pytorch.
"""

from __future__ import annotations

from torch import Tensor, nn

from export.zoo.lpn.entry import Depth

STRIDE = 4  # of the heatmaps
HEAD = 256  # channels
BLOCKS: dict[Depth, tuple[int, int, int, int]] = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class GlobalContext(nn.Module):
    """Add to every position one vector, made of the mean over all positions under a learned attention (GCNet)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 16, 16)
        self.conv_mask = nn.Conv2d(channels, 1, 1)
        self.softmax = nn.Softmax(dim=2)
        self.channel_add_conv = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.LayerNorm([hidden, 1, 1]),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w), kept."""
        weights = self.softmax(self.conv_mask(x).flatten(2))  # (N, 1, h * w)
        context = x.flatten(2) @ weights.transpose(1, 2)  # (N, channels, 1)
        added: Tensor = x + self.channel_add_conv(context.unsqueeze(3))
        return added


class Bottleneck(nn.Module):
    """1x1, depthwise 3x3, 1x1, all of the same width, then the global context, and a shortcut around all."""

    def __init__(self, inp: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inp, out, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, stride, 1, groups=out, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.conv3 = nn.Conv2d(out, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU()
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inp != out:
            self.downsample = nn.Sequential(nn.Conv2d(inp, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.att = GlobalContext(out)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inp, h, w) -> (N, out, h / stride, w / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.att(self.bn3(self.conv3(y)))
        out: Tensor = self.relu(self.downsample(x) + y)
        return out


def layer(inp: int, out: int, stride: int, blocks: int) -> nn.Sequential:
    """Bottlenecks in a row; the first has the stride and the change of width."""
    return nn.Sequential(
        *(Bottleneck(inp if i == 0 else out, out, stride if i == 0 else 1) for i in range(blocks))
    )


def upsampling(inp: int) -> list[nn.Module]:
    """(N, inp, h, w) -> (N, 256, 2h, 2w): grouped transposed convolution, then 1x1."""
    return [
        nn.ConvTranspose2d(inp, HEAD, 4, 2, 1, groups=HEAD, bias=False),
        nn.BatchNorm2d(HEAD),
        nn.ReLU(),
        nn.Conv2d(HEAD, HEAD, 1, bias=False),
        nn.BatchNorm2d(HEAD),
        nn.ReLU(),
    ]


class Lpn(nn.Module):
    """The whole network.

    Parameters
    ----------
    depth : {50, 101, 152}
    joints : int
        17 of COCO, 16 of MPII.
    """

    def __init__(self, depth: Depth = 50, joints: int = 17) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        one, two, three, four = BLOCKS[depth]
        self.layer1 = layer(64, 64, 1, one)
        self.layer2 = layer(64, 128, 2, two)
        self.layer3 = layer(128, 256, 2, three)
        self.layer4 = layer(256, 512, 1, four)  # no stride: the head upsamples by 4, not by 8
        self.deconv_layers = nn.Sequential(*upsampling(512), *upsampling(HEAD))
        self.final_layer = nn.Conv2d(HEAD, joints, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), BGR for the COCO weights, normalised -> heatmaps (N, joints, H/4, W/4)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        heatmaps: Tensor = self.final_layer(self.deconv_layers(x))
        return heatmaps
