"""Quantization-aware training: weights and activations are rounded as in an INT8 file.

Values are rounded in the forward pass. Gradients pass as if they were not rounded and update the unrounded weights
(Jacob et al. 2018, arXiv:1712.05877, section 3). Scales come from the batch, so the network's state does not change.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from export.zoo.joints import Joint

ACTIVATION_STEPS = 255  # between the least and the largest value
WEIGHT_STEPS = 127  # to either side of 0
TINY = torch.finfo(torch.float32).tiny
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


class _Rounded(torch.autograd.Function):
    """Round to the nearest of 256 levels between the least and the largest value, including 0."""

    @staticmethod
    def forward(_: Any, values: Tensor, each: bool) -> Tensor:
        real = values.float()
        low, high = torch.aminmax(real)
        low, high = low.clamp_max(0), high.clamp_min(0)
        step = ((high - low) / ACTIVATION_STEPS).clamp_min(TINY)
        zero = (-low / step).round()
        if not each:
            rounded = torch.fake_quantize_per_tensor_affine(real, step, zero.int(), 0, ACTIVATION_STEPS)
            return rounded.to(values.dtype)
        # only tensors: reading a number from an accelerator would make every layer wait for it
        steps = (real.amax((0, 2, 3)) / ACTIVATION_STEPS).clamp_min(TINY)
        steps = torch.where(low < 0, step, steps)
        zeros = zero.int().expand(len(steps)).contiguous()
        rounded = torch.fake_quantize_per_channel_affine(real, steps, zeros, 1, 0, ACTIVATION_STEPS)
        return rounded.to(values.dtype)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def round_activations(net: nn.Module) -> None:
    """Round the inputs of every convolution but the first, of every ELU and of every joint, in training mode only.

    Rectified values that a depthwise convolution reads are rounded per channel, other values per tensor:
    `quant.quantize.equalize` scales each channel of the former to the largest. Outputs are not rounded. Sums
    and the like are rounded only if they are modules (`export.zoo.joints`).
    """
    convolutions = [m for m in net.modules() if isinstance(m, CONVOLUTIONS)]
    for module in (*convolutions[1:], *(m for m in net.modules() if isinstance(m, (nn.ELU, Joint)))):
        module.register_forward_pre_hook(_round_inputs)


def _round_inputs(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    if not module.training:
        return None
    each = isinstance(module, nn.Conv2d) and module.groups > 1
    return tuple(_Rounded.apply(value, each) for value in args)


@contextmanager
def rounded_weights(net: nn.Module) -> Iterator[None]:
    """Round the kernels of convolutions per output channel inside the block, and restore them after it."""
    layers = [m for m in net.modules() if isinstance(m, CONVOLUTIONS)]
    with torch.no_grad():
        kept = [layer.weight.clone() for layer in layers]
        for layer in layers:
            kernel, axes = _by_output(layer)
            step = kernel.abs().amax(axes, keepdim=True) / WEIGHT_STEPS
            step.clamp_min_(TINY)
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
