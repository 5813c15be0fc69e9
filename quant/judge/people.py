"""The people that INT8 finds against those that the float network finds, for decoders whose outputs are not maps.

A detector's outputs are not of one kind: a step of noise in a logit far below the threshold changes no person, the
same step near it loses one, and a distance counts by the size of its person. So both files' outputs are decoded and
what comes out is compared, in units of each person's own size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.crop_settings import CropSettings
from rpi_runtime.model.detector_settings import BoxPoseSettings, CentreSettings, DetectorSettings
from rpi_runtime.poses import Box, Pose

OVERLAP = 0.5  # intersection over union from which two boxes are one person
NEARLY = (
    0.6  # of a threshold: who is nearly as sure is not lost, since a threshold is only a cut through a range
)
FAR = 0.1  # of the person's size: a keypoint that is farther off is lost

THRESHOLDS = (DetectorSettings, CentreSettings)  # the settings of people's scores


def least_score(card: ModelCard) -> float:
    """Return the score from which the decoder of `card` calls something a person; 0 for crops, which have one."""
    decoder = card.decoder
    return decoder.threshold if isinstance(decoder, THRESHOLDS) and not card.sees_crops else 0.0


def least_visibility(card: ModelCard) -> float:
    """Return the score above which the decoder of `card` has found a keypoint."""
    decoder = card.decoder
    return decoder.peak_threshold if isinstance(decoder, CropSettings | BoxPoseSettings) else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleAgreement:
    """INT8 against float over a set of images.

    Attributes
    ----------
    parts : int
        Boxes and keypoints that the float network finds above the card's thresholds.
    lost, added : float
        Fraction of `parts` that INT8 does not find; boxes that it alone finds, over `parts`.
    shift : float
        Mean distance of those found by both, over the person's size (the root of the area): of a box's edges and of
        keypoints.
    shift_px, shift_p95_px : float
        The same in pixels of the picture, and its 95th percentile.
    """

    parts: int
    lost: float
    added: float
    shift: float
    shift_px: float
    shift_p95_px: float


class PeopleMeter:
    """Accumulates a `PeopleAgreement` image by image.

    Parameters
    ----------
    card : ModelCard
        Card of a detector or of a network of crops.
    """

    def __init__(self, card: ModelCard) -> None:
        self._crops = card.sees_crops
        self._least = least_visibility(card)
        self._sure = least_score(card)
        self._parts = self._lost = self._added = 0
        self._shifts: list[float] = []
        self._pixels: list[float] = []

    def add(self, real: Sequence[Pose], other: Sequence[Pose]) -> None:
        """Take the people of one image, doubtful ones included, as `decoder_for(card, "exact")` finds them."""
        left = [pose for pose in other if pose.score >= NEARLY * self._sure]
        doubtful = [pose for pose in real if pose.score >= NEARLY * self._sure]
        for pose in sorted((p for p in real if p.score >= self._sure), key=lambda p: -p.score):
            partner = self._partner(pose, left)
            if partner is not None:
                left.remove(partner)
            self._compare(pose, partner)
        if not self._crops:
            sure = [pose for pose in left if pose.score >= self._sure]
            self._added += sum(self._partner(pose, doubtful) is None for pose in sure)

    def _partner(self, pose: Pose, others: Sequence[Pose]) -> Pose | None:
        if self._crops:
            return others[0] if others else None
        best = max(others, key=lambda o: _overlap(_extent(pose), _extent(o)), default=None)
        return best if best is not None and _overlap(_extent(pose), _extent(best)) >= OVERLAP else None

    def _compare(self, pose: Pose, partner: Pose | None) -> None:
        there = pose.keypoints[:, 2] > self._least
        boxed = pose.box is not None
        parts = int(there.sum()) + boxed
        self._parts += parts
        if partner is None:
            self._lost += parts
            return
        size = _size(pose, there)
        if pose.box is not None and partner.box is not None:
            self._note(float(np.abs(np.subtract(_corners(pose.box), _corners(partner.box))).mean()), size)
        away = np.linalg.norm(pose.keypoints[there, :2] - partner.keypoints[there, :2], axis=1)
        kept = (partner.keypoints[there, 2] > NEARLY * self._least) & (away <= FAR * size)
        self._lost += int((~kept).sum())
        for distance in away[kept].tolist():
            self._note(distance, size)

    def _note(self, distance: float, size: float) -> None:
        self._pixels.append(distance)
        self._shifts.append(distance / size)

    def result(self) -> PeopleAgreement:
        """Return the figures so far."""
        parts = max(self._parts, 1)
        pixels = np.array(self._pixels or [0.0])
        return PeopleAgreement(
            parts=self._parts,
            lost=self._lost / parts,
            added=self._added / parts,
            shift=float(np.mean(self._shifts or [0.0])),
            shift_px=float(pixels.mean()),
            shift_p95_px=float(np.percentile(pixels, 95)),
        )


def _corners(box: Box) -> tuple[float, float, float, float]:
    return box[0], box[1], box[0] + box[2], box[1] + box[3]


def _extent(pose: Pose) -> Box:
    """The box of a person, or the rectangle round the keypoints that were found."""
    if pose.box is not None:
        return pose.box
    points = pose.keypoints[pose.found, :2]
    if not len(points):
        return (0.0, 0.0, 0.0, 0.0)
    corner, size = points.min(axis=0), np.ptp(points, axis=0)
    return float(corner[0]), float(corner[1]), float(size[0]), float(size[1])


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    left, top, right, bottom = (
        pick(x, y) for pick, x, y in zip((max, max, min, min), _corners(a), _corners(b), strict=True)
    )
    both = max(right - left, 0.0) * max(bottom - top, 0.0)
    return both / max(a[2] * a[3] + b[2] * b[3] - both, 1e-9)


def _size(pose: Pose, there: NDArray[np.bool_]) -> float:
    """Root of the area of the box, or of the rectangle round the keypoints; at least a pixel."""
    if pose.box is not None:
        area = pose.box[2] * pose.box[3]
    elif there.any():
        area = float(np.ptp(pose.keypoints[there, :2], axis=0).prod())
    else:
        area = 0.0
    return math.sqrt(max(area, 1.0))
