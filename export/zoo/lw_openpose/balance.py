"""Bring the channels of residual sums to one size, without changing what the network computes.

A channel that nearly always sleeps may, once in a while, be a hundred times larger than the others. In int8, where a
tensor has one scale, the others then keep a few levels. Where both summands are rectified, each channel of a sum can be
divided by a number that its readers multiply with (Nagel et al. 2019, arXiv:1906.04721, section 4.1, across the
sum). `quant.quantize.equalize` does the same across single convolutions, not across sums.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.zoo.lw_openpose.module import LwOpenPose
from export.zoo.lw_openpose.prune import Space, spaces

SPREAD = 1.0  # no channel may reach further than this times the median channel; 0.5 and 2 leave more noise


def balance(net: LwOpenPose, pictures: Tensor) -> int:
    """Divide outlier channels of residual sums in place.

    Parameters
    ----------
    net : LwOpenPose
        A network of the ``omz`` form.
    pictures : Tensor, shape (N, 3, H, W), float32
        Inputs; what no picture wakes stays as it is.

    Returns
    -------
    int
        How many channels were divided.
    """
    sums = [s for s in spaces(net.widths) if s.rectified and len(s.producers) > 1]
    reach = _reach(net, sums, pictures)
    modules = dict(net.named_modules())
    changed = 0
    for space, largest in zip(sums, reach, strict=True):
        if not (largest > 0).any():
            continue  # no picture wakes any of it
        factor = (largest / (SPREAD * largest[largest > 0].median())).clamp_min(1.0)
        changed += int((factor > 1).sum())
        with torch.no_grad():
            for name in space.producers:
                _convolution(modules, name).weight.div_(factor[:, None, None, None])
                bias = _convolution(modules, name).bias
                assert bias is not None
                bias.div_(factor)
            for reader in space.readers:
                convolution = _convolution(modules, reader.name)
                shape = (1, -1, 1, 1) if convolution.groups == 1 else (-1, 1, 1, 1)
                convolution.weight.mul_(factor.reshape(shape))
    return changed


def _convolution(modules: dict[str, nn.Module], name: str) -> nn.Conv2d:
    module = modules[name]
    assert isinstance(module, nn.Conv2d)
    return module


def _reach(net: LwOpenPose, sums: list[Space], pictures: Tensor) -> list[Tensor]:
    """Largest value of each channel at any reader of each sum."""
    modules = dict(net.named_modules())
    found: dict[str, Tensor] = {}

    def watch(name: str) -> None:
        def hook(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            largest = args[0].amax((0, 2, 3))
            found[name] = torch.maximum(found[name], largest) if name in found else largest

        handles.append(modules[name].register_forward_pre_hook(hook))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    for space in sums:
        for reader in space.readers:
            watch(reader.name)
    with torch.inference_mode():
        for some in pictures.split(4):
            net(some)
    for handle in handles:
        handle.remove()
    return [torch.stack([found[r.name] for r in s.readers]).amax(0).clone() for s in sums]
