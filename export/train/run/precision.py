"""The layers that can use bfloat16 on a CPU.

oneDNN's gradient of a dilated bfloat16 convolution towards its kernel holds garbage, now and then infinite, in the last
channels if their number is not a multiple of 16 (torch 2.13, AVX512-BF16: 5 of 300 such gradients of a 3x3
convolution of 88 channels). Those layers stay in float32.
"""

from __future__ import annotations

from torch import Tensor, autocast, nn

BLOCK = 16  # number of channels that oneDNN processes at once


class Float32Conv2d(nn.Conv2d):
    """A convolution that computes in float32 inside of autocast, too."""

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, O, h, w), float32."""
        with autocast(input.device.type, enabled=False):
            return super().forward(input.float())


def keep_unsafe_in_float32(net: nn.Module) -> None:
    """Turn the layers that bfloat16 would damage into `Float32Conv2d`, in place. The state keeps its names."""
    for module in net.modules():
        if type(module) is nn.Conv2d and _is_unsafe(module):
            module.__class__ = Float32Conv2d


def _is_unsafe(layer: nn.Conv2d) -> bool:
    odd = layer.in_channels % BLOCK or layer.out_channels % BLOCK
    return layer.groups == 1 and max(layer.dilation) > 1 and bool(odd)
