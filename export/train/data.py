"""Labelled pictures, and training samples of them: the same for the same sample number."""

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

from export.train.augment import Augmentation, Picture
from export.train.kept import KeptSamples
from export.train.pictures import PictureStore
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
    """A decoded picture, its half-sized copy, its people and the ignored regions.

    Attributes
    ----------
    picture, half : ndarray
    people : ndarray, shape (P, 17, 3)
        COCO's keypoints.
    boxes : ndarray, shape (P, 4)
        As annotated: x, y, width, height.
    ignored : tuple of ndarray
        Polygons.
    """

    picture: Picture
    half: Picture
    people: NDArray[np.float64]
    boxes: NDArray[np.float64]
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
            try:
                examples.append(_example(picture, people.get(entry["id"], [])))
            except (KeyError, ValueError) as err:
                raise InputError(
                    f"{source.labels}: {name} has a person without keypoints or bbox ({type(err).__name__}: {err})"
                ) from err
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

    labelled = [a for a in annotations if a.get("num_keypoints") and not a.get("iscrowd")]
    people = np.array([a["keypoints"] for a in labelled], np.float64).reshape(-1, 17, 3)
    boxes = np.array([a["bbox"] for a in labelled], np.float64).reshape(-1, 4)
    ignored = [a for a in annotations if a.get("iscrowd") or not a.get("num_keypoints")]
    height, width = picture.shape[:2]
    half = cv2.resize(picture, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    polygons = tuple(p for a in ignored for p in _region(a))
    return Example(np.ascontiguousarray(picture), np.asarray(half, np.uint8), people, boxes, polygons)


def _region(annotation: dict[str, Any]) -> list[NDArray[np.float32]]:
    """Polygons of a crowd or of a person without keypoints; the box where the outline is a run-length mask."""
    outline = annotation.get("segmentation")
    if isinstance(outline, list) and outline:
        return [np.array(p, np.float32).reshape(-1, 2) for p in outline]
    x, y, w, h = annotation["bbox"]
    return [np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float32)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSpec:
    """What a sample looks like, whatever the network.

    Attributes
    ----------
    sizes : tuple of (int, int)
        Width and height of the network's input; one batch after the other takes the next.
    batch : int
    augmentation : Augmentation
    seed : int
    reuse : int
        After so many epochs the samples of the first one come again, in another order; 0 for always new ones.
    """

    sizes: tuple[tuple[int, int], ...]
    batch: int
    augmentation: Augmentation
    seed: int = 0
    reuse: int = 0


class Samples(Dataset[tuple[Tensor, ...]]):
    """Endless samples by number; number n is the same in every run, whatever came before.

    An item is the input (3, H, W) uint8 BGR, then what the family's loss takes.

    Attributes
    ----------
    kept : KeptSamples or None
        Where they are kept, to be read instead of made.
    """

    def __init__(self, examples: list[Example], spec: SampleSpec, length: int) -> None:
        self.examples, self.spec, self.length = examples, spec, length
        self.kept: KeptSamples | None = None
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def __len__(self) -> int:
        return self.length

    @property
    def each(self) -> int:
        """How many there are in an epoch."""
        return len(self.examples)

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        spec = self.spec
        epoch, index = divmod(number, self.each)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, np.random.default_rng((spec.seed, epoch)).permutation(self.each)
        which = int(self._order[index])
        size = spec.sizes[number // spec.batch % len(spec.sizes)]
        drawn = epoch % spec.reuse if spec.reuse else epoch

        def make() -> tuple[Tensor, ...]:
            return self.draw(np.random.default_rng((spec.seed, drawn, which)), which, size)

        return self.kept.get(drawn * self.each + which, make) if self.kept else make()

    def draw(self, rng: np.random.Generator, which: int, network: tuple[int, int]) -> tuple[Tensor, ...]:
        """Make the sample of one of `each` things for an input size."""
        raise NotImplementedError


def as_input(picture: Picture) -> Tensor:
    """(H, W, 3) to (3, H, W)."""
    return torch.from_numpy(picture.transpose(2, 0, 1).copy())


def known_mask(
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
