"""The command line of the training: python -m export.train RECIPE --output DIR --path KEY=FOLDER..."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import torch

from export.train.data.data import Samples
from export.train.data.kept import KeptSamples
from export.train.family_recipes import TrainRecipe
from export.train.recipe_files import as_written, read_recipe, recipes, samples_key
from export.train.run.checkpoint import TrainingState
from export.train.run.distributed import Workers, join
from export.train.run.loop import Loop, LoopSpec
from export.train.run.measure import save_finished
from export.train.run.optimizer import MovingAverage, adam
from export.train.tasks.families import task_of
from export.train.tasks.task import AnyTask
from export.zoo.registry import TRAINABLE
from quant.cli import make_parser
from quant.progress import Progress, reporter, reporting
from rpi_runtime.command_line import Parser, exit_codes
from rpi_runtime.errors import OutputError, UsageError
from rpi_runtime.strict import finite


def parser() -> Parser:
    """Return the command line."""
    result = make_parser(
        "export.train",
        "Train a pose network by a training recipe, one TOML file.",
        f"Training recipes that come along: {', '.join(recipes())}.\n"
        f"Networks: {', '.join(TRAINABLE)}.\n\n"
        "Labels for pictures without: python -m export.train.label --help\n"
        "Example: python -m export.train lw-openpose --output runs/lw --path coco=$HOME/coco --path labels=labels.json "
        "--path unlabelled=$HOME/pictures --path teacher=teacher.tflite --path weights=omz\n\n"
        "The same command goes on with a run that was stopped, exactly as if it had not been. Several GPUs or\n"
        "machines: torchrun --nproc-per-node 4 -m export.train ...\n\n"
        "In the output folder: checkpoint.pt, log.csv, ap.csv (held-out pictures), best.safetensors (the best of\n"
        "those measured), with stages stage-N.safetensors (the best of each), and at the end weights.safetensors,\n"
        "which export.tflite --weights takes.\n\n"
        + exit_codes(3, 4, 5, 8, own={0: "done or out of --minutes"}),
    )
    result.add_argument("recipe", metavar="RECIPE", help="a training recipe: a name, or FILE.toml")
    result.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="checkpoint, log and weights"
    )
    result.add_argument(
        "--path",
        action="append",
        default=[],
        metavar="KEY=PATH",
        help="what a {KEY} in the recipe stands for",
    )
    result.add_argument(
        "--minutes", type=finite, metavar="N", help="stop after N minutes; run again to go on"
    )
    result.add_argument(
        "--loaders", type=int, default=1, metavar="N", help="processes that prepare samples (1)"
    )
    result.add_argument(
        "--samples",
        type=Path,
        metavar="DIR",
        help="keep the samples of a recipe with `reuse` here, for later epochs and for other runs with the same data "
        "(0.2 MB for each of 240x184 with maps)",
    )
    result.add_argument(
        "--stretch",
        action="store_true",
        help="with --minutes: the learning rate falls over the given time instead of over the recipe's steps; for "
        "borrowed time on another machine. Not the same twice",
    )
    result.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda"
    )
    return result


def check_machine(device: str, loaders: int, minutes: float | None) -> None:
    """Raise `UsageError` for options that this machine does not support, before pictures are read for minutes."""
    if device != "cpu" and not re.fullmatch(r"cuda(:\d+)?", device):
        raise UsageError(f"--device {device}: expected cpu, cuda or cuda:0")
    if device != "cpu" and not torch.cuda.is_available():
        raise UsageError(f"--device {device}: no CUDA device that torch can use here; take --device cpu")
    if loaders < 0 or (minutes is not None and minutes <= 0):
        raise UsageError("--loaders: expected 0 or more, and --minutes more than 0")


def make_folder(path: Path) -> None:
    """Create the output folder; raises `OutputError` if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"--output {path}: cannot be made ({err.strerror}); choose another folder") from err


def keep_samples(samples: Samples, task: AnyTask, folder: Path) -> None:
    """Keep the samples in a folder."""
    if not task.recipe.reuse:
        raise UsageError("--samples: the recipe draws new samples in every epoch; give it reuse = 5, say")
    like = samples[0]  # raises if the teacher does not fit
    names = (e.name for e in samples.examples)
    samples.kept = KeptSamples(folder, samples_key(task.recipe, str(task.description.outputs), names), like)


def main(argv: Sequence[str] | None = None) -> int:
    """Train."""
    args = parser().parse_args(argv)
    check_machine(args.device, args.loaders, args.minutes)
    if args.stretch and args.minutes is None:
        raise UsageError("--stretch: over which time? Add --minutes N")
    pairs = [p.partition("=") for p in args.path]
    if any(not value for _, _, value in pairs):
        raise UsageError("--path: expected KEY=PATH")
    recipe = read_recipe(args.recipe, {key: value for key, _, value in pairs})
    if args.stretch and recipe.iterate.stages > 1:
        raise UsageError(
            f"--stretch: {args.recipe} has {recipe.iterate.stages} stages, each with a schedule; leave it out"
        )
    workers = join(args.device)
    with reporting(Progress(quiet=not workers.first)):
        _train(args, recipe, workers)
    return 0


def _train(args: argparse.Namespace, recipe: TrainRecipe, workers: Workers) -> None:
    make_folder(args.output)
    task = task_of(recipe)
    samples = task.read_samples()
    if args.samples:
        keep_samples(samples, task, args.samples)
    checkpoint = args.output / "checkpoint.pt"
    going_on = checkpoint.exists()
    net = (task.build() if going_on else task.start(samples)).train().to(args.device)
    if args.device != "cpu" and not args.samples:
        samples.place(args.device)
    run = TrainingState(
        net=net,
        optimizer=adam(net, recipe.groups, recipe.schedule.rate),
        average=MovingAverage(net, recipe.average),
        recipe=as_written(args.recipe),
    )
    if going_on:
        run.restore(checkpoint)
        reporter().say(f"  going on from step {run.step}")
    seconds = args.minutes * 60 if args.minutes else None
    spec = LoopSpec(
        output=args.output,
        seconds=seconds,
        loaders=args.loaders,
        device=args.device,
        stretch=args.stretch,
    )
    loop = Loop(run, task, samples, spec, workers)
    finished = loop()
    if workers.first and finished:
        trained = task.build().eval()
        trained.load_state_dict({k: v.cpu() for k, v in run.average.state.items()})
        task.finish(trained, samples)
        save_finished(trained, args.output / "weights.safetensors")
    elif workers.first:
        loop.measure(run)
        reporter().say("  out of time; the same command goes on")
