"""A finder and a refiner as a teacher. Keypoints are kept where views of the crop and of its mirror image agree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.train.data.agreement import Points, agreed, checked
from quant.accuracy.predict import infer
from rpi_runtime.decode.choose import decoder_for
from rpi_runtime.decode.crops import crop_settings
from rpi_runtime.decode.topdown import TopdownDecoder
from rpi_runtime.errors import CardError
from rpi_runtime.model.crop_settings import TopdownSettings
from rpi_runtime.model.interpreter import Model
from rpi_runtime.poses import Box, Image
from rpi_runtime.preprocess.crop import CropWriter, coco_shift, crop_transform
from rpi_runtime.preprocess.letterbox import Preprocessor

REFINED = 0.3  # least score of a box whose person is refined
DOUBTFUL = 0.1  # least score of a box that may be a person; an unlabelled one is left out of training
SHARED = 0.3  # a doubtful box with a larger share in common with another belongs to the same person
MIN_KEYPOINTS = 4  # fewer keypoints are not used as labels
MOST = 20  # largest number of people in a picture


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """A person as the refiner sees it: both views averaged, and the keypoints on which they agree."""

    points: Points
    sure: np.ndarray[Any, np.dtype[np.bool_]]


class PairTeacher:
    """Two models, for use by one thread.

    Parameters
    ----------
    finder, refiner : Path
        A .tflite that finds people, and one of crops with heatmaps of COCO's 17 keypoints.
    threads : int, optional
        Number of threads of each interpreter.

    Raises
    ------
    CardError
        The refiner is of another kind.
    """

    def __init__(self, finder: Path, refiner: Path, threads: int | None = None) -> None:
        self._finder, self._refiner = Model(finder, threads=threads), Model(refiner, threads=threads)
        card = self._refiner.card
        if card.decoder.kind != "topdown" or card.skeleton.coco != tuple(range(17)):
            raise CardError(f"{refiner}: a refining teacher needs heatmaps of COCO's 17 keypoints on crops")
        if not card.decoder.flip_pairs:
            raise CardError(f"{refiner}: its card names no flip_pairs; a teacher looks at mirrored crops too")
        self._settings = crop_settings(card)
        self._shift = coco_shift(self._settings)
        self._prepare = Preprocessor(self._finder.card.input)
        self._find = decoder_for(self._finder.card, "exact")
        self._write = CropWriter(card.input, self._settings)
        self._decode = TopdownDecoder(card, "exact")

    @property
    def description(self) -> str:
        """Names of both networks."""
        parts = (f"{m.card.name} {m.card.input.size}" for m in (self._finder, self._refiner))
        return " and ".join(parts)

    def __call__(self, frame: Image) -> list[dict[str, Any]]:
        """Return the picture's people as COCO's annotations without ids.

        A doubtful person has no keypoints, which makes a region that training leaves out.
        """
        transform = self._prepare(frame, self._finder.input)
        self._finder.invoke()
        found = self._find.read(self._finder, transform)
        people = []
        for pose in found[:MOST]:
            if pose.box is None or pose.score < DOUBTFUL:
                continue
            box = _clipped(pose.box, frame)
            if box[2] < 1 or box[3] < 1:
                continue
            seen = self.look(frame, box) if pose.score >= REFINED else None
            people.append(annotation(box, seen, pose.score))
        return without_repeats(people)

    def check(self, frame: Image, box: Box, by_hand: Points) -> tuple[dict[str, Any], bool]:
        """Look at a person labelled by hand; returns an annotation without id, and whether sides were exchanged.

        The keypoints are those that the refiner found. A label by hand only decides which person it is and which
        keypoints count.
        """
        seen = self.look(frame, box)
        verdict = checked(by_hand, seen.points, seen.sure, box[2] * box[3])
        if verdict is None:
            return annotation(box, None, 1.0), False
        kept, swapped = verdict
        return annotation(box, Seen(points=seen.points, sure=kept), 1.0), swapped

    def look(self, frame: Image, box: Box) -> Seen:
        """Refine a box and its mirror image."""
        model = self._refiner
        transform = crop_transform(box, model.card.input, self._settings)
        aside = flip_aside(self._decode.settings, model.card.output("heatmaps").stride, transform.scale_x)
        self._write(frame, transform, model.input)
        maps, flipped = infer(model, (model.card.output("heatmaps"),), flip=True)
        assert flipped is not None
        (straight,), (mirrored,) = maps.values(), flipped.values()
        scale = model.quantization("heatmaps")
        zeros = np.full_like(straight, scale.zero_point)
        both = self._points(straight, mirrored, transform, scale, aside)
        # if one view has no value, the other counts with half its height
        first = self._points(straight, zeros, transform, scale, 0.0)
        second = self._points(zeros, mirrored, transform, scale, 2 * aside)
        return Seen(points=both, sure=agreed(both, first, second, box[2] * box[3]))

    def _points(self, straight: Any, mirrored: Any, transform: Any, scale: Any, aside: float) -> Points:
        points = self._decode.decode(straight, transform, scale, flipped=mirrored).keypoints.astype(
            np.float64
        )
        points[:, :2] += self._shift
        points[:, 0] -= aside
        return points


def flip_aside(settings: TopdownSettings, stride: int, scale: float) -> float:
    """Return how far the keypoints of both looks' mean lie to the right of one look's, in pixels of the picture.

    Maps that were mirrored back are shifted by whole cells, which is right only for cells that lie evenly in the crop
    (Huang et al. 2020, arXiv:1911.07524, section 3). Published tests keep the difference, and so does the decoder;
    labels must not. A keypoint of the mirrored look alone lies twice as far.

    Parameters
    ----------
    settings : TopdownSettings
    stride : int
        Of the maps, in pixels of the crop.
    scale : float
        Pixels of the crop for one of the picture.
    """
    even = 0.0 if settings.flip_shift else stride / 2
    return 0.5 + coco_shift(settings) + (settings.cell_origin - even) / scale


def without_repeats(people: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out doubtful boxes around labelled people: parts of a person, or a person and a half.

    Most of a detector's boxes of low score are of this kind. As regions that training leaves out they would cover two
    thirds of the labelled keypoints.
    """
    taught = [p["bbox"] for p in people if p["num_keypoints"]]

    def repeats(person: dict[str, Any]) -> bool:
        return not person["num_keypoints"] and any(_shared(person["bbox"], t) > SHARED for t in taught)

    return [p for p in people if not repeats(p)]


def _shared(one: Box, other: Box) -> float:
    """Return the share of the smaller box that lies in the other."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0) / min(one[2] * one[3], other[2] * other[3])


def _clipped(box: Box, frame: Image) -> Box:
    height, width = frame.shape[:2]
    x, y, w, h = box
    left, top = max(x, 0.0), max(y, 0.0)
    return left, top, min(x + w, width) - left, min(y + h, height) - top


def annotation(box: Box, seen: Seen | None, score: float) -> dict[str, Any]:
    """Return a person in COCO's format, without ids, and without keypoints if too few are sure."""
    points = np.zeros((17, 3))
    if seen is not None and seen.sure.sum() >= MIN_KEYPOINTS:
        points[seen.sure, :2], points[seen.sure, 2] = seen.points[seen.sure, :2], 2
    return {
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": [round(float(v), 2) for v in points.reshape(-1)],
        "num_keypoints": int((points[:, 2] > 0).sum()),
        "bbox": [round(float(v), 2) for v in box],
        "area": round(box[2] * box[3], 2),
        "score": round(float(score), 3),
    }
