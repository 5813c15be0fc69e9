"""COCO AP of .tflite files, through the runtime's own preprocessing, interpreter and decoder.

    python -m quant.evaluate --model FILE... --coco DIR [--boxes gt|FILE.json] [--flip]
    python -m quant.evaluate --model FINDER... --refine CROPS --coco DIR

A detector alone is scored by its boxes.

Networks with tags and top-down networks are tested as in their papers, with one exception: a .tflite has one input
size, into which every picture is fitted whole, whereas the papers of networks with tags use a size of each picture's
aspect ratio. `export.evaluate` does that, with the float network.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from quant.accuracy.boxes import Boxes, detected_boxes
from quant.accuracy.evaluation import Evaluation, EvaluationSpec, evaluate_file, say_missing, table
from quant.accuracy.predict import PAF_DECODING, Procedure
from quant.cli import make_parser, run_command
from quant.progress import Progress, print_table, reporter, reporting
from rpi_runtime.command_line import AS_JSON, COCO, SPLIT, exit_codes
from rpi_runtime.errors import InputError, UsageError
from rpi_runtime.evaluate.coco import CocoSplit, read_split
from rpi_runtime.files import ensure_writable, write_text
from rpi_runtime.model.card import read_card


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = make_parser(
        "quant.evaluate",
        "COCO AP of .tflite files, through the runtime's own preprocessing and decoder: of keypoints, "
        "or of the boxes of a detector alone.",
        "example:\n  python -m quant.evaluate --model models/*.tflite --coco ~/coco\n\n"
        + exit_codes(3, 5, 8),
        former={"--results": "--output"},
    )
    result.add_argument("files", nargs="*", type=Path, help=argparse.SUPPRESS)  # as in earlier versions
    result.add_argument(
        "--model", nargs="+", type=Path, default=[], metavar="FILE", help="each a .tflite of pipose"
    )
    result.add_argument("--coco", type=Path, required=True, metavar="DIR", help=COCO)
    result.add_argument("--split", default="val2017", help=SPLIT)
    result.add_argument(
        "--threads", type=int, metavar="N", help="of the interpreter (default: of the machine)"
    )
    result.add_argument(
        "--decode", choices=tuple(PAF_DECODING), default="",
        help="fast as the runtime, exact as the paper (default: fast with PAFs, exact with tags and crops); "
        "the others are variants with PAFs",
    )  # fmt: skip
    result.add_argument(
        "--flip",
        action="store_true",
        help="average with the outputs for the mirrored picture (tags and crops)",
    )
    result.add_argument(
        "--boxes", default="gt", metavar="gt|FILE.json",
        help="people for networks of crops: as annotated, or a detector's results in COCO's format (default gt)",
    )  # fmt: skip
    result.add_argument(
        "--refine", metavar="FILE", default="",
        help="a .tflite that refines each person found on a crop: measures the pair by the runtime's own cascade",
    )  # fmt: skip
    result.add_argument("--json", action="store_true", help=AS_JSON)
    result.add_argument(
        "--output", type=Path, metavar="DIR",
        help="write detections in COCO's result format and figures per image there, one file a model",
    )  # fmt: skip
    return result


def _check_files(files: Sequence[Path], output: Path | None, boxes: str) -> None:
    """Check every file before minutes of work on the first one."""
    for path in files:
        card = read_card(path)
        if boxes != "gt" and not card.sees_crops:
            raise UsageError(f"--boxes {boxes}: {path} finds people itself; leave --boxes out")
    names = Counter(_results_name(path) for path in files)
    double = [name for name, count in names.items() if count > 1]
    if output and double:
        raise UsageError(f"--output: several files would be written to {double[0]}; evaluate them one by one")


def _say_blind(evaluations: Sequence[Evaluation]) -> None:
    """Tell the user where a network finds nobody: most likely the card feeds or reads it wrongly."""
    for evaluation in evaluations:
        if evaluation.ap == 0:
            reporter().say(
                f"{evaluation.file}: none of {evaluation.poses} people found is where one is annotated; see whether "
                "size, mean, scale, channels and thresholds of the card are those of the network"
            )


def _check_boxes(boxes: Boxes, split: CocoSplit) -> None:
    """Refuse boxes of other pictures, with which nobody would be found."""
    if not any(boxes.of(image.id) for image in split.images):
        raise InputError(
            f"--boxes {boxes.source}: has boxes of {len(boxes.by_image)} images, and none of {split.name}",
            remedy="give a detector's results on these very images, or gt",
        )


def _results_name(file: Path) -> str:
    return f"{file.stem}.results.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate and print."""
    commands = parser()
    args = commands.parse_args(argv)
    files = [*args.files, *args.model]
    if not files:
        commands.error("the following arguments are required: --model")
    _check_files([*files, *([Path(args.refine)] if args.refine else [])], args.output, args.boxes)
    boxes = None if args.boxes == "gt" else detected_boxes(Path(args.boxes))
    split = read_split(args.coco, args.split)
    if boxes is not None:
        _check_boxes(boxes, split)
    procedure = Procedure(decode=args.decode, flip=args.flip, boxes=boxes, refine=args.refine)
    spec = EvaluationSpec(split=split, threads=args.threads, procedure=procedure)
    if args.output:
        ensure_writable(args.output)
    with reporting(Progress(quiet=args.json)):
        say_missing(spec.split)
        results = [evaluate_file(path, spec) for path in files]
        evaluations = [r.evaluation for r in results]
        _say_blind(evaluations)
    if args.json:
        print(json.dumps([asdict(e) for e in evaluations], indent=1))
    else:
        print_table(table(evaluations))
    if args.output:
        for result in results:
            text = json.dumps({"detections": result.detections, "per_image": result.per_image})
            write_text(args.output / _results_name(Path(result.evaluation.file)), text)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
