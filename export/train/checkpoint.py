"""Everything that a run needs to go on exactly where it stopped."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer

from export.train.optimizer import MovingAverage
from rpi_runtime.errors import InputError
from rpi_runtime.files import write_bytes

FORMAT = 1


@dataclass(slots=True, eq=False)
class Run:
    """The moving parts of a run; `step` batches are done."""

    net: nn.Module
    optimizer: Optimizer
    average: MovingAverage
    recipe: str
    step: int = 0
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        """Write a checkpoint; a former one stays whole until the new one is."""
        buffer = io.BytesIO()
        torch.save(
            {
                "format": FORMAT,
                "recipe": self.recipe,
                "step": self.step,
                "seconds": self.seconds,
                "net": self.net.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.state,
                "average_count": self.average.count,
            },
            buffer,
        )
        write_bytes(path, buffer.getvalue())

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        InputError
            Not a checkpoint, cut short, or of a run with another recipe.
        """
        try:
            data = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError) as err:
            raise InputError(
                f"{path}: cannot be read as a checkpoint ({err}); delete it to start again"
            ) from err
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise InputError(f"{path}: not a checkpoint of this version; delete it to start again")
        if data["recipe"] != self.recipe:
            raise InputError(
                f"{path}: belongs to another recipe; give another --output, or delete it to start again"
            )
        self.net.load_state_dict(data["net"])
        self.optimizer.load_state_dict(data["optimizer"])
        self.average.state, self.average.count = data["average"], data["average_count"]
        self.step, self.seconds = data["step"], data["seconds"]
