"""Multiply-adds of a network, as the papers count them: those of its convolutions and linear layers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from copy import deepcopy
from math import prod
from typing import TYPE_CHECKING

from export.zoo.registry import MODELS
from quant.cli import make_parser, run_command
from rpi_runtime.command_line import exit_codes

if TYPE_CHECKING:
    from torch import Tensor, nn


def count_parameters(net: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(p.numel() for p in net.parameters())


def count_macs(net: nn.Module, width: int, height: int) -> int:
    """Return the multiply-adds for one picture. Only shapes are propagated; nothing is computed.

    Parameters
    ----------
    net : nn.Module
        With one (1, 3, height, width) input; not changed.
    width, height : int
        Pixels.
    """
    import torch
    from torch import nn

    total = 0
    net = deepcopy(net).to("meta").eval()

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += _macs(module, inputs[0], output)

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.register_forward_hook(add)
    with torch.inference_mode():
        net(torch.empty(1, 3, height, width, device="meta"))
    return total


def _macs(module: nn.Module, value: Tensor, output: Tensor) -> int:
    """Each value of the weights is used once per position of the map that the kernel moves over."""
    from torch import nn

    assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    if isinstance(module, nn.Linear):
        positions = prod(output.shape[:-1])
    else:
        positions = prod((value if isinstance(module, nn.ConvTranspose2d) else output).shape[2:])
    macs: int = module.weight.numel() * positions
    return macs


def main(argv: Sequence[str] | None = None) -> int:
    """Count and print parameters and multiply-adds of every network of the zoo."""
    make_parser(
        "export.macs",
        "Parameters and multiply-adds of every network of the zoo, counted at its nominal input.",
        exit_codes(8),
    ).parse_args(argv)
    import torch

    for name, entry in MODELS.items():
        with torch.device("meta"):
            net = entry.bare()
        width, height = entry.facts.size
        macs = count_macs(net, width, height)
        print(
            f"{name:<18} {count_parameters(net):>10} parameters {macs:>12} multiply-adds at {width}x{height}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
