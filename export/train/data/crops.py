"""Random crops of one person, for networks that see one at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.train.data.augment import Affine
from rpi_runtime.errors import InputError

HIP = 11  # COCO's first keypoint of the lower half
HALF_BODY_GROWTH = 1.5  # padding around half a body, instead of the padding of a whole box
LIMIT = 2.0  # standard deviations at which a rotation is cut off
Box = tuple[float, float, float, float]  # x, y, width, height in pixels of the picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Crops:
    """How the crops of people are varied; the defaults are LPN's.

    Attributes
    ----------
    scale : float
        Standard deviation of the crop's relative size; it ends at this much to either side.
    rotation : float
        Standard deviation in degrees; it ends at twice this.
    rotated : float
        Probability of a rotation.
    flip : float
        Probability of a mirrored crop.
    half_body : float
        Probability of a crop of the upper or the lower half, of people with more than `half_body_least` keypoints.
    half_body_least : int
    jitter : float
        Probability of a box moved by up to `jitter_reach` of its sides.
    jitter_reach : float
    padding : float
        The crop is the box, extended to the input's aspect ratio, times this.
    """

    scale: float = 0.3
    rotation: float = 40.0
    rotated: float = 0.6
    flip: float = 0.5
    half_body: float = 0.0
    half_body_least: int = 8
    jitter: float = 0.0
    jitter_reach: float = 0.2
    padding: float = 1.25

    def __post_init__(self) -> None:
        if not (0 <= self.scale < 1 and self.padding > 0):
            raise InputError(f"crops: scale {self.scale}, padding {self.padding}: expected 0 to 1, above 0")


def random_crop(
    rng: np.random.Generator, spec: Crops, box: Box, person: NDArray[np.float64], network: tuple[int, int]
) -> Affine:
    """Draw where a person's picture goes.

    Parameters
    ----------
    rng, spec
    box : Box
    person : ndarray, shape (17, 3)
        COCO keypoints in pixels of the picture.
    network : (int, int)
        Width and height of the input.

    Returns
    -------
    ndarray, shape (2, 3)
    """
    x, y, width, height = box
    middle = np.array([x + width / 2, y + height / 2])
    if rng.random() < spec.jitter:
        middle += rng.uniform(-spec.jitter_reach, spec.jitter_reach, 2) * (width, height)
    whole = _extended(width, height, network) * spec.padding
    if rng.random() < spec.half_body:
        half = _half_body(rng, person, spec.half_body_least)
        if half is not None:
            middle, (width, height) = half
            whole = _extended(width, height, network) * HALF_BODY_GROWTH
    whole *= 1 + float(np.clip(rng.standard_normal() * spec.scale, -spec.scale, spec.scale))
    angle = float(np.clip(rng.standard_normal(), -LIMIT, LIMIT)) * spec.rotation
    if rng.random() >= spec.rotated:
        angle = 0.0
    return crop_affine(middle, whole, network, angle=angle, mirror=bool(rng.random() < spec.flip))


def crop_affine(
    middle: NDArray[np.float64],
    whole: float,
    network: tuple[int, int],
    *,
    angle: float = 0.0,
    mirror: bool = False,
) -> Affine:
    """Put `middle` on index ``(width / 2, height / 2)`` of the input, `whole` pixels wide, turned by degrees.

    For a crop that is not turned, `rpi_runtime.preprocess.crop.crop_transform` returns the same.
    """
    turn = math.radians(angle)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    linear = np.diag([-1.0 if mirror else 1.0, 1.0]) @ rotation * (network[0] / whole)
    return np.column_stack((linear, np.array(network) / 2 - linear @ middle))


def _extended(width: float, height: float, network: tuple[int, int]) -> float:
    """Return the box's width after it was extended to the input's aspect ratio."""
    return max(width, height * network[0] / network[1])


def _half_body(
    rng: np.random.Generator, person: NDArray[np.float64], least: int
) -> tuple[NDArray[np.float64], tuple[float, float]] | None:
    """Return middle and extent of the keypoints above or below the hips; None for people with too few."""
    seen = person[:, 2] > 0
    if seen.sum() <= least:
        return None
    upper, lower = person[:HIP][seen[:HIP], :2], person[HIP:][seen[HIP:], :2]
    # as published: 69 % upper
    first, second = (upper, lower) if rng.standard_normal() < 0.5 else (lower, upper)
    points = first if len(first) > 2 else second
    if len(points) < 2:
        return None
    width, height = points.max(axis=0) - points.min(axis=0)
    if width <= 0 or height <= 0:
        return None
    return points.mean(axis=0), (float(width), float(height))
