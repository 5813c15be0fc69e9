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
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant.boxes import annotated_boxes, detected_boxes
from quant.calibration import Manifest
from quant.cli import make_parser, run_command
from quant.predict import PAF_DECODING, Predict, Procedure, predictor
from quant.progress import Progress, print_table, reporter, reporting
from rpi_runtime.command_line import AS_JSON, COCO, SPLIT, exit_codes
from rpi_runtime.errors import CardError, InputError, MissingMemberError, UsageError
from rpi_runtime.evaluate.average_precision import BOXES, KEYPOINTS, Task, score_people
from rpi_runtime.evaluate.coco import CocoSplit, read_split
from rpi_runtime.evaluate.images import check_sizes, read_image
from rpi_runtime.files import ensure_writable, write_text
from rpi_runtime.model.card import ModelCard, read_card
from rpi_runtime.model.interpreter import Model
from rpi_runtime.model.member import CALIBRATION_MEMBER, read_member

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """COCO figures of one file, in percent: of keypoints, or of the boxes of a detector alone.

    Attributes
    ----------
    file, model, recipe, size : str
    ap, ap50, ap75, ap_medium, ap_large, ar : float
        As in `rpi_runtime.evaluate.average_precision.Figures`; -1 if the set has no such person.
    images, poses : int
        Number of images evaluated and of people found.
    ms_per_image : float
        Mean time of preprocessing, inference and decoding on this machine.
    procedure : str
        Decoding, flip test and source of the boxes.

    Examples
    --------
    >>> from quant import measure_ap
    >>> evaluation = measure_ap("M.tflite", "coco")
    >>> evaluation.size, evaluation.images
    ('160x120', 1)
    """

    file: str
    model: str
    recipe: str
    size: str
    procedure: str = ""
    ap: float = -1
    ap50: float = -1
    ap75: float = -1
    ap_medium: float = -1
    ap_large: float = -1
    ar: float = -1
    images: int = 0
    poses: int = 0
    ms_per_image: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """An evaluation with the detections in COCO's result format and the figures per image."""

    evaluation: Evaluation
    detections: list[dict[str, Any]]
    per_image: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSpec:
    """The images and the procedure of an evaluation.

    Attributes
    ----------
    split : CocoSplit
    threads : int or None
        Threads of the interpreter; None for the machine's default.
    procedure : Procedure
        If it has no boxes, the annotated ones are used.
    """

    split: CocoSplit
    threads: int | None = None
    procedure: Procedure = field(default_factory=Procedure)


def measure_ap(
    model: Path | str, coco: Path | str, *, split: str = "val2017", progress: Progress | None = None
) -> Evaluation:
    """Measure the COCO keypoint AP of one .tflite of pipose.

    Parameters
    ----------
    model : path
    coco : path
        A folder in COCO's layout: ``annotations/`` and the pictures.
    split : str
    progress : Progress, optional
        Progress reporter. Default: silent.

    Raises
    ------
    InputError, CardError
        A file cannot be read, or its skeleton is not COCO's.

    Examples
    --------
    >>> from quant import measure_ap
    >>> measure_ap("M.tflite", "coco").poses
    1
    """
    spec = EvaluationSpec(split=read_split(Path(coco), split))
    with reporting(progress or Progress(quiet=True)):
        return evaluate_file(Path(model), spec).evaluation


def evaluate_file(path: Path, spec: EvaluationSpec, card: ModelCard | None = None) -> Results:
    """Run one file over a split and score it.

    Raises
    ------
    InputError
        An image is unreadable or not of the annotated size, or calibrated this very file.
    CardError
        The skeleton is not COCO's, and the network is no detector.
    UsageError
        The procedure is that of another kind of network.
    """
    model = Model(path, threads=spec.threads, card=card)
    procedure = spec.procedure
    if procedure.boxes is None and model.card.sees_crops:
        procedure = replace(procedure, boxes=annotated_boxes(spec.split))
    predict = predictor(model, procedure)
    if card is None:
        refuse_calibrated(path, spec.split)
    if procedure.refine:
        refuse_calibrated(Path(procedure.refine), spec.split)
    facts = Evaluation(
        file=path.name,
        model=model.card.name,
        recipe=model.card.recipe,
        size=model.card.input.size,
        procedure=procedure.describe(model.card),
    )
    boxes = model.card.decoder.kind == "boxes" and not procedure.refine
    return evaluate(predict, spec.split, facts, BOXES if boxes else KEYPOINTS)


def evaluate(predict: Predict, split: CocoSplit, facts: Evaluation, task: Task = KEYPOINTS) -> Results:
    """Run any predictor over a split and score it; `facts` is an evaluation that still lacks the figures.

    Raises
    ------
    InputError
        An image is unreadable or not of the annotated size, or the annotations cannot be scored.
    """
    check_sizes(split)
    detections: list[dict[str, Any]] = []
    elapsed = 0.0
    with reporter().items(facts.file, len(split.images)) as step:
        for image in split.images:
            frame = read_image(image)
            start = time.perf_counter()
            detections += predict(image, frame)
            elapsed += time.perf_counter() - start
            step(1)
    stats, per_image = score(detections, split, task)
    ap, ap50, ap75, ap_medium, ap_large, ar = stats
    evaluation = replace(
        facts,
        images=len(split.images),
        poses=len(detections),
        ms_per_image=1000 * elapsed / len(split.images),
        ap=ap,
        ap50=ap50,
        ap75=ap75,
        ap_medium=ap_medium,
        ap_large=ap_large,
        ar=ar,
    )
    own = {i.id: i.id if i.own_id is None else i.own_id for i in split.images}
    found = [d | {"image_id": own[d["image_id"]]} for d in detections]
    return Results(evaluation=evaluation, detections=found, per_image=per_image)


def refuse_calibrated(path: Path, split: CocoSplit) -> None:
    """Refuse to measure a file on images that calibrated it.

    Raises
    ------
    InputError
        The file was calibrated on one of them, or one of them cannot be read.
    CardError
        The file's calibration manifest is damaged, so that this cannot be determined.
    """
    try:
        data = read_member(path, CALIBRATION_MEMBER)
    except MissingMemberError:
        return  # a float file has no calibration
    try:
        manifest = Manifest.from_json(data)
    except (ValueError, TypeError) as err:
        raise CardError(f"{path}: its calibration manifest cannot be read ({err}); export it again") from err
    both = manifest.images_among([i.path for i in split.images])
    if both:
        raise InputError(
            f"{path}: {len(both)} images of {split.name} calibrated this file ({both[0]}...); "
            "evaluate on others, or calibrate again"
        )


def score(
    detections: list[dict[str, Any]], split: CocoSplit, task: Task = KEYPOINTS
) -> tuple[list[float], list[dict[str, Any]]]:
    """Score detections, poses or boxes, in the same way as the runtime on the device.

    Returns
    -------
    list of float
        AP, AP50, AP75, AP medium, AP large, AR in percent.
    list of dict
        Per image: file, annotated people, detections, mean of the best OKS of each person (of boxes the overlap).
    """
    figures, scores = score_people(detections, split.people, [i.id for i in split.images], task)
    best = "mean_best_oks" if task is KEYPOINTS else "mean_best_overlap"
    per_image = [
        {
            "file": image.path.name,
            "people": found.people,
            "poses": found.poses,
            best: round(found.mean_best, 4),
        }
        for image, found in zip(split.images, scores, strict=True)
    ]
    return list(astuple(figures)), per_image


def table(evaluations: Sequence[Evaluation]) -> Table:
    """Return the figures as a table, one row per file."""
    from rich.table import Table

    columns = (
        "file",
        "recipe",
        "size",
        "test",
        "AP",
        "AP50",
        "AP75",
        "AP M",
        "AP L",
        "AR",
        "poses",
        "ms/image",
    )
    result = Table(*columns, box=None, pad_edge=False)
    for e in evaluations:
        figures = (e.ap, e.ap50, e.ap75, e.ap_medium, e.ap_large, e.ar)
        cells = ("-" if f < 0 else f"{f:.2f}" for f in figures)
        result.add_row(e.file, e.recipe, e.size, e.procedure, *cells, str(e.poses), f"{e.ms_per_image:.1f}")
    return result


def say_missing(split: CocoSplit) -> None:
    """Tell the user if only a part of a split's images is evaluated."""
    if split.missing:
        reporter().say(f"{split.missing} images of {split.name} are not on disk; evaluating on the others")


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


def _check_files(files: Sequence[Path], output: Path | None) -> None:
    """Check every file before minutes of work on the first one."""
    for path in files:
        read_card(path)
    names = Counter(_results_name(path) for path in files)
    double = [name for name, count in names.items() if count > 1]
    if output and double:
        raise UsageError(f"--output: several files would be written to {double[0]}; evaluate them one by one")


def _results_name(file: Path) -> str:
    return f"{file.stem}.results.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate and print."""
    commands = parser()
    args = commands.parse_args(argv)
    files = [*args.files, *args.model]
    if not files:
        commands.error("the following arguments are required: --model")
    _check_files([*files, *([Path(args.refine)] if args.refine else [])], args.output)
    boxes = None if args.boxes == "gt" else detected_boxes(Path(args.boxes))
    procedure = Procedure(decode=args.decode, flip=args.flip, boxes=boxes, refine=args.refine)
    spec = EvaluationSpec(split=read_split(args.coco, args.split), threads=args.threads, procedure=procedure)
    if args.output:
        ensure_writable(args.output)
    with reporting(Progress(quiet=args.json)):
        say_missing(spec.split)
        results = [evaluate_file(path, spec) for path in files]
    evaluations = [r.evaluation for r in results]
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
