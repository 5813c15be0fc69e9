"""EfficientHRNet (Neff et al. 2020, arXiv:2007.08090): EfficientNet, then branches of four resolutions; bottom-up.

The attribute names give the state_dict keys of the official repository, TeCSAR-UNCC/EfficientHRNet. Unlike in HRNet,
each new branch starts from the backbone's map of that resolution. Of the two outputs the first holds heatmaps and tags
(associative embedding), the second heatmaps, or both as well: published weights exist with either width of it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.zoo.efficienthrnet.backbone import backbone
from export.zoo.efficienthrnet.scales import JOINTS, SCALES, Name


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut around both."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w), kept."""
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out: Tensor = self.relu(x + y)
        return out


def transition(inp: int, out: int) -> nn.Sequential:
    """3x3 convolution (with a bias, although batch norm follows) into a branch."""
    return nn.Sequential(nn.Conv2d(inp, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU())


def fusion(widths: tuple[int, ...], target: int, source: int) -> nn.Module:
    """Bring branch `source` to the size and width of branch `target`."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(
            nn.Conv2d(widths[source], widths[target], 1, bias=False),
            nn.BatchNorm2d(widths[target]),
            nn.Upsample(scale_factor=2 ** (source - target), mode="nearest"),
        )
    steps = []
    for step in range(source + 1, target + 1):
        out = widths[target] if step == target else widths[source]
        halve = nn.Conv2d(widths[source], out, 3, 2, 1, bias=False)
        steps.append(nn.Sequential(halve, nn.BatchNorm2d(out), *([nn.ReLU()] if step < target else [])))
    return nn.Sequential(*steps)


class Module(nn.Module):
    """Two basic blocks in each branch, then every target branch is the sum of all, brought to its size."""

    def __init__(self, widths: tuple[int, ...], targets: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(BasicBlock(w), BasicBlock(w)) for w in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(fusion(widths, target, source) for source in range(len(widths)))
            for target in range(targets)
        )
        self.relu = nn.ReLU()

    def forward(self, x: list[Tensor]) -> list[Tensor]:
        """One (N, width, h, w) per branch, each half the size of the one before; the targets of them."""
        x = [branch(value) for branch, value in zip(self.branches, x, strict=True)]
        fused = []
        for layers in self.fuse_layers:
            parts = [fuse(value) for fuse, value in zip(layers, x, strict=True)]
            fused.append(self.relu(sum(parts[1:], parts[0])))
        return fused


def stage(widths: tuple[int, ...], modules: int, *, last: bool = False) -> nn.Sequential:
    """Modules in a row; the very last one of the network computes its first branch only."""
    return nn.Sequential(
        *(Module(widths, 1 if last and i == modules - 1 else len(widths)) for i in range(modules))
    )


def deconvolution(inp: int, out: int) -> nn.Sequential:
    """(N, inp, h, w) -> (N, out, 2h, 2w)."""
    up = nn.ConvTranspose2d(inp, out, 4, 2, 1, bias=False)
    return nn.Sequential(
        nn.Sequential(up, nn.BatchNorm2d(out), nn.ReLU()),
        nn.Sequential(BasicBlock(out)),
        nn.Sequential(BasicBlock(out)),
    )


class EfficientHRNet(nn.Module):
    """The whole network.

    Parameters
    ----------
    name : {"h0", "h-1", "h-2", "h-3", "h-4"}
    tags_twice : bool
        Whether the second output has tags too (34 channels instead of 17).
    """

    def __init__(self, name: Name = "h0", *, tags_twice: bool = False) -> None:
        super().__init__()
        scale = SCALES[name]
        widths = scale.branches
        self.features, self.taps, taps = backbone(scale.width, scale.depth)
        self.trans1_branch1 = transition(taps[0], widths[0])
        self.trans1_branch2 = transition(taps[1], widths[1])
        self.stage2 = stage(widths[:2], scale.modules[0])
        self.trans2_branch1 = transition(widths[0], widths[0])
        self.trans2_branch2 = transition(widths[1], widths[1])
        self.trans2_branch3 = transition(taps[2], widths[2])
        self.stage3 = stage(widths[:3], scale.modules[1])
        self.trans3_branch1 = transition(widths[0], widths[0])
        self.trans3_branch2 = transition(widths[1], widths[1])
        self.trans3_branch3 = transition(widths[2], widths[2])
        self.trans3_branch4 = transition(taps[3], widths[3])
        self.stage4 = stage(widths, scale.modules[2], last=True)
        second = 2 * JOINTS if tags_twice else JOINTS
        heads = [nn.Conv2d(widths[0], 2 * JOINTS, 1), nn.Conv2d(widths[0], second, 1)]
        self.final_layers = nn.ModuleList(heads)
        self.deconv_layers = nn.ModuleList([deconvolution(widths[0] + 2 * JOINTS, widths[0])])

    def trunk(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, width, H/4, W/4): all up to the heads."""
        taps = []
        for index, block in enumerate(self.features):
            x = block(x)
            if index in self.taps:
                taps.append(x)
        a, b = self.stage2([self.trans1_branch1(taps[0]), self.trans1_branch2(taps[1])])
        a, b, c = self.stage3([self.trans2_branch1(a), self.trans2_branch2(b), self.trans2_branch3(taps[2])])
        branches = [self.trans3_branch1(a), self.trans3_branch2(b), self.trans3_branch3(c)]
        (out,) = self.stage4([*branches, self.trans3_branch4(taps[3])])
        fused: Tensor = out
        return fused

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W), RGB, normalised -> (N, 34, H/4, W/4) and (N, 17 or 34, H/2, W/2), heatmaps before tags."""
        x = self.trunk(x)
        first = self.final_layers[0](x)
        second = self.final_layers[1](self.deconv_layers[0](torch.cat((x, first), dim=1)))
        return first, second
