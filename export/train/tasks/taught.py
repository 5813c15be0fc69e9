"""A network in training beside the one that teaches it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Taught(nn.Module):
    """Gives what both say of the same pictures; the teacher stays as it is and is no part of what is saved.

    Parameters
    ----------
    net, teacher : nn.Module
    look : str
        The method of both that is called.
    """

    def __init__(self, net: nn.Module, teacher: nn.Module, look: str = "forward") -> None:
        super().__init__()
        self.net, self.look = net, look
        self._teacher = (teacher.eval().requires_grad_(False),)  # a tuple: no submodule

    def forward(self, images: Tensor) -> tuple[Any, Any]:
        """(N, 3, H, W) to the network's outputs and the teacher's."""
        (teacher,) = self._teacher
        with torch.no_grad():
            taught = getattr(teacher.to(images.device), self.look)(images)
        return getattr(self.net, self.look)(images), taught
