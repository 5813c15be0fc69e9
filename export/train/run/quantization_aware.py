"""Quantization-aware training: weights and activations are rounded as in an INT8 file.

Values are rounded in the forward pass. Gradients pass as if they were not rounded and update the unrounded weights
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
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


class _Rounded(torch.autograd.Function):
    """Round to the nearest of 256 levels between the least and the largest value, including 0."""

    @staticmethod
    def forward(_: Any, values: Tensor, each: bool) -> Tensor:
        low, high = (f(values, (0, 2, 3), keepdim=True).float() for f in (torch.amin, torch.amax))
        if not each or bool((low < 0).any()):
            low, high = low.amin(), high.amax()
        step = (high.clamp_min(0) - low.clamp_max(0)) / ACTIVATION_STEPS
        step.clamp_min_(torch.finfo(torch.float32).tiny)
        return values.div(step).round_().mul_(step).to(values.dtype)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def round_activations(net: nn.Module) -> None:
    """Round the inputs of every convolution but the first and of every ELU, in training mode only.

    Rectified values that a depthwise convolution reads are rounded per channel, the rest per tensor:
    `export.graph.equalize` raises each of the former's channels to the largest. Operands of sums and the outputs
    are not rounded.
    """
    convolutions = [m for m in net.modules() if isinstance(m, CONVOLUTIONS)]
    for module in (*convolutions[1:], *(m for m in net.modules() if isinstance(m, nn.ELU))):
        module.register_forward_pre_hook(_round_input)


def _round_input(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    if not module.training:
        return None
    each = isinstance(module, nn.Conv2d) and module.groups > 1
    return (_Rounded.apply(args[0], each), *args[1:])


@contextmanager
def rounded_weights(net: nn.Module) -> Iterator[None]:
    """Round the kernels of convolutions inside the block, per output channel; as they were behind it."""
    layers = [m for m in net.modules() if isinstance(m, CONVOLUTIONS)]
    with torch.no_grad():
        kept = [layer.weight.clone() for layer in layers]
        for layer in layers:
            kernel, axes = _by_output(layer)
            step = kernel.abs().amax(axes, keepdim=True) / WEIGHT_STEPS
            step.clamp_min_(torch.finfo(torch.float32).tiny)
            kernel.div_(step).round_().mul_(step)
    try:
        yield
    finally:
        with torch.no_grad():
            for layer, before in zip(layers, kept, strict=True):
                layer.weight.copy_(before)


def _by_output(layer: nn.Conv2d | nn.ConvTranspose2d) -> tuple[Tensor, tuple[int, ...]]:
    """Return a view of the kernel, and the axes that an output channel sums over."""
    if isinstance(layer, nn.ConvTranspose2d):  # (in, out / groups, kh, kw), the groups one after the other
        return layer.weight.unflatten(0, (layer.groups, -1)), (1, 3, 4)
    return layer.weight, (1, 2, 3)
