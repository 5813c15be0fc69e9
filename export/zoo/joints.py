"""Where maps of different origin meet: modules, so that training can round their operands as an INT8 file does."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Joint(nn.Module):
    """Takes several maps; each of them is a tensor of its own in a quantized file, with its own or a shared scale."""


class Sum(Joint):
    """Adds two maps."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two of one shape to one."""
        return first + second


class Join(Joint):
    """Puts maps side by side."""

    def forward(self, *maps: Tensor) -> Tensor:
        """Maps of one height and width to one with all their channels."""
        return torch.cat(maps, 1)
