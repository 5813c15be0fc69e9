"""A network with PAFs as a teacher that labels pictures: it finds people and their keypoints in one step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rpi_runtime.decode.paf import PafDecoder
from rpi_runtime.errors import CardError
from rpi_runtime.evaluate.coco_pose import coco_points
from rpi_runtime.model.card import Skeleton
from rpi_runtime.model.decoders import PafSettings
from rpi_runtime.model.interpreter import Model
from rpi_runtime.poses import Image, Pose
from rpi_runtime.preprocess.letterbox import Preprocessor

MIN_KEYPOINTS = 4  # fewer keypoints are not used as labels


class PafTeacher:
    """One model, for use by one thread.

    Raises
    ------
    CardError
        The model is not a PAF network with COCO keypoints.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self._model = Model(path, threads=threads)
        card = self._model.card
        if not isinstance(card.decoder, PafSettings) or not card.skeleton.coco:
            raise CardError(
                f"{path}: a teacher alone needs heatmaps, PAFs and COCO's keypoints; a detector teaches together with "
                "a network of crops: --refine CROPS.tflite"
            )
        self._prepare, self._decode = Preprocessor(card.input), PafDecoder(card)

    @property
    def description(self) -> str:
        """Name and size of the network."""
        return f"{self._model.card.name} {self._model.card.input.size}"

    def __call__(self, frame: Image) -> list[dict[str, Any]]:
        """Return the picture's people as COCO's annotations without ids."""
        transform = self._prepare(frame, self._model.input)
        self._model.invoke()
        found = self._decode.read(self._model, transform)
        people = [_person(pose, self._model.card.skeleton) for pose in found]
        return [person for person in people if person["num_keypoints"] >= MIN_KEYPOINTS]


def _person(pose: Pose, skeleton: Skeleton) -> dict[str, Any]:
    points = coco_points(pose, skeleton, flag=2)
    seen = points[points[:, 2] > 0, :2]
    (left, top), (right, bottom) = (seen.min(0), seen.max(0)) if len(seen) else (np.zeros(2), np.zeros(2))
    box = [float(v) for v in (left, top, right - left, bottom - top)]
    return {
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": [round(float(v), 2) for v in points.reshape(-1)],
        "num_keypoints": len(seen),
        "bbox": [round(v, 2) for v in box],
        "area": round(box[2] * box[3], 2),
        "score": round(float(pose.score), 3),
    }
