"""The command line of the training: python -m export.train RECIPE --output DIR --path KEY=FOLDER..."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from export.nets.lw_openpose import PUBLISHED, LwOpenPose
from export.nets.lw_openpose_sources import SOURCES
from export.nets.lw_openpose_weights import load_lw_openpose
from export.train import networks
from export.train.augment import Augmentation
from export.train.checkpoint import Run
from export.train.data import Samples, SampleSpec, read_source
from export.train.distributed import join
from export.train.loop import Loop, LoopSpec, append_row
from export.train.optimizer import MovingAverage, parameter_groups
from export.train.prune import prune
from export.train.recipe import TrainRecipe, read_recipe, recipes
from export.train.targets import TargetSpec
from export.train.validate import held_out, validate
from export.weights import find_weights
from quant.cli import run_command
from quant.progress import Progress
from rpi_runtime.errors import UsageError
from rpi_runtime.files import write_bytes


def initial_network(recipe: TrainRecipe, samples: Samples, progress: Progress) -> LwOpenPose:
    """Return the network as the recipe starts it."""
    torch.manual_seed(recipe.seed)
    net = networks.build(recipe.network)
    start = recipe.start
    if start.method == "scratch":
        return net
    layout = PUBLISHED if start.method == "prune" else networks.layout(recipe.network)
    published, scale, _ = load_lw_openpose(find_weights(start.weights, SOURCES, progress), layout)
    if published.graph != net.graph or abs(scale - networks.SCALE) > 1e-9:
        raise UsageError(f"start.weights {start.weights}: expected weights of the omz graph")
    if start.method == "load":
        net.load_state_dict(published.state_dict())
        return net
    with progress.stage("prune"):
        prune(published, net, _pictures(samples, recipe.start.pictures))
    return net


def _pictures(samples: Samples, count: int) -> Tensor:
    """Inputs of the first size, each picture as it is but fitted into it."""
    still = Augmentation(
        scale=(1.0, 1.0), rotation=0.0, shift=0.0, flip=0.0, gain=0.0, offset=0.0, grey=0.0, noise=0.0
    )
    spec = replace(samples.spec, augmentation=still, sizes=samples.spec.sizes[:1])
    fitted = Samples(samples.examples, spec, count)
    pictures = torch.stack([fitted[n][0] for n in range(count)])
    return (pictures.float() - networks.MEAN) * networks.SCALE


def read_samples(recipe: TrainRecipe, progress: Progress) -> Samples:
    """Read every source, less what is held out."""
    hidden: tuple[str, ...] = held_out(recipe.holdout)[1] if recipe.holdout else ()
    examples = [e for s in recipe.data for e in read_source(s, hidden, progress)]
    targets = TargetSpec(
        stride=networks.layout(recipe.network).stride,
        sigma=recipe.targets.sigma,
        limb_width=recipe.targets.limb_width,
    )
    spec = SampleSpec(
        sizes=recipe.network_sizes,
        batch=recipe.batch,
        targets=targets,
        augmentation=recipe.augmentation,
        seed=recipe.seed,
        teacher=recipe.teacher,
    )
    progress.say(f"  {len(examples)} pictures, {sum(len(e.people) for e in examples)} people")
    return Samples(examples, spec, recipe.steps * recipe.batch)


def measure(run: Run, recipe: TrainRecipe, output: Path, progress: Progress) -> None:
    """AP of the averaged weights on the held-out pictures, at every size."""
    if recipe.holdout is None:
        return
    split, _ = held_out(recipe.holdout)
    net = networks.build(recipe.network).eval()
    net.load_state_dict(run.average.state)
    for width, height in recipe.network_sizes:
        result = validate(net, networks.card(recipe.network, width, height), split)
        row = {
            "step": run.step,
            "pictures": run.step * recipe.batch,
            "seconds": round(run.seconds, 1),
            **asdict(result),
        }
        append_row(output / "ap.csv", row)
        progress.say(
            f"  AP {result.ap:.2f}, of large people {result.ap_large:.2f} at {result.size}, held-out pictures"
        )


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(
        prog="python -m export.train",
        description="Train a pose network by a recipe, one TOML file.",
        epilog=f"Recipes that come along: {', '.join(recipes())}.\n\n"
        "Labels for pictures without: python -m export.train.label --help\n"
        "Example: python -m export.train lw-openpose-pi --output runs/pi --path coco=~/coco --path labels=labels.json "
        "--path unlabelled=~/pictures --path weights=omz\n\n"
        "The same command goes on with a run that was stopped, exactly as if it had not been. Several GPUs or\n"
        "machines: torchrun --nproc-per-node 4 -m export.train ...\n\n"
        "In the output folder: checkpoint.pt, log.csv, ap.csv, and at the end weights.safetensors.\n"
        "Exit codes: 0 done or out of --minutes, 2 wrong usage, 3 bad input, 5 output not writable, 130 Ctrl-C.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("recipe", metavar="RECIPE", help="a name, or a .toml of your own")
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
    result.add_argument("--minutes", type=float, metavar="N", help="stop after so long, to go on later")
    result.add_argument(
        "--loaders", type=int, default=1, metavar="N", help="processes that prepare samples (1)"
    )
    result.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda"
    )
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Train."""
    args = parser().parse_args(argv)
    pairs = [p.partition("=") for p in args.path]
    if any(not value for _, _, value in pairs):
        raise UsageError("--path: expected KEY=PATH")
    recipe = read_recipe(args.recipe, {key: value for key, _, value in pairs})
    workers = join(args.device)
    progress = Progress(quiet=not workers.first)
    args.output.mkdir(parents=True, exist_ok=True)
    samples = read_samples(recipe, progress)
    checkpoint = args.output / "checkpoint.pt"
    going_on = checkpoint.exists()
    net = networks.build(recipe.network) if going_on else initial_network(recipe, samples, progress)
    run = Run(
        net=net.train().to(args.device),
        optimizer=torch.optim.AdamW(parameter_groups(net, recipe.groups), lr=recipe.schedule.rate),
        average=MovingAverage(net, recipe.average),
        recipe=json.dumps(asdict(recipe), sort_keys=True),
    )
    if going_on:
        run.restore(checkpoint)
        progress.say(f"  going on from step {run.step}")
    seconds = args.minutes * 60 if args.minutes else None
    spec = LoopSpec(output=args.output, seconds=seconds, loaders=args.loaders, device=args.device)
    finished = Loop(run, recipe, samples, spec, workers)(progress)
    if workers.first:
        measure(run, recipe, args.output, progress)
        if finished:
            from safetensors.torch import save

            weights = {k: v.cpu().contiguous() for k, v in run.average.state.items()}
            write_bytes(args.output / "weights.safetensors", save(weights))
        else:
            progress.say("  out of time; the same command goes on")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
