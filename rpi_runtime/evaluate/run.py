"""Run a split of COCO through the runtime's own stages: the people found, and the time of each stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rpi_runtime.estimate import Estimator
from rpi_runtime.evaluate.average_precision import BOXES, KEYPOINTS, Figures, score_people
from rpi_runtime.evaluate.coco import CocoSplit
from rpi_runtime.evaluate.coco_pose import box_detection, detection, labelled_as
from rpi_runtime.evaluate.images import check_sizes, read_image
from rpi_runtime.health.timing import Percentiles, StageClock
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.decoders import PafSettings
from rpi_runtime.poses import Pose


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """The results of a model on a split.

    Attributes
    ----------
    figures : Figures
    images, people, refined : int
        Numbers of images, of people found in them, and of people that a cascade refined.
    stages : mapping of str to Percentiles
        Times by stage; ``total`` is the sum of all stages.
    """

    figures: Figures
    images: int
    people: int
    refined: int
    stages: dict[str, Percentiles]


def confidence(pose: Pose, finder: ModelCard) -> float:
    """Return the score by which COCO sorts people, as in the network's reference test.

    With PAFs it is the person's score times the number of keypoints less one (the demo of Lightweight OpenPose);
    otherwise the person's score.
    """
    if isinstance(finder.decoder, PafSettings):
        return pose.score * max(0, int(pose.found.sum()) - 1)
    return pose.score


def evaluate_split(
    estimator: Estimator, split: CocoSplit, progress: Callable[[int], None] = lambda _: None
) -> Evaluated:
    """Find the people on each image of a split, without ids, and score them; a detector alone by its boxes.

    Parameters
    ----------
    estimator : Estimator
        Made with ``track=False``; the finder of a cascade then runs on each whole image.
    split : CocoSplit
    progress : callable
        Called with the number of images done, after each.

    Raises
    ------
    InputError
        An image cannot be read, or is not of the annotated size.
    """
    check_sizes(split)
    card, clock = estimator.models[0].card, StageClock()
    detections: list[dict[str, Any]] = []
    boxes = not estimator.skeleton.keypoints  # for a detector alone
    refined = 0
    for number, image in enumerate(split.images, 1):
        estimate = estimator(read_image(image), number)
        clock.add({**estimate.latency_ns, "total": sum(estimate.latency_ns.values())})
        for track in estimate.tracks:
            if boxes:
                detections.append(box_detection(image.id, track.pose))
            if boxes or not track.pose.found.any():
                continue  # only a detector found this person, without a pose
            score = confidence(track.pose, card)
            detections.append(detection(image.id, track.pose, estimator.skeleton, score))
        refined += sum(track.refined for track in estimate.tracks)
        progress(number)
    task, people = BOXES if boxes else KEYPOINTS, labelled_as(estimator.skeleton, split.people)
    figures, _ = score_people(detections, people, [i.id for i in split.images], task)
    return Evaluated(
        figures=figures,
        images=len(split.images),
        people=len(detections),
        refined=refined,
        stages=clock.summary(),
    )
