"""Quantization-aware training: weights and activations rounded as an INT8 file rounds them.

Values are rounded on the way forward; gradients pass as if they were not, and change the weights that are not rounded
(Jacob et al. 2018, arXiv:1712.05877, section 3). Scales come from the batch, so the network's state stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

ACTIVATION_STEPS = 255  # between the least and the largest value
WEIGHT_STEPS = 127  # to either side of 0


class _Rounded(torch.autograd.Function):
    """To the nearest of 256 levels from the least to the largest value, 0 among them."""

    @staticmethod
    def forward(_: Any, values: Tensor, axes: tuple[int, ...]) -> Tensor:
        low = values.amin(axes, keepdim=True).clamp_max(0).float()
        high = values.amax(axes, keepdim=True).clamp_min(0).float()
        step = ((high - low) / ACTIVATION_STEPS).clamp_min(torch.finfo(torch.float32).tiny)
        return values.div(step).round_().mul_(step).to(values.dtype)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def round_activations(net: nn.Module) -> None:
    """Round, from now on and in training mode only, what every convolution but the first and every ELU reads.

    What a depthwise convolution reads is rounded per channel, the rest per tensor: `export.equalize` raises each of a
    depthwise convolution's channels to the largest.
    """
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    for module in (*convolutions[1:], *(m for m in net.modules() if isinstance(m, nn.ELU))):
        module.register_forward_pre_hook(_round_input)


def _round_input(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    if not module.training:
        return None
    each = isinstance(module, nn.Conv2d) and module.groups > 1
    return (_Rounded.apply(args[0], (0, 2, 3) if each else (0, 1, 2, 3)), *args[1:])


@contextmanager
def rounded_weights(net: nn.Module) -> Iterator[None]:
    """Round the kernels of convolutions inside the block, per output channel; as they were behind it."""
    kernels = [m.weight for m in net.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        kept = [k.clone() for k in kernels]
        for kernel in kernels:
            step = kernel.abs().amax((1, 2, 3), keepdim=True) / WEIGHT_STEPS
            step.clamp_min_(torch.finfo(torch.float32).tiny)
            kernel.div_(step).round_().mul_(step)
    try:
        yield
    finally:
        with torch.no_grad():
            for kernel, before in zip(kernels, kept, strict=True):
                kernel.copy_(before)
