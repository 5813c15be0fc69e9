"""Lightweight OpenPose (Osokin 2018, arXiv:1811.12004), in both published forms.

``osokin`` is the graph of the original repository, with batch norm; ``omz`` that of Open Model Zoo's
human-pose-estimation-0001, with batch norm folded, one more 1x1 convolution and ELU instead of ReLU at the head
of the context module, biases in it, and another order of the refinement stage's input. The attribute names give
the state_dict keys of the original repository. `export.zoo.lw_openpose.widths` has the widths, also of smaller
relatives of the ``omz`` form. `export.zoo.draw` stores the graph of a changed module.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.zoo.lw_openpose.widths import HEATMAPS, PAFS, PUBLISHED, STEM_STRIDE, Form, Widths

INITIAL, BLOCKS = 3, 5  # convolutions of the initial stage, residual blocks of the refinement stage


def conv(
    inp: int,
    out: int,
    kernel: int = 3,
    *,
    norm: bool = False,
    bias: bool = True,
    act: bool = True,
    dilation: int = 1,
    separable: bool = False,
) -> nn.Sequential:
    """Convolution, dense or depthwise and 1x1, that keeps the size, then batch norm and ReLU where asked."""
    pad = dilation * (kernel - 1) // 2
    layers: list[nn.Module] = []
    if separable:
        layers.append(nn.Conv2d(inp, inp, kernel, padding=pad, dilation=dilation, groups=inp, bias=bias))
        kernel, pad, dilation = 1, 0, 1
    layers.append(nn.Conv2d(inp, out, kernel, padding=pad, dilation=dilation, bias=bias))
    if norm:
        layers.append(nn.BatchNorm2d(out))
    if act:
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def conv_dw(inp: int, out: int, stride: int, dilation: int, *, norm: bool) -> nn.Sequential:
    """Depthwise-separable unit: 3x3 depthwise, ReLU, 1x1, ReLU."""
    depthwise = nn.Conv2d(inp, inp, 3, stride, padding=dilation, dilation=dilation, groups=inp, bias=not norm)
    pointwise = nn.Conv2d(inp, out, 1, bias=not norm)
    if norm:
        return nn.Sequential(
            depthwise, nn.BatchNorm2d(inp), nn.ReLU(), pointwise, nn.BatchNorm2d(out), nn.ReLU()
        )
    return nn.Sequential(depthwise, nn.ReLU(), pointwise, nn.ReLU())


def conv_dw_elu(channels: int, *, bias: bool) -> nn.Sequential:
    """Depthwise-separable unit without batch norm, with ELU."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=bias),
        nn.ELU(),
        nn.Conv2d(channels, channels, 1, bias=bias),
        nn.ELU(),
    )


class Context(nn.Module):
    """Backbone channels to features: `cpm` in the original repository."""

    def __init__(self, graph: Form, widths: Widths) -> None:
        super().__init__()
        width = widths.features
        self.align = conv(widths.backbone[-1][1], width, 1)
        self.reduce: nn.Module = nn.Identity()
        if graph == "omz":
            self.align[1] = nn.ELU()
            self.reduce = nn.Sequential(nn.Conv2d(width, width, 1), nn.ELU())
        self.trunk = nn.Sequential(*(conv_dw_elu(width, bias=graph == "omz") for _ in range(3)))
        self.conv = conv(width, width, separable=widths.separable)

    def forward(self, x: Tensor) -> Tensor:
        """(N, backbone, h, w) -> (N, features, h, w)."""
        x = self.align(x)
        return self.conv(x + self.trunk(self.reduce(x)))


class InitialStage(nn.Module):
    """Features to the first estimate of heatmaps and PAFs."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        width, hidden = widths.features, widths.hidden
        units = (conv(width, width, separable=widths.separable) for _ in range(INITIAL))
        self.trunk = nn.Sequential(*units)
        self.heatmaps = nn.Sequential(conv(width, hidden, 1), conv(hidden, HEATMAPS, 1, act=False))
        self.pafs = nn.Sequential(conv(width, hidden, 1), conv(hidden, PAFS, 1, act=False))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, features, h, w) -> (N, 19, h, w) and (N, 38, h, w)."""
        x = self.trunk(x)
        return self.heatmaps(x), self.pafs(x)


class RefinementBlock(nn.Module):
    """1x1, then two 3x3 (the second dilated) with a shortcut around both."""

    def __init__(self, inp: int, width: int, *, norm: bool, separable: bool) -> None:
        super().__init__()
        self.initial = conv(inp, width, 1)
        units = (conv(width, width, norm=norm, dilation=d, separable=separable) for d in (1, 2))
        self.trunk = nn.Sequential(*units)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inp, h, w) -> (N, width, h, w)."""
        x = self.initial(x)
        return x + self.trunk(x)


class RefinementStage(nn.Module):
    """Features and the previous estimate to a better estimate."""

    def __init__(self, widths: Widths, *, norm: bool) -> None:
        super().__init__()
        width = widths.refinement
        inputs = (widths.features + HEATMAPS + PAFS, *(width for _ in range(BLOCKS - 1)))
        blocks = (RefinementBlock(inp, width, norm=norm, separable=widths.separable) for inp in inputs)
        self.trunk = nn.Sequential(*blocks)
        self.heatmaps = nn.Sequential(conv(width, width, 1), conv(width, HEATMAPS, 1, act=False))
        self.pafs = nn.Sequential(conv(width, width, 1), conv(width, PAFS, 1, act=False))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, features + 57, h, w) -> (N, 19, h, w) and (N, 38, h, w)."""
        x = self.trunk(x)
        return self.heatmaps(x), self.pafs(x)


class LwOpenPose(nn.Module):
    """The whole network.

    Parameters
    ----------
    graph : {"osokin", "omz"}
        Which published form.
    refinement_stages : int
        One in everything that is deployed; the original checkpoint was trained with three.
    widths : Widths
        Widths.
    """

    def __init__(
        self, graph: Form = "osokin", refinement_stages: int = 1, widths: Widths = PUBLISHED
    ) -> None:
        super().__init__()
        self.graph = graph
        self.widths = widths
        norm = graph == "osokin"
        width = widths.backbone[0][0]
        stem = [
            nn.Conv2d(3, width, 3, STEM_STRIDE, padding=1, bias=not norm),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        if not norm:
            del stem[1]
        units = (conv_dw(*row, norm=norm) for row in widths.backbone)
        self.model = nn.Sequential(nn.Sequential(*stem), *units)
        self.cpm = Context(graph, widths)
        self.initial_stage = InitialStage(widths)
        stages = (RefinementStage(widths, norm=norm) for _ in range(refinement_stages))
        self.refinement_stages = nn.ModuleList(stages)

    def stages(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return heatmaps and PAFs of every stage, first to last; training needs them all."""
        features = self.cpm(self.model(x))
        estimates = [self.initial_stage(features)]
        for stage in self.refinement_stages:
            heatmaps, pafs = estimates[-1]
            parts = (pafs, heatmaps, features) if self.graph == "omz" else (features, heatmaps, pafs)
            estimates.append(stage(torch.cat(parts, dim=1)))
        return estimates

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W), BGR, normalised -> heatmaps (N, 19, H/s, W/s) and PAFs (N, 38, H/s, W/s), s the stride."""
        return self.stages(x)[-1]
