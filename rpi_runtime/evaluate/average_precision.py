"""COCO's average precision of keypoints and of boxes, with NumPy alone.

Definition: https://cocodataset.org/#keypoints-eval and #detection-eval; the order of ties, the matching and the
interpolation follow the published evaluation, so that the figures equal pycocotools' (the tests compare them to 1e-9).

1. In each image the surest detections (20 poses, 100 boxes) are matched, the surest first, with the person of the
   largest similarity that is left, where it reaches the threshold. The similarity of poses is the OKS, that of boxes
   their overlap (intersection over union).
2. All images' detections, the surest first, give a curve of precision over recall; its mean at 101 recalls, each the
   best precision at this recall or above, is the average precision.
3. AP is the mean over the thresholds 0.50, 0.55, ... 0.95.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.evaluate.oks import similarities
from rpi_runtime.evaluate.overlap import overlaps
from rpi_runtime.evaluate.people import (
    Annotated,
    Found,
    annotated,
    annotated_box,
    by_image,
    found,
    found_box,
)

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
AREAS = {"all": (0.0, 1e10), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
UNKNOWN = -1.0  # of a set without such a person


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """COCO's figures in percent; -1 where the set has no such person.

    Attributes
    ----------
    ap, ap50, ap75, ap_medium, ap_large, ar : float
        Average precision: mean over the thresholds of similarity, at 0.50, at 0.75, of people of 32 to 96 pixels, of
        larger ones; average recall.
    """

    ap: float = UNKNOWN
    ap50: float = UNKNOWN
    ap75: float = UNKNOWN
    ap_medium: float = UNKNOWN
    ap_large: float = UNKNOWN
    ar: float = UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageScore:
    """One image: annotated people, detections, and the mean of each person's best similarity."""

    people: int
    poses: int
    mean_best: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Matched:
    """The detections of one image for one range of areas.

    Attributes
    ----------
    scores : ndarray, shape (D,)
    hit, ignored : ndarray of bool, shape (thresholds, D)
    people : int
        Number of people that count.
    """

    scores: NDArray[np.float64]
    hit: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    people: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoTask:
    """The functions that read and compare annotations and detections in COCO's formats.

    With other thresholds than COCO's, only `Figures.ap` and `Figures.ar` are what their names say.
    """

    annotated: Callable[[Mapping[str, Any]], Annotated]
    found: Callable[[Mapping[str, Any]], Found]
    similarities: Callable[[Sequence[Found], Sequence[Annotated]], NDArray[np.float64]]
    most: int
    thresholds: tuple[float, ...] = tuple(THRESHOLDS.tolist())


KEYPOINTS = CocoTask(annotated=annotated, found=found, similarities=similarities, most=20)
BOXES = CocoTask(annotated=annotated_box, found=found_box, similarities=overlaps, most=100)


def score_people(
    detections: Sequence[Mapping[str, Any]],
    annotations: Sequence[Mapping[str, Any]],
    images: Sequence[int],
    task: CocoTask = KEYPOINTS,
) -> tuple[Figures, list[ImageScore]]:
    """Score detections of COCO's result format against annotations of COCO's format.

    Parameters
    ----------
    detections, annotations : sequence of mapping
        Detections of people only; those of other images are left out.
    images : sequence of int
        Ids of the evaluated images.
    task : `KEYPOINTS` or `BOXES`

    Returns
    -------
    Figures
    list of ImageScore
        In the order of `images`.

    Raises
    ------
    KeyError, TypeError, ValueError
        The annotations are not those of people with COCO's 17 keypoints, or a detection lacks a field that is compared.
    """
    people = {i: [task.annotated(e) for e in es] for i, es in by_image(annotations, images).items()}
    poses = {
        i: _surest([task.found(e) for e in es], task.most) for i, es in by_image(detections, images).items()
    }
    alike = {image: task.similarities(poses[image], people[image]) for image in images}
    order = sorted(set(images))
    ap, ar = {}, {}
    for name, limits in AREAS.items():
        matched = [
            _match(poses[i], people[i], alike[i], limits, task.thresholds)
            for i in order
            if poses[i] or people[i]
        ]
        ap[name], ar[name] = _accumulate(matched)
    counts = {i: len(es) for i, es in by_image(detections, images).items()}
    figures = Figures(
        ap=_mean(ap["all"]),
        ap50=_mean(ap["all"][:1]),
        ap75=_mean(ap["all"][5:6]),
        ap_medium=_mean(ap["medium"]),
        ap_large=_mean(ap["large"]),
        ar=_mean(ar["all"]),
    )
    return figures, [_image_score(alike[i], counts[i]) for i in images]


def _surest(poses: list[Found], most: int) -> list[Found]:
    return sorted(poses, key=lambda pose: -pose.score)[:most]


def _image_score(oks: NDArray[np.float64], poses: int) -> ImageScore:
    best = float(oks.max(axis=0).mean()) if oks.size else 0.0
    return ImageScore(people=oks.shape[1], poses=poses, mean_best=best)


def _match(
    poses: Sequence[Found],
    people: Sequence[Annotated],
    oks: NDArray[np.float64],
    limits: tuple[float, float],
    thresholds: Sequence[float],
) -> _Matched:
    """Match one image's detections with its people at every threshold."""
    least, most = limits
    ignored = np.array([p.ignored or not least <= p.area <= most for p in people], bool)
    order = np.argsort(ignored, kind="stable")  # people who count come first
    ignored, oks = ignored[order], oks[:, order]
    crowd = np.array([people[i].crowd for i in order], bool)
    outside = np.array([not least <= pose.area <= most for pose in poses], bool)
    partner = np.stack([_partners(oks, ignored, crowd, t) for t in thresholds])  # (thresholds, D)
    hit = partner >= 0
    # the appended False stands for "no partner", index -1
    of_ignored = np.append(ignored, False)[partner]
    return _Matched(
        scores=np.array([pose.score for pose in poses]),
        hit=hit,
        ignored=of_ignored | (~hit & outside),
        people=int((~ignored).sum()),
    )


def _partners(
    oks: NDArray[np.float64], ignored: NDArray[np.bool_], crowd: NDArray[np.bool_], threshold: float
) -> NDArray[np.intp]:
    """Return the index of each detection's person, -1 where none is left; ties go to the later person."""
    result = np.full(len(oks), -1)
    taken = np.zeros(oks.shape[1], bool)
    least = min(threshold, 1 - 1e-10)
    for detection, values in enumerate(oks):
        free = (values >= least) & (~taken | crowd)
        for group in (free & ~ignored, free & ignored):
            candidates = np.flatnonzero(group)
            if len(candidates):
                best = values[candidates]
                result[detection] = candidates[np.flatnonzero(best == best.max())[-1]]
                taken[result[detection]] = True
                break
    return result


def _accumulate(matched: Sequence[_Matched]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return average precision and final recall at each threshold; empty where no person counts."""
    people = sum(m.people for m in matched)
    if not people:
        return np.zeros(0), np.zeros(0)
    order = np.argsort(-np.concatenate([m.scores for m in matched]), kind="stable")
    hit = np.concatenate([m.hit for m in matched], axis=1)[:, order]
    ignored = np.concatenate([m.ignored for m in matched], axis=1)[:, order]
    true = np.cumsum(hit & ~ignored, axis=1, dtype=np.float64)
    false = np.cumsum(~hit & ~ignored, axis=1, dtype=np.float64)
    curves = [_precision(t, f, people) for t, f in zip(true, false, strict=True)]
    recall = true[:, -1] / people if true.shape[1] else np.zeros(len(hit))
    return np.array([curve.mean() for curve in curves]), recall


def _precision(true: NDArray[np.float64], false: NDArray[np.float64], people: int) -> NDArray[np.float64]:
    """Return the precision at each of `RECALLS`, 0 at those that are never reached."""
    precision = true / (true + false + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    index = np.searchsorted(true / people, RECALLS, side="left")
    return np.append(best, 0.0)[index]


def _mean(values: NDArray[np.float64]) -> float:
    return 100 * float(values.mean()) if values.size else UNKNOWN
