"""A network in training together with its teacher."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Taught(nn.Module):
    """Runs both on the same pictures. The teacher is not trained, and its weights are not saved.

    Parameters
    ----------
    net, teacher : nn.Module
    look : str
        Name of the method of both that is called.
    """

    def __init__(self, net: nn.Module, teacher: nn.Module, look: str = "forward") -> None:
        super().__init__()
        self.net, self.look = net, look
        self._teacher = (teacher.eval().requires_grad_(False),)  # a tuple, so that it is not a submodule

    def forward(self, images: Tensor) -> tuple[Any, Any]:
        """Return the outputs of the network and of the teacher for (N, 3, H, W)."""
        (teacher,) = self._teacher
        with torch.no_grad():
            taught = getattr(teacher.to(images.device), self.look)(images)
        return getattr(self.net, self.look)(images), taught
