"""COCO AP of .tflite files, through the runtime's own preprocessing, interpreter and decoder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant.accuracy.boxes import annotated_boxes
from quant.accuracy.predict import Predict, Procedure, predictor
from quant.calibration import Manifest
from quant.progress import Progress, reporter, reporting
from rpi_runtime.errors import CardError, InputError, MissingMemberError
from rpi_runtime.evaluate.average_precision import BOXES, KEYPOINTS, CocoTask, score_people
from rpi_runtime.evaluate.coco import CocoSplit, read_split
from rpi_runtime.evaluate.coco_pose import counted_keypoints, labelled_as
from rpi_runtime.evaluate.images import check_sizes, read_image
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
    skeleton = read_card(Path(procedure.refine)).skeleton if procedure.refine else model.card.skeleton
    facts = Evaluation(
        file=path.name,
        model=model.card.name,
        recipe=model.card.recipe,
        size=model.card.input.size,
        procedure=", ".join(filter(None, (procedure.describe(model.card), counted_keypoints(skeleton)))),
    )
    split = replace(spec.split, people=labelled_as(skeleton, spec.split.people))
    return evaluate(predict, split, facts, KEYPOINTS if skeleton.keypoints else BOXES)


def evaluate(predict: Predict, split: CocoSplit, facts: Evaluation, task: CocoTask = KEYPOINTS) -> Results:
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
    detections: list[dict[str, Any]], split: CocoSplit, task: CocoTask = KEYPOINTS
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
