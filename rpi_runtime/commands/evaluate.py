"""Accuracy on this machine: ``python -m rpi_runtime evaluate --model M.tflite --coco DIR``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from rpi_runtime.cascade.spec import RefineConfig
from rpi_runtime.command_line import AS_JSON, COCO, SPLIT, exit_codes
from rpi_runtime.commands.parser import make_parser, set_up_logging
from rpi_runtime.errors import CardError
from rpi_runtime.estimate import Estimator
from rpi_runtime.evaluate.coco import CocoSplit, read_split
from rpi_runtime.evaluate.run import Evaluated, evaluate_split
from rpi_runtime.health.timing import format_table
from rpi_runtime.model.interpreter import Model

HELP = "measure COCO keypoint AP on this machine, with the latency of each stage"
EXAMPLES = """\
examples:
  python -m rpi_runtime evaluate --model M.tflite --coco ~/coco
  python -m rpi_runtime evaluate --model FINDER.tflite --refine CROPS.tflite --coco ~/coco --json > ap.json

DIR holds annotations/person_keypoints_val2017.json and val2017/*.jpg (a part of the pictures is enough).
AP is COCO's, and equals pycocotools' to 1e-9: of keypoints, or of the boxes of a detector alone.
The people are those that `run` finds, without ids.

""" + exit_codes(8, own={3: "no such file, or annotations that cannot be scored"})
PERIOD_S = 5.0  # between two lines of progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``evaluate``."""
    parser.add_argument(
        "--model", required=True, metavar="FILE", help="a .tflite with its card, which finds people"
    )
    parser.add_argument("--refine", metavar="FILE", help="a .tflite that refines each person on a crop")
    parser.add_argument("--coco", required=True, type=Path, metavar="DIR", help=COCO)
    parser.add_argument("--split", default="val2017", help=SPLIT)
    parser.add_argument("--threads", type=int, metavar="N", help="default: all, at most 4")
    parser.add_argument("--json", action="store_true", help=AS_JSON)


def main(argv: list[str]) -> int:
    """Evaluate, print it and return the exit code."""
    parser = make_parser("evaluate", HELP, EXAMPLES)
    add_arguments(parser)
    args = parser.parse_args(argv)
    set_up_logging(verbose=args.verbose)
    estimator = _estimator(args)
    split = read_split(args.coco, args.split)
    if split.missing:
        print(
            f"{split.missing} images of {split.name} are not on disk; evaluating on the others",
            file=sys.stderr,
        )
    result = evaluate_split(estimator, split, _Progress(len(split.images)))
    print(json.dumps(asdict(result), indent=1) if args.json else format_result(result, estimator, split))
    return 0


def format_result(result: Evaluated, estimator: Estimator, split: CocoSplit) -> str:
    """Return what ``evaluate`` prints."""
    f = result.figures
    names = {"AP": f.ap, "AP50": f.ap50, "AP75": f.ap75, "AP M": f.ap_medium, "AP L": f.ap_large, "AR": f.ar}
    figures = "  ".join(
        f"{name} {'-' if value < 0 else format(value, '.2f')}" for name, value in names.items()
    )
    blind = (
        "         nobody is found where somebody is annotated; see whether size, mean, scale, channels and thresholds\n"
        "         of the card are those of the network\n"
        if f.ap == 0
        else ""
    )
    refined = f", {result.refined} of them refined" if "refine" in result.stages else ""
    return (
        f"model    {estimator.models[0].describe()}\n"
        f"images   {result.images} of {split.name}, {result.people} people found{refined}\n"
        f"COCO     {figures}\n{blind}\n{format_table(result.stages)}"
    )


class _Progress:
    """Reports the progress on standard error every few seconds."""

    def __init__(self, total: int) -> None:
        self._total, self._said = total, time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self._said >= PERIOD_S:
            self._said = now
            print(f"{done} of {self._total} images", file=sys.stderr)


def _estimator(args: argparse.Namespace) -> Estimator:
    estimator = _make_estimator(args)
    if estimator.skeleton.keypoints and not estimator.skeleton.coco:
        path = args.model if args.refine is None else args.refine
        raise CardError(f"{path}: its skeleton names no COCO keypoints, so COCO cannot score it")
    return estimator


def _make_estimator(args: argparse.Namespace) -> Estimator:
    model = Model(args.model, threads=args.threads)
    if args.refine is None:
        return Estimator([model], track=False)
    from rpi_runtime.cascade.cascade import open_cascade  # loaded only if it is used

    config = RefineConfig(model=args.refine, budget_ms=0)  # no limit of time
    cascade = open_cascade(config, model.card.skeleton, threads=args.threads)
    return Estimator([model], track=False, cascade=cascade)
