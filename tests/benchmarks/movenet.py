"""MoveNet's AP by its description in words, in NumPy, and what each difference from the runtime's way is worth.

    python -m tests.benchmarks.movenet --coco DIR

Both networks are decoded as their facts.json says, without the runtime's kernels, on pictures that are prepared in one
way after the other. "as in facts.json" is the way that gives that file's AP; the last row is the runtime's way, whose
AP `python -m quant.evaluate` gives for the float file, too. Each row differs from the one above in what it names.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from quant.accuracy.boxes import XYWH, clip
from quant.cards.read import read_own_card
from quant.cli import run_command
from rpi_runtime.decode.crops import crop_settings, select_people
from rpi_runtime.evaluate.average_precision import score_people
from rpi_runtime.evaluate.coco import CocoSplit, read_split
from rpi_runtime.evaluate.images import read_image
from rpi_runtime.poses import Image, Pose
from rpi_runtime.preprocess.crop import Cutter, crop_transform
from rpi_runtime.preprocess.letterbox import Transform
from rpi_runtime.preprocess.resize import resize_into
from tests.benchmarks.networks import unpacked

LIGHTNING, MULTIPOSE = "movenet-lightning-192", "movenet-multipose-256"
Maps = dict[str, NDArray[np.float32]]
Prepare = Callable[[Image, XYWH], tuple[Image, Transform]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to measure: how a picture is prepared, which boxes are cut out, which people count."""

    name: str
    prepare: Prepare
    clipped: bool = False
    suppressed: bool = False
    least_keypoints: int = 0


def distances(shape: tuple[int, int], y: float, x: float) -> NDArray[np.float64]:
    """Squared distance of every cell from a position."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2)


def lightning(maps: Maps) -> list[tuple[NDArray[np.float64], float]]:
    """Decode one person, as facts.json says: points (17, 3) in input pixels, score."""
    heatmaps, centre = maps["heatmaps"], maps["center"][0]
    height, width = shape = centre.shape
    cell = np.unravel_index(
        (centre / (np.sqrt(distances(shape, height / 2, width / 2)) + 1.8)).argmax(), shape
    )
    points = np.zeros((17, 3))
    for k in range(17):
        near = np.sqrt(distances(shape, *_expected(maps, cell, k))) + 1.8
        points[k] = _placed(maps, k, np.unravel_index((heatmaps[k] / near).argmax(), shape), heatmaps[k])
    sure = points[:, 2] > 0.2
    return [(points, float(points[sure, 2].mean()) if sure.any() else 0.0)]


def multipose(maps: Maps) -> list[tuple[NDArray[np.float64], float]]:
    """Decode all people, as facts.json says, surest centre first."""
    centre = maps["center"][0]
    shape = height, width = centre.shape
    around = np.pad(centre, 1, constant_values=-np.inf)
    highest = np.max([around[i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=0)
    cells = np.argwhere((centre >= highest) & (centre > 0.05))
    order = np.argsort(-centre[tuple(cells.T)], kind="stable")[:30]
    rows, columns = np.mgrid[:height, :width]
    people = []
    for y, x in cells[order].tolist():
        middle = np.array([y, x]) + maps["box_offset"][:, y, x]
        half = maps["box_scale"][:, y, x] / 2
        (top, left), (bottom, right) = np.clip([middle - half, middle + half], 0, height)
        inside = (rows >= top) & (rows <= bottom) & (columns >= left) & (columns <= right)
        points = np.zeros((17, 3))
        for k in range(17):
            weight = np.exp(-distances(shape, *_expected(maps, (y, x), k)) / (0.30004883 * 64)) * inside
            weighted = maps["heatmaps"][k] * weight
            points[k] = _placed(maps, k, np.unravel_index(weighted.argmax(), shape), weighted)
        sure = points[:, 2] > 0.12695
        people.append((points, float(centre[y, x] * points[sure, 2].mean()) if sure.any() else 0.0))
    return people


def _expected(maps: Maps, cell: Any, k: int) -> tuple[float, float]:
    y, x = cell
    return y + maps["regress"][2 * k, y, x], x + maps["regress"][2 * k + 1, y, x]


def _placed(maps: Maps, k: int, cell: Any, values: NDArray[Any]) -> tuple[float, float, float]:
    y, x = cell
    offset = maps["offset"]
    return (x + offset[2 * k + 1, y, x]) * 4, (y + offset[2 * k, y, x]) * 4, values[y, x]


def warped(frame: Image, box: XYWH) -> tuple[Image, Transform]:
    """Cut a crop with OpenCV's affine warp; below 0.6, of n times n pixels for each, and their mean."""
    card = read_own_card(LIGHTNING)
    place = crop_transform(box, card.input, crop_settings(card))
    n = max(1, round(1 / place.scale_x)) if place.scale_x < 0.6 else 1
    scale, side = place.scale_x * n, 192 * n
    matrix = np.array(
        [[scale, 0, n * place.pad_x + scale / 2 - 0.5], [0, scale, n * place.pad_y + scale / 2 - 0.5]]
    )
    crop = cv2.warpAffine(frame, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0))
    return np.asarray(cv2.resize(crop, (192, 192), interpolation=cv2.INTER_AREA), np.uint8), place


def cut(frame: Image, box: XYWH) -> tuple[Image, Transform]:
    """Cut a crop as the runtime does: by the very area below 0.6."""
    card = read_own_card(LIGHTNING)
    place = crop_transform(box, card.input, crop_settings(card))
    return Cutter(card.input, crop_settings(card))(frame, place).copy(), place


def letterboxed(resize: Callable[[Image, Image], None]) -> Prepare:
    """Fit pictures into 256x256, whole pixels, with a way of resizing into an array."""

    def prepare(frame: Image, box: XYWH) -> tuple[Image, Transform]:
        height, width = frame.shape[:2]
        scale = 256 / max(height, width)
        new_w, new_h = round(width * scale), round(height * scale)
        x, y = (256 - new_w) // 2, (256 - new_h) // 2
        canvas = np.zeros((256, 256, 3), np.uint8)
        resize(frame, canvas[y : y + new_h, x : x + new_w])
        return canvas, Transform(scale_x=new_w / width, scale_y=new_h / height, pad_x=x, pad_y=y)

    return prepare


def _by_area(frame: Image, out: Image) -> None:
    out[:] = cv2.resize(frame, out.shape[1::-1], interpolation=cv2.INTER_AREA)


WAYS = {
    LIGHTNING: (
        Way(name="as in facts.json: warped, the mean of n x n pixels below 0.6", prepare=warped),
        Way(name="the mean of the area instead", prepare=cut),
        Way(name="boxes clipped as in HRNet's test", prepare=cut, clipped=True),
        Way(name="nearly equal people dropped: the runtime", prepare=cut, clipped=True, suppressed=True),
    ),
    MULTIPOSE: (
        Way(
            name="as in facts.json, resized by area, two keypoints",
            prepare=letterboxed(_by_area),
            least_keypoints=2,
        ),
        Way(name="one keypoint", prepare=letterboxed(_by_area), least_keypoints=1),
        Way(name="halved, then bilinear: the runtime", prepare=letterboxed(resize_into), least_keypoints=1),
    ),
}
DECODERS = {LIGHTNING: lightning, MULTIPOSE: multipose}


def boxes_of(split: CocoSplit, image_id: int, way: Way) -> Iterator[XYWH]:
    """Return the annotated boxes of people with keypoints on an image."""
    size = next((i.width, i.height) for i in split.images if i.id == image_id)
    for person in split.people:
        if person["image_id"] == image_id and not person["iscrowd"] and person["num_keypoints"]:
            box = clip(person["bbox"], size) if way.clipped else tuple(person["bbox"])
            if box is not None:
                yield box


def measure(session: onnxruntime.InferenceSession, name: str, way: Way, split: CocoSplit) -> float:
    """Return the AP of a network, in percent."""
    card, found = read_own_card(name), []
    outputs = [o.name for o in session.get_outputs()]
    for image in split.images:
        frame = read_image(image)
        boxes = list(boxes_of(split, image.id, way)) if name == LIGHTNING else [(0.0, 0.0, 1.0, 1.0)]
        poses, places = [], []
        for box in boxes:
            picture, place = way.prepare(frame, box)
            pixels = picture[..., ::-1].astype(np.float32) / np.float32(127.5) - np.float32(1)
            values = session.run(outputs, {"image": np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])})
            maps = dict(zip(outputs, (v[0] for v in values), strict=True))
            for points, score in DECODERS[name](maps):
                if (points[:, 2] > card.decoder.peak_threshold).sum() >= way.least_keypoints:
                    points[:, :2] = place.to_image(points[:, :2])
                    poses.append(Pose(keypoints=points.astype(np.float32), score=score))
                    places.append(place)
        kept = select_people(card, poses, places) if way.suppressed else range(len(poses))
        for pose in (poses[i] for i in kept):
            keypoints = np.concatenate([pose.keypoints[:, :2], np.ones((17, 1))], axis=1).reshape(-1)
            found.append({"image_id": image.id, "keypoints": keypoints.tolist(), "score": pose.score})
    return score_people(found, split.people, [i.id for i in split.images])[0].ap


def main(argv: list[str] | None = None) -> int:
    """Measure each way, and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=Path, default=Path("../shared/data/networks"), metavar="DIR")
    parser.add_argument("--coco", type=Path, default=Path("../shared/data/coco"), metavar="DIR")
    parser.add_argument("--split", default="val2017")
    args = parser.parse_args(argv)
    split = read_split(args.coco, args.split)
    for name, ways in WAYS.items():
        with tempfile.TemporaryDirectory(prefix="pipose-movenet-") as folder:
            file = unpacked(args.networks / name, Path(folder))
            session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        for way in ways:
            print(f"{name:<22} {measure(session, name, way, split):6.2f}  {way.name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
