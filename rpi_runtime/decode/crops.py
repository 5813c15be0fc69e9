"""The steps that the decoders of crops share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.decode.mode import Mode
from rpi_runtime.errors import CardError, DependencyError
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.crop_settings import CropSettings
from rpi_runtime.poses import Pose
from rpi_runtime.preprocess.letterbox import Transform

try:
    from cython_ext.topdown import suppress
except ImportError as err:
    raise DependencyError(str(err)) from err


def crop_settings(card: ModelCard) -> CropSettings:
    """Return how the card's network wants its crops; `CardError` when it sees whole pictures."""
    if not (card.sees_crops and isinstance(card.decoder, CropSettings)):
        raise CardError(f"{card.name}: sees whole pictures, expected a network of one person's crop")
    return card.decoder


def crop_pose(
    points: NDArray[np.float32], transform: Transform, settings: CropSettings, mode: Mode, box_score: float
) -> Pose:
    """Return the person of a crop.

    Parameters
    ----------
    points : ndarray, shape (K, 3), float32
        x, y in pixels of the network's input, continuous, and value; overwritten.
    transform : Transform
        From the picture to the input.
    settings : CropSettings
    mode : {"fast", "exact"}
    box_score : float

    Returns
    -------
    Pose
        In image pixels; its score is `box_score` times the mean value of the keypoints above the threshold.
    """
    points[~np.isfinite(points).all(axis=1)] = 0  # maps with NaN or infinity: not found
    values = points[:, 2].copy()
    points[:, :2] = transform.to_image(points[:, :2])
    sure = values > settings.peak_threshold
    score = box_score * float(values[sure].mean(dtype=np.float64)) if sure.any() else 0.0
    points[~sure if mode == "fast" else values <= 0] = 0
    return Pose(keypoints=points, score=score)


def select_people(card: ModelCard, poses: Sequence[Pose], transforms: Sequence[Transform]) -> tuple[int, ...]:
    """Return which of an image's people stay, surest first; the less sure one of two nearly equal people is dropped.

    Similarity is COCO's OKS over the keypoints that at least one of the two has, with the area of the crop as a
    person's size. Without sigmas in the card's skeleton all people stay.

    Parameters
    ----------
    card : ModelCard
    poses : sequence of Pose
    transforms : sequence of Transform
        The transforms with which the poses were decoded.
    """
    scores = np.array([pose.score for pose in poses], np.float64)
    sigmas = np.array(card.skeleton.sigmas, np.float64)
    if len(poses) == 0 or len(sigmas) == 0:
        return tuple(int(i) for i in np.argsort(-scores, kind="stable"))
    size = card.input
    areas = np.array([size.width / t.scale_x * size.height / t.scale_y for t in transforms], np.float64)
    points = np.stack([pose.keypoints for pose in poses])
    kept = suppress(points, scores, areas, sigmas, crop_settings(card).oks_nms)
    return tuple(int(i) for i in kept)
