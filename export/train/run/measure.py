"""AP on held-out pictures during a run: rows in ap.csv, and the best weights kept in files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor, nn

from export.train.run.checkpoint import TrainingState
from export.train.run.log import append_row
from export.train.tasks.task import AnyTask
from export.train.validate import held_out, validate
from quant.accuracy.evaluation import score
from quant.progress import reporter
from rpi_runtime.errors import InputError
from rpi_runtime.files import write_bytes

State = dict[str, Tensor]


class Measure:
    """Measures the averaged weights of a run, unless the network is a detector, which has no keypoints to score.

    Parameters
    ----------
    task : Task
    output : Path
        Folder of ap.csv, best.safetensors (of the whole run) and, in a run of stages, stage-N.safetensors (of each).
    """

    def __init__(self, task: AnyTask, output: Path) -> None:
        self.task, self.output, self.recipe = task, output, task.recipe
        scored = task.recipe.holdout if task.description.skeleton.coco else None
        self._split = held_out(scored)[0] if scored else None
        if self._split:
            score([], self._split)  # so that an unusable network raises now instead of after hours

    def due(self, run: TrainingState) -> bool:
        """Return whether to measure the weights of this step: as often as the recipe says, and at a stage's end."""
        holdout = self.recipe.holdout
        if holdout is None or self._split is None or run.step == run.measured:
            return False
        return run.step == self.recipe.steps or bool(holdout.every and run.step % holdout.every == 0)

    def choose(self, run: TrainingState) -> None:
        """Measure, and keep the weights if they are the best so far."""
        ap = self(run)
        run.measured = run.step
        state = _saved(run)
        if ap > run.stage_best:
            run.stage_best = ap
            if self.recipe.iterate.stages > 1:
                write_bytes(self.stage_file(run.stage), save(state))
        if ap > run.best:
            run.best = ap
            write_bytes(self.output / "best.safetensors", save(state))

    def __call__(self, run: TrainingState) -> float:
        """Write the AP of every size into ap.csv, and return their mean."""
        if self._split is None:
            return -1.0
        net = self.task.build().eval()
        net.load_state_dict(_saved(run))
        total = 0.0
        for card in self.task.cards:
            result = validate(lambda x: self.task.maps(net(x)), card, self._split)
            total += result.ap
            row = {
                "stage": run.stage,
                "step": run.step,
                "pictures": run.step * self.recipe.batch,
                "seconds": round(run.seconds, 1),
                **asdict(result),
            }
            append_row(self.output / "ap.csv", row)
            reporter().say(
                f"  AP {result.ap:.2f}, of large people {result.ap_large:.2f} at {result.size}, held-out pictures"
            )
        return total / len(self.task.cards)

    def stage_file(self, stage: int) -> Path:
        """Return the path of the best weights of a stage."""
        return self.output / f"stage-{stage}.safetensors"

    def best_of_stage(self, stage: int) -> State:
        """Read the best weights of a stage."""
        path = self.stage_file(stage)
        try:
            return dict(load(path.read_bytes()))
        except OSError as err:
            raise InputError(
                f"{path}: the next stage starts from it, and it cannot be read ({err.strerror}); put it back"
            ) from err


def save_finished(net: nn.Module, path: Path) -> None:
    """Write a network's weights."""
    write_bytes(path, save({key: value.contiguous() for key, value in net.state_dict().items()}))


def _saved(run: TrainingState) -> State:
    return {key: value.cpu().contiguous() for key, value in run.average.state.items()}
