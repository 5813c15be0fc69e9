"""The training loop: batches in, checkpoints, a log and averaged weights out; stage after stage."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader, Dataset, default_collate

from export.train.data.data import Samples
from export.train.run.checkpoint import NONE, TrainingState
from export.train.run.distributed import Workers
from export.train.run.log import append_row
from export.train.run.measure import Measure
from export.train.run.optimizer import MovingAverage, adam
from export.train.run.precision import keep_unsafe_in_float32
from export.train.run.quantization_aware import round_activations, rounded_weights
from export.train.tasks.task import AnyTask
from quant.progress import reporter
from rpi_runtime.errors import InputError, PiposeError

SAVE_SECONDS = 60.0  # between checkpoints
LOG_STEPS = 50
HOPELESS = 20  # steps in a row without a finite gradient


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSpec:
    """Per-run settings that are not part of the recipe.

    Attributes
    ----------
    output : Path
        Folder of checkpoint and log.
    seconds : float or None
        Time after which the run stops with a checkpoint, to be resumed later.
    loaders : int
        Number of processes that prepare samples.
    device : str
    stretch : bool
        Whether the learning rate falls over `seconds` instead of over the recipe's steps: a whole schedule in borrowed
        time. Such a run cannot be repeated exactly.
    """

    output: Path
    seconds: float | None = None
    loaders: int = 1
    device: str = "cpu"
    stretch: bool = False


class Share(Dataset[tuple[Tensor, ...]]):
    """One process's samples of some steps, counted from 0."""

    def __init__(self, samples: Samples, steps: range, mine: range, batch: int) -> None:
        self.samples, self.steps, self.mine, self.batch = samples, steps, mine, batch

    def __len__(self) -> int:
        return len(self.steps) * len(self.mine)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        step, part = divmod(index, len(self.mine))
        return self.samples[self.steps[step] * self.batch + self.mine[part]]

    def __getitems__(self, indices: list[int]) -> list[Tensor] | PiposeError:
        """Return a batch, or the error, which would arrive as a traceback if a loading process raised it."""
        try:
            return list(default_collate([self[index] for index in indices]))
        except PiposeError as err:
            return err


def _as_it_is(batch: list[Tensor] | PiposeError) -> list[Tensor] | PiposeError:
    return batch


class Loop:
    """Train one network.

    Parameters
    ----------
    run : TrainingState
        The state, restored if there was a checkpoint.
    task : Task
    samples : Samples
    spec : LoopSpec
    workers : Workers
        This process among several.
    """

    def __init__(
        self, run: TrainingState, task: AnyTask, samples: Samples, spec: LoopSpec, workers: Workers
    ) -> None:
        self.run, self.task, self.samples, self.spec, self.workers = run, task, samples, spec, workers
        self.recipe = task.recipe
        self.measure = Measure(task, spec.output)
        self.net = run.net.to(spec.device, memory_format=torch.channels_last)
        if self.recipe.precision == "bfloat16" and spec.device == "cpu":
            keep_unsafe_in_float32(self.net)
        if self.recipe.quantization_aware:
            round_activations(self.net)
        self.forward = workers.wrap(task.trained(self.net))
        self._began = self._started = self._saved = time.monotonic()
        self._left_out = 0

    def __call__(self) -> bool:
        """Train to the end of the recipe or of the given time; return whether the end of the recipe was reached."""
        while self._stage():
            if self.run.stage + 1 == self.recipe.iterate.stages:
                return True
            self._next_stage()
        return False

    def _stage(self) -> bool:
        """Train to the end of a stage or of the given time; return whether the end of the stage was reached."""
        with reporter().items(self.recipe.network, self.recipe.steps) as bar:
            bar(self.run.step)
            for batch in self._batches():
                self._step(*batch)
                bar(1)
                if self.run.step % LOG_STEPS == 0:
                    self._log()
                self._keep()
                if self._is_late():
                    break
        if self.run.step == self.recipe.steps:
            self._keep()  # for a run that was stopped just before it measured its last step
        self.save()
        return self.run.step >= self.recipe.steps

    def _is_late(self) -> bool:
        if self.spec.seconds is None:
            return False
        return self.workers.agree(time.monotonic() - self._began > self.spec.seconds)

    def _keep(self) -> None:
        """Measure if it is due, and save afterwards or if the last checkpoint is old."""
        if self.measure.due(self.run):
            self._count_seconds()
            if self.workers.first:
                self.measure.choose(self.run)
            self.run.measured = self.run.step
            self.save()
        elif time.monotonic() - self._saved > SAVE_SECONDS:
            self.save()

    def _next_stage(self) -> None:
        """Restart optimizer, schedule and average from the best weights of this stage."""
        run, recipe = self.run, self.recipe
        self.workers.wait()  # the first process writes them
        self.net.load_state_dict(self.measure.best_of_stage(run.stage))
        run.optimizer = adam(self.net, recipe.groups, recipe.schedule.rate)
        run.average = MovingAverage(self.net, recipe.average)
        reporter().say(f"  stage {run.stage + 1} done, best AP {run.stage_best:.2f}")
        run.stage, run.step, run.measured, run.stage_best = run.stage + 1, 0, -1, NONE
        run.lost, run.losses = 0.0, 0
        self.save()

    def save(self) -> None:
        """Write the checkpoint, in the first process only."""
        self._count_seconds()
        self._saved = time.monotonic()
        if self.workers.first:
            self.run.save(self.spec.output / "checkpoint.pt")

    def _count_seconds(self) -> None:
        now = time.monotonic()
        self.run.seconds, self._started = self.run.seconds + now - self._started, now

    def _batches(self) -> Iterator[list[Tensor]]:
        """Yield the remaining batches; each process takes its share of every batch."""
        recipe, run = self.recipe, self.run
        mine, before = self.workers.share(recipe.batch), run.stage * recipe.steps
        steps = range(before + run.step, before + recipe.steps)
        loader = DataLoader(
            Share(self.samples, steps, mine, recipe.batch),
            batch_size=len(mine),
            num_workers=self.spec.loaders,
            prefetch_factor=4 if self.spec.loaders else None,
            collate_fn=_as_it_is,
            pin_memory=self.spec.device != "cpu",
        )
        for batch in loader:
            if isinstance(batch, PiposeError):
                raise batch
            yield batch

    def _step(self, *batch: Tensor) -> None:
        recipe, run, device = self.recipe, self.run, self.spec.device
        pictures, *targets = self.samples.render([*batch], run.stage * recipe.steps + run.step, device)
        images = self.task.inputs(pictures.to(device)).contiguous(memory_format=torch.channels_last)
        for group in run.optimizer.param_groups:
            group["lr"] = recipe.schedule.at(run.step, self._length()) * group["factor"]
        run.optimizer.zero_grad(set_to_none=True)
        buffers = [b.clone() for b in self.net.buffers()]  # batch norm's statistics
        with rounded_weights(self.net) if recipe.quantization_aware else nullcontext():
            loss = self._loss_of(images, [t.to(device) for t in targets])
            loss.backward()
        norm = clip_grad_norm_(self.net.parameters(), recipe.clip or math.inf)
        run.step += 1
        run.lost, run.losses = run.lost + float(loss.detach()), run.losses + 1
        if torch.isfinite(norm):
            run.optimizer.step()
            run.average.update(self.net)
            self._left_out = 0
        else:
            self._leave_out(buffers)

    def _length(self) -> float:
        """Return the number of steps over which the learning rate falls."""
        seconds, elapsed = self.spec.seconds, time.monotonic() - self._began
        if not self.spec.stretch or not seconds or not self.run.step:
            return self.recipe.steps
        return min(self.run.step * max(seconds / elapsed, 1.0), float(self.recipe.steps))

    def _loss_of(self, images: Tensor, targets: list[Tensor]) -> Tensor:
        half, kind = self.recipe.precision == "bfloat16", self.spec.device.split(":")[0]
        with torch.autocast(kind, torch.bfloat16) if half else nullcontext():
            outputs = self.forward(images)
        return self.task.loss(outputs, targets)

    def _leave_out(self, buffers: list[Tensor]) -> None:
        """Skip a step whose gradient is not finite. Many in a row raise an error."""
        for now, before in zip(self.net.buffers(), buffers, strict=True):
            now.copy_(before)
        self._left_out += 1
        if self._left_out == HOPELESS:
            raise InputError(
                f"step {self.run.step}: the last {HOPELESS} gradients were not finite, the training has diverged; "
                "start another run with a lower schedule.rate or in float32, if you like from this one's "
                'best.safetensors ([start] method = "load")'
            )

    def _log(self) -> None:
        run, recipe = self.run, self.recipe
        seconds = run.seconds + time.monotonic() - self._started
        done, steps = run.stage * recipe.steps + run.step, recipe.iterate.stages * recipe.steps
        row = {
            "stage": run.stage,
            "step": run.step,
            "pictures": run.step * recipe.batch,
            "seconds": round(seconds, 1),
            "rate": f"{recipe.schedule.at(run.step - 1, self._length()):.3g}",
            "loss": f"{run.lost / run.losses:.4g}",
        }
        run.lost, run.losses = 0.0, 0
        if self.workers.first:
            append_row(self.spec.output / "log.csv", row)
            left = seconds / done * (steps - done) / 60
            speed = done * recipe.batch / seconds
            reporter().say(
                f"  step {done}/{steps}  loss {row['loss']}  {speed:.1f} pictures/s  {left:.0f} min left"
            )
