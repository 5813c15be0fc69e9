"""Checkpoints, from which a run resumes exactly."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer

from export.train.recipe_files import same_recipe
from export.train.run.optimizer import MovingAverage
from rpi_runtime.errors import InputError
from rpi_runtime.files import write_bytes

FORMAT = 1
NONE = float("-inf")
FIGURES = ("step", "seconds", "stage", "measured", "best", "stage_best", "losses", "lost")


@dataclass(slots=True, eq=False)
class TrainingState:
    """The state of a run.

    Attributes
    ----------
    net, optimizer, average
    recipe : str
        The recipe as JSON, without the paths of this machine.
    step : int
        Number of finished batches of the stage.
    seconds : float
    stage : int
        See `export.train.recipe.Iterate`.
    measured : int
        Step of the stage at which AP was last measured to choose weights; -1 before the first.
    best, stage_best : float
        Highest AP of all measurements and of those of this stage; `NONE` before the first.
    lost, losses : float, int
        Sum and number of the losses since the last row of the log.
    """

    net: nn.Module
    optimizer: Optimizer
    average: MovingAverage
    recipe: str
    step: int = 0
    seconds: float = 0.0
    stage: int = 0
    measured: int = -1
    best: float = NONE
    stage_best: float = NONE
    lost: float = 0.0
    losses: int = 0

    def save(self, path: Path) -> None:
        """Write a checkpoint. The previous one stays until the new one is complete."""
        buffer = io.BytesIO()
        torch.save(
            {
                "format": FORMAT,
                "recipe": self.recipe,
                **{key: getattr(self, key) for key in FIGURES},
                "net": self.net.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.state,
                "average_count": self.average.count,
            },
            buffer,
        )
        write_bytes(path, buffer.getvalue())

    def restore(self, path: Path) -> None:
        """Resume from a checkpoint.

        Raises
        ------
        InputError
            The file is not a checkpoint, is truncated, or belongs to a run with another recipe.
        """
        try:
            data = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError) as err:
            raise InputError(
                f"{path}: cannot be read as a checkpoint ({err}); delete it to start again"
            ) from err
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise InputError(f"{path}: not a checkpoint of this version; delete it to start again")
        if not same_recipe(data["recipe"], self.recipe):
            raise InputError(
                f"{path}: belongs to another recipe; give another --output, or delete it to start again"
            )
        self.net.load_state_dict(data["net"])
        self.optimizer.load_state_dict(data["optimizer"])
        state = self.average.state
        self.average.state = {k: v.to(state[k].device) for k, v in data["average"].items()}
        self.average.count = data["average_count"]
        for key in FIGURES:  # checkpoints of older versions lack the later figures
            setattr(self, key, data.get(key, getattr(self, key)))
