"""Labelled pictures to training samples: input, maps and mask, the same for the same sample number."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from export.nets.lw_openpose import HEATMAPS
from export.train.augment import Augmentation, Picture, move_people, random_affine, relight, warp
from export.train.pictures import PictureStore
from export.train.targets import TargetSpec, heatmaps, pafs, to_openpose
from export.train.teacher import Teacher, complete
from quant.progress import Progress
from rpi_runtime.errors import InputError
from rpi_runtime.pictures import read_picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Pictures with labels in COCO's keypoint format.

    Attributes
    ----------
    pictures : str
        A folder of pictures, a .tar, or a folder of .tar shards.
    labels : str
        A .json: COCO's own, or of `export.train.label`.
    """

    pictures: str
    labels: str


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A decoded picture, its half-sized copy, its people (P, 18, 3) and the ignored regions (polygons)."""

    picture: Picture
    half: Picture
    people: NDArray[np.float64]
    ignored: tuple[NDArray[np.float32], ...]


def read_source(source: Source, hidden: tuple[str, ...], progress: Progress) -> list[Example]:
    """Decode every labelled picture of a source into memory, less those whose names end like one of `hidden`.

    Raises
    ------
    InputError
        Unreadable labels, or a picture of another size than its labels say.
    """
    store = PictureStore(Path(source.pictures))
    images, people = _read_labels(Path(source.labels))
    names = [n for n in sorted(images) if n in store and not n.endswith(hidden)]
    if not names:
        raise InputError(f"{source.labels}: names none of the pictures in {source.pictures}")
    examples = []
    with progress.items("reading pictures", len(names)) as step:
        for name in names:
            entry = images[name]
            picture = read_picture(store.read(name), name)
            if picture.shape[:2] != (entry["height"], entry["width"]):
                raise InputError(f"{name}: labelled at another size; the labels belong to other pictures")
            examples.append(_example(picture, people.get(entry["id"], [])))
            step(1)
    return examples


def _read_labels(path: Path) -> tuple[dict[str, Any], dict[int, list[Any]]]:
    try:
        data = json.loads(path.read_text())
        images = {i["file_name"]: i for i in data["images"]}
        people: dict[int, list[Any]] = {}
        for annotation in data["annotations"]:
            people.setdefault(annotation["image_id"], []).append(annotation)
    except OSError as err:
        raise InputError(f"{path}: cannot be read ({err.strerror})") from err
    except (ValueError, KeyError, TypeError) as err:
        raise InputError(f"{path}: not COCO keypoint labels ({type(err).__name__}: {err})") from err
    return images, people


def _example(picture: Picture, annotations: list[Any]) -> Example:
    import cv2

    labelled = [a["keypoints"] for a in annotations if a.get("num_keypoints") and not a.get("iscrowd")]
    coco = np.array(labelled, np.float64).reshape(-1, 17, 3)
    ignored = [a for a in annotations if a.get("iscrowd") or not a.get("num_keypoints")]
    height, width = picture.shape[:2]
    half = cv2.resize(picture, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    polygons = tuple(p for a in ignored for p in _region(a))
    return Example(np.ascontiguousarray(picture), np.asarray(half, np.uint8), to_openpose(coco), polygons)


def _region(annotation: dict[str, Any]) -> list[NDArray[np.float32]]:
    """Polygons of a crowd or of a person without keypoints; the box where the outline is a run-length mask."""
    outline = annotation.get("segmentation")
    if isinstance(outline, list) and outline:
        return [np.array(p, np.float32).reshape(-1, 2) for p in outline]
    x, y, w, h = annotation["bbox"]
    return [np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float32)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSpec:
    """What a sample looks like.

    Attributes
    ----------
    sizes : tuple of (int, int)
        Width and height of the network's input; one batch after the other takes the next.
    batch : int
    targets : TargetSpec
    augmentation : Augmentation
    seed : int
    teacher : str
        A .tflite that completes the labels, or "".
    """

    sizes: tuple[tuple[int, int], ...]
    batch: int
    targets: TargetSpec
    augmentation: Augmentation
    seed: int = 0
    teacher: str = ""


class Samples(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Endless samples by number; number n is the same in every run, whatever came before.

    An item is the input (3, H, W) uint8 BGR, the maps (57, h, w) float16 (19 heatmaps, then 38 PAFs) and the mask
    (1, h, w) uint8.
    """

    def __init__(self, examples: list[Example], spec: SampleSpec, length: int) -> None:
        self.examples, self.spec, self.length = examples, spec, length
        self._teacher: Teacher | None = None  # each loading process makes its own

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        spec = self.spec
        epoch, index = divmod(number, len(self.examples))
        order = np.random.default_rng((spec.seed, epoch)).permutation(len(self.examples))
        rng = np.random.default_rng((spec.seed, epoch, index))
        example = self.examples[order[index]]
        network = spec.sizes[number // spec.batch % len(spec.sizes)]
        size = (example.picture.shape[1], example.picture.shape[0])
        affine = random_affine(rng, spec.augmentation, size, network, _anchor(rng, example.people))
        picture = relight(rng, spec.augmentation, warp(example.picture, example.half, affine, network))
        people = move_people(example.people, affine, network)
        grid = (-(-network[1] // spec.targets.stride), -(-network[0] // spec.targets.stride))
        maps = np.concatenate((heatmaps(people, grid, spec.targets), pafs(people, grid, spec.targets)))
        if spec.teacher:
            if self._teacher is None:
                self._teacher = Teacher(Path(spec.teacher), network, grid)
            complete(maps, self._teacher(picture), HEATMAPS)
        mask = _mask(example.ignored, affine, network, grid)
        return (
            torch.from_numpy(picture.transpose(2, 0, 1).copy()),
            torch.from_numpy(maps.astype(np.float16)),
            torch.from_numpy(mask[None]),
        )


def _anchor(rng: np.random.Generator, people: NDArray[np.float64]) -> NDArray[np.float64] | None:
    if not len(people):
        return None
    person = people[rng.integers(len(people))]
    seen = person[person[:, 2] > 0, :2]
    return np.asarray((seen.min(axis=0) + seen.max(axis=0)) / 2) if len(seen) else None


def _mask(
    ignored: tuple[NDArray[np.float32], ...],
    affine: NDArray[np.float64],
    network: tuple[int, int],
    grid: tuple[int, int],
) -> NDArray[np.uint8]:
    """1 where the loss counts: 0 on crowds and on people without keypoints."""
    import cv2

    if not ignored:
        return np.ones(grid, np.uint8)
    canvas = np.ones((network[1], network[0]), np.uint8)
    for polygon in ignored:
        moved = polygon @ affine[:, :2].T + affine[:, 2]
        cv2.fillPoly(canvas, [np.round(moved).astype(np.int32)], 0)
    return np.asarray(cv2.resize(canvas, grid[::-1], interpolation=cv2.INTER_AREA), np.uint8)
