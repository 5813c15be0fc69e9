"""Small networks of the blocks that XNNPACK does not take as they are, with seeded weights."""

from __future__ import annotations

import onnx
import torch
from torch import Tensor, nn

from export.graph.from_torch import to_onnx
from export.zoo.efficienthrnet.module import Module
from export.zoo.hwl.module import Attention, SqueezeExcite
from export.zoo.lpn.module import GlobalContext

WIDTH, HEIGHT = 48, 32
CHANNELS = 16


class Branches(nn.Module):
    """Four resolutions fused as in EfficientHRNet."""

    def __init__(self) -> None:
        super().__init__()
        widths = (CHANNELS, 6, 8, 10)
        self.down = nn.ModuleList(nn.Conv2d(CHANNELS, w, 3, 2**i, 1) for i, w in enumerate(widths[1:], 1))
        self.module = Module(widths, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 16, h, w), kept; both sides multiples of 8."""
        return self.module([x, *(down(x) for down in self.down)])[0]  # type: ignore[no-any-return]


def blocks() -> dict[str, nn.Module]:
    """The blocks by name; (N, 16, h, w) in, any channels and size out."""
    up = nn.ConvTranspose2d(CHANNELS, CHANNELS, 4, 2, 1, groups=CHANNELS, bias=False)
    pairs = nn.ConvTranspose2d(CHANNELS, 8, 4, 2, 1, groups=8, bias=False)
    return {
        "squeeze-excite": nn.Sequential(nn.ReLU(), SqueezeExcite(CHANNELS, nn.Hardsigmoid)),
        "attention": nn.Sequential(nn.ReLU(), Attention(CHANNELS, nn.Hardsigmoid)),
        "hard-swish": nn.Hardswish(),
        "swish": nn.SiLU(),
        "global-context": GlobalContext(CHANNELS),
        "depthwise-transposed": nn.Sequential(up, nn.BatchNorm2d(CHANNELS), nn.ReLU()),
        "grouped-transposed": nn.Sequential(pairs, nn.BatchNorm2d(8), nn.ReLU()),
        "branches": Branches(),
        "focus": Focus(),
        "border": nn.Sequential(nn.ReLU(), nn.ConstantPad2d((1, 0, 0, 2), 0.5)),
        "pool": nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
        "uneven-padding": nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(CHANNELS, 8, 3, 2)),
    }  # fmt: skip


class Focus(nn.Module):
    """Every second row and column, four times, behind each other (YOLOv5's stem)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, 4 C, h/2, w/2)."""
        return torch.cat([x[..., i::2, j::2] for j in (0, 1) for i in (0, 1)], 1)


class Blocks(nn.Module):
    """Each block on its own, between a convolution of the image and one to an output."""

    def __init__(self, chosen: dict[str, nn.Module]) -> None:
        super().__init__()
        self.stems = nn.ModuleList(nn.Conv2d(3, CHANNELS, 3, 2, 1) for _ in chosen)
        self.blocks = nn.ModuleList(chosen.values())
        self.heads = nn.ModuleList(nn.LazyConv2d(4, 1) for _ in chosen)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, 32, 48) -> (N, 4, h, w) of each block."""
        parts = zip(self.stems, self.blocks, self.heads, strict=True)
        return tuple(head(block(stem(x))) for stem, block, head in parts)


def block_graph(*names: str) -> onnx.ModelProto:
    """The ONNX graph of a network of the blocks named, all of them without names; outputs have their names."""
    torch.manual_seed(4)
    chosen = {n: b for n, b in blocks().items() if n in names or not names}
    net = Blocks(chosen)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # statistics of the one batch below
        if isinstance(module, nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    with torch.no_grad():
        net.train()(torch.rand(4, 3, HEIGHT, WIDTH) - 0.5)
    return to_onnx(net.eval(), WIDTH, HEIGHT, list(chosen))
