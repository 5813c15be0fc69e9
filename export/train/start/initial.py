"""Random initial weights, as in the papers of networks with batch norm."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

Net = TypeVar("Net", bound=nn.Module)
DEVIATION = 0.001  # as in HRNet's code and in the code of the networks that follow it


def small_normal(net: Net, small: str = "") -> Net:
    """Initialize every convolution and return the network.

    Parameters
    ----------
    net : Module
    small : str
        Convolutions whose name starts with this get N(0, 0.001) (Sun et al. 2019, HRNet; LPN, EfficientHRNet); the
        others get He et al.'s normal weights by fan-out. PyTorch initializes batch norm with 1 and 0.
    """
    for name, module in net.named_modules():
        if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            continue
        if name.startswith(small):
            nn.init.normal_(module.weight, std=DEVIATION)
        else:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    return net
