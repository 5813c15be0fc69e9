"""The training loop: batches in, checkpoints, a log and averaged weights out."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader, Subset

from export.nets.lw_openpose import LwOpenPose
from export.train.checkpoint import Run
from export.train.data import Samples
from export.train.distributed import Workers
from export.train.losses import openpose_loss
from export.train.networks import MEAN, SCALE
from export.train.recipe import TrainRecipe
from quant.progress import Progress

SAVE_SECONDS = 60.0  # between checkpoints
LOG_STEPS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSpec:
    """What the recipe does not say.

    Attributes
    ----------
    output : Path
        Folder of checkpoint and log.
    seconds : float or None
        Stop after so long, with a checkpoint, to go on later.
    loaders : int
        Processes that prepare samples.
    device : str
    """

    output: Path
    seconds: float | None = None
    loaders: int = 1
    device: str = "cpu"


class Loop:
    """Train one network.

    Parameters
    ----------
    run : Run
        Restored where a checkpoint was.
    recipe : TrainRecipe
    samples : Samples
    spec : LoopSpec
    workers : Workers
        Which of several processes this is.
    """

    def __init__(
        self, run: Run, recipe: TrainRecipe, samples: Samples, spec: LoopSpec, workers: Workers
    ) -> None:
        self.run, self.recipe, self.samples, self.spec, self.workers = run, recipe, samples, spec, workers
        assert isinstance(run.net, LwOpenPose)
        self.net = run.net.to(spec.device, memory_format=torch.channels_last)
        self.forward = workers.wrap(self.net)
        self._started = time.monotonic()
        self._loss = 0.0

    def __call__(self, progress: Progress) -> bool:
        """Train to the end of the recipe, or as long as there is time; returns whether the end was reached."""
        saved = self._started
        with progress.items(self.recipe.network, self.recipe.steps) as bar:
            bar(self.run.step)
            for batch in self._batches():
                self._step(*batch)
                bar(1)
                if self.run.step % LOG_STEPS == 0:
                    self._log(progress)
                now = time.monotonic()
                if now - saved > SAVE_SECONDS:
                    self.save()
                    saved = now
                if self.spec.seconds is not None and now - self._started > self.spec.seconds:
                    break
        self.save()
        return self.run.step >= self.recipe.steps

    def save(self) -> None:
        """Write the checkpoint, in the first process only."""
        now = time.monotonic()
        self.run.seconds, self._started = self.run.seconds + now - self._started, now
        if self.workers.first:
            self.run.save(self.spec.output / "checkpoint.pt")

    def _batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Batches from where the run stands; each process takes its share of every batch."""
        mine = self.workers.share(self.recipe.batch)
        numbers = [
            step * self.recipe.batch + n for step in range(self.run.step, self.recipe.steps) for n in mine
        ]
        loader = DataLoader(
            Subset(self.samples, numbers),
            batch_size=len(mine),
            num_workers=self.spec.loaders,
            prefetch_factor=4 if self.spec.loaders else None,
            pin_memory=self.spec.device != "cpu",
        )
        yield from loader

    def _step(self, pictures: Tensor, maps: Tensor, mask: Tensor) -> None:
        recipe, run, device = self.recipe, self.run, self.spec.device
        images = ((pictures.to(device).float() - MEAN) * SCALE).contiguous(memory_format=torch.channels_last)
        half = recipe.precision == "bfloat16"
        with torch.autocast(device.split(":")[0], torch.bfloat16) if half else nullcontext():
            stages = self.forward(images)
        loss = openpose_loss(stages, maps.to(device).float(), mask.to(device), recipe.targets.weighting)
        rate = recipe.schedule.at(run.step, recipe.steps)
        for group in run.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        run.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if recipe.clip:
            clip_grad_norm_(self.net.parameters(), recipe.clip)
        run.optimizer.step()
        run.average.update(self.net)
        run.step += 1
        self._loss += float(loss.detach()) / LOG_STEPS

    def _log(self, progress: Progress) -> None:
        run, recipe = self.run, self.recipe
        seconds = run.seconds + time.monotonic() - self._started
        row = {
            "step": run.step,
            "pictures": run.step * recipe.batch,
            "seconds": round(seconds, 1),
            "rate": f"{recipe.schedule.at(run.step - 1, recipe.steps):.3g}",
            "loss": f"{self._loss:.3f}",
        }
        self._loss = 0.0
        if self.workers.first:
            append_row(self.spec.output / "log.csv", row)
            left = seconds / run.step * (recipe.steps - run.step) / 60
            speed = run.step * recipe.batch / seconds
            progress.say(
                f"  step {run.step}/{recipe.steps}  loss {row['loss']}  {speed:.1f} pictures/s  {left:.0f} min left"
            )


def append_row(path: Path, row: dict[str, object]) -> None:
    """Append to a CSV file, with a header when it is new."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
